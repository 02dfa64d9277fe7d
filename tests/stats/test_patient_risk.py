"""Each patient's own risk: who is named, how many are at risk, and when nothing may be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from privaudit.contracts import Pairs, Scores
from privaudit.disclosure.named import find_few_named, hide_few_named
from privaudit.engine import measure
from privaudit.facts import Metric, ReasonCode
from privaudit.results import Estimate, GroupResult
from privaudit.stats import over_represented, patients_at_risk, risk_curve
from privaudit.stats.pair_wins import Wins, false_discovery, pairs_needed, share_beyond
from privaudit.stats.patient_risk import list_patients

NAMES = ("patients_at_risk", "patients_named_beyond", "patients_named", "members_named")


def pairs_of(
    chance: np.ndarray, pairs: int, rng: np.random.Generator, *, shared: float = 0.0, ways: int = 1
) -> Pairs:
    """Pairs in which each patient is told apart with their own chance; shared: how much that chance
    varies from pair to pair, for all patients together."""
    n = len(chance)
    first = np.array([rng.permutation(np.arange(n) % 2 == 0) for _ in range(pairs)])
    swing = rng.choice([-shared, shared], size=(pairs, 1))
    won = rng.random((pairs, n)) < np.clip(chance + swing * (chance > 0.5), 0.0, 1.0)
    moved = np.where(won == first, 1.0, -1.0) * rng.exponential(size=(pairs, n))
    found = np.array([moved] + [rng.normal(size=(pairs, n)) for _ in range(ways - 1)])
    return Pairs(np.arange(n), first, found, rng.random(found.shape) < 0.5)


def evidence(pairs: Pairs, rng: np.random.Generator, lift: float = 0.0) -> Scores:
    """Scores of a released model whose members are the even patients; lift: of every fourth."""
    n = len(pairs.patients)
    scores = rng.normal(size=n)
    scores[::4] += lift
    return Scores(scores[0::2], scores[1::2], pairs=pairs)


def people(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(0, n, 2), np.arange(1, n, 2)


def numbers(given: Scores, seed: int = 0) -> dict[str, Estimate]:
    n = len(given.members) + len(given.nonmembers)
    rng = np.random.default_rng(seed)
    found = patients_at_risk(given, patients=people(n), confidence=0.95, rng=rng)
    assert tuple(e.metric.name for e in found) == NAMES
    return {e.metric.name: e for e in found}


def code(e: Estimate) -> ReasonCode | None:
    return None if e.refusal is None else e.refusal.code


def test_p_values_are_the_exact_ones_of_the_worst_patient_within_the_limit() -> None:
    for limit in (0.5, 0.75):
        wins = Wins(np.array([[12, 3, 9, 6]]), 12)
        for place, apart in enumerate((12, 9, 9, 6)):
            worst = max(
                sum(binom.pmf(k, 12, at) for k in range(13) if max(k, 12 - k) >= apart)
                for at in np.linspace(1 - limit, limit, 101)
            )
            assert wins.p_values(limit)[place] == pytest.approx(worst, rel=1e-9)


def test_p_values_of_several_ways_pay_for_each() -> None:
    one = Wins(np.array([[12]]), 12).p_values(0.5)[0]
    assert Wins(np.array([[12], [6]]), 12).p_values(0.5)[0] == pytest.approx(2 * one)


def test_nobody_is_named_without_a_leak_in_19_of_20_audits() -> None:
    rng = np.random.default_rng(1)
    named, bad = 0, 0
    for _ in range(300):
        wins = Wins.of(
            *(lambda p: (p.moved, p.first, p.coins))(pairs_of(np.full(150, 0.5), 12, rng))
        )
        named += bool((false_discovery(wins.p_values(0.5)) <= 0.05).any())
        bad += share_beyond(wins, 0.75, 0.95)[1] > 0.0 if _ < 40 else 0
    assert named <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5
    assert bad <= 4


def test_those_at_risk_are_named_with_few_others() -> None:
    rng = np.random.default_rng(2)
    chance = np.where(np.arange(1000) < 100, 0.97, 0.5)
    wrong, missed = [], []
    for _ in range(30):
        pairs = pairs_of(chance, 32, rng)
        wins = Wins.of(pairs.moved, pairs.first, pairs.coins)
        for limit, least in ((0.5, 0.95), (0.75, 0.6)):
            found = false_discovery(wins.p_values(limit)) <= 0.05
            wrong.append(found[100:].sum() / max(1, found.sum()))
            missed.append(found[:100].mean() >= least)
    assert np.mean(wrong) <= 0.05
    assert np.mean(missed) >= 0.9


@pytest.mark.parametrize(
    ("share", "at", "rest", "shared"),
    [(0.0, 0.9, 0.5, 0.0), (0.1, 0.95, 0.5, 0.0), (0.2, 0.76, 0.74, 0.0), (0.1, 0.85, 0.6, 0.1)],
)
def test_bounds_of_the_share_at_risk_hold(
    share: float, at: float, rest: float, shared: float
) -> None:
    rng = np.random.default_rng(3)
    n, audits = 600, 60
    chance = np.where(np.arange(n) < share * n, at, rest)
    low, high = 0, 0
    for _ in range(audits):
        pairs = pairs_of(chance, 16, rng, shared=shared)
        wins = Wins.of(pairs.moved, pairs.first, pairs.coins)
        value, least, most = share_beyond(wins, 0.75, 0.95)
        assert 0.0 <= least <= value <= most <= 1.0
        low, high = low + (least > share), high + (most < share)
    # Each side may err in 1 of 40.
    assert low <= 5
    assert high <= 5


def test_bounds_tell_a_leak_from_none() -> None:
    rng = np.random.default_rng(4)
    clean = pairs_of(np.full(3000, 0.5), 16, rng)
    leaking = pairs_of(np.where(np.arange(3000) < 300, 0.97, 0.5), 16, rng)
    bounds = [
        share_beyond(Wins.of(p.moved, p.first, p.coins), 0.75, 0.95)[1:] for p in (clean, leaking)
    ]
    assert bounds[0][0] == 0.0
    assert bounds[0][1] < 0.05
    assert bounds[1][0] > 0.05
    assert bounds[1][1] < 0.2


def test_a_model_less_sure_of_its_members_gives_them_away_too() -> None:
    rng = np.random.default_rng(5)
    pairs = pairs_of(np.where(np.arange(400) < 80, 0.02, 0.5), 32, rng)
    found = numbers(evidence(pairs, rng))
    assert found["patients_named"].value == pytest.approx(0.2, abs=0.03)
    assert found["patients_at_risk"].low is not None
    assert found["patients_at_risk"].low > 0.1


def test_equal_answers_are_coins() -> None:
    rng = np.random.default_rng(6)
    pairs = pairs_of(np.full(300, 0.9), 32, rng)
    pairs = replace(pairs, moved=np.zeros_like(pairs.moved))
    found = numbers(evidence(pairs, rng))
    assert found["patients_named"].value == 0.0
    assert found["patients_at_risk"].low == 0.0


@pytest.mark.parametrize("patients", [100, 600, 3000, 4000])
def test_refits_asked_for_are_enough_and_fewer_are_refused(patients: int) -> None:
    rng = np.random.default_rng(7)
    few = pairs_of(np.full(patients, 0.5), 4, rng)
    refusal = numbers(evidence(few, rng))["patients_at_risk"].refusal
    assert refusal is not None
    assert refusal.code is ReasonCode.TOO_FEW_REFITS
    assert refusal.params["refits"] == 8
    wanted = int(refusal.params["wanted"])  # type: ignore[arg-type]
    assert wanted % 8 == 0
    assert wanted <= 32
    enough = pairs_of(np.where(np.arange(patients) < 10, 1.0, 0.5), wanted // 2, rng)
    found = numbers(evidence(enough, rng))
    named = found["patients_named"].value
    assert named is not None
    assert round(named * patients) >= 10
    assert 2 * pairs_needed(3000, 0.5, 0.05, 10) <= 32
    assert 2 * pairs_needed(3000, 0.75, 0.05, 10) <= 64


def test_few_refits_leave_no_number_of_the_way_of_training() -> None:
    rng = np.random.default_rng(8)
    pairs = pairs_of(np.full(500, 0.5), 8, rng)
    found = numbers(evidence(pairs, rng))
    assert [found[name].value for name in NAMES[:3]] == [None] * 3
    assert found["members_named"].value is not None
    assert risk_curve(evidence(pairs, rng), confidence=0.95) is None


def test_between_the_two_numbers_of_refits_only_the_stricter_one_is_refused() -> None:
    rng = np.random.default_rng(9)
    found = numbers(evidence(pairs_of(np.full(1000, 0.5), 16, rng), rng))
    assert found["patients_named"].value == 0.0
    assert code(found["patients_named_beyond"]) is ReasonCode.TOO_FEW_REFITS


def test_shadows_that_are_no_pairs_say_nothing() -> None:
    rng = np.random.default_rng(10)
    pairs = pairs_of(np.full(300, 0.5), 16, rng)
    none = replace(pairs, first=pairs.first[:0], moved=pairs.moved[:, :0], coins=pairs.coins[:, :0])
    found = numbers(evidence(none, rng))
    assert {code(found[name]) for name in NAMES[:3]} == {ReasonCode.REFITS_NOT_PAIRED}


def test_halves_that_repeat_are_refused() -> None:
    """Under another pair's halves nobody may be named: where all pairs have the same, many are."""
    rng = np.random.default_rng(11)
    pairs = pairs_of(np.full(400, 0.5), 32, rng)
    side = np.where(pairs.first[0], 1.0, -1.0)
    same = replace(
        pairs, first=np.repeat(pairs.first[:1], 32, axis=0), moved=np.tile(side, (1, 32, 1))
    )
    found = numbers(evidence(same, rng))
    assert {code(found[name]) for name in NAMES[:3]} == {ReasonCode.NAMED_WITHOUT_LEAK}


