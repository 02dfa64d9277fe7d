"""Which classes of attack apply to a release, and whether each was tested and limited.

A limit says nothing about what nobody tried. So a class of attack that receivers can make must have
given a number that some rule looks at, or the policy leaves it out by name ([[not_tested]]).
Poisoning is left aside, since it needs a seat in training and no receiver has one, and so are
bounds on epsilon, which test a guarantee by means of membership inference. So are property
inference and model extraction: what they take is the owner's (the make-up of a hospital's
patients, the model itself) and no patient's, and whoever does not mind may release it. A policy
may limit both all the same, and a limit that nobody tested is NOT TESTED.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from privaudit.contracts import REQUIRED_ACCESS, Access
from privaudit.facts import (
    Attacker,
    Caveat,
    CaveatCode,
    Family,
    Param,
    Reason,
    ReasonCode,
)
from privaudit.policy.judge_number import Cell
from privaudit.policy.judge_rule import SHOWN
from privaudit.policy.metrics import COPIES, METRICS, TABLE_ATTACKS, read_access
from privaudit.policy.rules import LeftOut, Policy
from privaudit.results import Audit, Finding, Outcome, Skipped, Subject
from privaudit.verdicts import State, Verdict

CLASSES: tuple[Family, ...] = (
    "membership",
    "attribute",
    "reconstruction",
    "inversion",
    "evasion",
    "synthetic",
)
"""Families of attacks that somebody who receives a release can make."""

BY_DATA = (ReasonCode.NO_SENSITIVE_COLUMN, ReasonCode.NO_CHANGEABLE_NUMBER)
"""Why the data leave nothing for a class of attack to try."""

IN_THE_FILE = (Access.FILE.name, Access.TREES.name)
"""What is read of a model by whoever is handed its file, and by nobody else."""

PARTS_UNTRIED = (
    ReasonCode.SHADOWS_NOT_RUN,
    ReasonCode.FEW_SHADOWS,
    ReasonCode.FILE_NOT_OPENED,
    ReasonCode.TREES_NOT_READ,
)
"""Gaps that stay where other attacks of the class gave a number."""

LEAST_SHADOWS = 8
"""Shadow models of which what membership attacks do not find is evidence: fewer find less of the
same leak (design 034), and what stands in one patient's record alone least of all."""

AT_RISK = "membership.patients_at_risk"
"""A limit on who is found almost surely, which says nothing of how well everybody is told apart."""


def as_received(policy: Policy, audit: Audit, subject: Subject) -> Subject:
    """The subject as receivers of the policy's kind of release hold it.

    A model's file counts where it is handed out, whether the audit was given it or not, and
    nowhere else, and so do its trees where it has any; the file of a generator of records is handed
    out wherever the audit was given it.
    Attacks that the data leave nothing to try are stated with that reason.
    """
    outcomes = [*subject.outcomes, *_untried_by_data(audit, subject)]
    access = read_access(subject.access)
    is_model = Access.TABLE not in access and bool(access & {Access.ANSWERS, Access.WEIGHTS})
    handed_out = SHOWN[policy.context.release] is Access.WEIGHTS
    names = subject.access
    if is_model and handed_out and Access.FILE not in access:
        names = (*names, Access.FILE.name)
        outcomes = [_file_not_given(one) for one in outcomes]
    elif is_model and not handed_out:
        names = tuple(name for name in names if name not in IN_THE_FILE)
        outcomes = [_file_not_handed_out(one) for one in outcomes]
    return replace(subject, access=names, outcomes=tuple(outcomes))


def _untried_by_data(audit: Audit, subject: Subject) -> Iterator[Skipped]:
    there = {one.attack for one in subject.outcomes}
    for row in audit.coverage:
        if row.reason is not None and row.reason.code in BY_DATA:
            for name in row.not_requested:
                if name not in there:
                    yield Skipped(name, row.family, row.reason)


def _file_not_given(one: Outcome) -> Outcome:
    lacking = one.reason.params.get("access") if isinstance(one, Skipped) else None
    if isinstance(one, Skipped) and lacking == (Access.FILE.name,):
        return replace(one, reason=Reason(ReasonCode.FILE_NOT_GIVEN))
    return one


def _file_not_handed_out(one: Outcome) -> Outcome:
    used = tuple(name for name in IN_THE_FILE if name in getattr(one, "access", ()))
    if isinstance(one, Finding) and used:
        lacking = Reason(ReasonCode.LACKS_ACCESS, {"access": used})
        return Skipped(one.attack, one.family, lacking)
    return one


