"""Pooled counts as the parts of an audit document: findings, utility, pools and cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipelines.deploy.grade import ATTEMPTS, MEMBERSHIP
from pipelines.deploy.graded import POOLS, Counts, Game
from pipelines.deploy.pool import (
    BY,
    Pooled,
    pool_columns,
    pool_control,
    pool_inversion,
    pool_membership,
    pool_utility,
    pool_utility_groups,
)
from pipelines.deploy.terms import RunTerms
from privaudit import results, stats
from privaudit.attacks.disclosure.attribute import Attribute
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.contracts import Access, Attack
from privaudit.engine import document
from privaudit.engine.controls import describe
from privaudit.facts import SERIES_BLIND_ATTACKS, Caveat, CaveatCode, Reason, ReasonCode
from privaudit.results import Cell, Control, Estimate, Finding, GroupResult, Outcome, Skipped

CONFIDENCE = 0.95
ATTACKS: dict[str, Attack] = {
    **MEMBERSHIP,
    "attribute": Attribute(),
    "gradient_inversion": GradientInversion(),
}
PLANTED = describe(True, False, "halves")
HALVES = describe(False, False, "halves")
REBUILT = "the attacker's usual record, or random real ones where those are nearer"
OTHERS = "the same attack on {people} outside the training data"


@dataclass(frozen=True)
class Pool:
    """One pool over all hospitals that state counts. outcomes: patients by outcome where stated."""

    name: str
    sites: tuple[tuple[str, int, int], ...]
    outcomes: tuple[int, ...] = ()

    def state(self) -> results.Pool:
        """As a document shows it; shares of outcomes are stated with the utility alone."""
        return results.Pool(
            self.name, sum(n for _, n, _ in self.sites), sum(r for _, _, r in self.sites), {}
        )

    def cells(self) -> Iterator[Cell]:
        """What disclosure control counts with."""
        whole = self.state()
        yield Cell(self.name, "", "", "", whole.patients, whole.stays)
        for code, patients in enumerate(self.outcomes):
            yield Cell(self.name, "", "", str(code), patients, patients)
        for site, patients, records in self.sites:
            yield Cell(self.name, BY, site, "", patients, records)


@dataclass(frozen=True)
class Stated:
    """What the counts come to."""

    outcomes: tuple[Outcome, ...]
    controls: tuple[Control, ...]
    headline: Finding | None
    utility: tuple[Estimate, ...]
    utility_groups: tuple[GroupResult, ...]
    pools: tuple[Pool, ...]


def state_counts(
    counted: Sequence[Counts],
    terms: RunTerms,
    access: frozenset[Access],
    *,
    seed: int,
    reads_series: bool = False,
) -> Stated:
    """Findings of every attack that was asked for, utility, and who was measured.

    Args:
        counted: Of the hospitals that state anything.
        access: What the attacks can use.
        seed: Of the bootstrap intervals.
        reads_series: Whether the model reads series, which some attacks never look at.
    """

    def rng(name: str) -> np.random.Generator:
        words = np.frombuffer(name.encode().ljust(32)[:32], "<u4")
        return np.random.default_rng([seed, *map(int, words)])

    asked = [name for name in ("threshold", *terms.grade) if name in MEMBERSHIP]
    made: dict[str, Callable[[], Pooled | None]] = {
        name: lambda name=name: pool_membership(counted, name, CONFIDENCE, rng(name))  # type: ignore[misc]
        for name in dict.fromkeys(asked)
    }
    made["attribute"] = lambda: _pooled(pool_columns(counted, CONFIDENCE))
    if Access.UPDATES in access:
        made["gradient_inversion"] = lambda: pool_inversion(counted, CONFIDENCE)
    blind = SERIES_BLIND_ATTACKS if reads_series else ()
    outcomes = tuple(_state(name, make(), access, name in blind) for name, make in made.items())
    tests = [o for o in outcomes if isinstance(o, Finding) and o.family == "membership"]
    headline = None
    if len(tests) == 1:
        only = Caveat(CaveatCode.CHOSEN_AS_ONLY, "note")
        headline = replace(tests[0], curves=(), caveats=(only,))
    return Stated(
        outcomes,
        tuple(one for found in tests for one in _controls(counted, found.attack)),
        headline,
        pool_utility(counted, CONFIDENCE, rng("utility")),
        pool_utility_groups(counted, CONFIDENCE),
        _pools(counted),
    )


def _controls(counted: Sequence[Counts], attack: str) -> Iterator[Control]:
    """What the hospitals made of a planted leak, and of two halves of their held-out patients."""
    kinds: tuple[tuple[Literal["positive", "negative"], list[Game], Caveat], ...] = (
        ("positive", [c.planted[attack] for c in counted if attack in c.planted], PLANTED),
        ("negative", [c.halves[attack] for c in counted if attack in c.halves], HALVES),
    )
    for kind, games, made in kinds:
        known = pool_control(games, stats.control_confidence())
        error = None if known else Reason(ReasonCode.SITES_STATE_NOTHING)
        passed = bool(known) and stats.control_passed(kind, known)
        yield Control(kind, attack, known, passed, made, error)


def _pooled(found: tuple[Estimate, ...]) -> Pooled | None:
    return Pooled(found) if found else None


def _state(name: str, pooled: Pooled | None, access: frozenset[Access], is_blind: bool) -> Outcome:
    attack = ATTACKS[name]
    if pooled is None:
        return Skipped(name, attack.family, Reason(ReasonCode.SITES_STATE_NOTHING))
    # A hospital that makes an attack of shadow models trains again, whatever the release gives.
    used = attack.uses(access | {Access.RERUN})
    label = {"attribute": OTHERS, "gradient_inversion": REBUILT}.get(name)
    about = (
        () if label is None else (Caveat(CaveatCode.CONTROL_DESCRIBED, "note", {"control": label}),)
    )
    if is_blind:
        about = (*about, Caveat(CaveatCode.SERIES_NOT_READ))
    return Finding(
        attack=name,
        family=attack.family,
        params=document.typed_params(attack),
        access=tuple(sorted(need.name for need in used)),
        estimates=pooled.estimates,
        groups=pooled.groups,
        caveats=about,
        attacker=attack.made_by(used),
    )


def _pools(counted: Sequence[Counts]) -> tuple[Pool, ...]:
    if not counted:
        return ()
    outcomes: tuple[int, ...] = ()
    known = [one.utility for one in counted if one.utility]
    if known:
        outcomes = tuple(sum(own[code].patients for own in known) for code in (0, 1))
    return tuple(
        Pool(
            name,
            tuple((one.hospital, *one.sizes[name]) for one in counted),
            outcomes if name == "nonmembers" else (),
        )
        for name in POOLS
    )


__all__ = ["ATTEMPTS", "Pool", "Stated", "state_counts"]
