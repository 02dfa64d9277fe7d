"""The address of a deployed model, and what is refused of one."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from privaudit.errors import PrivauditError, spell

Protocol = Literal["oip", "mlflow"]

MLFLOW = "mlflow+"
SCHEMES = ("http://", "https://")
_MODEL = re.compile(r"^(?:/[\w.~%-]+)*/v2/models/[\w.~%-]+(?:/versions/([\w.~%-]+))?$")


@dataclass(frozen=True)
class Address:
    """Where a model answers. It is named in no document: a host's name may be confidential.

    path: of the model, without the verb; version: that the address itself names, "" for none.
    """

    protocol: Protocol
    secure: bool
    host: str
    port: int
    path: str
    version: str = ""

    @property
    def form(self) -> str:
        """What a report calls it."""
        kind = "the Open Inference Protocol" if self.protocol == "oip" else "MLflow"
        return f"a deployed model asked over {kind}"


def is_address(text: str) -> bool:
    """Whether a model is given by an address, and not by a file's name."""
    return text.lower().removeprefix(MLFLOW).startswith(SCHEMES)


def read_address(text: str) -> Address:
    """Read the address of a model.

    Raises:
        PrivauditError: Another protocol, a password or a query in it, or plain http to another
            machine.
    """
    bare = text.strip()
    is_mlflow = bare.lower().startswith(MLFLOW)
    bare = bare[len(MLFLOW) :] if is_mlflow else bare
    try:
        parts = urlsplit(bare)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if not host or re.search(r"[\s\x00-\x1f\x7f]", bare):
        raise PrivauditError(
            "the address of the model cannot be read",
            "it names a scheme, a host and a path",
            "write https://HOST/v2/models/NAME, or mlflow+https://HOST/invocations",
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise PrivauditError(
            "an address with a password, a query or a fragment",
            "addresses are seen by others, in lists of processes and in logs of servers",
            "leave it out of the address and name the environment variable that holds the token: "
            + spell("--token-env NAME", "token_env='NAME'"),
        )
    secure = parts.scheme.lower() == "https"
    if not secure and not _is_loopback(host):
        raise PrivauditError(
            "plain http to another machine",
            "rows of patients and the token would be readable on the way",
            "give an https address, or an encrypted tunnel to http://localhost:PORT",
        )
    path = parts.path.rstrip("/")
    version = ""
    if not is_mlflow:
        found = _MODEL.match(path)
        if found is None:
            raise PrivauditError(
                "an address that names no model",
                "a model of the Open Inference Protocol is at https://HOST/v2/models/NAME, with or "
                "without /versions/VERSION",
                "write the address so; for a server of MLflow mlflow+https://HOST/invocations",
            )
        version = found.group(1) or ""
    elif not path.endswith("/invocations"):
        raise PrivauditError(
            "an address of MLflow that does not end in /invocations",
            "that is where a server of MLflow answers",
            "write mlflow+https://HOST/invocations",
        )
    return Address(
        "mlflow" if is_mlflow else "oip",
        secure,
        host,
        port or (443 if secure else 80),
        path,
        version,
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


__all__ = ["Address", "is_address", "read_address"]
