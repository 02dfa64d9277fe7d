"""The terms of a run: who may sign them, where they are kept, and what they are called."""

from __future__ import annotations

import hashlib

from pipelines.deploy.homes import CoordinatorHome, HospitalHome, make_private
from pipelines.deploy.identity import OPERATOR, Identity, Root
from pipelines.deploy.private_files import write_private
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.warrant import Warrant
from privaudit.errors import PrivauditError


def check_operator(home: CoordinatorHome) -> None:
    """PrivauditError where hospitals would not accept today what the operator's kit signs."""
    kit = home.root / "operator"
    said = home.read()
    found = Root.load(kit, said["root"]).vouch(Identity.load(kit).certificate)
    if (found.name, found.role) != (said["operator"], OPERATOR):
        raise PrivauditError(
            f"a kit of {found.name}, whose role is {found.role}",
            f"terms are signed by {said['operator']}",
            "use the folder that `privaudit federation provision` made",
        )


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
    """The terms of a run that asked this hospital, whose signature and roster are checked again.

    Raises:
        PrivauditError: No such run, or not the operator's terms.
    """
    warrant = Warrant.read(home.pending(run))
    terms = warrant.check(home, Root.load(home.root / "kit", home.read()["root"]))
    if terms.run != run:
        raise PrivauditError(
            f"terms of the run {terms.run} in the place of {run}",
            "the file was renamed",
            "see which runs ask: privaudit federation status DIR",
        )
    return terms


__all__ = ["check_operator", "keep_terms", "name_run", "read_pending"]
