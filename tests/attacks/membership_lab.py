"""Games with known answers for the tests of membership attacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from privaudit.attacks.membership.few_shadow_lira import FewShadowLira
from privaudit.attacks.membership.lira import Lira
from privaudit.attacks.membership.rmia import Rmia
from privaudit.attacks.membership.shadow import Shadow
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import Attack, Fitted, Method, Refit, Release, Scores, Target
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin

ALONE = [Threshold(), Threshold("margin"), Threshold("entropy")]
WITH_SHADOWS: list[Attack] = [
    Shadow(8, rows=400),
    *(Lira(8, online, variance) for online in (True, False) for variance in ("record", "global")),
    Rmia(8),
    Rmia(8, online=False),
    FewShadowLira(8),
    FewShadowLira(8, rule="curves"),
    FewShadowLira(8, rule="mean"),
]
ATTACKS: list[Attack] = [*ALONE, *WITH_SHADOWS]


@dataclass(frozen=True)
class Never(Method):
    """A method that must not be used: the refits are given."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        raise AssertionError("an attack trained a model by itself")


@dataclass(frozen=True, eq=False)
class Answers:
    """A model that looks its answers up: row number in the first column -> probabilities."""

    proba: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.proba[records.X[:, 0].astype(int)]


@dataclass(frozen=True)
class Forest(Method):
    """Full trees on everything it is given: remembers nearly all of it."""

    trees: int = 40

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        forest = RandomForestClassifier(
            self.trees, random_state=int(rng.integers(2**31)), max_features=1
        )
        return Release(model=Trees(forest.fit(members.X, members.y)))


@dataclass(frozen=True, eq=False)
class Trees:
    forest: RandomForestClassifier

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.forest.predict_proba(records.X).astype(np.float32)


def table(X: np.ndarray, y: np.ndarray, patient: np.ndarray | None = None) -> Records:
    return Records(
        columns=tuple(Column(f"x{i}") for i in range(X.shape[1])),
        X=X,
        y=y,
        patient=np.arange(len(X)) if patient is None else patient,
        site=np.zeros(len(X)),
        classes=tuple(f"class {i}" for i in range(max(2, int(y.max()) + 1))),
    )


def two_classes(margins: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Probabilities (n, 2) that have these true-class margins."""
    p = 1.0 / (1.0 + np.exp(-margins))
    rest = 1.0 / (1.0 + np.exp(margins))
    return np.where((y == 1)[:, None], np.column_stack([rest, p]), np.column_stack([p, rest]))


def game(margins: np.ndarray, y: np.ndarray, dtype: type = np.float64) -> Target:
    """A target that answers with these margins; the first half of the records are members."""
    n = len(margins)
    records = table(np.arange(n + 4, dtype=float)[:, None], np.append(y, [0, 1, 0, 1]))
    half = n // 2
    split = Split(
        records.take(slice(0, half)), records.take(slice(half, n)), records.take(slice(n, None))
    )
    proba = np.vstack([two_classes(margins, y), np.full((4, 2), 0.5)]).astype(dtype)
    return Target(Release(model=Answers(proba)), split, Never())


def fitted(shadows: np.ndarray, included: np.ndarray) -> list[Fitted]:
    """The outcomes of refits, read-only."""
    made = []
    for margins, mask in zip(shadows.astype(np.float32), included, strict=True):
        margins.flags.writeable = False
        mask = mask.copy()
        mask.flags.writeable = False
        made.append(Fitted(mask, margins))
    return made


def halves(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, n) bool in complementary pairs."""
    included = np.zeros((count, n), dtype=bool)
    for first in range(0, count, 2):
        included[first, rng.permutation(n)[: n // 2]] = True
        included[first + 1] = ~included[first]
    return included


@dataclass(frozen=True, eq=False)
class World:
    """Records of which models are more or less sure, and surer by `gap` when trained on."""

    level: np.ndarray
    spread: np.ndarray
    gap: np.ndarray

    @classmethod
    def draw(cls, n: int, rng: np.random.Generator, gap: float = 1.0) -> World:
        level = rng.normal(1.0, 2.0, n)
        spread = np.exp(rng.normal(-0.3, 0.3, n) + 0.1 * level)
        return cls(level, spread, gap * np.exp(-0.3 * level))

    def answer(self, included: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Margins of models trained on these records: the shape of `included`."""
        return self.level + self.gap * included + self.spread * rng.normal(size=included.shape)


def perform(refits: Sequence[Refit], seeds: Seeds) -> list[Fitted]:
    """What the engine does, one refit after another."""
    made = []
    for refit in refits:
        model = refit.method.fit(refit.train, seeds.rng("refit", refit.name)).model
        assert model is not None
        margins = margin(model.predict_proba(refit.ask), refit.ask.y).astype(np.float32)
        made.append(Fitted(refit.included, margins))
    return made


def auc(scores: Scores) -> float:
    """Share of pairs in the right order, ties counting half."""
    from scipy.stats import rankdata

    m = len(scores.members)
    ranks = rankdata(np.concatenate([scores.members, scores.nonmembers]))
    wins = ranks[:m].sum() - m * (m + 1) / 2
    return float(wins / (m * len(scores.nonmembers)))
