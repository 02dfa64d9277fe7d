"""AUC, rates at few false alarms, predictive values and the ROC, against slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Setting
from privaudit.report.wording.metrics import MEANINGS, explain_metric
from privaudit.stats import auc, thresholds
from privaudit.stats.membership import ppv, too_few


def _by_name(estimates):
    return {str(e.metric): e for e in estimates}


def _shapes(rng):
    members, nonmembers = rng.normal(0.4, 1, 700), rng.normal(0, 1, 1200)
    yield "continuous", members, nonmembers
    yield "tied", np.round(members, 1), np.round(nonmembers, 1)
    yield "clipped", np.clip(members, -1, 1), np.clip(nonmembers, -1, 1)
    yield "binary", (members > 0.3) * 1.0, (nonmembers > 0.3) * 1.0
    yield "constant", np.ones(700), np.ones(1200)


@pytest.mark.parametrize("which", range(5))
def test_auc_is_the_mann_whitney_auc(which):
    name, members, nonmembers = list(_shapes(np.random.default_rng(3)))[which]
    y = np.repeat([1, 0], [len(members), len(nonmembers)])
    expected = roc_auc_score(y, np.concatenate([members, nonmembers]))
    assert auc.auc(members, nonmembers) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("which", range(5))
def test_rates_are_read_on_the_plain_roc_with_straight_lines_across_ties(which):
    name, members, nonmembers = list(_shapes(np.random.default_rng(4)))[which]
    y = np.repeat([1, 0], [len(members), len(nonmembers)])
    fpr, tpr, _ = roc_curve(y, np.concatenate([members, nonmembers]), drop_intermediate=False)
    asked = np.array([0.5, 0.1, 0.01])
    curve = thresholds.Roc.of(members, nonmembers, np.arange(700), np.arange(1200))
    # A corner just right of the rate asked for is the top of a vertical step at that rate.
    expected = np.interp(asked + 1e-9, fpr, tpr)
    assert curve.point(asked) == pytest.approx(expected, abs=1e-5), name


def test_a_constant_score_is_chance_everywhere():
    evidence = Scores(np.zeros(1500), np.zeros(1500))
    ids = np.arange(1500)
    found = _by_name(
        stats.estimates(evidence, patients=(ids, ids + 1500), rng=np.random.default_rng(0))
    )
    assert found["auc"].value == 0.5
    assert found["auc"].low < 0.5 < found["auc"].high
    for f in ("0.1", "0.01"):
        estimate = found[f"tpr_at_fpr_{f}"]
        assert estimate.value == pytest.approx(float(f))
        assert estimate.low < estimate.value < estimate.high
    assert found["ppv_at_prior_0.1"].value == pytest.approx(0.1)


def _obuchowski_slow(members, nonmembers, ids_members, ids_nonmembers):
    """Section 3 of the paper, with loops."""

    def kernel(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    m, n = len(members), len(nonmembers)
    v10 = [sum(kernel(x, y) for y in nonmembers) / n for x in members]
    v01 = [sum(kernel(x, y) for x in members) / m for y in nonmembers]
    area = sum(v10) / m
    everyone = sorted({*ids_members, *ids_nonmembers})
    s10 = s01 = s11 = 0.0
    for who in everyone:
        a = sum(v - area for v, i in zip(v10, ids_members, strict=True) if i == who)
        b = sum(v - area for v, i in zip(v01, ids_nonmembers, strict=True) if i == who)
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01, i = len(set(ids_members)), len(set(ids_nonmembers)), len(everyone)
    s10, s01, s11 = s10 * i10 / ((i10 - 1) * m), s01 * i01 / ((i01 - 1) * n), s11 * i / (i - 1)
    return area, s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("shared", [False, True])
def test_clustered_variance_equals_a_slow_reference(shared):
    rng = np.random.default_rng(5)
    members, nonmembers = rng.normal(0.5, 1, 60).round(1), rng.normal(0, 1, 45).round(1)
    one, zero = rng.integers(0, 25, 60), rng.integers(0, 25, 45) + (0 if shared else 100)
    value, variance = _obuchowski_slow(members, nonmembers, one.tolist(), zero.tolist())
    found = auc.area(members, nonmembers, one, zero)
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.variance == pytest.approx(variance, rel=1e-10)


def test_mean_area_of_one_question_is_that_question():
    rng = np.random.default_rng(6)
    scores, hit, ids = rng.normal(size=300), rng.random(300) < 0.3, rng.integers(0, 120, 300)
    whole = auc.mean_area([(scores, hit)], ids)
    single = auc.area(scores[hit], scores[~hit], ids[hit], ids[~hit])
    assert whole.value == pytest.approx(single.value)
    assert whole.variance == pytest.approx(single.variance, rel=0.03)


def test_predictive_value_by_hand():
    # Of 1000 people asked about 10 are members: 5 of them named, and 9.9 of the 990 others.
    assert ppv(0.5, 0.01, 0.01) == pytest.approx(5 / 14.9)
    assert ppv(0.0, 0.01, 0.5) == 0.0
    assert ppv(1.0, 0.01, 0.5) == pytest.approx(1 / 1.01)


def test_refusal_counts_patients_not_records():
    rng = np.random.default_rng(7)
    ids = np.repeat(np.arange(600), 3)
    evidence = Scores(rng.normal(size=1800), rng.normal(size=1800))
    found = _by_name(stats.estimates(evidence, patients=(ids, ids + 600), rng=rng))
    assert found["tpr_at_fpr_0.1"].value is not None
    refused = found["tpr_at_fpr_0.01"]
    assert refused.value is None
    assert refused.refusal == too_few((600, 600), 0.01)
    assert refused.refusal.params == {"more": 400, "have": 600, "fpr": 0.01}
    assert found["tpr_at_fpr_0.001"].refusal.params["more"] == 9400
    assert found["ppv_at_prior_0.5"].refusal.params["more"] == 400
    assert found["detectable_tpr_at_fpr_0.01"].value is None


@pytest.mark.parametrize(
    ("patients", "fpr", "more"), [(1000, 0.01, 0), (999, 0.01, 1), (10_000, 0.001, 0), (3, 0.1, 97)]
)
def test_shortfall_arithmetic(patients, fpr, more):
    assert thresholds.shortfall(patients, fpr) == more


@pytest.mark.parametrize(
    "evidence",
    [
        Scores(np.array([1.0]), np.array([0.0])),
        Scores(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0])),
        Scores(np.array([]), np.array([0.0, 1.0])),
        Scores(np.array([1.0, 2.0]), np.array([])),
        Scores(np.full(2000, 5.0), np.zeros(2000)),
        Scores(np.zeros(2000), np.full(2000, 5.0)),
        Scores(np.array([np.inf, 1.0]), np.array([-np.inf, 0.0])),
    ],
)
@pytest.mark.parametrize("one_patient", [False, True])
def test_degenerate_pools_give_honest_values(evidence, one_patient):
    ids = (np.arange(len(evidence.members)), np.arange(len(evidence.nonmembers)) + 10_000)
    if one_patient:
        ids = (ids[0] * 0, ids[1] * 0 + 1)
    rng = np.random.default_rng(0)
    found = stats.estimates(evidence, patients=ids, rng=rng)
    assert tuple(e.metric for e in found) == stats.catalogue.MEMBERSHIP_METRICS
    for e in found:
        assert e.n
        assert (e.bound is None) == (e.value is None)
        assert e.chance is not None
        assert (e.value is None) == (e.refusal is not None)
        for number in (e.value, e.low, e.high):
            assert number is None or math.isfinite(number)
        if e.low is not None:
            assert e.low <= e.value <= e.high
            assert e.low < e.high
    line = stats.roc(evidence, patients=ids, rng=rng)
    assert np.isfinite([*line.x, *line.y, *line.low, *line.high]).all()


def test_nan_and_unequal_lengths_are_refused():
    rng = np.random.default_rng(0)
    ids = np.arange(3)
    with pytest.raises(PrivauditError, match="1 membership scores are not a number"):
        stats.estimates(Scores(np.array([0, np.nan, 1]), np.zeros(3)), patients=(ids, ids), rng=rng)
    with pytest.raises(PrivauditError, match="3 and 3 scores for 2 and 3 records"):
        stats.estimates(Scores(np.zeros(3), np.zeros(3)), patients=(ids[:2], ids), rng=rng)


def test_roc_starts_where_ten_patients_are_false_positives():
    rng = np.random.default_rng(8)
    evidence = Scores(rng.normal(1, 1, 900), rng.normal(0, 1, 1000))
    line = stats.roc(
        evidence, patients=(np.arange(900), np.arange(1000) + 900), rng=np.random.default_rng(0)
    )
    assert line.x[0] == pytest.approx(0.01)
    assert line.x[-1] == line.y[-1] == 1.0
    assert all(a <= b for a, b in zip(line.y, line.y[1:], strict=False))
    assert all(a <= b <= c for a, b, c in zip(line.low, line.y, line.high, strict=True))
    clustered = stats.roc(
        evidence, patients=(np.arange(900), np.arange(1000) // 10), rng=np.random.default_rng(0)
    )
    assert clustered.x[0] == pytest.approx(0.1)


def test_same_stream_same_numbers_and_global_state_unmoved():
    rng = np.random.default_rng(1)
    evidence = Scores(rng.normal(size=1100), rng.normal(size=1100))
    ids = (np.arange(1100), np.arange(1100) + 1100)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = stats.estimates(evidence, patients=ids, rng=np.random.default_rng(2))
    second = stats.estimates(evidence, patients=ids, rng=np.random.default_rng(2))
    assert first == second
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_names_restrict_the_work():
    rng = np.random.default_rng(1)
    evidence = Scores(rng.normal(size=1100), rng.normal(size=1100))
    ids = (np.arange(1100), np.arange(1100) + 1100)
    found = stats.estimates(evidence, patients=ids, rng=rng, names=["auc", "tpr_at_fpr_0.1"])
    assert [str(e.metric) for e in found] == ["auc", "tpr_at_fpr_0.1"]


def test_every_name_has_a_meaning():
    assert MEANINGS.keys() == stats.CATALOGUE.keys()
    at = Metric("attack_rate", at=Setting("column", "a / b@c"))
    assert explain_metric(at) == explain_metric(Metric("attack_rate"))
    assert all("{" not in explain_metric(metric) for metric in stats.catalogue.MEMBERSHIP_METRICS)


def test_detectable_rates_are_of_the_size_measured_before():
    """Design measurement: limits that a null model passes start at 1.7-2.1 x chance at FPR 1 %."""
    assert 1.7 < thresholds.detectable(0.01, (3236, 3236), 0.95) / 0.01 < 2.1
    assert auc.detectable((3, 3), 0.95) is None or auc.detectable((3, 3), 0.95) > 0.9
    assert auc.detectable((100, 100), 0.95) > auc.detectable((1000, 1000), 0.95) > 0.5


def test_detectable_auc_has_the_power_it_claims():
    rng = np.random.default_rng(9)
    from scipy.stats import norm

    shift = math.sqrt(2) * norm.ppf(auc.detectable((300, 300), 0.95))
    ids = np.arange(300)
    found = 0
    for _ in range(500):
        area = auc.area(rng.normal(shift, 1, 300), rng.normal(0, 1, 300), ids, ids + 300)
        found += area.interval(0.95)[0] > 0.5
    assert 0.74 < found / 500 < 0.86
