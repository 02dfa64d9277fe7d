"""Hospitals' counts to estimates: known leaks are found, clean models are not, lies are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graded_lab import TERMS, Answers, make_split, memorise

from pipelines.deploy.grade import LEVELS, grade_model
from pipelines.deploy.grade_parts import count_above
from pipelines.deploy.graded import Counts, Game, read_counts
from pipelines.deploy.ladders import find_blocks, find_ranges
from pipelines.deploy.placings import place, straighten
from pipelines.deploy.pool import (
    adjust,
    pool_columns,
    pool_control,
    pool_inversion,
    pool_membership,
    pool_utility,
    pool_utility_groups,
)
from privaudit.errors import PrivauditError
from privaudit.facts import BoundMethod
from privaudit.results import Estimate


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def named(found: tuple[Estimate, ...], name: str) -> Estimate:
    return next(e for e in found if str(e.metric) == name)


@pytest.fixture(scope="module")
def federation() -> dict[str, list[Counts]]:
    """Four hospitals of 250 members: with a memoriser at the last one, and without."""
    draw = np.random.default_rng(1)
    splits = [make_split(250, draw, reference=100) for _ in "abcd"]
    made: dict[str, list[Counts]] = {"clean": [], "leak": []}
    for name, split in zip("abcd", splits, strict=True):
        for kind in made:
            model = memorise(split) if (kind, name) == ("leak", "d") else Answers()
            made[kind].append(read_counts(name, grade_model(model, split, TERMS, False), TERMS))
    return made


def test_a_memoriser_at_one_of_four_is_found_pooled_and_named(
    federation: dict[str, list[Counts]],
) -> None:
    found = pool_membership(federation["leak"], "threshold", 0.95, rng())
    assert found is not None
    auc = named(found.estimates, "auc")
    assert auc.low is not None
    assert auc.low > 0.5
    assert auc.n["member_patients"] == 1000
    groups = {g.level: g for g in found.groups}
    worst = max(groups, key=lambda name: groups[name].estimates[0].low or 0.0)
    assert worst == "d"
    assert groups["d"].p_adjusted is not None
    assert groups["d"].p_adjusted < 1e-6
    assert all((groups[name].p_adjusted or 0) > groups["d"].p_adjusted for name in "abc")
    assert (groups["d"].estimates[0].low or 0.0) > 0.85
    assert (named(found.estimates, "tpr_at_fpr_0.1").low or 0.0) > 0.1


def test_four_clean_hospitals_are_not(federation: dict[str, list[Counts]]) -> None:
    found = pool_membership(federation["clean"], "threshold", 0.95, rng())
    assert found is not None
    for e in (named(found.estimates, "auc"), *(g.estimates[0] for g in found.groups)):
        assert e.low is not None
        assert e.high is not None
        assert e.low <= 0.5 <= e.high
        assert e.bound is not None
        assert e.bound.method is BoundMethod.BLOCKS
    assert all(g.p_adjusted == 1.0 for g in found.groups)


def test_controls_show_what_the_blocks_can_find(federation: dict[str, list[Counts]]) -> None:
    clean = federation["clean"]
    (planted,) = pool_control([one.planted["threshold"] for one in clean], 0.9999)
    assert (planted.low or 0) > 0.55
    (null,) = pool_control([one.halves["threshold"] for one in clean], 0.9999)
    assert (null.low or 0) <= 0.5 <= (null.high or 0)
    # Of a leak at one hospital, the halves of held-out patients show nothing.
    (null,) = pool_control([one.halves["threshold"] for one in federation["leak"]], 0.9999)
    assert (null.low or 0) <= 0.5 <= (null.high or 0)
    assert pool_control([], 0.95) == ()


def test_utility_holds_what_the_records_would_have_given(
    federation: dict[str, list[Counts]],
) -> None:
    draw = np.random.default_rng(2)
    split = make_split(1500, draw)
    from privaudit.stats.prediction import utility

    held = split.nonmembers
    exact = {
        str(e.metric): e.value
        for e in utility(Answers().predict_proba(held), held.y, patients=held.patient, rng=draw)
    }
    made = pool_utility(
        [read_counts("a", grade_model(Answers(), split, TERMS, False), TERMS)], 0.95, rng()
    )
    assert {str(e.metric) for e in made} == {"auroc", "auprc", "brier", "calibration_intercept"}
    for e in made:
        value = exact[str(e.metric)]
        assert e.low is not None
        assert e.high is not None
        assert value is not None
        assert e.low <= value <= e.high
    assert abs((named(made, "auroc").value or 0) - (exact["auroc"] or 0)) < 0.01
    assert len(pool_utility_groups(federation["clean"], 0.95)) == 4


def test_attempts_are_pooled(federation: dict[str, list[Counts]]) -> None:
    found = pool_columns(federation["clean"], 0.95)
    over = named(found, "attack_minus_guess@sex")
    assert over.low is not None
    assert over.high is not None
    assert over.low < 0 < over.high
    assert pool_inversion(federation["clean"], 0.95) is None


@pytest.mark.parametrize(("planted", "detected"), [(600, True), (0, False)])
def test_rows_rebuilt_are_counted_of_rows_tried(planted: int, detected: bool) -> None:
    sizes = {"members": (1000, 1000), "nonmembers": (1000, 1000)}
    from pipelines.deploy.graded import Attempts

    ladder = find_blocks([planted, 1000], 1000)
    blank = find_blocks([0, 1000], 1000)
    one = Counts("a", sizes=sizes, inversion=Attempts(ladder, blank, "members"))
    found = pool_inversion([one, replace(one, hospital="b")], 0.95)
    assert found is not None
    rate = next(e for e in found.estimates if e.metric.name == "attack_rate")
    over = next(e for e in found.estimates if e.metric.name == "attack_minus_control")
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low <= planted / 1000 <= rate.high
    assert ((over.low or 0.0) > 0) is detected
    each = [[e.metric.name for e in group.estimates] for group in found.groups]
    assert each == [["attack_rate", "control_rate"]] * 2


# --- coverage: intervals against the truth, by distribution


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_intervals_cover_the_truth(shift: float) -> None:
    """Scores of two normal distributions: the AUC is known. 60 draws of three hospitals of unlike
    sizes: at 95 % three or so may miss, and blocks only widen."""
    from scipy.special import ndtr

    draw = np.random.default_rng(20 + int(10 * shift))
    truth, missed = float(ndtr(shift / np.sqrt(2))), 0
    for _ in range(60):
        games = []
        for size in (40, 150, 400):
            known = np.quantile(draw.standard_normal(60), LEVELS)
            above = [
                (draw.normal(mean, 1, size)[:, None] > known).sum(axis=0) for mean in (shift, 0.0)
            ]
            first, second = (find_blocks(one, size) for one in above)
            games.append(Game(first, second, (size, size)))
        (auc,) = pool_control(games, 0.95)
        assert auc.low is not None
        assert auc.high is not None
        missed += not auc.low <= truth <= auc.high
    assert missed <= 3


def test_extreme_placings_are_the_extremes() -> None:
    """No placing that the blocks allow has a smaller or a larger AUC: drawn at random."""
    from privaudit.stats.auc import auc

    draw = np.random.default_rng(3)
    at = (0.2, 0.4, 0.6, 0.8)
    for _ in range(20):
        size = int(draw.integers(20, 60))
        counts = [np.sort(draw.integers(0, size + 1, 4))[::-1] for _ in range(2)]
        blocks = [find_blocks(one, size) for one in counts]
        least, most = (
            auc(
                place(blocks[0], size, at, side).places + half,
                place(blocks[1], size, at, other).places + 0.5 - half,
            )
            for side, other, half in (("least", "most", 0.0), ("most", "least", 0.5))
        )
        for _ in range(40):
            drawn = []
            for own in blocks:
                low, high = find_ranges(own, size)
                row = np.minimum.accumulate(draw.integers(low, high + 1))
                row = np.maximum(row, low)
                steps = np.r_[size, row, 0]
                drawn.append(
                    np.repeat(np.arange(5), steps[:-1] - steps[1:]) + draw.random(size) * 0.5
                )
            assert least <= auc(*drawn) + 1e-12
            assert auc(*drawn) <= most + 1e-12


def test_the_middle_placing_of_an_even_spread_is_even() -> None:
    size = 400
    blocks = find_blocks([round(size * (1 - at)) for at in LEVELS], size)
    middle = place(blocks, size, LEVELS, "middle").between
    assert abs(middle[:99] - 4).max() <= 1
    x = np.array([0.0, 0.25, 0.5, 1.0])
    line = straighten(x, np.array([8.0, 2, 1, 0]), np.array([8.0, 3, 9, 0]))
    assert np.allclose(line, [8, 3, 2, 0])


def test_holm() -> None:
    assert adjust([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# --- hostile counts

Change = Any


def forge(text: str, change: Change) -> str:
    made = json.loads(text)
    change(made)
    return json.dumps(made)


def _set(*path: Any) -> Change:
    *way, last, value = path

    def change(made: Any) -> None:
        for step in way:
            made = made[step]
        made[last] = value

    return change


LADDER = ("membership", "threshold", "members")


@pytest.mark.parametrize(
    "change",
    [
        _set("form", "privaudit counts/9"),
        _set("run", "another"),
        _set("terms", "0" * 64),
        _set("real", "yes"),
        _set("extra", 1),
        _set("withheld", {"utility": "a patient's name"}),
        _set("withheld", {"a patient's name": "refused"}),
        _set("sent", {"a patient's name": 1}),
        _set("sent", {"train": -1}),
        _set("pools", "members", "patients", -10),
        _set("pools", "members", "patients", 251),
        _set("pools", "members", "patients", 10**12),
        _set("pools", "members", "patients", True),
        _set("pools", "members", "records", 240),
        _set("pools", "members", "patients", 10),
        _set("pools", "reference", {"patients": 20, "records": 20}),
        _set(*LADDER, 3, -10),
        _set(*LADDER, 3, 7),
        _set(*LADDER, 3, 10.0),
        _set(*LADDER, 3, True),
        _set(*LADDER, 3, 260),
        _set(*LADDER, 50, 240),
        _set(*LADDER, [0]),
        _set("membership", "magic", {"members": [], "nonmembers": []}),
        _set("utility", "outcomes", 0, "patients", 2000),
        _set("utility", "outcomes", []),
        _set("membership", "threshold", "halves", "patients", 60),
        _set("membership", "threshold", "planted", {}),
        _set("attempts", "attribute", "columns", "sex", "members", [240, 10]),
        _set("attempts", "attribute", "columns", "sex", "guess", [0, 10]),
        _set("attempts", "attribute", "columns", {}),
        _set("attempts", "attribute", "columns", "sex", "control", [0, 0]),
        _set("attempts", "gradient_inversion", {"members": [0, 0], "control": [0, 0]}),
        _set("membership", {}),
        _set("withheld", {"gradient_inversion": "nothing_sent", "utility": "few_with_outcome"}),
        lambda made: made.pop("utility"),
        lambda made: made.pop("pools"),
        lambda made: made.pop("withheld"),
    ],
)
def test_counts_that_cannot_be_are_refused(change: Change) -> None:
    split = make_split(250, np.random.default_rng(4))
    text = grade_model(Answers(), split, TERMS, False)
    read_counts("a", text, TERMS)
    with pytest.raises(PrivauditError) as refused:
        read_counts("a", forge(text, change), TERMS)
    assert "patient's name" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "NaN", '{"form": NaN}', "[" * 100_000])
def test_what_is_no_statement_is_refused(text: str) -> None:
    with pytest.raises(PrivauditError):
        read_counts("a", text, TERMS)


def test_a_hospital_of_few_brings_no_number_and_no_fault() -> None:
    few = make_split(12, np.random.default_rng(5))
    one = read_counts("c", grade_model(Answers(), few, TERMS, False), TERMS)
    assert not one.counted
    assert pool_membership([one], "threshold", 0.95, rng()) is None
    assert pool_utility([one], 0.95, rng()) == ()


def test_no_smaller_leak_is_called_detectable_than_the_blocks_show() -> None:
    """A hospital of four whose members all score highest, at a false positive rate of 1 %: the
    blocks leave room for nine others above each, which is more than that rate allows."""
    for n, told in ((300, False), (3000, True)):
        draw = np.random.default_rng(6)
        counts: list[Counts] = []
        for leaks in (True, False, False, False):
            known = np.quantile(draw.normal(size=300), LEVELS)
            pools = draw.normal(size=n) + 9 * leaks, draw.normal(size=n)
            first, second = (count_above(pool, known) for pool in pools)
            sizes = {"members": (n, n), "nonmembers": (n, n)}
            games = {"threshold": Game(first, second, (n, n))}
            counts.append(Counts(str(len(counts)), sizes=sizes, membership=games))
        found = pool_membership(counts, "threshold", 0.95, rng())
        assert found is not None
        at = {(e.metric.name, e.metric.fpr): e for e in found.estimates}
        rate, least = at["tpr", 0.01], at["detectable_tpr", 0.01]
        assert ((rate.low or 0.0) > 0.01) is told
        assert ((least.value or 0.0) < 0.25) is told
