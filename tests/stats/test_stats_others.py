"""Trials, usefulness, groups, the headline and the controls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from privaudit import stats
from privaudit.contracts import Scores, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.results import Estimate
from privaudit.stats import auc, rates
from privaudit.stats.groups import holm
from privaudit.stats.membership import ppv
from privaudit.stats.precision import average_precision


def _by_name(estimates):
    return {str(e.metric): e for e in estimates}


def _ones(k, n):
    return np.repeat([1.0, 0.0], [k, n - k])


# Trials


def test_wilson_against_a_published_example():
    """Newcombe 1998 (Stat Med 17:857), table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    for k, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        found = rates.wilson(k / n, n, 0.95)
        assert found == pytest.approx((low, high), abs=5e-5)


def test_newcombe_against_published_examples():
    """Newcombe 1998 (Stat Med 17:873), table II, method 10: 56/70 - 48/80 and 9/10 - 3/10."""
    for a, m, b, n, low, high in [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (10, 10, 0, 10, 0.6075, 1.0),
    ]:
        gap, *bounds = rates.difference(_ones(a, m), _ones(b, n), np.arange(m), np.arange(n), 0.95)
        assert gap == pytest.approx(a / m - b / n)
        assert bounds == pytest.approx([low, high], abs=5e-5)


