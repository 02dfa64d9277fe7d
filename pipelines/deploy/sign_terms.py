"""The terms of a run, signed with the operator's key and kept with the run."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pipelines.deploy.homes import CoordinatorHome, HospitalHome, make_private
from pipelines.deploy.identity import OPERATOR, Identity, Root
from pipelines.deploy.private_files import write_private
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class SignedTerms:
    """Terms with the operator's signature and certificate (PEM)."""

    terms: RunTerms
    signature: bytes
    certificate: bytes


def text_to_sign(terms: RunTerms) -> bytes:
    """What the operator signs."""
    return b"privaudit terms\0" + terms.text.encode()


def sign_terms(home: CoordinatorHome, terms: RunTerms) -> SignedTerms:
    """Sign the terms with the operator's kit.

    Raises:
        PrivauditError: The kit is not the operator's, or hospitals would not accept it today.
    """
    kit = home.root / "operator"
    said = home.read()
    own = Identity.load(kit)
    found = Root.load(kit, said["root"]).vouch(own.certificate)
    if (found.name, found.role) != (said["operator"], OPERATOR):
        raise PrivauditError(
            f"a kit of {found.name}, whose role is {found.role}",
            f"terms are signed by {said['operator']}",
            "use the folder that `privaudit federation provision` made",
        )
    return SignedTerms(terms, own.sign(text_to_sign(terms)), own.certificate)


def keep_terms(home: CoordinatorHome, terms: RunTerms) -> bool:
    """Write terms.json of the run; whether the run was there already.

    Raises:
        PrivauditError: A run of this name has other terms.
    """
    path = home.run(terms.run) / "terms.json"
    if path.is_file():
        if path.read_bytes() != terms.text.encode():
            raise PrivauditError(
                f"a run {terms.run!r} with other terms than those it began with",
                "hospitals consented to the first ones",
                "give the run another name with --run, or the command that it began with",
            )
        return True
    make_private(home.root / "runs")
    make_private(path.parent)
    write_private(path, terms.text.encode())
    return False


def name_run(terms: RunTerms) -> str:
    """A name for a run that has none: the same terms give the same name, so that the same command
    goes on."""
    digest = hashlib.sha256(terms.text.encode()).hexdigest()[:8]
    return f"{terms.task.replace('_', '-')[:28]}-{digest}".strip("-")


def read_pending(home: HospitalHome, run: str) -> RunTerms:
    """The terms of a run that asked this hospital, whose signature is checked again.

    Raises:
        PrivauditError: No such run, or not the operator's terms.
    """
    try:
        made = json.loads(home.pending(run).read_text("utf-8"))
        text, certificate = str(made["terms"]), str(made["certificate"]).encode("ascii")
        signature = bytes.fromhex(made["signature"])
    except FileNotFoundError:
        raise PrivauditError(
            f"no run {run[:40]!r} that asks this hospital",
            "the operator has not started it, or this hospital's client does not run",
            "see which runs ask: privaudit federation status DIR",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise PrivauditError(
            f"terms of the run {run[:40]!r} that cannot be read",
            "the file was cut off or changed",
            "remove it; the terms come again with the coordinator's next question",
        ) from None
    said = home.read()
    terms = RunTerms.read(text)
    found = Root.load(home.root / "kit", said["root"]).verify(
        certificate, signature, text_to_sign(terms)
    )
    if (found.name, found.role) != (said["operator"], OPERATOR) or terms.text != text:
        raise PrivauditError(
            f"terms that {found.name} signed",
            f"this hospital takes terms of {said['operator']} alone",
            "telephone the coordinator",
        )
    if terms.run != run or said["name"] not in terms.roster:
        raise PrivauditError(
            "terms of another run, or without this hospital",
            "they are not what was asked for",
            "see which runs ask: privaudit federation status DIR",
        )
    return terms


__all__ = ["SignedTerms", "keep_terms", "name_run", "read_pending", "sign_terms", "text_to_sign"]
