"""The third step of a hospital: what a run would send, shown, audited and consented to."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.deploy.commands._verb import say
from pipelines.deploy.homes import HospitalHome, make_private
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.own_audit import DryRound
    from pipelines.deploy.terms import RunTerms

DECLINED = 130
"""The exit code of a person who says no, as of one who breaks off."""
VERDICTS = {
    "leaks": "more than chance explains is found: records or values of this hospital's patients are"
    " given away",
    "no_leak_seen": "on these first rounds the attacks find no more than chance explains; later"
    " rounds, other weights and other attacks may find more",
    "hidden": "all other hospitals together, or a coordinator that repeats a round without this"
    " hospital, could read more than chance explains; the sum of one round alone hides it",
    "too_few": "too few patients for the attacks to say anything: nobody knows what is given away",
}


def describe_readers(terms: RunTerms) -> list[str]:
    """Who can read what of a hospital in this run, a line each: the trust table that the report
    has."""
    task, method = terms.build()
    protect: Any = getattr(method, "protect", method)
    # Trees have no protection, and the same readers in a simulation as here.
    trust = protect.trust_apart if hasattr(protect, "trust_apart") else protect.trust
    lines = ["; ".join(task.words.fill(cell) for cell in row) for row in trust]
    if terms.method == "federated_private":
        lines.append("every update carries noise that hides single patients")
    return lines


def consent(root: Path, run: str, by: str | None, yes: bool, accept_leak: bool) -> None:
    """Show the terms and the dry round; ask; write the consent.

    Raises:
        PrivauditError: No such run, terms that nobody signed, or a leak (or too few patients to
            see one) without --accept-leak.
    """
    from pipelines.deploy.consent import Consent, count_rounds, describe_protection, grant
    from pipelines.deploy.sign_terms import read_pending
    from pipelines.deploy.site_data import open_data
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
    known = Consent.read(home)
    if known.allows(terms):
        agreed = known.runs[run].records
        if not agreed or agreed == open_data(home, terms).fingerprint:
            say(f"this hospital has consented to {run} already")
            return
        say(f"the consent to {run} was to other records than those that are there now")
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
    say(f"{'protection':20}{describe_protection(terms)}; who can read what:")
    for line in describe_readers(terms):
        say(f"  {line}")
    from pipelines.deploy.spent import add_up

    if (spent := add_up(home, terms)) is not None:
        for line in spent.lines():
            say(f"{'privacy spent':20}{line}")
    if terms.seed is not None:
        say(f"{'seed':20}{terms.seed}: whoever knows it can tell this hospital's random numbers")
    say("training a few rounds on this hospital's records, and attacking what they would send ...")
    from pipelines.deploy.own_audit import audit_dry_round

    made = audit_dry_round(home, terms)
    for line in describe_dry_round(made):
        say(f"  {line}")
    _keep(home, run, made)
    # What a sum hides, a person at the terminal may accept: they have just read it.
    is_asked = made.is_hidden and made.verdict == "leaks" and not yes
    if made.leaks and not accept_leak and not is_asked:
        raise PrivauditError(
            "updates that may give records of this hospital away",
            f"of a dry round, {VERDICTS[_find_verdict(made)]}",
            "decline; or ask for more patients, larger batches or a protected sum; a person may"
            " consent all the same with --accept-leak",
        )
    if not yes and not click.confirm(f"Consent to {run} as {person}?", err=True, default=False):
        say("declined: nothing of this run leaves")
        raise click.exceptions.Exit(DECLINED)
    grant(home, terms, person, made.fingerprint)
    say(f"consent of {person} to {run} written; withdraw it with `stop DIR --withdraw {run}`")


def describe_dry_round(made: DryRound) -> list[str]:
    """The numbers of a dry round as lines; counts below ten are not shown."""

    def count(name: str, many: int) -> str:
        return f"fewer than {MIN_CELL}" if name in made.small_counts else f"{many:,}"

    lines = [
        f"trained on: {count('patients', made.patients)} patients,"
        f" {count('records', made.records)} records",
        f"leaves: {made.bytes_per_round:,} bytes a round, {made.rounds} rounds"
        f" ({made.bytes_per_round * made.rounds / 1e6:.1f} MB)",
    ]
    if made.is_hidden:
        lines.append("attacked is the update before it is hidden in the sum:")
    if (rebuilt := made.rebuilt) is not None:
        lines += [
            f"whole records rebuilt: {rebuilt.exact:.1%} (without an update {rebuilt.control:.1%})"
            f" of {count('graded', rebuilt.graded)}",
            f"single values rebuilt: {rebuilt.cells:.1%}"
            f" (without an update {rebuilt.cells_control:.1%})",
        ]
    else:
        lines.append("whole records or values rebuilt: not tried, no attack on these is known here")
    if made.cuts is not None:
        from pipelines.deploy.own_audit import describe_cuts

        lines.append(describe_cuts(*made.cuts))
    if (told := made.told) is not None:
        lines.append(
            f"who was trained on: AUROC {told.auroc:.3f} ({told.low:.3f} to {told.high:.3f});"
            f" guessing reaches {told.chance:.2f}"
        )
    if made.series_untried:
        lines.append("series of measurements were not tried: no attack made here rebuilds them")
    return [*lines, f"{VERDICTS[_find_verdict(made)]} ({made.seconds:.1f} s)"]


def _find_verdict(made: DryRound) -> str:
    return "hidden" if made.verdict == "leaks" and made.is_hidden else made.verdict


def _keep(home: HospitalHome, run: str, made: DryRound) -> None:
    """For the hospital's own status page."""
    from pipelines.deploy.private_files import write_private

    folder = make_private(home.run(run))
    write_private(folder / "audit.json", json.dumps(asdict(made)).encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise PrivauditError(
            "a consent of nobody", "this user has no name here", "give one with --by"
        ) from None


__all__ = ["VERDICTS", "consent", "describe_dry_round", "describe_readers"]