@dataclass(frozen=True)
class Gap:
    """What of a class nobody tested, or no rule looks at. attacks: which, none for all of it;
    needs: those that need this access, where they are known by it."""

    code: ReasonCode
    state: State
    attacks: tuple[str, ...] = ()
    needs: Access | None = None


@dataclass(frozen=True)
class Used:
    """A part of the policy that excused something. measured: attacks that gave a number all the
    same, which no rule looks at."""

    entry: LeftOut
    subject: str
    measured: tuple[str, ...] = ()


def judge_coverage(
    policy: Policy,
    subject: Subject,
    found: Sequence[Verdict],
    cells: Sequence[Cell],
    compared: Collection[str] = (),
) -> tuple[list[Verdict], list[Verdict], list[Used]]:
    """What of the classes of attack that apply to a subject was not tested or not limited.

    Args:
        policy: The limits, and what they leave out.
        subject: As its receivers hold it.
        found: The verdicts of the policy's rules on it.
        cells: The numbers that its rules looked at.
        compared: Attacks that a rule on regressions compared with a baseline.

    Returns:
        The verdicts of the rules, where a limit that could not be tested warns if the policy leaves
        its class out; a verdict for every gap; and what of the policy excused a gap.
    """
    kept, gaps = [], []
    used: list[Used] = []
    for one in found:
        entry = _excuse(policy, one)
        kept.append(one if entry is None else replace(one, severity="warn"))
        used += [] if entry is None else [Used(entry, subject.name)]
    access = _find_access(subject)
    for family in CLASSES:
        if not REQUIRED_ACCESS[family] & access:
            continue
        left = _left_out(policy, family, subject.name)
        own = (c for c in cells if c.known.family == family and c.known.name != AT_RISK)
        looked = {c.reading.attack for c in own} | set(compared)
        if any(c.rule.metric in COPIES for c in cells):
            looked.add("copies")
        for gap in _gaps(family, subject, access, looked):
            entry = next((one for one in left if _covers(one, gap)), None)
            if entry is not None:
                unseen = gap.code is ReasonCode.CLASS_NOT_LIMITED
                used.append(Used(entry, subject.name, gap.attacks if unseen else ()))
            elif not any(_states_gap(one, family, gap) for one in kept):
                gaps.append(_verdict(policy, subject, family, gap))
    return kept, gaps, used


def _find_access(subject: Subject) -> frozenset[Access]:
    """What a release gives away: what it states, and what attacks used of it all the same."""
    used = {name for one in subject.outcomes if isinstance(one, Finding) for name in one.access}
    found = read_access((*subject.access, *used)) - {Access.RERUN, Access.SEAT}
    return found | {Access.ANSWERS} if Access.WEIGHTS in found else found


def note_left_out(policy: Policy, used: Sequence[Used]) -> Iterator[Caveat]:
    """What the policy leaves out by name, and why."""
    for entry in policy.left_out:
        own = [one for one in used if one.entry is entry]
        if not own:
            continue
        params: dict[str, Param] = {
            "family": entry.family,
            "attacks": entry.attacks,
            "subjects": tuple(dict.fromkeys(one.subject for one in own)),
            "measured": tuple(dict.fromkeys(name for one in own for name in one.measured)),
            "why": entry.reason,
            "approved_by": entry.approved_by or policy.approved_by,
        }
        yield Caveat(CaveatCode.LEFT_OUT, "note", params)


def _gaps(
    family: Family, subject: Subject, access: frozenset[Access], looked: Collection[str]
) -> Iterator[Gap]:
    ran = [one for one in subject.outcomes if isinstance(one, Finding) and one.family == family]
    used = {name for one in ran for name in one.access}
    # Who holds similar patients alone finds less: only models trained on candidates show the most.
    strong = [one for one in ran if one.attacker is not Attacker.SIMILAR_PATIENTS]
    trained = [one for one in strong if Access.RERUN.name in one.access]
    blind = tuple(sorted(one.attack for one in ran if one.is_blind))
    if blind and all(one.is_partial for one in ran):
        yield Gap(ReasonCode.SERIES_NOT_READ, "NOT TESTED", blind)
        return
    if all(one.is_partial for one in ran):
        needs = Access.FILE if _is_file_alone(family, access) else None
        yield Gap(ReasonCode.CLASS_NOT_TESTED, "NOT TESTED", needs=needs)
        return
    if family == "membership" and Access.TABLE not in access and not trained:
        yield Gap(ReasonCode.SHADOWS_NOT_RUN, "NOT TESTED", needs=Access.RERUN)
    if family == "membership" and trained and all(map(_has_few_shadows, trained)):
        yield Gap(ReasonCode.FEW_SHADOWS, "NOT TESTED", needs=Access.RERUN)
    if (
        family == "membership"
        and Access.EXPLANATIONS in access
        and Access.EXPLANATIONS.name not in used
    ):
        yield Gap(ReasonCode.CLASS_NOT_TESTED, "NOT TESTED", ("explanations",))
    if family == "reconstruction" and Access.FILE in access and Access.FILE.name not in used:
        yield Gap(ReasonCode.FILE_NOT_OPENED, "NOT TESTED", needs=Access.FILE)
    if family == "inversion" and Access.TREES in access and Access.TREES.name not in used:
        yield Gap(ReasonCode.TREES_NOT_READ, "NOT TESTED", needs=Access.TREES)
    made = {one.attack for one in ran}
    if family == "synthetic":
        for risk in TABLE_ATTACKS.values():
            if risk not in made:
                yield Gap(ReasonCode.CLASS_NOT_TESTED, "NOT TESTED", (risk,))
    unseen = tuple(sorted(made - set(looked)))
    if unseen:
        yield Gap(ReasonCode.CLASS_NOT_LIMITED, "INCONCLUSIVE", unseen)


