"""Model inversion: a model that remembers rows is found, and one that does not reads as a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from privaudit import stats
from privaudit.attacks.inversion.model_inversion import ModelInversion
from privaudit.contracts import Model, Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records, Split


def table(n: int = 1_500, seed: int = 0, gaps: float = 0.05) -> Records:
    """Eight numbers that hang together a little, two categories; the outcome depends on some."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    x = rng.normal(size=(n, 8)) + 0.7 * common[:, None]
    levels = rng.integers(0, 3, (n, 2))
    full = np.column_stack([x, levels]).astype(np.float32)
    y = (x[:, 0] + x[:, 1] + rng.normal(size=n) > 0).astype(int)
    full[rng.random(full.shape) < gaps] = np.nan
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(8)),
        *(Column(f"c{i}", "category", levels=("a", "b", "c")) for i in range(2)),
    )
    return Records(columns, full, y, np.arange(n), np.zeros(n, dtype=int))


class Kernel:
    """Nearly one neighbour: the nearer to a training record of an outcome, the surer of it."""

    def __init__(self, members: Records, wide: float) -> None:
        self.members, self.wide = members, wide

    def predict_proba(self, records: Records) -> np.ndarray:
        mine, theirs = (np.nan_to_num(r.X.astype(np.float64)) for r in (records, self.members))
        apart = (mine**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * mine @ theirs.T
        found = np.stack(
            [
                np.exp(-apart[:, self.members.y == c].min(axis=1).clip(0) / self.wide)
                for c in (0, 1)
            ],
            axis=1,
        )
        found += 1e-9
        return found / found.sum(axis=1, keepdims=True) * 0.0 + np.column_stack(
            [
                0.5 + 0.49 * (found[:, 0] - found[:, 1]).clip(-1, 1),
                0.5 - 0.49 * (found[:, 0] - found[:, 1]).clip(-1, 1),
            ]
        )


def attack(model: Model, split: Split, **settings: object) -> Trials:
    settings = {"patients": 400, **settings}
    made = ModelInversion(**settings)  # type: ignore[arg-type]
    (found,) = made.run(Target(Release(model=model), split), (), np.random.default_rng(3)).values()
    return found


def over(trials: Trials, name: str = "attack_minus_control") -> tuple[float, float]:
    found = {e.metric.name: e for e in stats.trials(trials)}[name]
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def split_of(records: Records) -> Split:
    return Split.assign(records, np.random.default_rng(1))


def test_a_model_that_remembers_rows_is_found() -> None:
    split = split_of(table())
    found = attack(Kernel(split.members, 4.0), split)
    assert over(found)[0] > 0.05


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["logreg", "boosted"])
def test_honest_models_read_as_the_control(name: str, seed: int) -> None:
    split = split_of(table(seed=seed))
    learner = LogReg() if name == "logreg" else Boosted(trees=60)
    model = learner.fit(split.members, np.random.default_rng(seed))
    found = attack(model, split)
    low, high = over(found)
    assert low < 0
    assert high < 0.1


class Constant:
    def predict_proba(self, records: Records) -> np.ndarray:
        return np.full((len(records), 2), 0.5)


def test_a_constant_model_gives_nothing() -> None:
    found = attack(Constant(), split_of(table()))
    low, high = over(found)
    assert low < 0 < high < 0.1


def test_members_among_others_are_no_find() -> None:
    """A model of the null: it remembers records of neither pool."""
    split = split_of(table())
    found = attack(Kernel(split.reference, 4.0), split)
    low, high = over(found)
    assert low < 0
    assert high < 0.1


def test_missing_cells_are_not_counted_and_numbers_work() -> None:
    split = split_of(table(gaps=0.4))
    found = attack(Kernel(split.members, 4.0), split)
    assert np.isfinite(found.success).all()
    records = table(900)
    y = np.nan_to_num(records.X[:, 2].astype(np.float64))
    numbers = replace(records, y=y, classes=(), outcome_kind="number")

    class Mean:
        def predict(self, asked: Records) -> np.ndarray:
            return np.zeros(len(asked))

        def predict_proba(self, asked: Records) -> np.ndarray:
            raise AssertionError

    assert over(attack(Mean(), split_of(numbers)))[0] < 0.05


def test_a_table_of_one_column_is_refused() -> None:
    records = table(300)
    one = replace(records, columns=records.columns[:1], X=records.X[:, :1])
    with pytest.raises(PrivauditError, match="without columns to rebuild"):
        attack(Constant(), split_of(one))


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"near": 0.0}, {"values": 1}])
def test_settings_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(PrivauditError):
        attack(Constant(), split_of(table(300)), **wrong)
