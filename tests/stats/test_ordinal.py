"""Utility of ordered classes, and calibration of more than two: values, coverage, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score

from privaudit import stats
from privaudit.facts import ReasonCode
from privaudit.results import Estimate
from privaudit.stats import ordinal
from privaudit.stats.survival import pairs

CUTS = np.array([-0.8, 0.0, 0.7, 1.5])
CLASSES = ("under 1", "1 to 3", "3 to 7", "7 to 14", "14 or more")
NAMES = ("kappa_linear", "mean_miss", "concordance")


def stays(
    patients: int, rng: np.random.Generator, *, clustered: bool = False, seen: float = 0.6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 5) probabilities that are right, outcomes in five buckets, and patients: a stay's length
    is a latent normal number of which the model sees the share `seen` of the variance."""
    each = rng.choice([1, 1, 2, 3], patients) if clustered else np.ones(patients, dtype=int)
    ids = np.repeat(np.arange(patients), each)
    own = rng.normal(size=(2, len(ids)))
    rho = 0.7 if clustered else 0.0
    patient = rng.normal(size=(2, patients))[:, ids]
    signal, rest = np.sqrt(rho) * patient + np.sqrt(1 - rho) * own
    latent = np.sqrt(seen) * signal + np.sqrt(1 - seen) * rest
    y = np.searchsorted(CUTS, latent)
    upto = norm.cdf((CUTS[None] - np.sqrt(seen) * signal[:, None]) / np.sqrt(1 - seen))
    proba = np.diff(np.column_stack([np.zeros(len(ids)), upto, np.ones(len(ids))]), axis=1)
    return proba, y, ids


def measure(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, ordered: bool = True
) -> dict[str, Estimate]:
    found = stats.utility(
        proba,
        y,
        patients=ids,
        rng=np.random.default_rng(0),
        classes=CLASSES[: proba.shape[1]],
        ordered=ordered,
    )
    return {str(e.metric): e for e in found}


def test_values_by_their_definitions() -> None:
    proba, y, ids = stays(300, np.random.default_rng(0))
    named = np.array([min(c for c in range(5) if p[: c + 1].sum() >= 0.5) for p in proba])
    assert (ordinal.median_class(proba) == named).all()
    found = measure(proba, y, ids)
    assert found["kappa_linear"].value == pytest.approx(
        cohen_kappa_score(y, named, weights="linear")
    )
    assert found["mean_miss"].value == pytest.approx(np.abs(named - y).mean())
    assert found["mean_miss"].chance == pytest.approx(np.abs(np.median(y) - y).mean())
    total, right = pairs(-(proba @ np.arange(5)), y + 1.0)
    assert found["concordance"].value == pytest.approx(right.sum() / total.sum())
    assert found["concordance"].n == {"records": 300, "patients": 300}
    assert found["kappa_linear"].chance == 0


def test_only_more_than_two_ordered_classes_have_them() -> None:
    proba, y, ids = stays(300, np.random.default_rng(1))
    unordered = measure(proba, y, ids, ordered=False)
    assert not set(NAMES) & set(unordered)
    two = np.column_stack([proba[:, :2].sum(axis=1), proba[:, 2:].sum(axis=1)])
    assert measure(two, (y >= 2).astype(int), ids) == measure(
        two, (y >= 2).astype(int), ids, ordered=False
    )


def test_a_median_at_exactly_one_half_is_the_lower_class_whatever_rounding_does() -> None:
    tie = np.array([[0.1, 0.2, 0.2, 0.25, 0.25], [0.3, 0.2, 0.0, 0.0, 0.5]])
    assert ordinal.median_class(tie).tolist() == [2, 1]


def test_answers_without_information_read_as_chance() -> None:
    rng = np.random.default_rng(2)
    _, y, ids = stays(400, rng)
    found = measure(rng.dirichlet(np.ones(5), len(y)), y, ids)
    assert found["kappa_linear"].low < 0 < found["kappa_linear"].high
    assert found["concordance"].low < 0.5 < found["concordance"].high
    one = measure(np.tile([0.1, 0.1, 0.6, 0.1, 0.1], (len(y), 1)), y, ids)
    assert one["kappa_linear"].value == pytest.approx(0)
    assert one["concordance"].value == 0.5


def test_exact_answers_have_intervals_that_are_open_to_a_miss() -> None:
    _, y, ids = stays(60, np.random.default_rng(3))
    found = measure(np.eye(5)[y], y, ids)
    assert found["kappa_linear"].value == 1
    assert found["kappa_linear"].low < 0.95
    assert found["mean_miss"].value == 0
    assert found["mean_miss"].high > 0.05
    assert found["concordance"].value == 1
    assert found["concordance"].low < 0.99


