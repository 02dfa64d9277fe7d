"""What is guaranteed against what was measured: an empirical epsilon above its claim is a
defect."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.contracts import Access
from privaudit.facts import Caveat, CaveatCode
from privaudit.results import ClaimText, Estimate
from privaudit.stats.catalogue import EPSILON

DECIDES = "epsilon_lower_bound_fdp"
"""The bound that is compared with a claim."""


def epsilon_bounds(known: Iterable[Estimate]) -> list[Estimate]:
    """The empirical lower bounds on epsilon that have a value."""
    return [e for e in known if e.metric.name in EPSILON and e.value is not None]


def check_guarantee(
    claim: ClaimText, known: Iterable[Estimate], needs: Iterable[Access]
) -> tuple[Caveat, ...]:
    """What the bounds mean for the claim: nothing to state, not comparable, or a defect.

    Patients were assigned at random to members or non-members: the neighbours of add-remove, with
    the patient as the unit; a guarantee for a whole site holds for each patient of it.
    """
    measured = epsilon_bounds(known)
    if claim.epsilon is None or not measured:
        return ()
    if claim.neighbours != "add-remove" or claim.unit not in ("patient", "site"):
        other = {"unit": claim.unit, "neighbours": claim.neighbours}
        return (Caveat(CaveatCode.BOUND_OF_ANOTHER_UNIT, "warning", other),)
    covered = {Access(name) for name in claim.covers} | {Access.RERUN}
    if Access.WEIGHTS in covered:
        covered.add(Access.ANSWERS)
    if not set(needs) <= covered:
        return (Caveat(CaveatCode.BOUND_NOT_COVERED),)
    # One bound decides, fixed beforehand: the larger of two would be too large too often.
    # Where it is not stated, the other one stands alone.
    decides = [e for e in measured if e.metric.name == DECIDES] or measured
    highest = max(decides, key=lambda e: e.value or 0.0)
    assert highest.value is not None
    if highest.value <= claim.epsilon:
        return ()
    shown = {
        "bound": highest.value,
        "confidence": highest.confidence,
        "claimed": claim.epsilon,
    }
    return (Caveat(CaveatCode.EPSILON_ABOVE_CLAIM, "defect", shown),)


__all__ = ["check_guarantee", "epsilon_bounds"]