def test_paired_difference_by_the_formula_on_a_two_by_two_table():
    """Newcombe 1998 (Stat Med 17:2635), method 10, written out for a table (e, f, g, h)."""
    e, f, g, h = 20, 12, 2, 16
    n = e + f + g + h
    first = np.repeat([1.0, 1.0, 0.0, 0.0], [e, f, g, h])
    second = np.repeat([1.0, 0.0, 1.0, 0.0], [e, f, g, h])
    p, q = (e + f) / n, (e + g) / n
    (l1, u1), (l2, u2) = rates.wilson(p, n, 0.95), rates.wilson(q, n, 0.95)
    cross = max(0, e * h - f * g - n / 2)
    phi = cross / math.sqrt((e + f) * (g + h) * (e + g) * (f + h))
    low = (p - q) - math.sqrt((p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2)
    high = (p - q) + math.sqrt((u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2)
    found = rates.difference(first, second, np.arange(n), None, 0.95)
    assert found == pytest.approx((p - q, low, high), abs=1e-9)


def test_repeating_every_record_of_a_patient_adds_no_certainty():
    rng = np.random.default_rng(0)
    once, control = (rng.random(200) < 0.4) * 1.0, (rng.random(200) < 0.2) * 1.0
    single = stats.estimates(Trials(once, control, control), patients=np.arange(200), rng=rng)
    thrice = stats.estimates(
        Trials(*(np.repeat(x, 3) for x in (once, control, control))),
        patients=np.repeat(np.arange(200), 3),
        rng=rng,
    )
    for a, b in zip(single, thrice, strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-9)


def test_trials_without_a_single_success_are_not_certain():
    none = np.zeros(100)
    found = _by_name(stats.estimates(Trials(none, none), patients=np.arange(100), rng=None))
    assert found["attack_rate"].low == 0
    assert found["attack_rate"].high == pytest.approx(0.037, abs=1e-3)
    assert found["attack_minus_control"].low < 0 < found["attack_minus_control"].high
    both = _by_name(stats.estimates(Trials(none + 1, none), patients=none.astype(int), rng=None))
    assert both["attack_rate"].low < 0.5, "one patient cannot show a certain success"


def test_trials_take_their_own_patients_and_keys():
    rng = np.random.default_rng(0)
    made = {
        Setting("budget", b, "sd"): Trials(
            (rng.random(60) < b) * 1.0, np.zeros(60), np.zeros(60), "noise", np.arange(60)
        )
        for b in (0.5, 0.1)
    }
    found = stats.estimates(made, rng=rng)
    assert [str(e.metric) for e in found][:2] == ["attack_rate@0.5 sd", "control_rate@0.5 sd"]
    assert {e.metric.name for e in found} == set(stats.catalogue.TRIALS)
    assert {e.metric.at for e in found} == set(made)
    assert all(e.n and e.bound and e.chance is not None for e in found)
    line = stats.budget_curve(made)
    assert (line.kind, line.metric, line.unit) == ("budget", Metric("attack_rate"), "sd")
    assert line.x == (0.1, 0.5)
    assert all(a <= b <= c for a, b, c in zip(line.low, line.y, line.high, strict=True))
    few = Trials(np.ones(9), np.zeros(9), patients=np.arange(9))
    assert stats.budget_curve({Setting("budget", 1.0, "sd"): few}).x == ()
    for other in (Setting("column", "24h insulin"), Setting("neighbours", 3, "nearest")):
        with pytest.raises(PrivauditError, match="budget curve"):
            stats.budget_curve({other: few})
    with pytest.raises(PrivauditError, match="trials without patients"):
        stats.estimates(Trials(np.ones(3), np.ones(3)), rng=rng)
    with pytest.raises(PrivauditError, match="outside 0 to 1"):
        stats.estimates(Trials(np.full(3, 2.0), np.ones(3)), patients=np.arange(3), rng=rng)


def test_a_control_on_other_records_is_independent():
    found = _by_name(
        stats.estimates(Trials(_ones(56, 70), _ones(48, 80)), patients=np.arange(70), rng=None)
    )
    gap = found["attack_minus_control"]
    assert (gap.low, gap.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert gap.bound == Bound(BoundMethod.NEWCOMBE_INDEPENDENT)


# Utility


def _answers(rng, n=1500, k=2, sharp=1.0):
    odds = rng.normal(size=(n, k))
    p = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    told = np.exp(sharp * odds)
    return told / told.sum(axis=1, keepdims=True), y


def test_usefulness_equals_sklearn():
    proba, y = _answers(np.random.default_rng(1))
    found = _by_name(
        stats.utility(proba, y, patients=np.arange(1500), rng=np.random.default_rng(0))
    )
    assert set(found) == set(stats.catalogue.UTILITY)
    assert found["auroc"].value == pytest.approx(roc_auc_score(y, proba[:, 1]))
    assert found["auprc"].value == pytest.approx(average_precision_score(y, proba[:, 1]))
    assert found["brier"].value == pytest.approx(brier_score_loss(y, proba[:, 1]))
    assert found["log_loss"].value == pytest.approx(log_loss(y, proba))
    assert found["auprc"].chance == pytest.approx(y.mean())
    for e in found.values():
        assert e.low < e.value < e.high
        assert e.n["patients"] == 1500
    assert found["calibration_slope"].low < 1 < found["calibration_slope"].high
    assert found["calibration_intercept"].low < 0 < found["calibration_intercept"].high


def test_average_precision_with_ties_and_weights_is_that_of_repeated_records():
    rng = np.random.default_rng(2)
    scores, hit = rng.normal(size=200).round(1), rng.random(200) < 0.3
    times = rng.integers(0, 4, 200)
    weighted = average_precision(scores, hit, times[None].astype(float))[0]
    expected = average_precision_score(np.repeat(hit, times), np.repeat(scores, times))
    assert weighted == pytest.approx(expected)


def test_several_classes_equal_sklearn():
    proba, y = _answers(np.random.default_rng(3), k=4)
    found = _by_name(
        stats.utility(proba, y, patients=np.arange(1500), rng=np.random.default_rng(0))
    )
    assert found["auroc"].value == pytest.approx(
        roc_auc_score(y, proba, multi_class="ovr", average="macro")
    )
    assert found["log_loss"].value == pytest.approx(log_loss(y, proba))
    assert found["brier"].value == pytest.approx(((proba - np.eye(4)[y]) ** 2).sum(axis=1).mean())
    assert "calibration_slope" not in found
    for c in range(4):
        assert found[f"calibration_slope@{c}"].low < 1 < found[f"calibration_slope@{c}"].high


@pytest.mark.parametrize("sharp", [0.5, 2.0])
def test_calibration_slope_finds_over_and_underconfidence(sharp):
    proba, y = _answers(np.random.default_rng(4), n=4000, sharp=sharp)
    found = _by_name(
        stats.utility(proba, y, patients=np.arange(4000), rng=np.random.default_rng(0))
    )["calibration_slope"]
    assert found.low < 1 / sharp < found.high
    assert not found.low < 1 < found.high


@pytest.mark.parametrize(
    "case", ["separable", "constant", "one class", "one patient", "one record"]
)
def test_degenerate_answers_are_refused_not_crashed(case):
    y = np.arange(40) % 2
    proba = np.stack([1 - y, y], axis=1).astype(float)
    ids = np.arange(40)
    if case == "constant":
        proba = np.full((40, 2), 0.5)
    if case == "one class":
        y = np.zeros(40, dtype=int)
    if case == "one patient":
        ids = np.zeros(40, dtype=int)
    if case == "one record":
        y, proba, ids = y[:1], proba[:1], ids[:1]
    found = _by_name(stats.utility(proba, y, patients=ids, rng=np.random.default_rng(0)))
    for e in found.values():
        assert (e.value is None) == (e.refusal is not None)
        assert e.value is None or (math.isfinite(e.low) and e.low <= e.value <= e.high)
    assert found["calibration_slope"].value is None
    if case == "separable":
        assert found["auroc"].value == 1
        assert 0.8 < found["auroc"].low < 1
        assert found["calibration_slope"].refusal.code == ReasonCode.SEPARATED_OUTCOMES
    if case == "one class":
        assert found["auroc"].refusal == Reason(ReasonCode.ONE_OUTCOME, {"outcomes": ()})
    stats.reliability(proba, y, patients=ids)


def test_reliability_bins_hold_ten_patients_and_cover_the_truth():
    proba, y = _answers(np.random.default_rng(5), n=5000)
    line = stats.reliability(proba, y, patients=np.arange(5000), confidence=0.999)
    assert len(line.x) == 10
    assert all(a <= x <= b for a, x, b in zip(line.low, line.x, line.high, strict=True))
    assert len(stats.reliability(proba[:35], y[:35], patients=np.arange(35)).x) <= 3
    assert stats.reliability(proba[:9], y[:9], patients=np.arange(9)).x == ()
    assert len(stats.reliability(np.full((50, 2), 0.5), y[:50], patients=np.arange(50)).x) == 1


@pytest.mark.parametrize(
    ("proba", "y", "message"),
    [
        (np.ones((3, 2)), [0, 1, 2], "outcome codes from 0 to 2"),
        (np.full((3, 2), np.nan), [0, 1, 0], "not a number"),
        (np.ones(3), [0, 1, 0], "probabilities of shape"),
    ],
)
def test_wrong_answers_are_refused(proba, y, message):
    with pytest.raises(PrivauditError, match=message):
        stats.utility(proba, np.array(y), patients=np.arange(3), rng=np.random.default_rng(0))


# Groups


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5])) == pytest.approx([0.5])