def test_what_cannot_be_stated_is_refused_with_its_reason() -> None:
    proba, y, ids = stays(40, np.random.default_rng(4))
    same = measure(np.eye(5)[np.zeros(40, dtype=int)], np.zeros(40, dtype=int), ids)
    assert same["kappa_linear"].refusal.code is ReasonCode.ONE_OUTCOME
    assert same["concordance"].refusal.code is ReasonCode.ONE_OUTCOME
    few = measure(proba[:4], y[:4], np.array([0, 0, 1, 1]))
    assert {few[name].refusal.code for name in NAMES} == {ReasonCode.TOO_FEW_PATIENTS}
    none = measure(proba[:0], y[:0], ids[:0])
    assert set(NAMES) <= set(none)
    assert {e.refusal.code for e in none.values()} == {ReasonCode.NO_RECORD}


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(("patients", "seen"), [(60, 0.6), (200, 0.2), (200, 0.95)])
def test_intervals_cover_as_often_as_they_say(clustered: bool, patients: int, seen: float) -> None:
    big = stays(60_000, np.random.default_rng(5), clustered=clustered, seen=seen)
    named = ordinal.median_class(big[0])
    total, right = ordinal.count_pairs(big[0] @ np.arange(5.0), big[1])
    truth = {
        "kappa_linear": cohen_kappa_score(big[1], named, weights="linear"),
        "mean_miss": np.abs(named - big[1]).mean(),
        "concordance": right.sum() / total.sum(),
    }
    rng, rounds = np.random.default_rng(6), 1000
    above, below = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for _ in range(rounds):
        proba, y, ids = stays(patients, rng, clustered=clustered, seen=seen)
        n = {"patients": patients}
        for e in ordinal.utility_of_order(proba, y, ids, n, 0.95):
            above[e.metric.name] += e.low > truth[e.metric.name]
            below[e.metric.name] += e.high < truth[e.metric.name]
    for name in NAMES:
        assert above[name] / rounds < 0.05, (name, above)
        assert below[name] / rounds < 0.05, (name, below)
        assert above[name] + below[name] > 0, name


def answers_of_the_case(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Models that all had a calibration intercept of 0 when classes were stacked."""
    return {
        "always the longest": np.tile([0.01, 0.01, 0.01, 0.01, 0.96], (800, 1)),
        "random": rng.dirichlet(np.ones(5), 800),
        "inverted": np.tile([0.02, 0.03, 0.05, 0.1, 0.8], (800, 1)),
    }


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("name", ["always the longest", "random", "inverted"])
def test_a_badly_calibrated_model_has_an_intercept_that_says_so(name: str, ordered: bool) -> None:
    rng = np.random.default_rng(7)
    y = rng.choice(5, 800, p=[0.4, 0.25, 0.15, 0.1, 0.1])
    found = measure(answers_of_the_case(rng)[name], y, np.arange(800), ordered)
    assert "calibration_intercept" not in found
    intercepts = [e for text, e in found.items() if text.startswith("calibration_intercept@")]
    assert len(intercepts) == (4 if ordered else 5)
    off = [e for e in intercepts if not e.low <= 0 <= e.high]
    assert len(off) >= 2
    assert max(abs(e.value) for e in intercepts) > 0.2


def test_a_calibrated_model_is_told_so_for_each_class_and_for_each_cut() -> None:
    proba, y, ids = stays(1500, np.random.default_rng(8), clustered=True)
    for ordered, kind, names in ((False, "outcome", CLASSES), (True, "cut", CLASSES[1:])):
        found = measure(proba, y, ids, ordered)
        at = {e.metric.at for e in found.values() if e.metric.name == "calibration_intercept"}
        assert {(one.kind, one.value) for one in at} == {(kind, name) for name in names}
        for name in names:
            assert abs(found[f"calibration_intercept@{name}"].value) < 0.25
            assert abs(found[f"calibration_slope@{name}"].value - 1) < 0.35


def test_a_cut_is_that_of_two_classes() -> None:
    proba, y, ids = stays(500, np.random.default_rng(9))
    found = measure(proba, y, ids)
    two = np.column_stack([proba[:, :3].sum(axis=1), proba[:, 3:].sum(axis=1)])
    alone = measure(two, (y >= 3).astype(int), ids)
    for name in ("calibration_slope", "calibration_intercept"):
        one, other = found[f"{name}@{CLASSES[3]}"], alone[name]
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))


def test_a_class_of_few_patients_is_refused_and_a_cut_beside_it_is_not() -> None:
    rng = np.random.default_rng(10)
    y = np.repeat([0, 1, 2], [50, 40, 9])
    proba = rng.dirichlet(np.ones(3), 99)
    by_class = measure(proba, y, np.arange(99), ordered=False)
    assert by_class[f"calibration_intercept@{CLASSES[1]}"].value is not None
    for name in ("calibration_slope", "calibration_intercept"):
        few = by_class[f"{name}@{CLASSES[2]}"]
        assert few.refusal.code is ReasonCode.TOO_FEW_WITH_OUTCOME
    by_cut = measure(proba, y, np.arange(99))
    assert by_cut[f"calibration_intercept@{CLASSES[1]}"].value is not None
    assert by_cut[f"calibration_intercept@{CLASSES[2]}"].value is None
    # Nine patients with many records are nine patients.
    many = np.concatenate([np.arange(90), np.repeat(np.arange(90, 99), 5)])
    y, proba = np.concatenate([y[:90], np.full(45, 2)]), rng.dirichlet(np.ones(3), 135)
    assert measure(proba, y, many)[f"calibration_slope@{CLASSES[2]}"].value is None


def test_groups_have_the_same_measures() -> None:
    proba, y, ids = stays(600, np.random.default_rng(11))
    by = np.array(["a", "b"])[np.arange(600) % 2]
    for ordered in (False, True):
        groups = stats.utility_groups(
            proba, y, patients=ids, groups={"by": by}, classes=CLASSES, ordered=ordered
        )
        names = [str(e.metric) for e in groups[0].estimates]
        assert names[:2] == ["auroc", "brier"]
        assert ("kappa_linear" in names) is ordered
        whole = measure(proba[by == "a"], y[by == "a"], ids[by == "a"], ordered)
        for e in groups[0].estimates[2:]:
            assert e.value == pytest.approx(whole[str(e.metric)].value)
    few = stats.utility_groups(
        proba[:24], y[:24] * 0, patients=ids[:24], groups={"by": by[:24]}, classes=CLASSES
    )
    refused = [e for e in few[0].estimates if e.metric.name == "calibration_intercept"]
    assert {e.metric.at.value for e in refused} == set(CLASSES)
    assert {e.refusal.code for e in refused} == {ReasonCode.TOO_FEW_WITH_OUTCOME}
