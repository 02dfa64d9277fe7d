"""An undecided weaker attack beside a strongest one that has decided.

Which attack is the strongest follows from the baseline alone, before any candidate is seen: the one
whose number is worst on average over its runs. Another attack that cannot decide whether it got
worse by the margin is stated and does not stop the gate where three things hold: the strongest one
is WITHIN the margin; both rest on the same runs; and the candidate, read by the weaker attack, lies
no more than the margin above the baseline, read by the strongest one, even by its upper bound. So a
candidate that gives the weaker attack more than the strongest one had is never passed on the word
of the strongest one, and an attack that EXCEEDS stops the gate whichever it is.

An attack that would not find a leak in the candidate, planted ones included, shows nothing by
reading low: it is not WITHIN, and stops the gate where it is the strongest one or is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from privaudit.facts import Metric, Reason, ReasonCode
from privaudit.policy.change import Change, against
from privaudit.policy.judge_number import WEAK, Move, find_blind, pick_reason
from privaudit.policy.metrics import METRICS
from privaudit.results import Audit
from privaudit.verdicts import Verdict

Judged = tuple[Move, Verdict]

FAMILY = "membership"
"""The family whose attacks all answer one question: who was a member. Others, such as those on two
columns or the three risks of a table, cannot stand for each other."""


def doubt_blind(audits: Sequence[Audit], move: Move, verdict: Verdict) -> Verdict:
    """The verdict, undecided where its attack lacks power in a run of the candidate."""
    if verdict.state != "WITHIN":
        return verdict
    blind = find_blind(audits, move.change, METRICS[move.rule.metric].family)
    if blind is None:
        return verdict
    code, why = blind
    reason = pick_reason(code, {"weak": (move.change.attack,)})
    return replace(verdict, state="INCONCLUSIVE", reason=reason, control=why)


def set_aside(judged: Sequence[Judged], confidence: float) -> list[Verdict]:
    """The verdicts, where those of weaker attacks that stop nothing warn and say why."""
    groups: dict[tuple[str, str, Metric], list[Judged]] = {}
    for one in judged:
        move, _ = one
        number = move.change.number
        if METRICS[move.rule.metric].family == FAMILY and number is not None:
            groups.setdefault((move.rule.id, move.change.subject, number), []).append(one)
    found = []
    for move, verdict in judged:
        number = move.change.number
        group = groups.get((move.rule.id, move.change.subject, number), []) if number else []
        found.append(_weigh(move, verdict, group, confidence))
    return found


def _weigh(move: Move, verdict: Verdict, group: Sequence[Judged], confidence: float) -> Verdict:
    weak = verdict.reason.code in WEAK and move.change.attack not in move.rule.attacks
    if not weak and verdict.reason.code is not ReasonCode.MARGIN_INSIDE_BOUNDS:
        return verdict
    first = find_strongest(group)
    if first is None or first[0] is move or first[1].state != "WITHIN":
        return verdict
    if weak:
        return replace(verdict, severity="warn")
    across = against(move.change, first[0].change)
    if across is None:
        return verdict
    above = across.bound(confidence, "upper")
    if above > move.rule.margin:
        return verdict
    own = {name: verdict.reason.params[name] for name in ("before", "after")}
    params = {**own, "strongest": first[0].change.attack, "above": above}
    reason = Reason(ReasonCode.WEAKER_ATTACK_UNDECIDED, params)
    return replace(verdict, severity="warn", reason=reason)


def find_strongest(group: Sequence[Judged]) -> Judged | None:
    """The attack that read worst in the baseline; None where the baseline holds none of them."""
    held = [one for one in group if _is_held(one[0].change)]
    return max(held, key=lambda one: one[0].change.level, default=None)


def _is_held(change: Change) -> bool:
    return bool(change.held or change.before)


__all__ = ["doubt_blind", "find_strongest", "set_aside"]
