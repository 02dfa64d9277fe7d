"""K networks trained as one program are K networks trained alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.learners.lstm import LSTM
from pipelines.learners.mlp import MLP
from privaudit.contracts import Learner
from privaudit.records import Records
from privaudit.seeds import Seeds
from privaudit.signals import margin

Stays = Callable[..., Records]
networks = pytest.mark.parametrize(
    "learner", [MLP(epochs=10), LSTM(epochs=4)], ids=lambda x: type(x).__name__
)


def streams(k: int, name: str = "refit") -> list[np.random.Generator]:
    return [Seeds(9).rng(name, i) for i in range(k)]


@networks
def test_another_table_changes_nothing(learner: Learner, stays: Stays) -> None:
    mine = stays(220, 1)
    first = learner.fit_many([mine, stays(220, 2), stays(150, 3)], streams(3))[0]
    second = learner.fit_many([mine, stays(300, 7), stays(90, 8)], streams(3))[0]
    for one, other in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(one, other)


@networks
def test_each_model_is_the_model_of_its_table_alone(learner: Learner, stays: Stays) -> None:
    tables = [stays(200 + 40 * k, k) for k in range(4)]
    together = learner.fit_many(tables, streams(4))
    fresh = stays(300, 77)
    for table, stream, model in zip(tables, streams(4), together, strict=True):
        alone = learner.fit(table, stream)
        assert np.allclose(alone.predict_proba(fresh), model.predict_proba(fresh), atol=2e-3)


def test_batched_and_single_refits_agree_in_distribution(stays: Stays) -> None:
    pool, fresh = stays(400, 1), stays(600, 2)
    halves = [pool.take(Seeds(3).rng("half", k).permutation(400)[:200]) for k in range(12)]
    learner = MLP(epochs=15)
    together = learner.fit_many(halves, streams(12, "together"))
    alone = [
        learner.fit(half, stream) for half, stream in zip(halves, streams(12, "alone"), strict=True)
    ]
    found = {}
    for name, models in (("together", together), ("alone", alone)):
        proba = [m.predict_proba(fresh) for m in models]
        found[name] = (
            [roc_auc_score(fresh.y, p[:, 1]) for p in proba],
            [margin(p, fresh.y).mean() for p in proba],
        )
    for one, other in zip(found["together"], found["alone"], strict=True):
        spread = np.std(one + other, ddof=1)
        assert abs(np.mean(one) - np.mean(other)) < 3 * spread * np.sqrt(2 / 12)


def test_what_is_learnt_from_one_row_is_learnt_by_its_model_only(stays: Stays) -> None:
    table = stays(120, 1)
    flipped = Records(
        **{**{f: getattr(table, f) for f in table.__dataclass_fields__}, "y": 1 - table.y}
    )
    right, wrong = MLP().fit_many([table, flipped], streams(2))
    assert roc_auc_score(table.y, right.predict_proba(table)[:, 1]) > 0.75
    assert roc_auc_score(table.y, wrong.predict_proba(table)[:, 1]) < 0.25
