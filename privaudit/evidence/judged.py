"""Whether every verdict of a run is what the policy makes of its audit document."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from privaudit import __version__, verdicts
from privaudit.errors import PrivauditError
from privaudit.evidence import seals, sums
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.results import Audit


def check_verdicts(run: Path, audit: Audit, policy: Path | None) -> Check:
    """Judge again by the policy given, and compare every verdict."""
    name = f"shareable/{seals.VERDICTS}"
    try:
        stored = seals.read_verdicts(run)
    except PrivauditError as error:
        return conclude("verdicts", [f"{name}: {error.what}"])
    if stored is None:
        return leave("verdicts", "the run holds no verdicts")
    faults = []
    if stored.audit_sha256 != sums.digest(run / "shareable" / "audit.json"):
        faults.append(f"{name}: was made of another audit.json")
    if policy is None:
        note = "the verdicts were not recomputed: give the policy with --policy"
        return leave("verdicts", note, faults)
    made = _judge(policy, audit, stored)
    if isinstance(made, str):
        return conclude("verdicts", [*faults, made])
    if made is None:
        note = "they compare with a baseline: make them again with `privaudit check --baseline`"
        return leave("verdicts", note, faults)
    faults += _differences(stored, made)
    if not faults and made != stored and audit.manifest.version == __version__:
        faults.append(f"{name}: is not what judging the audit again makes")
    if not faults and made != stored:
        return leave("verdicts", f"this version ({__version__}) gives other details")
    return conclude("verdicts", faults)


def _differences(stored: verdicts.Verdicts, made: verdicts.Verdicts) -> list[str]:
    """Every verdict whose subject matter, state or numbers are not those recomputed."""
    found = []
    before, after = ([_facts(one) for one in all_of.verdicts] for all_of in (stored, made))
    for index in range(max(len(before), len(after))):
        one, other = ((a[index] if index < len(a) else None) for a in (before, after))
        if one != other:
            found.append(f"verdict {_shown(one)} is stored, {_shown(other)} is recomputed")
    if (stored.state, stored.code) != (made.state, made.code):
        found.append(f"verdict overall: {stored.state} is stored, {made.state} is recomputed")
    return found


def _facts(one: verdicts.Verdict) -> verdicts.Verdict:
    """What a verdict is about, its state and its numbers, without how it was reasoned."""
    return replace(one, reason=None, n={}, chance=None)  # type: ignore[arg-type]


def _shown(one: verdicts.Verdict | None) -> str:
    if one is None:
        return "none"
    about = " / ".join(p for p in (one.rule, one.subject, one.attack, str(one.setting or "")) if p)
    numbers = ", ".join("-" if n is None else f"{n:.6g}" for n in (one.value, one.lower, one.upper))
    return f"{about}: {one.state} (limit {one.limit:g}; {numbers})"


def _judge(policy: Path, audit: Audit, stored: verdicts.Verdicts) -> verdicts.Verdicts | str | None:
    """The verdicts recomputed as on the day of the run; a text where it is another policy."""
    from privaudit.policy import judge
    from privaudit.policy.file import parse

    try:
        rules = parse(policy.read_bytes(), policy.name)
    except OSError as error:
        raise PrivauditError(
            f"the policy {policy.name!r} cannot be read",
            f"the system reports: {error.strerror}",
            "give the policy file that the run was judged by",
        ) from None
    if rules.sha256 != stored.policy_sha256:
        return (
            f"the policy given ({rules.sha256[:12]}) is not the one that the run was judged by "
            f"({stored.policy_sha256[:12]})"
        )
    if stored.baseline:
        return None
    # A policy or waiver that has expired since was in force on that day, or the next where the run
    # went on past midnight; the document's clock is UTC and the judge's is the place's own.
    day = date.fromisoformat(audit.manifest.created[:10])
    made, why = [], ""
    for late in (0, 1, -1):
        today = day + timedelta(days=late)
        try:
            made.append(judge(rules, audit, audit_sha256=stored.audit_sha256, today=today))
        except PrivauditError as error:
            why = error.what
    if not made:
        return f"the policy given was not in force on the day of the run: {why}"
    return next((one for one in made if one == stored), made[0])


__all__ = ["check_verdicts"]