def test_a_group_that_leaks_more_is_named_and_no_other():
    rng = np.random.default_rng(6)
    n = 2000
    one, zero = rng.choice(["a", "b", "c"], n), rng.choice(["a", "b", "c"], n)
    noise = rng.choice(["x", "y"], n), rng.choice(["x", "y"], n)
    evidence = Scores(rng.normal(0.1 + 0.9 * (one == "c"), 1, n), rng.normal(0, 1, n))
    found = stats.score_groups(
        evidence,
        patients=(np.arange(n), np.arange(n) + n),
        groups={"unit": (one, zero), "noise": noise},
        rng=rng,
    )
    by = {(g.by, g.level): g for g in found}
    assert by["unit", "c"].p_adjusted < 0.001
    assert by["noise", "x"].p_adjusted > 0.05
    assert by["noise", "x"].p_adjusted == by["noise", "y"].p_adjusted
    leak = _by_name(by["unit", "c"].estimates)
    mask, other = one == "c", zero == "c"
    expected = auc.auc(evidence.members[mask], evidence.nonmembers[other])
    assert leak["auc"].value == pytest.approx(expected)
    cut = np.sort(evidence.nonmembers)[-201]
    assert leak["tpr_at_fpr_0.1"].value == pytest.approx((evidence.members[mask] > cut).mean())
    assert leak["tpr_at_fpr_0.1"].chance == pytest.approx(
        (evidence.nonmembers[other] > cut).mean(), abs=2e-3
    )
    for g in found:
        for e in g.estimates:
            assert e.low <= e.value <= e.high


