"""The headline's attack is chosen on refits whose members are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest

from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Access, Attack, Fitted, Method, Release, Scores, Target
from privaudit.engine import choose
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

N = 800


@dataclass(frozen=True)
class Blind(Attack):
    """Scores by lot."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        scores = rng.normal(size=len(target.split.audit))
        return Scores(scores[target.split.is_member], scores[~target.split.is_member])


class Never(Method):
    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        raise AssertionError("a choice trains nothing")


@pytest.fixture
def split() -> Split:
    records = Records(
        columns=(Column("x"),),
        X=np.arange(N)[:, None],
        y=np.arange(N) % 2,
        patient=np.arange(N),
        site=np.zeros(N),
    )
    return Split.assign(records, Seeds(1).rng("split"))


def bank(split: Split, count: int, stream: int = 0) -> list[Fitted]:
    """Refits that are surer of what they saw, beside a difficulty of each record that hides it."""
    rng = np.random.default_rng(stream)
    n = len(split.audit)
    hard = rng.normal(scale=4, size=n)
    found = []
    for _ in range(count // 2):
        half = np.zeros(n, dtype=bool)
        half[rng.permutation(n)[: n // 2]] = True
        for included in (half, ~half):
            margins = hard + included + rng.normal(scale=0.5, size=n)
            found.append(Fitted(included, margins.astype(np.float32)))
    return found


def chosen(split: Split, attacks: dict[str, Attack], refits: dict[str, list[Fitted]]) -> str | None:
    return choose.strongest(attacks, refits, split, Never(), Seeds(3))


def test_the_attack_that_does_best_on_posed_refits_is_chosen(split: Split) -> None:
    shared = bank(split, 16)
    attacks: dict[str, Attack] = {"blind": Blind(), "rmia": Rmia(16), "threshold": Threshold()}
    refits = {"blind": [], "rmia": shared, "threshold": []}
    assert chosen(split, attacks, refits) == "rmia"


def test_without_refits_there_is_nothing_to_choose_on(split: Split) -> None:
    attacks: dict[str, Attack] = {"blind": Blind(), "threshold": Threshold()}
    assert chosen(split, attacks, {"blind": [], "threshold": []}) is None


def test_an_attack_on_other_refits_takes_no_part(split: Split) -> None:
    attacks: dict[str, Attack] = {"blind": Blind(), "rmia": Rmia(8), "own": Rmia(16)}
    refits = {"blind": [], "rmia": bank(split, 8, stream=1), "own": bank(split, 16)}
    assert chosen(split, attacks, refits) == "own"


def test_where_every_refit_is_of_other_pools_there_is_nothing_to_choose_on(split: Split) -> None:
    """The refits of an attacker who holds similar patients alone cannot be posed."""
    own = [Fitted(one.included[:100], one.margins[:100]) for one in bank(split, 16)]
    attacks: dict[str, Attack] = {"blind": Blind(), "rmia": Rmia(16)}
    assert chosen(split, attacks, {"blind": [], "rmia": own}) is None
