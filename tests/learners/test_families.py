"""What every model family must do, whatever it is."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from pipelines.learners.boosted import Boosted
from pipelines.learners.logreg import LogReg
from pipelines.learners.lstm import LSTM
from pipelines.learners.mlp import MLP
from pipelines.methods.baseline import Baseline
from privaudit import plugins
from privaudit.contracts import Access, Differentiable, Learner
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.seeds import Seeds

FAMILIES = [LogReg(), MLP(epochs=12), LSTM(epochs=6), Boosted(trees=60)]
Stays = Callable[..., Records]


def named(learner: Learner) -> str:
    return type(learner).__name__


def rng(name: str = "fit") -> np.random.Generator:
    return Seeds(5).rng(name)


every = pytest.mark.parametrize("learner", FAMILIES, ids=named)


@every
def test_repr_rebuilds_the_learner(learner: Learner) -> None:
    assert eval(repr(learner)) == learner
    method = Baseline(learner)
    assert eval(repr(method)) == method
    assert hash(method) == hash(Baseline(learner))


@pytest.mark.parametrize("name", ["logreg", "mlp", "lstm", "boosted"])
def test_the_file_name_is_the_command_line_name(name: str) -> None:
    family = plugins.load("learners", name)
    assert issubclass(family, Learner)
    assert family.__name__.lower() == name
    assert "Source:" in (family.__doc__ or "")


@every
@pytest.mark.parametrize("classes", [2, 4])
def test_answers_are_probabilities_that_tell_the_outcome(
    learner: Learner, classes: int, stays: Stays
) -> None:
    model = learner.fit(stays(500, 1, classes), rng())
    fresh = stays(400, 2, classes)
    proba = model.predict_proba(fresh)
    assert proba.shape == (400, classes)
    assert proba.dtype == np.float64
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-12)
    top = fresh.y == classes - 1
    assert roc_auc_score(top, proba[:, -1]) > 0.7


@every
def test_a_class_absent_from_training_keeps_its_column(learner: Learner, stays: Stays) -> None:
    table = stays(200, classes=4)
    train = table.take(table.y != 2)
    proba = learner.fit(train, rng()).predict_proba(table)
    assert proba.shape == (200, 4)
    assert np.isfinite(np.log(proba)).all()
    assert proba[:, 2].mean() < 0.1


@every
def test_one_class_is_refused(learner: Learner, stays: Stays) -> None:
    table = stays(100)
    with pytest.raises(PrivauditError, match="only 'b'"):
        learner.fit(table.take(table.y == 1), rng())


@every
def test_twenty_rows_are_enough_to_train(learner: Learner, stays: Stays) -> None:
    table = stays(20)
    proba = learner.fit(table, rng()).predict_proba(table)
    assert np.isfinite(proba).all()


@every
def test_empty_and_constant_columns_break_nothing_and_say_nothing(
    learner: Learner, stays: Stays
) -> None:
    table = stays(200)
    X, series = table.X.copy(), table.series.copy()
    X[:, 1], X[:, 2], X[:, 6], series[:, :, 1], series[:, :, 2] = np.nan, 80.0, 50.0, np.nan, 7.0
    model = learner.fit(replace(table, X=X, series=series), rng())
    before = model.predict_proba(replace(table, X=X, series=series))
    X[:, 1], X[:, 2], X[:, 6] = 1e6, 1e6, 1e6
    after = model.predict_proba(replace(table, X=X, series=series))
    assert np.array_equal(before, after)


@every
def test_same_stream_same_model_and_nothing_else_moves(learner: Learner, stays: Stays) -> None:
    table = stays(150)
    bytes_before = table.fingerprint
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    python_state = random.getstate()
    torch_state, threads = torch.get_rng_state().clone(), torch.get_num_threads()
    first, second = learner.fit(table, rng()), learner.fit(table, rng())
    assert np.array_equal(first.predict_proba(table), second.predict_proba(table))
    if learner != LogReg():
        other = learner.fit(table, rng("other")).predict_proba(table)
        assert not np.array_equal(first.predict_proba(table), other)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert random.getstate() == python_state
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads
    table.__dict__.pop("fingerprint")
    assert table.fingerprint == bytes_before


@every
def test_a_pickled_model_answers_the_same(learner: Learner, stays: Stays) -> None:
    table = stays(150)
    model = learner.fit(table, rng())
    model.predict_proba(table)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(model.predict_proba(table), again.predict_proba(table))


@pytest.mark.parametrize("learner", [LogReg(), MLP(epochs=3), LSTM(epochs=2)], ids=named)
def test_a_pickled_model_holds_no_training_row(learner: Learner, stays: Stays) -> None:
    sizes = [len(pickle.dumps(learner.fit(stays(n), rng()))) for n in (60, 600)]
    assert abs(sizes[1] - sizes[0]) < 100
    # A value that no statistic of the column can equal: planted once, it must not be found.
    table = stays(60)
    X = table.X.copy()
    X[7, 0] = np.float32(123.456789)
    saved = pickle.dumps(learner.fit(replace(table, X=X), rng()))
    assert np.float32(123.456789).tobytes() not in saved
    assert np.float64(np.float32(123.456789)).tobytes() not in saved


@every
def test_training_and_answering_need_no_more_than_the_records_at_hand(
    learner: Learner, stays: Stays
) -> None:
    model = learner.fit(stays(200), rng())
    fresh = stays(90, 4)
    one_by_one = [model.predict_proba(fresh.take([i])) for i in range(5)]
    assert np.allclose(np.concatenate(one_by_one), model.predict_proba(fresh)[:5], atol=1e-6)
    assert model.predict_proba(fresh.take(slice(0, 0))).shape == (0, 2)


@every
def test_a_code_without_a_level_is_refused(learner: Learner, stays: Stays) -> None:
    table = stays(60)
    X = table.X.copy()
    X[3, 8] = 5
    with pytest.raises(PrivauditError, match=r"'unit'.*name no level"):
        learner.fit(replace(table, X=X), rng())
    model = learner.fit(table, rng())
    with pytest.raises(PrivauditError, match="from 0 to 2"):
        model.predict_proba(replace(table, X=X))


@every
def test_records_of_another_table_are_refused(learner: Learner, stays: Stays) -> None:
    table = stays(60)
    model = learner.fit(table, rng())
    renamed = tuple(replace(c, name=c.name + "_x") for c in table.columns)
    with pytest.raises(PrivauditError, match="not the model's"):
        model.predict_proba(replace(table, columns=renamed))


def test_an_lstm_needs_a_series(stays: Stays) -> None:
    with pytest.raises(PrivauditError, match="without an hourly series"):
        LSTM().fit(stays(60, series=False), rng())
    model = LSTM(epochs=1).fit(stays(60), rng())
    with pytest.raises(PrivauditError, match="without an hourly series"):
        model.predict_proba(stays(60, series=False))


@pytest.mark.parametrize("learner", [MLP(), LSTM(), Boosted()], ids=named)
def test_early_stopping_needs_two_patients(learner: Learner, stays: Stays) -> None:
    with pytest.raises(PrivauditError, match=r"1 patient\(s\)"):
        learner.fit(stays(40, visits=40), rng())


@pytest.mark.parametrize(
    "learner",
    [
        LogReg(C=1e6),
        MLP(rate=0.2, epochs=40),
        Boosted(rate=1.0, lightest=0.0, columns=1.0, rows=1.0),
    ],
    ids=named,
)
def test_sure_answers_keep_their_order(learner: Learner, stays: Stays) -> None:
    table = stays(400, series=False)
    X = table.X.copy()
    X[:, 0] = 100 + 50 * (2 * table.y - 1) + X[:, 6] / 10
    table = replace(table, X=X)
    proba = learner.fit(table, rng()).predict_proba(table)
    assert proba.max() > 1 - 1e-3
    assert (proba > 0).all()
    sure = proba[:, 1] > 0.999
    # What float32 or 1 - p would collapse stays distinct in the small probability.
    assert len(np.unique(proba[sure, 0])) >= len(np.unique(1 - proba[sure, 1].astype(np.float32)))


@pytest.mark.parametrize(
    "learner",
    [
        MLP(epochs=4, held_out=0),
        LSTM(epochs=2, held_out=0),
        Boosted(trees=30, lightest=1.0, held_out=0),
    ],
    ids=named,
)
def test_without_early_stopping_every_row_is_learnt(learner: Learner, stays: Stays) -> None:
    # One patient and 40 stays: nothing can be held out, and nothing need be.
    table = stays(40, visits=40)
    proba = learner.fit(table, rng()).predict_proba(table)
    assert roc_auc_score(table.y, proba[:, 1]) > 0.5
    changed = replace(table, y=np.where(np.arange(40) == 39, 1 - table.y, table.y))
    assert not np.array_equal(learner.fit(changed, rng()).predict_proba(table), proba)
    with pytest.raises(PrivauditError, match=r"held-out share of 1\.5"):
        replace(learner, held_out=1.5).fit(table, rng())


@every
def test_only_networks_and_regressions_are_differentiable(learner: Learner, stays: Stays) -> None:
    release = Baseline(learner).fit(stays(60), rng())
    assert isinstance(release.model, Differentiable) == (named(learner) != "Boosted")
    assert (Access.WEIGHTS in release.access) == (named(learner) != "Boosted")


def test_baseline_counts_cpu_seconds_and_promises_nothing(stays: Stays) -> None:
    tables = [stays(80, seed) for seed in range(3)]
    streams = [rng(str(k)) for k in range(3)]
    method = Baseline(MLP(epochs=2))
    assert method.batch == MLP.batch > 1
    assert Baseline(Boosted()).batch == 1
    releases = method.fit_many(tables, streams)
    assert len(releases) == 3
    for release in releases:
        assert release.claim.epsilon is None
        assert 0 < release.costs["train_seconds"] < 60
        assert release.updates is None
        assert release.table is None
