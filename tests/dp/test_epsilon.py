"""Empirical epsilon: exact against slow references, never above the truth beyond its level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode
from privaudit.stats import epsilon_bounds as bounds
from privaudit.stats.epsilon import play, weigh

DELTA = 1e-5


def slow_p(m: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Theorem 5.2 of arXiv 2305.08846, term by term."""
    q = 1 / (1 + np.exp(-epsilon))
    beta = binom.sf(right - 1, guesses, q)
    alpha = max(
        (binom.cdf(right - 1, guesses, q) - binom.cdf(right - 1 - i, guesses, q)) / i
        for i in range(1, m + 1)
    )
    return min(1.0, beta + 2 * m * delta * alpha)


def slow_tradeoff(m, guesses, right, delta, level, family) -> float:
    """Algorithm 3 of arXiv 2410.22235 with abstentions, one candidate and one step at a time."""

    def rejected(size: float) -> bool:
        def least(x: float) -> float:
            if family == "gaussian":
                return norm.cdf(norm.ppf(x) - size)
            return max(0.0, 1 - delta - np.exp(size) * (1 - x), np.exp(-size) * (x - delta))

        r, h = level * right / m, level * (guesses - right) / m
        for i in range(right - 1, -1, -1):
            larger = max(h, least(r))
            r, h = min(1.0, r + i / (guesses - i) * (larger - h)), larger
        return r + h > guesses / m

    low, high = 0.0, 16.0
    if not rejected(low):
        return 0.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low if family == "approximate" else bounds.epsilon_of(low, delta)


@pytest.mark.parametrize(
    ("m", "guesses", "right"), [(60, 60, 45), (200, 50, 48), (30, 3, 3), (80, 80, 80)]
)
def test_p_values_equal_the_theorem_term_by_term(m: int, guesses: int, right: int) -> None:
    for epsilon in (0.0, 0.7, 3.0):
        for delta in (0.0, DELTA, 1e-3):
            ours = bounds.binomial_p(m, guesses, right, epsilon, delta)
            assert ours == pytest.approx(slow_p(m, guesses, right, epsilon, delta), rel=1e-9)


@pytest.mark.parametrize("family", ["approximate", "gaussian"])
def test_tradeoff_bounds_equal_a_slow_reference_to_three_decimals(family: str) -> None:
    cases = [(150, 150, 105), (400, 40, 39), (400, 20, 20), (120, 60, 31), (90, 3, 2), (60, 10, 0)]
    for m in sorted({case[0] for case in cases}):
        some = [case for case in cases if case[0] == m]
        guesses, right = np.array([c[1] for c in some]), np.array([c[2] for c in some])
        ours = bounds.tradeoff(m, guesses, right, DELTA, 0.05, family)
        slow = [slow_tradeoff(*case, DELTA, 0.05, family) for case in some]
        assert np.allclose(ours, slow, atol=5e-4), (ours, slow)


def test_bounds_known_from_the_literature() -> None:
    """Clopper and Pearson where delta is 0; and the closed form of Gaussian privacy."""
    (found,) = bounds.binomial(100, np.array([100]), np.array([100]), 0.0, 0.05)
    assert found == pytest.approx(np.log(0.05**0.01 / (1 - 0.05**0.01)), abs=1e-4)
    assert bounds.gaussian_delta(bounds.epsilon_of(1.5, DELTA), 1.5) == pytest.approx(DELTA)
    assert bounds.epsilon_of(0.0, DELTA) == 0.0


