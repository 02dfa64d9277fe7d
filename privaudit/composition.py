"""Which guarantees compose, and what they come to by adding up: without any library."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.results import ClaimText, ComposedClaim

Key = tuple[str, str]
"""A unit and a neighbouring relation: guarantees compose within one alone."""


def group_claims(claims: Mapping[str, ClaimText]) -> dict[Key, dict[str, ClaimText]]:
    """The claims that guarantee something, by what they are about; names -> claims."""
    found: dict[Key, dict[str, ClaimText]] = {}
    for name, claim in claims.items():
        if claim.epsilon is not None:
            found.setdefault((claim.unit, claim.neighbours), {})[name] = claim
    return found


def add_up(own: Mapping[str, ClaimText]) -> ComposedClaim:
    """Basic composition, which always holds: sums of epsilons and of deltas.

    Source: Dwork et al. 2006 (EUROCRYPT), theorem 1.
    """
    epsilon = sum(c.epsilon for c in own.values() if c.epsilon is not None)
    delta = sum(c.delta for c in own.values())
    one = next(iter(own.values()))
    return ComposedClaim(epsilon, delta, one.unit, one.neighbours, tuple(own), "basic")


__all__ = ["add_up", "group_claims"]
