"""Noisy objectives, boosting, forests and answers: their promises, bounds and refusals."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines._bounded import bounds, columns_read, nothing_read, one_stay
from pipelines.federated.encode import PublicEncoding
from pipelines.learners.logreg import LogReg
from pipelines.methods.dp_ebm import DPEBM
from pipelines.methods.dp_forest import DPForest
from pipelines.methods.dp_linear import DPLinear
from pipelines.methods.dp_output import DPOutput
from privaudit.contracts import Access, Method, Release
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

SECRET = Seeds(3**160)
METHODS = [DPLinear(), DPEBM(), DPForest(), DPOutput()]
named = pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)


def table(n: int = 1250, seed: int = 0, stays: int = 1, classes: int = 2) -> Records:
    """Two strong columns, a category, gaps; values in their public bounds."""
    rng = np.random.default_rng(seed)
    x = np.clip(rng.normal(size=(n, 7)), -3, 3).astype(np.float32)
    x[:, 6] = rng.integers(0, 3, n)
    odds = 2.5 * x[:, 0] - 2 * x[:, 1] + (x[:, 6] == 2)
    y = (odds + rng.logistic(size=n) > 0).astype(int)
    if classes > 2:
        y += (x[:, 2] > 0) & (y > 0)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 0] = np.nan_to_num(x[:, 0])
    columns = (
        *(Column(f"x{i}", bounds=(-3.0, 3.0)) for i in range(6)),
        Column("unit", kind="category", levels=("a", "b", "c")),
    )
    names = ("no", "yes", "often")[:classes]
    return Records(columns, x, y, np.arange(n) // stays, np.zeros(n), classes=names)


def fit(method: Method, records: Records, seed: int = 1) -> Release:
    return method.fit(records, Seeds(seed).rng("fit"))


@named
def test_a_claim_says_what_is_promised(method: Method) -> None:
    claim = fit(method, table()).claim
    assert claim.epsilon == pytest.approx(3.0, rel=2e-3)
    assert claim.epsilon <= 3.0 + 1e-9
    assert claim.unit == "patient"
    assert claim.neighbours == "add-remove"
    assert claim.covers == {Access.ANSWERS, Access.WEIGHTS}
    assert "simulation noise" in claim.basis
    secret = method.fit(table(), SECRET.secret_rng("fit")).claim
    assert accounting.SECRET in secret.basis
    assert secret.epsilon == claim.epsilon
    assert (claim.delta == 0) == isinstance(method, DPLinear | DPForest)
    assert claim.mechanisms


@named
def test_a_function_of_its_stream_and_quick(method: Method) -> None:
    records = table(stays=2)
    before = records.X.tobytes()
    start = time.process_time()
    one = fit(method, records)
    assert time.process_time() - start < 8, "seconds, the library's import included"
    two, other = fit(method, records), fit(method, records, 2)
    p = one.model.predict_proba(records)
    assert np.array_equal(p, two.model.predict_proba(records))
    assert not np.array_equal(p, other.model.predict_proba(records))
    assert p.shape == (len(records), 2)
    assert np.allclose(p.sum(axis=1), 1)
    assert records.X.tobytes() == before
    assert "{person}" in " ".join(one.notes)


@named
def test_more_epsilon_more_use(method: Method) -> None:
    """With a promise that binds nothing, every one of them but the forest learns the strong
    columns."""
    train, test = table(900), table(1500, seed=9)
    large = replace(method, epsilon=20.0)
    small = replace(method, epsilon=0.1)
    auc = [
        np.mean(
            [
                roc_auc_score(test.y, fit(m, train, s).model.predict_proba(test)[:, 1])
                for s in range(2)
            ]
        )
        for m in (large, small)
    ]
    assert auc[0] > (0.52 if isinstance(method, DPForest) else 0.75)
    assert auc[1] < auc[0]


@named
@pytest.mark.parametrize("epsilon", [0.0, -1.0, np.inf])
def test_no_promise_of_nothing(method: Method, epsilon: float) -> None:
    with pytest.raises(PrivauditError, match="epsilon"):
        fit(replace(method, epsilon=epsilon), table(200))


@pytest.mark.parametrize("kind", [DPEBM, DPOutput])
def test_delta_is_refused_above_one_in_n_and_at_zero(kind: type) -> None:
    with pytest.raises(PrivauditError, match="above 1/n"):
        fit(kind(delta=0.01), table(200))
    with pytest.raises(PrivauditError, match="delta 0"):
        fit(kind(delta=0.0), table(200))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (DPLinear(C=0.0), "C=0.0"),
        (DPLinear(iterations=0), "iterations=0"),
        (DPLinear(statistics=("median",)), "no column"),
        (DPEBM(share=1.0), "share=1.0"),
        (DPEBM(bins=2), "bins=2"),
        (DPForest(trees=0), "trees=0"),
        (DPForest(depth=40), "depth=40"),
        (DPOutput(teachers=1), "teachers=1"),
        (DPOutput(cut=0.0), "cut=0.0"),
    ],
)
def test_settings_out_of_range_are_refused(method: Method, said: str) -> None:
    with pytest.raises(PrivauditError, match=said):
        fit(method, table(200))


def test_a_missing_class_is_refused_and_several_are_learnt_or_refused() -> None:
    one = table(100)
    one = replace(one, y=np.zeros(100, dtype=int))
    for method in (DPLinear(), DPEBM(), DPOutput()):
        with pytest.raises(PrivauditError, match="one of 2 classes is too rare"):
            fit(method, one)
    assert fit(DPForest(), one).model is not None
    three = table(800, classes=3)
    for method in (DPEBM(), DPOutput()):
        with pytest.raises(PrivauditError, match="3 classes"):
            fit(method, three)
    for method in (DPForest(), DPLinear(epsilon=100.0)):
        p = fit(method, three).model.predict_proba(three)
        assert p.shape == (800, 3)
        assert np.allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == three.y).mean() > 0.6


def test_a_library_that_reads_bounds_off_the_data_is_an_error() -> None:
    from diffprivlib.models import LogisticRegression
    from diffprivlib.utils import PrivacyLeakWarning

    with (
        pytest.raises(PrivauditError, match="PrivacyLeakWarning"),
        nothing_read(),
    ):
        LogisticRegression().fit(np.eye(4), np.array([0, 1, 0, 1]))
    with warnings.catch_warnings(), pytest.raises(PrivauditError), nothing_read("other"):
        warnings.warn("Bounds have not been specified", PrivacyLeakWarning, stacklevel=1)


def test_bounds_are_public_and_hold() -> None:
    records = table()
    wild = replace(records, X=records.X * 1000 % 3)
    for part in (records, wild):
        encoding = PublicEncoding(part.columns)
        low, high = bounds(encoding)
        z = encoding.encode(part)
        assert (low <= z).all()
        assert (z <= high).all()
    assert columns_read(PublicEncoding(records.columns), ("",))


def test_one_stay_of_each_patient_each_equally_often() -> None:
    records = table(300, stays=3)
    found = one_stay(records, np.random.default_rng(0))
    assert len(np.unique(found.patient)) == len(found) == 100
    which = np.concatenate(
        [
            np.flatnonzero(
                (records.X[:3, None, 0] == one_stay(records.take(slice(0, 3)), rng).X[None, :, 0])[
                    :, 0
                ]
            )
            for rng in (np.random.default_rng(k) for k in range(300))
        ]
    )
    assert np.bincount(which, minlength=3).min() > 70


def test_linear_noise_is_what_the_proof_asks_for() -> None:
    """The tilt of the objective, recovered from the minimum, has the gamma length of theorem 9."""
    rows = np.random.default_rng(0).normal(size=(400, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) * 1.01
    y = np.arange(400) % 2 == 0
    method = DPLinear(epsilon=1.0, C=0.5)
    lengths = []
    for state in range(120):
        w = method._regress(rows, y, 1, state)
        p = 1 / (1 + np.exp(-rows @ w))
        lengths.append(np.linalg.norm(rows.T @ (p - y) + w / method.C))
    slack = 2 * 1.0 - 2 * np.log1p(0.25 * method.C)
    scale = 2 / slack
    assert np.mean(lengths) == pytest.approx(5 * scale, rel=0.1)
    assert np.std(lengths) == pytest.approx(np.sqrt(5) * scale, rel=0.2)


def test_boosting_uses_the_noise_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers together are one Gaussian answer of the claim's multiplier."""
    from pipelines.methods import _boosted_curves

    asked: list[tuple[int, float, float]] = []
    real = _boosted_curves.add_gaussian

    def spy(values, spread, sensitivity, rng):
        asked.append((values.size, spread, sensitivity))
        return real(values, spread, sensitivity, rng)

    monkeypatch.setattr(_boosted_curves, "add_gaussian", spy)
    method = DPEBM(epsilon=2.0)
    release = fit(method, table(600))
    (step,) = release.claim.mechanisms
    d = len(release.model.columns)
    assert len(asked) == 1 + d * method.rounds
    assert asked[0][0] == 2 * method.bins * d
    assert asked[0][2] == pytest.approx(np.sqrt(d))
    spent = sum((sensitivity / spread) ** 2 for _, spread, sensitivity in asked)
    assert spent == pytest.approx(1 / step.scale**2, rel=1e-9)
    assert step.scale == accounting.solve_gaussian(2.0, release.claim.delta)