def _has_few_shadows(one: Finding) -> bool:
    made = one.params.get("shadows")
    return isinstance(made, int) and 0 < made < LEAST_SHADOWS


def _is_file_alone(family: Family, access: frozenset[Access]) -> bool:
    """Whether nothing but a file that is handed out makes the class apply."""
    return REQUIRED_ACCESS[family] & access == {Access.FILE}


def _left_out(policy: Policy, family: str, subject: str) -> list[LeftOut]:
    """What the policy leaves out of this family, all of it first."""
    own = [e for e in policy.left_out if e.family == family and e.subject in ("", subject)]
    return sorted(own, key=lambda entry: bool(entry.attacks))


def _covers(entry: LeftOut, gap: Gap) -> bool:
    if not entry.attacks:
        return True
    if gap.attacks:
        return set(gap.attacks) <= set(entry.attacks)
    return gap.needs is not None and any(_needs(name, gap.needs) for name in entry.attacks)


def _needs(attack: str, access: Access) -> bool:
    from privaudit.plugins import load, members

    known = attack in members("attacks")
    return known and access in getattr(load("attacks", attack), "needs", ())


def _excuse(policy: Policy, one: Verdict) -> LeftOut | None:
    """What of the policy keeps a limit that nobody tested from stopping the gate."""
    if one.kind != "limit" or one.state != "NOT TESTED" or one.severity != "block":
        return None
    if one.reason.code is not ReasonCode.NO_ATTACK_RUN:
        return None
    known = METRICS[one.metric]
    for entry in _left_out(policy, known.family, one.subject):
        if not entry.attacks or (known.attacks and set(known.attacks) <= set(entry.attacks)):
            return entry
    return None


def _states_gap(one: Verdict, family: Family, gap: Gap) -> bool:
    """Whether a rule of the policy stops the gate for the same want already."""
    stops = one.kind == "limit" and one.state == "NOT TESTED" and one.severity == "block"
    known = METRICS.get(one.metric)
    if not stops or known is None or known.family != family or one.group is not None:
        return False
    if gap.code in PARTS_UNTRIED:
        return False
    parts = gap.attacks if gap.code is ReasonCode.CLASS_NOT_TESTED else ()
    return not parts or known.attacks == parts


def _verdict(policy: Policy, subject: Subject, family: Family, gap: Gap) -> Verdict:
    blanks = tuple(
        (one.attack, one.reason)
        for one in subject.outcomes
        if one.family == family and not isinstance(one, Finding)
    )
    params = (
        {"attacks": gap.attacks}
        if gap.code
        in (
            ReasonCode.CLASS_NOT_TESTED,
            ReasonCode.CLASS_NOT_LIMITED,
            ReasonCode.SERIES_NOT_READ,
        )
        else {}
    )
    return Verdict(
        rule=_name(policy, family),
        kind="coverage",
        subject=subject.name,
        metric=family,
        state=gap.state,
        severity="block",
        limit=0.0,
        reason=Reason(gap.code, params),
        untested=() if gap.code is ReasonCode.CLASS_NOT_LIMITED else blanks,
    )


def _name(policy: Policy, family: str) -> str:
    """What stands in the place of a rule's id, unlike every id of the policy."""
    name = f"class of attack: {family}"
    while any(rule.id == name for rule in policy.rules):
        name += " *"
    return name


__all__ = ["as_received", "judge_coverage", "note_left_out"]