def test_group_results_hold_nothing_of_small_groups():
    rng = np.random.default_rng(7)
    labels = np.array(["big"] * 300 + ["mid"] * 60 + ["tiny"] * 5)
    proba, y = _answers(rng, n=365)
    groups = {"unit": labels}
    found = stats.utility_groups(proba, y, patients=np.arange(365), groups=groups)
    by = {g.level: g for g in found}
    assert by["tiny"].suppressed
    assert by["tiny"].estimates == ()
    assert not by["mid"].suppressed
    assert not by["big"].suppressed
    assert "5" not in repr(by["tiny"]).replace("0.05", "")
    rare = np.zeros(365, dtype=int)
    rare[:5] = 1
    only = stats.utility_groups(
        proba, rare, patients=np.arange(365), groups={"all": np.full(365, "all")}
    )
    assert _by_name(only[0].estimates)["auroc"].value is None
    assert "events" not in only[0].estimates[0].n


# Headline and controls


def test_the_strongest_is_chosen_on_one_half_and_read_on_the_other():
    rng = np.random.default_rng(8)
    n = 2400
    ids = (np.arange(n), np.arange(n) + n)
    evidence = {
        "weak": Scores(rng.normal(size=n), rng.normal(size=n)),
        "strong": Scores(rng.normal(1, 1, n), rng.normal(size=n)),
    }
    name, found = stats.strongest(evidence, patients=ids, rng=np.random.default_rng(0))
    assert name == "strong"
    assert _by_name(found)["auc"].n["members"] == n // 2
    assert _by_name(found)["tpr_at_fpr_0.01"].value is not None
    clustered = (np.arange(n) // 2, np.arange(n) // 2 + n)
    _, found = stats.strongest(evidence, patients=clustered, rng=np.random.default_rng(0))
    assert _by_name(found)["auc"].n["member_patients"] == n // 4


def test_a_headline_of_two_patients_does_not_crash():
    evidence = {"a": Scores(np.ones(1), np.zeros(1))}
    name, found = stats.strongest(
        evidence, patients=(np.zeros(1), np.ones(1)), rng=np.random.default_rng(0)
    )
    assert name == "a"
    assert found


def test_controls():
    def one(low, high):
        return (Estimate(Metric("auc"), (low + high) / 2, low, high, 0.5),)

    assert stats.control_passed("positive", one(0.6, 0.7))
    assert not stats.control_passed("positive", one(0.51, 0.7))
    assert stats.control_passed("negative", one(0.45, 0.52))
    assert not stats.control_passed("negative", one(0.51, 0.52))
    assert not stats.control_passed("negative", one(0.4, 0.49)), "a reversed leak is a leak"
    refused = (Estimate(Metric("auc"), None, refusal=Reason(ReasonCode.NO_MEMBER)),)
    assert not stats.control_passed("negative", refused)
    assert not stats.control_passed("positive", refused)
    assert stats.control_confidence() == pytest.approx(0.99995)


def test_predictive_value_bounds_are_carried_over():
    rng = np.random.default_rng(9)
    n = 1500
    evidence = Scores(rng.normal(1, 1, n), rng.normal(0, 1, n))
    found = _by_name(stats.estimates(evidence, patients=(np.arange(n), np.arange(n) + n), rng=rng))
    rate, value = found["tpr_at_fpr_0.01"], found["ppv_at_prior_0.1"]
    for part in ("value", "low", "high"):
        assert getattr(value, part) == pytest.approx(ppv(getattr(rate, part), 0.01, 0.1))
    assert value.chance == 0.1