def test_one_patient_moves_a_histogram_and_a_leaf_no_further_than_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the noise is added to, with and without one patient, after the same noisy answers."""
    from pipelines.methods import _boosted_curves

    records = table(80)
    sums: list[list[np.ndarray]] = []

    def exact(values, spread, sensitivity, rng):
        # The same noisy answers both times, so that only this one patient makes a difference.
        sums[-1].append(values.copy())
        return sums[0][len(sums[-1]) - 1]

    monkeypatch.setattr(_boosted_curves, "add_gaussian", exact)
    encoding = PublicEncoding(records.columns)
    x = encoding.encode(records).astype(np.float64)
    limits = np.column_stack(bounds(encoding))
    plan = _boosted_curves.Boosting(16, 3, 3, 0.5, 0.1)
    for rows in (slice(0, 80), slice(0, 79)):
        sums.append([])
        _boosted_curves.boost(x[rows], records.y[rows], limits, 1.0, plan, np.random.default_rng(0))
    moved = [float(np.linalg.norm(a - b)) for a, b in zip(*sums, strict=True)]
    assert moved[0] <= np.sqrt(x.shape[1]) + 1e-9
    assert max(moved[1:]) <= 1.0
    assert min(moved[1:]) > 0.01


def test_forest_votes_as_the_library_and_empty_trees_are_random() -> None:
    records = table(40)
    model = fit(DPForest(trees=60, depth=3), records).model
    p = model.predict_proba(records)
    assert p.min() >= 0
    assert 0.1 < p.mean() < 0.9
    from diffprivlib.models.forest import DecisionTreeClassifier

    from pipelines.methods.dp_forest import Tree

    encoding = PublicEncoding(records.columns)
    x = encoding.encode(records)
    found = DecisionTreeClassifier(
        max_depth=4, epsilon=3.0, bounds=bounds(encoding), classes=[0, 1], random_state=0
    ).fit(x, records.y)
    t = found.tree_
    ours = Tree(
        t.children_left,
        t.children_right,
        np.maximum(t.feature, 0),
        t.threshold,
        t.value[:, 0].argmax(axis=1),
    )
    assert np.array_equal(ours(x), found.predict(x))


def test_one_patient_sways_one_teacher_and_no_further_than_its_cut() -> None:
    """Without noise, answers with and without any patient differ by at most the sensitivity."""
    method = DPOutput(LogReg(C=1.0), teachers=5, answers=50, cut=0.3)
    records = table(120, stays=2)
    _, questions = method._questions(records, np.random.default_rng(0))
    part = replace(records, series=None)
    for left_out in range(4):
        rng = np.random.default_rng(left_out)
        dealt = rng.integers(5, size=60)[records.patient]
        stay = records.patient != left_out
        told = [
            [
                method._ask(part.take((dealt == i) & keep), questions, np.random.default_rng(0))
                for i in range(5)
            ]
            for keep in (np.ones(len(records), dtype=bool), stay)
        ]
        differs = [not np.array_equal(a, b) for a, b in zip(*told, strict=True)]
        assert sum(differs) <= 1
        gap = np.abs(np.mean(told[0], axis=0) - np.mean(told[1], axis=0))[:-1]
        assert gap.max() <= 2 * method.cut / method.teachers + 1e-12