def test_released_model_names_its_members_and_nobody_without_a_leak() -> None:
    rng = np.random.default_rng(12)
    pairs = pairs_of(np.full(800, 0.5), 2, rng)
    leaking = [numbers(evidence(pairs, rng, lift=8.0))["members_named"].value for _ in range(5)]
    assert min(v or 0.0 for v in leaking) > 0.45
    assert max(v or 0.0 for v in leaking) < 0.6
    clean = [numbers(evidence(pairs, rng))["members_named"].value for _ in range(100)]
    assert sum(v != 0.0 for v in clean) <= 12


def test_the_curve_falls_and_holds_no_point_of_few_patients() -> None:
    rng = np.random.default_rng(13)
    pairs = pairs_of(np.where(np.arange(500) < 60, 0.9, 0.5), 32, rng)
    curve = risk_curve(evidence(pairs, rng), confidence=0.95)
    assert curve is not None
    assert len(curve.x) > 3
    assert list(curve.y) == sorted(curve.y, reverse=True)
    assert min(curve.y) * 500 >= 10
    assert all(a <= y <= b for a, y, b in zip(curve.low, curve.y, curve.high, strict=True))


def test_a_group_with_more_of_those_named_is_told() -> None:
    rng = np.random.default_rng(14)
    chance = np.where(np.arange(800) % 8 == 0, 0.98, 0.5)
    given = evidence(pairs_of(chance, 32, rng), rng)
    level = np.where(np.arange(800) % 4 == 0, "old", "young")
    level[:6] = "rare"
    labels = {"age": (level[0::2], level[1::2])}
    made = over_represented(given, groups=labels, patients=people(800), confidence=0.95)
    by = {g.level: g for g in made}
    assert by["rare"].suppressed
    assert by["old"].p_adjusted is not None
    assert by["old"].p_adjusted < 0.001
    assert by["young"].p_adjusted == 1.0