@pytest.mark.parametrize("kind", ["binomial", "tradeoff"])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 3.0])
def test_randomised_response_is_exactly_within_its_level(kind: str, epsilon: float) -> None:
    """No simulation: the chance of every outcome at which the bound would be above the truth."""
    level, q = 0.05, 1 / (1 + np.exp(-epsilon))
    for m, guesses in ((300, 300), (1250, 1250), (1250, 40)):
        right = np.arange(guesses // 2, guesses + 1)
        made = np.full(len(right), guesses)
        found = getattr(bounds, kind)(m, made, right, DELTA, level)
        assert (np.diff(found) >= -1e-4).all(), "more right guesses cannot prove less"
        above = right[found > epsilon + 1e-6]
        alarm = binom.sf(above.min() - 1, guesses, q) if len(above) else 0.0
        assert alarm <= level
        if guesses == m and epsilon < 3.0:
            assert alarm > level / 5, "a bound this cautious would prove nothing"


def respond(m: int, epsilon: float, rng: np.random.Generator):
    """Randomised response of m coins as evidence, with the patients."""
    coin = rng.random(m) < 0.5
    said = np.where(rng.random(m) < 1 / (1 + np.exp(-epsilon)), coin, ~coin).astype(float)
    # A little noise of its own: the best of all thresholds then differs from the first.
    said += rng.normal(0, 0.3, m)
    ids = np.arange(m)
    return Scores(said[coin], said[~coin], randomised=True), (ids[coin], ids[~coin])


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_false_alarms_over_all_thresholds_stay_below_5_percent(epsilon: float) -> None:
    above = uncorrected = 0
    for k in range(100):
        rng = np.random.default_rng([k, 3])
        evidence, patients = respond(250, epsilon, rng)
        found = stats.lower_bounds(evidence, patients=patients, rng=rng)
        above += any(e.value > epsilon for e in found)
        order, tests = rng.permutation(250), weigh(250, "approximate")
        guesses, right = play(evidence.members, evidence.nonmembers, order, tests)
        each = bounds.binomial(250, guesses, right, DELTA, 0.05)
        uncorrected += each.max() > epsilon
    assert above / 100 <= 0.05
    if epsilon == 0.0:
        assert uncorrected / 100 > 0.10, "without the correction the same thresholds cry wolf"


def gaussian_sum(m: int, sigma: float, rng: np.random.Generator):
    """One noisy sum in which every patient has a coordinate of their own: the worst case."""
    coin = rng.random(m) < 0.5
    seen = coin + rng.normal(0, sigma, m)
    ids = np.arange(m)
    return Scores(seen[coin], seen[~coin], randomised=True), (ids[coin], ids[~coin])


def test_a_planted_broken_mechanism_is_caught_and_a_correct_one_never() -> None:
    """Noise 10 times too small at a promise of epsilon 3; 12 runs each, both bounds and
    families."""
    claimed = 3.0
    mu = 0.0
    while bounds.epsilon_of(mu + 0.001, DELTA) <= claimed:
        mu += 0.001
    caught = alarms = 0
    tight = []
    for k in range(12):
        for broken in (False, True):
            rng = np.random.default_rng([k, broken])
            sigma = (0.1 if broken else 1.0) / mu
            evidence, patients = gaussian_sum(400, sigma, rng)
            found = [
                *stats.lower_bounds(evidence, patients=patients, rng=rng),
                *stats.lower_bounds(evidence, patients=patients, rng=rng, family="gaussian")[1:],
            ]
            values = [e.value for e in found]
            if broken:
                caught += min(values) > claimed
            else:
                alarms += max(values) > claimed
                tight.append(values)
    assert caught == 12
    assert alarms == 0
    _, general, gaussian = np.mean(tight, axis=0)
    assert gaussian > 1.25 * general, "the right curve proves more"


def noisy_sum(m: int, mu: float, rng: np.random.Generator):
    return gaussian_sum(m, 1 / mu, rng)


@pytest.mark.parametrize(
    ("m", "repeats", "reached"),
    [(1_000, 30, 5.40), pytest.param(10_000, 20, 5.77, marks=pytest.mark.slow)],
)
def test_gaussian_canaries_prove_what_a_peer_proves_and_never_too_much(
    m: int, repeats: int, reached: float
) -> None:
    """mu = 2, whose epsilon is 10.0: the published one-sided bound over all thresholds reads less.

    `benchmarks/one_run.py` prints both in full.
    """
    truth = bounds.epsilon_of(2.0, DELTA)
    proved = []
    for k in range(repeats):
        rng = np.random.default_rng([k, m])
        evidence, patients = noisy_sum(m, 2.0, rng)
        (found,) = stats.lower_bounds(
            evidence,
            patients=patients,
            rng=rng,
            family="gaussian",
            names={"epsilon_lower_bound_fdp"},
        )
        proved.append(found.value)
    assert np.median(proved) >= reached
    assert np.mean(np.array(proved) > truth) <= 0.05


def all_at_once(m: int, mu: float, chance: float, cut: float, rng: np.random.Generator):
    """Canaries that act on each other as badly as a training may: all scores are noise, except in a
    run in `chance`, where members' are N(mu, 1) and all are cut off where they tell too much."""
    coin = rng.random(m) < 0.5
    seen = rng.normal(0, 1, m)
    if rng.random() < chance:
        seen = np.clip(seen + mu * coin, mu - cut, cut) + rng.uniform(0, 1e-6, m)
    ids = np.arange(m)
    return Scores(seen[coin], seen[~coin], randomised=True), (ids[coin], ids[~coin])


def test_canaries_that_leak_together_do_not_break_the_bound() -> None:
    """In the rare run each canary tells as much as at mu = 2; over all runs it is private for less,
    and a test that takes canaries for independent is wrong whenever the rare run happens."""
    chance, mu, cut, runs = 0.2, 2.0, 2.5, 80
    grid = np.linspace(mu - cut, cut, 400)
    # Of one canary, seen over all runs, the two error rates of every threshold; both tails alike.
    true_mu = float(
        (norm.isf(chance * norm.sf(grid)) - norm.isf(chance * norm.sf(grid - mu))).max()
    )
    assert true_mu < 0.75 * mu
    above = naive = 0
    for k in range(runs):
        rng = np.random.default_rng([k, 8])
        evidence, patients = all_at_once(400, mu, chance, cut, rng)
        (found,) = stats.lower_bounds(
            evidence,
            patients=patients,
            rng=rng,
            family="gaussian",
            names={"epsilon_lower_bound_fdp"},
        )
        above += found.value > bounds.epsilon_of(true_mu, DELTA)
        missed, alarms = (evidence.members < 1.0).sum(), (evidence.nonmembers >= 1.0).sum()
        most = [
            beta.ppf(0.975, count + 1, len(side) - count)
            for count, side in ((missed, evidence.members), (alarms, evidence.nonmembers))
        ]
        naive += norm.isf(most).sum() > true_mu
    assert above / runs <= 0.05
    assert naive / runs > 0.10


def test_the_main_test_is_chosen_before_any_score_and_levels_add_up() -> None:
    for m in (20, 57, 250, 1_000, 10_000):
        for family in ("approximate", "gaussian", "curve"):
            weights = weigh(m, family)
            assert sum(weights.values()) == pytest.approx(1.0)
            assert all(0 < top + bottom <= m for top, bottom in weights)
        assert max(weights.values()) == pytest.approx(0.8)
        assert sum(share > 0.5 for share in weights.values()) == 1


def test_a_bound_is_restated_at_the_level_that_its_test_had() -> None:
    """A Gaussian bound's main test has 80 % of the level, another one 2 % of it."""
    from privaudit.stats.onesided import restated

    rng = np.random.default_rng(5)
    evidence, patients = noisy_sum(1_000, 2.0, rng)
    asked = {"patients": patients, "family": "gaussian", "names": {"epsilon_lower_bound_fdp"}}
    made = {
        confidence: stats.lower_bounds(
            evidence, rng=np.random.default_rng(0), confidence=confidence, **asked
        )[0]
        for confidence in (0.95, 0.99)
    }
    assert restated(made[0.95], 0.01) == pytest.approx(made[0.99].value, abs=1e-3)
    assert restated(made[0.95], 0.05) == made[0.95].value


def test_stays_of_one_patient_are_one_coin() -> None:
    """Ten copies of every stay prove no more than one."""
    rng = np.random.default_rng(4)
    evidence, (inside, outside) = respond(200, 2.0, rng)
    once = stats.lower_bounds(evidence, patients=(inside, outside), rng=np.random.default_rng(0))
    many = Scores(
        np.repeat(evidence.members, 10), np.repeat(evidence.nonmembers, 10), randomised=True
    )
    ids = (np.repeat(inside, 10), np.repeat(outside, 10))
    copied = stats.lower_bounds(many, patients=ids, rng=np.random.default_rng(0))
    assert [e.value for e in once] == pytest.approx([e.value for e in copied])
    assert copied[0].n["members"] == 10 * copied[0].n["member_patients"]


def test_ties_and_the_order_of_records_give_nothing_away() -> None:
    ids = np.arange(300)
    flat = Scores(np.zeros(150), np.zeros(150), randomised=True)
    above = sum(
        stats.lower_bounds(flat, patients=(ids[:150], ids[150:]), rng=np.random.default_rng(k))[
            0
        ].value
        > 0
        for k in range(40)
    )
    assert above <= 4


def test_estimates_adds_the_bounds_where_a_coin_decided_and_only_there() -> None:
    rng = np.random.default_rng(1)
    evidence, patients = respond(300, 3.0, rng)
    found = {
        str(e.metric): e for e in stats.estimates(evidence, patients=patients, rng=rng, delta=1e-6)
    }
    plain = Scores(evidence.members, evidence.nonmembers)
    without = {str(e.metric) for e in stats.estimates(plain, patients=patients, rng=rng)}
    assert set(found) - without == {"epsilon_lower_bound", "epsilon_lower_bound_fdp"}
    for name in set(found) - without:
        e = found[name]
        assert 0.5 < e.value <= 3.0
        assert (e.low, e.high, e.chance) == (e.value, None, 0.0)
        assert e.bound is not None
        assert (e.bound.delta, e.bound.assigned, e.bound.tried) == (1e-6, 300, 10)
        assert e.bound.made >= e.bound.right > 0
    (only,) = stats.estimates(
        evidence, patients=patients, rng=rng, names={"epsilon_lower_bound_fdp"}
    )
    assert str(only.metric) == "epsilon_lower_bound_fdp"


def test_what_cannot_be_proved_is_refused() -> None:
    rng = np.random.default_rng(1)
    ids = np.arange(1000)
    few = Scores(np.ones(5), np.zeros(5), randomised=True)
    for e in stats.lower_bounds(few, patients=(ids[:5], ids[5:10]), rng=rng):
        assert e.refusal == Reason(ReasonCode.TOO_FEW_ASSIGNMENTS, {"more": 10, "have": 10})
    lopsided = Scores(np.ones(800), np.zeros(200), randomised=True)
    for e in stats.lower_bounds(lopsided, patients=(ids[:800], ids[800:]), rng=rng):
        assert e.value is None
        assert e.refusal is not None
        assert e.refusal.params == {"members": 800, "patients": 1000}
    good, patients = respond(100, 1.0, rng)
    for wrong in ({"delta": -0.1}, {"delta": 1.0}, {"confidence": 1.0}, {"family": "laplace"}):
        with pytest.raises(PrivauditError):
            stats.lower_bounds(good, patients=patients, rng=rng, **wrong)
    with pytest.raises(PrivauditError, match="delta=0"):
        stats.lower_bounds(good, patients=patients, rng=rng, delta=0.0, family="gaussian")
