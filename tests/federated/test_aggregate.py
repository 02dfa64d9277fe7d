"""What every aggregate must keep, and what the gate lets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.federated.aggregate import (
    Aggregate,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    NearestNeighbourMixing,
    TrimmedMean,
)
from pipelines.federated.gate import LARGEST, admit, usual_count, usual_norm
from privaudit.errors import PrivauditError

F = 2
ROBUST: tuple[Aggregate, ...] = (
    Median(),
    TrimmedMean(F),
    Krum(F),
    MultiKrum(F),
    GeometricMedian(),
    NearestNeighbourMixing(F),
    NearestNeighbourMixing(F, Krum(F)),
    NearestNeighbourMixing(F, Median()),
    NearestNeighbourMixing(F, GeometricMedian()),
)
ALL = (Mean(), *ROBUST)

QUICK = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
clients = st.integers(2 * F + 3, 14)
sizes = st.integers(1, 40)


def drawn(seed: int, c: int, p: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(c, p)), rng.integers(1, 900, c).astype(float)


@pytest.mark.parametrize("aggregate", ALL, ids=repr)
@given(seed=seeds, c=clients, p=sizes, power=st.integers(-6, 6))
@QUICK
def test_the_order_of_clients_does_not_matter(
    aggregate: Aggregate, seed: int, c: int, p: int, power: int
) -> None:
    x, counts = drawn(seed, c, p, 10.0**power)
    order = np.random.default_rng(seed + 1).permutation(c)
    one = aggregate.combine(x, counts)
    two = aggregate.combine(x[order], counts[order])
    assert one.dtype == np.float64
    assert one.shape == (p,)
    assert np.allclose(one, two, rtol=1e-6, atol=1e-7 * 10.0**power)


@pytest.mark.parametrize("aggregate", ALL, ids=repr)
@given(seed=seeds, c=clients, p=sizes, shift=st.floats(-1e4, 1e4))
@QUICK
def test_moving_every_update_moves_the_aggregate(
    aggregate: Aggregate, seed: int, c: int, p: int, shift: float
) -> None:
    x, counts = drawn(seed, c, p)
    move = shift * np.random.default_rng(seed + 2).normal(size=p)
    one = aggregate.combine(x, counts) + move
    two = aggregate.combine(x + move, counts)
    assert np.allclose(one, two, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("aggregate", ROBUST, ids=repr)
@given(
    seed=seeds,
    c=clients,
    p=sizes,
    power=st.floats(-3, 38),
    f=st.integers(1, F),
    together=st.booleans(),
)
@QUICK
def test_f_outliers_of_any_size_move_it_no_further_than_the_honest_lie_apart(
    aggregate: Aggregate, seed: int, c: int, p: int, power: float, f: int, together: bool
) -> None:
    rng = np.random.default_rng(seed)
    x, counts = drawn(seed, c, p)
    honest = x[f:]
    apart = np.linalg.norm(honest - honest.mean(axis=0), axis=1).max()
    x[:f] = 10.0**power * (rng.normal(size=p) if together else rng.normal(size=(f, p)))
    counts[:f] = 1e9
    found = aggregate.combine(x, counts)
    assert np.isfinite(found).all()
    # The loosest of the published robustness constants for f/c at most 2/7 is the geometric
    # median's,
    # 2 (c - f) / (c - 2f) = 10/3 of the farthest honest update, and mixing adds at most as much
    # again.
    assert np.linalg.norm(found - honest.mean(axis=0)) <= 7 * apart


@given(seed=seeds, c=clients, p=sizes)
@QUICK
def test_one_outlier_is_enough_to_carry_the_mean_away(seed: int, c: int, p: int) -> None:
    x, counts = drawn(seed, c, p)
    x[0] = 1e30
    assert np.linalg.norm(Mean().combine(x, counts)) > 1e20


@pytest.mark.parametrize("aggregate", ALL, ids=repr)
@given(seed=seeds, c=clients, p=sizes, power=st.integers(-30, 30))
@QUICK
def test_identical_updates_come_back(
    aggregate: Aggregate, seed: int, c: int, p: int, power: int
) -> None:
    one, counts = drawn(seed, 1, p, 10.0**power)
    x = np.repeat(one, c, axis=0)
    found = aggregate.combine(x, np.repeat(counts, c))
    assert np.allclose(found, one[0], rtol=1e-12, atol=0)
    zero = aggregate.combine(np.zeros((c, p)), np.repeat(counts, c))
    assert np.array_equal(zero, np.zeros(p))


@pytest.mark.parametrize("aggregate", ALL, ids=repr)
def test_float32_updates_are_combined_in_float64_and_left_alone(aggregate: Aggregate) -> None:
    x = drawn(1, 9, 5)[0].astype(np.float32)
    kept = x.copy()
    assert aggregate.combine(x, np.ones(9)).dtype == np.float64
    assert np.array_equal(x, kept)


def test_hand_checked_values() -> None:
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [100.0, -100.0]])
    n = np.array([1.0, 1.0, 1.0, 1.0, 4.0])
    assert np.allclose(Mean().combine(x, n), [402 / 8, -398 / 8])
    assert np.allclose(Median().combine(x, n), [1, 0])
    assert np.allclose(TrimmedMean(1).combine(x, n), [2 / 3, 1 / 3])
    square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    assert np.allclose(GeometricMedian().combine(square, n), [0.5, 0.5], atol=1e-6)
    line = np.array([[0.0], [1.0], [1.9], [3.0], [50.0]])
    # Two nearest of each: 1 + 3.61, 1 + 0.81, 0.81 + 1.21, 1.21 + 4, far.
    assert Krum(1).combine(line, n) == pytest.approx(1.0)
    assert MultiKrum(1).combine(line, n) == pytest.approx(5.9 / 4)
    mixed = np.array([5.9 / 4] * 4 + [(1 + 1.9 + 3 + 50) / 4])
    assert NearestNeighbourMixing(1).combine(line, n) == pytest.approx(np.sort(mixed)[1:-1].mean())


@given(seed=seeds, c=st.integers(3, 14), p=sizes)
@QUICK
def test_the_geometric_median_has_the_least_sum_of_distances(seed: int, c: int, p: int) -> None:
    x, counts = drawn(seed, c, p)

    def cost(z: np.ndarray) -> float:
        return float(np.linalg.norm(x - z, axis=1).sum())

    found = GeometricMedian().combine(x, counts)
    nudges = np.random.default_rng(seed).normal(size=(20, p)) * 0.05
    assert all(cost(found) <= cost(found + nudge) + 1e-3 * cost(found) for nudge in nudges)


@pytest.mark.parametrize(
    ("aggregate", "few", "enough"),
    [
        (Mean(), 0, 1),
        (Median(), 2, 3),
        (GeometricMedian(), 2, 3),
        (TrimmedMean(3), 6, 7),
        (Krum(3), 8, 9),
        (MultiKrum(3), 8, 9),
        (NearestNeighbourMixing(3), 6, 7),
        (NearestNeighbourMixing(2, Krum(2)), 6, 7),
        (NearestNeighbourMixing(0, Krum(1)), 4, 5),
    ],
    ids=repr,
)
def test_too_few_clients_are_refused_by_number(aggregate: Aggregate, few: int, enough: int) -> None:
    aggregate.check(enough)
    with pytest.raises(PrivauditError, match=f"over {few} client.*\n.*at least {enough} clients"):
        aggregate.check(few)
    assert eval(repr(aggregate)) == aggregate


def test_a_negative_number_of_malicious_clients_is_refused() -> None:
    with pytest.raises(PrivauditError, match="0 or more"):
        Krum(-1).check(10)
    with pytest.raises(PrivauditError, match="at least 9"):
        Krum(3).combine(np.zeros((8, 2)), np.ones(8))


def test_a_refused_client_is_one_of_those_allowed_for() -> None:
    assert Krum(3).after(2) == Krum(1)
    assert TrimmedMean(1).after(4) == TrimmedMean(0)
    assert NearestNeighbourMixing(3, Krum(3)).after(1) == NearestNeighbourMixing(2, Krum(2))
    assert Median().after(1) == Median()
    for f in range(4):
        for refused in range(f + 1):
            for aggregate in (Krum(f), TrimmedMean(f), NearestNeighbourMixing(f)):
                aggregate.after(refused).check(aggregate.fewest - refused)


def test_only_the_mean_is_linear() -> None:
    assert [a for a in ALL if a.linear] == [Mean()]


anything = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.lists(st.floats(), max_size=6),
    st.lists(st.lists(st.floats(), max_size=3), max_size=3),
    st.lists(st.one_of(st.integers(), st.booleans(), st.complex_numbers()), max_size=5),
    st.floats(),
    st.builds(
        lambda n, v, t: np.full(n, v).astype(t),
        st.integers(0, 6),
        st.sampled_from([0.0, 1.0, -3e30, 1e200, np.nan, np.inf, -np.inf]),
        st.sampled_from(["f4", "f8"]),
    ),
)


@pytest.mark.filterwarnings("ignore:overflow")
@given(
    sent=st.lists(anything, min_size=1, max_size=6),
    claimed=st.one_of(st.integers(), st.floats(), st.none(), st.text(max_size=2)),
    bound=st.one_of(st.none(), st.floats(1e-6, 1e6)),
    cap=st.integers(1, 1000),
)
@settings(max_examples=300, deadline=None)
def test_nothing_gets_round_the_gate(sent: list, claimed: object, bound: float, cap: int) -> None:
    found = admit(sent, [claimed] * len(sent), size=4, bound=bound, cap=cap)
    assert found.updates.shape == (len(found.clients), 4)
    assert found.updates.dtype == np.float64
    assert np.isfinite(found.updates).all()
    assert (np.abs(found.updates) <= LARGEST).all()
    if bound is not None:
        assert (np.linalg.norm(found.updates, axis=1) <= bound * (1 + 1e-12)).all()
    assert ((found.counts >= 1) & (found.counts <= cap)).all()
    assert sorted([*found.clients, *(client for client, _ in found.refused)]) == list(
        range(len(sent))
    )
    assert all(reason for _, reason in found.refused)


def test_each_refusal_has_its_reason() -> None:
    good = np.array([3.0, 4.0])
    sent = [good, good[:1], [np.nan, 0], [np.inf, 0], [1e39, 0], "ab", [1j, 0], good, good, good]
    claims = [10, 10, 10, 10, 10, 10, 10, 0, float("nan"), 10**9]
    found = admit(sent, claims, size=2, bound=2.5, cap=50)
    assert found.clients.tolist() == [0, 9]
    assert np.allclose(found.updates, [[1.5, 2.0]] * 2)
    assert found.counts.tolist() == [10, 10]
    assert found.clipped == (0, 9)
    assert found.capped == (9,)
    reasons = dict(found.refused)
    assert "shape (1,) where (2,)" in reasons[1]
    assert "not finite" in reasons[2]
    assert "not finite" in reasons[3]
    assert "float32" in reasons[4]
    assert "not real numbers" in reasons[5]
    assert "complex" in reasons[6]
    assert "below 1" in reasons[7]
    assert "below 1" in reasons[8]
    good[0] = -1
    assert found.updates[0, 0] == 1.5


def test_a_round_in_which_all_are_refused_is_empty() -> None:
    found = admit([[np.nan]], [1], size=1, bound=None, cap=5)
    assert found.updates.shape == (0, 1)
    assert len(found.counts) == 0


@pytest.mark.parametrize(
    ("bound", "cap"), [(0.0, 5), (-1.0, 5), (np.nan, 5), (np.inf, 5), (1.0, 0)]
)
def test_a_gate_that_bounds_nothing_is_refused(bound: float, cap: int) -> None:
    with pytest.raises(PrivauditError):
        admit([[1.0]], [1], size=1, bound=bound, cap=cap)


def test_the_usual_norm_is_the_honest_majority_s() -> None:
    honest = [np.array([3.0, 4.0])] * 3
    assert usual_norm([*honest, np.array([1e30, 0]), [np.nan, 0], "x"], 2) == 5.0
    assert usual_norm([[np.nan, 0]], 2) is None
    assert usual_norm([[0.0, 0.0]], 2) is None


def test_the_usual_count_is_the_honest_majority_s() -> None:
    assert usual_count([40, 50, 60, 1e9, float("nan")]) == 55
    assert usual_count([40, 50, float("inf")]) == 50
    assert usual_count([float("inf"), float("inf")]) == 2**62
    assert usual_count([0, None]) == 1


def test_a_count_beyond_belief_gives_no_more_weight_than_the_usual_one() -> None:
    found = admit([[1.0]] * 5, [40, 50, 60, 300, 10**9], size=1, bound=None, cap=250)
    assert found.counts.tolist() == [40, 50, 60, 50, 50]
    assert found.capped == (3, 4)


@given(seed=seeds, c=clients, p=sizes, f=st.integers(0, F))
@QUICK
def test_they_agree_with_the_papers_written_out_slowly(seed: int, c: int, p: int, f: int) -> None:
    x, counts = drawn(seed, c, p)
    apart = [[float(((a - b) ** 2).sum()) for b in x] for a in x]
    scores = [sum(sorted(row)[1 : c - f - 1]) for row in apart]
    ranked = sorted(range(c), key=lambda i: scores[i])
    assert np.allclose(Krum(f).combine(x, counts), x[ranked[0]])
    best = np.mean([x[i] for i in ranked[: c - f]], axis=0)
    assert np.allclose(MultiKrum(f).combine(x, counts), best)
    mixed = np.array(
        [
            np.mean([x[j] for j in sorted(range(c), key=lambda j: row[j])[: c - f]], 0)
            for row in apart
        ]
    )
    trimmed = np.array([np.mean(sorted(column)[f : c - f]) for column in mixed.T])
    assert np.allclose(NearestNeighbourMixing(f).combine(x, counts), trimmed)
    middle = np.array([np.median(column) for column in x.T])
    assert np.allclose(Median().combine(x, counts), middle)
    weighted = sum(n * row for n, row in zip(counts, x, strict=True)) / counts.sum()
    assert np.allclose(Mean().combine(x, counts), weighted)