def test_the_list_holds_everybody_and_survives_storage() -> None:
    rng = np.random.default_rng(15)
    given = evidence(pairs_of(np.where(np.arange(400) < 40, 1.0, 0.5), 32, rng, ways=2), rng)
    back = measure.evidence_of(measure.arrays(given))
    assert isinstance(back, Scores)
    columns = list_patients(back, people(400))
    assert {len(part) for part in columns.values()} == {400}
    assert set(columns["patient"][columns["adjusted"] <= 0.05]) >= set(range(40))
    assert np.array_equal(columns["in_training"], np.arange(400) % 2 == 0)
    assert numbers(back) == numbers(given)


def share(name: str, value: float, n: int = 1000) -> Estimate:
    whose = "member_patients" if name == "members_named" else "patients"
    return Estimate(Metric(name), value, 0.0, 1.0, 0.0, {whose: n})


@pytest.mark.parametrize(
    ("counts", "few"),
    [
        ({"patients_named": 5}, {"patients_named"}),
        ({"patients_named": 0}, set()),
        ({"patients_named": 40, "patients_named_beyond": 35}, {"patients_named_beyond"}),
        ({"patients_named": 40, "patients_named_beyond": 20}, set()),
        ({"patients_named": 995}, {"patients_named"}),
        ({"members_named": 3, "patients_named": 50}, {"members_named"}),
    ],
)
def test_a_count_of_few_named_is_not_shared(counts: dict[str, int], few: set[str]) -> None:
    found = find_few_named([share(name, count / 1000) for name, count in counts.items()])
    assert len(found) == len(few)
    assert found == few or "patients_named_beyond" in counts


def test_a_group_with_few_named_is_hidden_with_another() -> None:
    def group(level: str, count: int) -> GroupResult:
        return GroupResult("unit", level, (share("patients_named", count / 200, 200),), 0.5)

    shown = hide_few_named([group("a", 4), group("b", 30), group("c", 60)])
    assert [g.suppressed for g in shown] == [True, True, False]
    assert all(not g.estimates and g.p_adjusted is None for g in shown if g.suppressed)
    assert not any(g.suppressed for g in hide_few_named([group("a", 0), group("b", 30)]))


def test_named_in_groups_are_not_left_over_from_what_is_shown() -> None:
    """Neither a withheld total, as the sum of its groups, nor the few of groups hidden already."""

    def group(level: str, count: int, size: int = 200) -> GroupResult:
        known = share("patients_named_beyond", count / size, size)
        return GroupResult("unit", level, (known,), 0.5)

    made = (group("a", 15), group("b", 20))
    assert not any(g.suppressed for g in hide_few_named(made, made))
    assert all(g.suppressed for g in hide_few_named(made, made, {"patients_named_beyond"}))
    made = (group("a", 2), group("b", 3), group("c", 11), group("d", 40))
    shown = tuple(replace(g, estimates=(), suppressed=True) if g.level in "ab" else g for g in made)
    assert [g.suppressed for g in hide_few_named(shown, made)] == [True, True, True, False]
    # Of a level of fewer than 10 patients nobody counted who is named.
    tiny = (GroupResult("unit", "t", (), suppressed=True), *made[2:])
    assert [g.suppressed for g in hide_few_named(tiny, tiny)] == [True, True, False]
    nobody = (tiny[0], group("c", 0), group("d", 0))
    assert [g.suppressed for g in hide_few_named(nobody, nobody)] == [True, False, False]
