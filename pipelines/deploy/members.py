"""Who takes part in a federation: names, as they go into certificates and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipelines.deploy.build import source_digest
from pipelines.deploy.identity import Root
from pipelines.deploy.terms import FEWEST, RunTerms
from privaudit.errors import PrivauditError

HOSPITAL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
HOST_NAME = re.compile(
    r"(?=.{1,64}$)([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*"
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
)
PERSON = re.compile(r"(?=.{1,64}$)[a-z0-9][a-z0-9._+-]{0,30}@[a-z0-9][a-z0-9.-]{0,28}\.[a-z]{2,4}")
PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
TAKEN = ("server", "operator", "ca", "all")


@dataclass(frozen=True)
class Federation:
    """Who takes part, as the root signs it and both kinds of homes store it.

    Args:
        name: Of the federation: the root's common name.
        operator: The name in the operator's certificate.
        hospitals: The roster, sorted.
        root: The root's fingerprint.
        build: `source_digest` of the coordinator's installed code.
    """

    name: str
    host: str
    port: int
    operator: str
    hospitals: tuple[str, ...]
    auditor: str = ""
    root: str = ""
    build: str = ""

    def check(self) -> None:
        """PrivauditError where a name or number cannot be used."""
        checks = (
            (self.name, PROJECT, "name of a federation", "up to 40 small letters and digits"),
            (self.host, HOST_NAME, "host", "letters, digits, dots and dashes: a name, no URL"),
            (self.operator, PERSON, "operator", "an address such as operator@coordinator.org"),
        )
        for value, pattern, what, use in checks:
            if not pattern.fullmatch(value):
                raise PrivauditError(
                    f"the {what} {value[:80]!r}", "it is written into certificates", f"use {use}"
                )
        if re.fullmatch(r"[0-9.]+", self.host):
            raise PrivauditError(
                f"the host {self.host!r}",
                "a certificate is for a name, and hospitals look for that name",
                "give the machine a name; every hospital may map it to the address in /etc/hosts",
            )
        if not 1 <= self.port <= 65535:
            raise PrivauditError(f"the port {self.port}", "ports are 1 to 65535", "use one of them")
        for name in self.hospitals:
            check_hospital(name, self.host)
        # The terms' own rules on a roster: sorted, none twice, three at least.
        RunTerms("roster", "task", "federated", self.hospitals, quorum=FEWEST)


def check_hospital(name: str, host: str) -> None:
    """PrivauditError where a hospital cannot be called this."""
    if not HOSPITAL_NAME.fullmatch(name) or name in (*TAKEN, host):
        raise PrivauditError(
            f"the hospital's name {name[:80]!r}",
            "it becomes the name of a certificate and of folders, and differs from the server's",
            "use up to 40 small letters, digits, dashes and underscores",
        )


def read_federation(said: Mapping[str, Any]) -> Federation:
    """What federation.toml says; PrivauditError where it was changed to something else."""
    values: dict[str, Any] = {part.name: said.get(part.name) for part in fields(Federation)}
    kinds: dict[str, type] = {name: int if name == "port" else str for name in values} | {
        "hospitals": list
    }
    wrong = [name for name, value in values.items() if type(value) is not kinds[name]]
    roster = values["hospitals"] if "hospitals" not in wrong else ()
    if wrong or not all(isinstance(name, str) for name in roster):
        raise PrivauditError(
            "a federation.toml that cannot be used",
            f"it lacks {', '.join(wrong) or 'hospitals'}, or they are of another kind",
            "restore it, or make the federation again with `privaudit federation provision`",
        )
    made = Federation(**{**values, "hospitals": tuple(roster)})
    made.check()
    return made


def state_build(federation: Federation, root: Root) -> Federation:
    """The federation with its root and this machine's code."""
    return Federation(**{**asdict(federation), "root": root.fingerprint, "build": source_digest()})


__all__ = ["HOSPITAL_NAME", "Federation", "check_hospital", "read_federation", "state_build"]
