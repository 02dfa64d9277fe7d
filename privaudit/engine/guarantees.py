"""What was promised against what was measured: an empirical epsilon above its claim is a defect."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.contracts import Access
from privaudit.results import ClaimText, Estimate

DEFECT = "defect: "
"""How a caveat begins that says a promise is broken."""

BOUND = "epsilon_lower_bound"


def bounds(known: Iterable[Estimate]) -> list[Estimate]:
    """The empirical lower bounds on epsilon that have a value."""
    return [e for e in known if e.name.startswith(BOUND) and e.value is not None]


def caveats(
    claim: ClaimText, known: Iterable[Estimate], needs: Iterable[Access]
) -> tuple[str, ...]:
    """What the bounds mean for the claim: nothing to say, not comparable, or a defect.

    Members were decided by a coin for each patient, who is in or out: the neighbours of add-remove,
    with the patient as the unit; a promise for a whole site holds for each patient of it.
    """
    measured = bounds(known)
    if claim.epsilon is None or not measured:
        return ()
    if claim.neighbours != "add-remove" or claim.unit not in ("patient", "site"):
        return (
            f"the promise is made for one {claim.unit} ({claim.neighbours}) and the bound holds for one "
            "patient who is added or removed: they cannot be compared directly",
        )
    powers = {need.value for need in needs} - {Access.RERUN.value}
    covered = set(claim.covers)
    if Access.WEIGHTS.value in covered:
        covered.add(Access.ANSWERS.value)
    if not powers <= covered:
        return ("the promise does not cover what this attacker is given",)
    highest = max(measured, key=lambda e: e.value or 0.0)
    assert highest.value is not None
    if highest.value <= claim.epsilon:
        return ()
    return (
        f"{DEFECT}an attack shows an epsilon of at least {highest.value:.3g} "
        f"({highest.confidence:.0%} confidence), above the {claim.epsilon:.3g} promised: the promise "
        "does not hold as implemented",
    )


__all__ = ["BOUND", "DEFECT", "bounds", "caveats"]
