"""The third step of a hospital: what a run would send, shown, audited and consented to."""

from __future__ import annotations

import dataclasses
import getpass
from pathlib import Path
from typing import Any

import click

from pipelines.deploy.commands._verb import say
from pipelines.deploy.homes import HospitalHome
from privaudit.errors import PrivauditError

READERS = {
    "none": "the coordinator reads each update of this hospital",
    "secure_sum": "the coordinator reads the sum over all hospitals; an update of this hospital"
    " only if all others and the coordinator work together against it",
    "encrypted_sum": "the coordinator adds ciphertexts; a hospital that has the key and obtains"
    " another's ciphertext reads it",
    "patient_noise": "the coordinator reads each update, with noise that hides single patients",
}
"""Who can read what, by `consent.describe_protection`."""


def consent(root: Path, run: str, by: str | None, yes: bool, accept_leak: bool) -> None:
    """Show the terms and the dry round; ask; write the consent.

    Raises:
        PrivauditError: No such run, terms that nobody signed, or a leak without --accept-leak.
    """
    from pipelines.deploy.consent import Consent, count_rounds, describe_protection, grant
    from pipelines.deploy.sign_terms import read_pending
    from pipelines.deploy.terms import NAME

    home = HospitalHome(root)
    home.read()
    if not NAME.fullmatch(run):
        raise PrivauditError(
            f"the run {run[:40]!r}",
            "no run can have this name",
            "see which runs ask: privaudit federation status DIR",
        )
    terms = read_pending(home, run)
    person = (by or _user()).strip()
    if Consent.read(home).allows(terms):
        say(f"this hospital has consented to {run} already")
        return
    for name, value in (
        ("run", terms.run),
        ("task", terms.task),
        ("method", terms.method),
        ("settings", ", ".join(terms.settings) or "none"),
        ("hospitals", ", ".join(terms.roster)),
        ("fewest in a round", terms.quorum),
        ("rounds", count_rounds(terms)),
        ("attacks at the end", f"{', '.join(terms.grade)}: counts of their results leave"),
        ("fingerprint", terms.fingerprint),
    ):
        say(f"{name:20}{value}")
    for part in describe_protection(terms).split("+"):
        say(f"{'who can read what':20}{READERS.get(part, part)}")
    if terms.seed is not None:
        say(f"{'seed':20}{terms.seed}: whoever knows it can tell this hospital's random numbers")
    say("training one round on this hospital's records, and attacking what it would send ...")
    from pipelines.deploy.own_audit import audit_dry_round

    made: Any = audit_dry_round(home, terms)
    for line in describe_dry_round(made):
        say(f"  {line}")
    if made.leaks and not accept_leak:
        raise PrivauditError(
            "an update that gives records of this hospital away",
            "the hospital's own attack on a dry round says so; see the numbers above",
            "decline; or ask for more patients, larger batches or a protected sum; a person may"
            " consent all the same with --accept-leak",
        )
    if not yes and not click.confirm(f"Consent to {run} as {person}?", err=True, default=False):
        say("declined: nothing of this run leaves")
        raise click.Abort
    grant(home, terms, person)
    say(f"consent of {person} to {run} written; withdraw it with `stop DIR --withdraw {run}`")


def describe_dry_round(made: Any) -> list[str]:
    """The numbers of a dry round as lines."""
    if callable(getattr(made, "lines", None)):
        return [str(line) for line in made.lines()]
    return [
        f"{part.name.replace('_', ' ')}: {value}"
        for part in dataclasses.fields(made)
        if isinstance(value := getattr(made, part.name), (bool, int, float, str))
    ]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise PrivauditError(
            "a consent of nobody", "this user has no name here", "give one with --by"
        ) from None


__all__ = ["READERS", "consent", "describe_dry_round"]
