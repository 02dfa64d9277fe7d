"""What the guarantees of several releases about the same patients come to together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from privaudit.composition import add_up, group_claims
from privaudit.contracts import Claim, Mechanism
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.results import ClaimText, ComposedClaim


def compose_claims(
    claims: Mapping[str, ClaimText], mechanisms: Mapping[str, Sequence[Mechanism]]
) -> tuple[ComposedClaim, ...]:
    """One composed claim for each unit and relation of at least two releases.

    Args:
        claims: What each subject claims, by its name.
        mechanisms: The noisy steps of each, where they are known: without them, or without the
            library that composes them, epsilons and deltas are added up.
    """
    return tuple(_compose(own, mechanisms) for own in group_claims(claims).values() if len(own) > 1)


def _compose(
    own: Mapping[str, ClaimText], mechanisms: Mapping[str, Sequence[Mechanism]]
) -> ComposedClaim:
    basic = add_up(own)
    steps = {name: tuple(mechanisms.get(name, ())) for name in own}
    if not all(steps.values()):
        return basic
    made = [
        Claim(c.epsilon, c.delta, c.unit, c.neighbours, mechanisms=steps[name])  # type: ignore[arg-type]
        for name, c in own.items()
    ]
    # A guarantee that is known by its pair alone spends its whole delta.
    for delta in (max(c.delta for c in made), basic.delta):
        try:
            found = accounting.compose(made, delta).epsilon
        except PrivauditError:
            continue
        if found is not None and found < basic.epsilon:
            return replace(basic, epsilon=found, delta=delta, method="pld")
    return basic


__all__ = ["compose_claims"]
