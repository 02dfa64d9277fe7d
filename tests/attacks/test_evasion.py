"""Evasion attacks on models whose weakness is known by arithmetic."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from privaudit.attacks import _constraints
from privaudit.attacks.evasion import _evasion, _gradient, _possible, _summaries
from privaudit.attacks.evasion.fgsm import Fgsm
from privaudit.attacks.evasion.pgd import Pgd
from privaudit.attacks.evasion.square import Square
from privaudit.contracts import Release, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Setting
from privaudit.records import Column, Records, Split

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
ATTACKS = [Fgsm(), Pgd(), Square()]
FREE = 6


@dataclass(frozen=True, eq=False)
class Linear:
    """Logistic regression on X, missing read as 0; gradients by hand."""

    weights: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        p = expit(np.nan_to_num(records.X.astype(float)) @ self.weights)
        return np.stack([1 - p, p], axis=1)

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        error = self.predict_proba(records)[:, 1] - records.y
        slopes = error[:, None] * self.weights * np.isfinite(records.X)
        return slopes, None if records.series is None else np.zeros(records.series.shape)

    def weight_gradient(self, records: Records) -> np.ndarray:
        raise NotImplementedError


def at(size: float) -> Setting:
    return Setting("budget", size, "sd")


def table(n: int = 1500, missing: float = 0.0, seed: int = 0) -> Records:
    """Six free columns of different units, an immutable one, a flag, a code and a count."""
    rng = np.random.default_rng(seed)
    units = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    x = np.concatenate([rng.normal(size=(n, FREE)) * units, rng.normal(size=(n, 4))], axis=1)
    x[:, 7:] = rng.integers(0, 2, size=(n, 3))
    y = (rng.random(n) < expit(x[:, :FREE] / units @ np.ones(FREE) - 1)).astype(int)
    x[:, :FREE][rng.random((n, FREE)) < missing] = np.nan
    columns = (
        *(Column(f"x{j}") for j in range(FREE)),
        Column("age", mutable=False),
        Column("flag", kind="binary"),
        Column("code", kind="category", levels=("a", "b")),
        Column("x_n", variable="x", statistic="count"),
    )
    return Records(columns, x, y, np.arange(n) // 2, np.zeros(n))


def linear() -> Linear:
    scale = np.array([1.0, 2.0, 5.0, 10.0, 0.1, 1.0])
    return Linear(np.concatenate([1 / scale, np.full(4, 0.7)]))


def target(records: Records, model: object) -> Target:
    return Target(Release(model=model), Split.assign(records, np.random.default_rng(1)))  # type: ignore[arg-type]


def test_fgsm_flips_exactly_what_theory_says() -> None:
    aim = target(table(), linear())
    field = _evasion.Field.of(aim, 300)
    weights = field.model.weights  # type: ignore[attr-defined]
    reach = np.abs(weights * field.spread).sum()
    odds = field.records.X.astype(float) @ weights
    limit = np.log(field.cut / (1 - field.cut))
    found = Fgsm().run(aim, (), np.random.default_rng(2))
    for budget in _evasion.BUDGETS:
        push = np.where(field.records.y == 1, -1, 1) * budget * reach
        expected = (odds + push > limit) != (field.records.y == 1)
        # Records within rounding of the limit may fall on either side.
        clear = np.abs(odds + push - limit) > 1e-4
        trials = found[at(budget)]
        assert clear.mean() > 0.99
        assert np.array_equal(trials.success[clear], expected[clear])
        assert np.array_equal(trials.guess, field.wrong)
        assert trials.control_label == "random noise of the same budget"
        assert np.array_equal(trials.patients, field.records.patient)
    half = found[at(0.5)]
    assert half.success.mean() > half.guess.mean() + 0.4
    assert abs(half.control.mean() - half.guess.mean()) < 0.1


def test_pgd_and_search_reach_the_optimum_on_a_linear_model() -> None:
    aim = target(table(), linear())
    best = Fgsm().run(aim, (), np.random.default_rng(2))
    steps = Pgd().run(aim, (), np.random.default_rng(2))
    asked = Square().run(aim, (), np.random.default_rng(2))
    for key, trials in best.items():
        assert (trials.success != steps[key].success).sum() <= 1
        assert asked[key].success.mean() <= trials.success.mean() + 0.004
        assert asked[key].success.mean() >= trials.success.mean() - 0.02


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_only_what_may_change_changes_and_missing_stays_missing(attack, monkeypatch) -> None:
    seen = []
    real = _evasion.Field.possible

    def watch(self, at, rows=None):
        result = real(self, at, rows)
        seen.append((self.records if rows is None else self.records.take(rows), result, self))
        return result

    monkeypatch.setattr(_evasion.Field, "possible", watch)
    records = table(missing=0.3)
    found = attack.run(target(records, linear()), (), np.random.default_rng(2))
    assert found[at(1)].success.mean() > found[at(1)].control.mean() + 0.2
    assert len(seen) > 5
    for before, after, field in seen:
        reach = field.spread  # the largest budget is one standard deviation
        assert np.array_equal(before.X[:, FREE:], after.X[:, FREE:])
        assert np.array_equal(np.isnan(before.X), np.isnan(after.X))
        moved = np.abs(after.X.astype(float) - before.X)
        assert not (moved[:, :FREE] > reach[:FREE] * (1 + 1e-5) + 1e-6).any()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_same_stream_same_trials_and_global_state_unmoved(attack) -> None:
    import torch

    aim = target(table(800), linear())
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()  # noqa: NPY002
    before = aim.split.nonmembers.X.copy()
    one = attack.run(aim, (), np.random.default_rng(3))
    two = attack.run(aim, (), np.random.default_rng(3))
    assert list(one) == [at(size) for size in (0.05, 0.1, 0.25, 0.5, 1.0)]
    for key in one:
        assert np.array_equal(one[key].success, two[key].success)
        assert np.array_equal(one[key].control, two[key].control)
    assert np.array_equal(before, aim.split.nonmembers.X, equal_nan=True)
    assert (np.random.get_state()[1] == states[0]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])
    assert torch.get_num_threads() == states[2]


def test_every_attack_and_release_is_tried_on_the_same_patients() -> None:
    records = table()
    one, two = target(records, linear()), target(records, Linear(-linear().weights))
    a = Fgsm().run(one, (), np.random.default_rng(1))[at(1)].patients
    b = Square(queries=2).run(two, (), np.random.default_rng(9))[at(1)].patients
    assert np.array_equal(a, b)
    assert len(a) == 300
    assert len(Fgsm(records=40).run(one, (), np.random.default_rng(1))[at(1)].success) == 40


SPANS = {"hr": (0.1, 299.0), "temp": (25.0, 45.0), "lactate": (0.1, 50.0), "gcs": (3.0, 15.0)}


def vitals(n: int = 2000, seed: int = 0, counts: bool = True, steps: bool = True) -> Records:
    """Values of up to eight hours summarised, of none to eight of them; a score of whole numbers,
    and heart rates, which the source rounds."""
    rng = np.random.default_rng(seed)
    columns, parts = [], []
    for name, (centre, scale) in zip(
        SPANS, [(80, 15), (37, 0.7), (1.0, 0.8), (12, 4)], strict=True
    ):
        hourly = centre + scale * (rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 8)))
        if steps and name in ("hr", "gcs"):
            hourly = np.rint(hourly)
        hourly = np.clip(hourly, *SPANS[name]).astype(np.float32)
        count = rng.choice([0, 1, 2, 3, 4, 8], size=n)
        known = np.arange(8) < count[:, None]
        there = count > 0
        low = np.where(known, hourly, np.inf).min(axis=1)
        high = np.where(known, hourly, -np.inf).max(axis=1)
        total = np.where(known, hourly, 0).sum(axis=1, dtype=np.float64)
        mean = (total / np.maximum(count, 1)).astype(np.float32).clip(low, high)
        found = {"first": hourly[:, 0], "last": hourly[np.arange(n), np.maximum(count, 1) - 1]}
        found |= {"min": low, "max": high, "mean": mean}
        for statistic, part in found.items():
            columns.append(
                Column(
                    f"{name}_{statistic}",
                    "numeric",
                    SPANS[name],
                    variable=name,
                    statistic=statistic,
                )  # type: ignore[arg-type]
            )
            parts.append(np.where(there, part, np.nan))
        if counts:
            columns.append(Column(f"{name}_n", mutable=False, variable=name, statistic="count"))
            parts.append(count)
    x = np.stack(parts, axis=1)
    columns += [Column("ward_a", "binary"), Column("ward_b", "binary")]
    ward = rng.integers(0, 2, n)
    x = np.column_stack([x, ward, 1 - ward])
    y = (rng.random(n) < 0.2).astype(int)
    return Records(tuple(columns), x, y, np.arange(n), np.zeros(n))


@cache
def usual_spread(counts: bool) -> np.ndarray:
    return np.nanstd(vitals(counts=counts).X, axis=0)


def broken_rules(before: Records, after: Records, budget: float) -> list[str]:
    """Every rule of a possible patient that some record breaks, by arithmetic of its own."""
    found = []
    x, was = after.X.astype(float), before.X.astype(float)
    place = {c.name: j for j, c in enumerate(after.columns)}
    if not np.array_equal(np.isnan(x), np.isnan(was)):
        found.append("missing")
    fixed = [
        j for j, c in enumerate(after.columns) if c.kind != "numeric" or c.statistic == "count"
    ]
    if not np.array_equal(x[:, fixed], was[:, fixed]):
        found.append("codes and counts")
    spread = usual_spread("hr_n" in place)
    if np.nanmax(np.abs(x - was) / np.where(spread > 0, spread, 1)) > budget * 1.15:
        found.append("budget")
    for name, (low, high) in SPANS.items():
        rows = np.isfinite(x[:, place[f"{name}_min"]])
        v = {s: x[rows, place[f"{name}_{s}"]] for s in _constraints.SUMMARIES}
        close = 1e-5 * np.abs(v["max"])
        for inner in ("mean", "first", "last"):
            if ((v[inner] < v["min"]) | (v[inner] > v["max"])).any():
                found.append(f"{name}: {inner} between")
        ends = np.float32([low, high])
        if (v["min"] < ends[0]).any() or (v["max"] > ends[1]).any():
            found.append(f"{name}: range")
        if name in ("hr", "gcs") and any((v[s] != np.rint(v[s])).any() for s in v if s != "mean"):
            found.append(f"{name}: whole")
        once = was[rows, place[f"{name}_min"]] == was[rows, place[f"{name}_max"]]
        if f"{name}_n" not in place:
            if (v["min"] != v["max"])[once].any():
                found.append(f"{name}: once")
            continue
        n = was[rows, place[f"{name}_n"]]
        step = (v["max"] - v["min"]) / n
        outside = (v["mean"] < v["min"] + step - close) | (v["mean"] > v["max"] - step + close)
        if outside[n > 1].any():
            found.append(f"{name}: mean for its count")
        one, two = n == 1, n == 2
        if any((v[s] != v["min"])[one].any() for s in v):
            found.append(f"{name}: one value")
        if (np.abs(v["mean"] - (v["min"] + v["max"]) / 2) > close)[two].any():
            found.append(f"{name}: mean of two")
        pairs = np.sort([v["first"], v["last"]], axis=0), np.sort([v["min"], v["max"]], axis=0)
        if (pairs[0] != pairs[1])[:, two].any():
            found.append(f"{name}: first and last of two")
        few = n == 3
        touch = [(v[s] == v["min"]) | (v[s] == v["max"]) for s in ("first", "last")]
        if not (touch[0] | touch[1])[few].all():
            found.append(f"{name}: first or last of three")
    return found


def tilted(records: Records, seed: int = 3) -> Linear:
    """A linear model whose slopes on the summaries of a variable contradict each other."""
    rng = np.random.default_rng(seed)
    spread = np.nanstd(records.X, axis=0)
    weights = rng.normal(size=len(spread)) / np.where(spread > 0, spread, 1)
    names = [c.name for c in records.columns]
    for name in SPANS:
        for statistic, w in (("min", 0.8), ("mean", -1.0), ("max", -0.7)):
            j = names.index(f"{name}_{statistic}")
            weights[j] = w / spread[j]
    return Linear(weights * 0.4)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("budget", [0.05, 0.5, 1.0, 3.0])
def test_random_changes_become_possible_records_within_the_budget(
    budget: float, counts: bool
) -> None:
    records = vitals(counts=counts)
    assert not broken_rules(records, records, 0)
    field = _evasion.Field.of(target(records, tilted(records)), 800)
    box = field.box(budget)
    rng = np.random.default_rng(5)
    far = box.push(field.slopes(rng.normal(size=field.present.shape)), field.start)
    after = field.possible(far)
    assert not broken_rules(field.records, after, budget)
    moved = np.abs(after.X.astype(float) - field.records.X)[:, field.columns]
    moved /= field.spread[field.columns]
    # The constraints leave room: most variables measured more than once still move.
    assert (np.nan_to_num(moved) > budget / 10).mean() > (0.25 if budget < 0.1 else 0.5)
    other = box.push(field.slopes(rng.normal(size=field.present.shape)), far)
    for share in (0.1, 0.5, 0.9):
        way = box.blend(far, other, np.full(len(field.records), share))
        assert not broken_rules(field.records, field.possible(way), budget)
    # A possible record is left as it is.
    same = box.push(field.slopes(np.zeros(field.present.shape)), field.start)
    assert np.array_equal(field.possible(same).X, field.records.X, equal_nan=True)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(
    "attack", [Fgsm(), Pgd(), Square(queries=60)], ids=lambda a: type(a).__name__
)
def test_every_rule_holds_in_every_record_asked_about(attack, counts, monkeypatch) -> None:
    """After rounding to float32, of a model whose slopes pull summaries against each other."""
    records, asked = vitals(counts=counts), []
    real = _evasion.Field.possible

    def watch(self, at, rows=None):
        result = real(self, at, rows)
        asked.append((self.records if rows is None else self.records.take(rows), result))
        return result

    monkeypatch.setattr(_evasion.Field, "possible", watch)
    found = attack.run(target(records, tilted(records)), (), np.random.default_rng(0))
    assert len(asked) > 5
    every = max(1, len(asked) // 60)
    for before, after in (*asked[::every], asked[-1]):
        assert not broken_rules(before, after, 1.0)
    assert found[at(1)].success.mean() > found[at(1)].control.mean() + 0.15


def test_a_score_does_not_leave_its_range_and_moves_in_whole_steps() -> None:
    records = vitals()
    field = _evasion.Field.of(target(records, tilted(records)), 800)
    places = [j for j, c in enumerate(records.columns) if c.name.startswith("gcs") and c.bounds]
    slopes = np.zeros(field.records.X.shape)
    slopes[:, places] = 1.0
    after = field.possible(field.box(3.0).push(_possible.Point(slopes, None), field.start))
    moved = after.X[:, places]
    assert np.nanmax(moved) == 15
    assert (np.nanmax(moved, axis=0) == 15).all()


def reference_optimum(field: _evasion.Field, budget: float, weights: np.ndarray) -> np.ndarray:
    """(n,) the best change of the score, for each record's outcome, by HiGHS and rules written
    anew; whole numbers are left to be fractions."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    records, columns = field.records, field.records.columns
    x = records.X.astype(float)
    n, d = x.shape
    number = np.arange(n * d).reshape(n, d)
    rows: list[tuple[list[int], list[float]]] = []
    equal: list[tuple[list[int], list[float]]] = []
    place = {c.name: j for j, c in enumerate(columns)}
    for name in SPANS:
        a, b, m, f, e = (place[f"{name}_{s}"] for s in _constraints.SUMMARIES)
        for i in np.flatnonzero(np.isfinite(x[:, a])):
            count = x[i, place[f"{name}_n"]]
            ids = {j: int(number[i, j]) for j in (a, b, m, f, e)}
            if count == 1:
                equal += [([ids[a], ids[j]], [1.0, -1.0]) for j in (b, m, f, e)]
                continue
            rows += [([ids[a], ids[j]], [1.0, -1.0]) for j in (f, e, b)]
            rows += [([ids[j], ids[b]], [1.0, -1.0]) for j in (f, e)]
            q = 1 / count
            rows.append(([ids[a], ids[b], ids[m]], [1 - q, q, -1.0]))
            rows.append(([ids[a], ids[b], ids[m]], [-q, -(1 - q), 1.0]))
            for j in (f, e):
                if count in (2, 3) and x[i, j] in (x[i, a], x[i, b]):
                    equal.append(([ids[j], ids[a if x[i, j] == x[i, a] else b]], [1.0, -1.0]))

    def matrix(parts: list[tuple[list[int], list[float]]]) -> object:
        where = [(r, j) for r, (js, _) in enumerate(parts) for j in js]
        values = [v for _, vs in parts for v in vs]
        r, c = np.array(where).T
        return coo_array((values, (r, c)), shape=(len(parts), n * d)).tocsr()

    low, high = x - budget * field.spread, x + budget * field.spread
    for j, c in enumerate(columns):
        if c.bounds:
            low[:, j] = np.maximum(low[:, j], np.float32(c.bounds[0]))
            high[:, j] = np.minimum(high[:, j], np.float32(c.bounds[1]))
    there = np.isfinite(x)
    goal = np.where(records.y == 1, 1.0, -1.0)[:, None] * weights * there
    bounds = np.stack([np.where(there, low, 0), np.where(there, high, 0)], axis=-1)
    found = linprog(
        goal.ravel(),
        A_ub=matrix(rows),
        b_ub=np.zeros(len(rows)),
        A_eq=matrix(equal),
        b_eq=np.zeros(len(equal)),
        bounds=bounds.reshape(-1, 2),
        method="highs",
    )
    assert found.status == 0
    return found.x.reshape(n, d) @ weights


def test_gradient_attacks_and_the_search_come_near_the_linear_program() -> None:
    """Within two points of the optimum, which HiGHS finds, on a linear model whose slopes pull the
    summaries of a variable against each other."""
    records = vitals(steps=False)
    model = tilted(records)
    aim = target(records, model)
    field = _evasion.Field.of(aim, 150)
    limit = np.log(field.cut / (1 - field.cut))
    one, several, asked = (
        a.run(aim, (), np.random.default_rng(1))
        for a in (Fgsm(records=150), Pgd(records=150), Square(records=150, queries=100))
    )
    for budget in (0.5, 1.0):
        best = reference_optimum(field, budget, model.weights)
        ways = np.where(field.records.y == 1, -1, 1)
        slopes = ways[:, None] * model.weights * (field.spread > 0)
        reached = field.box(budget).push(_possible.Point(slopes, None), field.start)
        # Of equal values either may become the minimum, which the reference does not try.
        assert (ways * (np.nan_to_num(reached.x) @ model.weights - best)).min() > -1e-6
        program = ((best > limit) != (field.records.y == 1)).mean()
        assert program > one[at(budget)].control.mean() + 0.05
        for found in (one, several, asked):
            assert abs(found[at(budget)].success.mean() - program) < 0.02


def test_the_closed_form_is_the_linear_program_of_one_variable() -> None:
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    m = 120
    now = np.empty((m, 5))
    count = rng.integers(2, 8, m)
    for i in range(m):
        v = rng.normal(size=count[i]) * rng.choice([0.1, 1, 10])
        now[i] = v.min(), v.max(), v.mean(), v[0], v[-1]
    share = np.where(rng.random(m) < 0.2, 0, 1 / count)
    reach = rng.exponential(size=(m, 5)) * (rng.random((m, 5)) < 0.9)
    slopes = rng.normal(size=(m, 5)) * (rng.random((m, 5)) < 0.8)
    low, high = now - reach, now + reach
    found = _summaries.maximise(slopes, low, high, now, share, np.zeros(m, bool))
    for i in range(m):
        q = share[i]
        rules = [
            [1, 0, 0, -1, 0],
            [1, 0, 0, 0, -1],
            [0, -1, 0, 1, 0],
            [0, -1, 0, 0, 1],
            [1, -1, 0, 0, 0],
            [1 - q, q, -1, 0, 0],
            [-q, q - 1, 1, 0, 0],
        ]
        best = linprog(
            -slopes[i],
            A_ub=rules,
            b_ub=np.zeros(7),
            bounds=np.stack([low[i], high[i]], axis=1),
            method="highs",
        )
        assert -best.fun == pytest.approx(slopes[i] @ found[i], abs=1e-7)
        assert (np.array(rules) @ found[i] < 1e-9).all()
        assert ((found[i] >= low[i]) & (found[i] <= high[i])).all()


def test_whole_numbers_are_within_a_step_of_the_best() -> None:
    """Against every pair of whole minima and maxima of small ranges."""
    rng = np.random.default_rng(1)
    lost = []
    for _ in range(150):
        n = int(rng.integers(2, 7))
        v = rng.integers(3, 16, size=n)
        now = np.array([[v.min(), v.max(), v.mean(), v[0], v[-1]]])
        reach = np.array([[3.0, 3.0, rng.uniform(0.3, 3), 2.0, 2.0]])
        low, high = now - reach, now + reach
        w = rng.normal(size=(1, 5))
        whole = np.ones(1, bool)
        got = (w * _summaries.maximise(w, low, high, now, np.array([1 / n]), whole)).sum()
        best = -np.inf
        for a in np.arange(low[0, 0], high[0, 0] + 1):
            for b in np.arange(max(a, low[0, 1]), high[0, 1] + 1):
                least = [max(low[0, 2], a + (b - a) / n), *np.maximum(low[0, 3:], a)]
                most = [min(high[0, 2], b - (b - a) / n), *np.minimum(high[0, 3:], b)]
                if (np.array(least) <= np.array(most) + 1e-12).all():
                    rest = np.where(w[0, 2:] > 0, most, least) @ w[0, 2:]
                    best = max(best, w[0, 0] * a + w[0, 1] * b + rest)
        lost.append(best - got)
    assert min(lost) > -1e-9
    assert np.mean(np.array(lost) < 1e-9) > 0.95
    assert max(lost) < 1.5


def test_columns_in_order_keep_it() -> None:
    """A column never exceeds the one that its at_most names, whatever either may move."""
    rng = np.random.default_rng(0)
    low = rng.normal(size=1500)
    x = np.stack([low, low + rng.exponential(size=1500) * 0.3, rng.normal(size=1500)], axis=1)
    x[::7, 1] = np.nan
    columns = (Column("diastolic", at_most="systolic"), Column("systolic"), Column("other"))
    y = (rng.random(1500) < 0.3).astype(int)
    records = Records(columns, x, y, np.arange(1500), np.zeros(1500))
    model = Linear(np.array([1.0, -1.0, 0.2]))
    found = Pgd(records=400).run(target(records, model), (), np.random.default_rng(0))
    assert found[at(1)].success.mean() > found[at(1)].guess.mean() + 0.1
    field = _evasion.Field.of(target(records, model), 400)
    for budget in (0.1, 1.0):
        after = field.possible(
            field.box(budget).push(
                _possible.Point(np.tile([1.0, -1.0, 0.0], (400, 1)), None), field.start
            )
        )
        assert not (after.X[:, 0] > after.X[:, 1]).any()
        assert np.nanmax(np.abs(after.X - field.records.X)) > 0


def test_a_model_that_is_sure_beyond_its_precision_is_attacked_all_the_same() -> None:
    """Its loss is flat in float32; its margin is not."""

    @dataclass(frozen=True, eq=False)
    class Sure(Linear):
        def input_gradient(self, records: Records) -> tuple[np.ndarray, None]:
            margin = np.nan_to_num(records.X.astype(np.float32)) @ self.weights.astype(np.float32)
            p = (1 / (1 + np.exp(-margin.astype(np.float32)))).astype(np.float32)
            return (p - records.y.astype(np.float32))[:, None] * self.weights, None

    records = table()
    model = Sure(linear().weights * 8)
    assert np.mean(np.abs(model.input_gradient(records)[0]).max(axis=1) == 0) > 0.2
    found, plain = (
        Pgd().run(target(records, m), (), np.random.default_rng(0)) for m in (model, linear())
    )
    assert found[at(1)].success.mean() > 0.9
    assert abs(found[at(1)].success.mean() - plain[at(1)].success.mean()) < 0.01


def test_three_classes_are_attacked_by_gradients() -> None:
    records = table()
    w = np.zeros((3, 10))
    w[1, 0], w[2, 1], w[0, 2] = 1.0, 0.5, 0.2

    @dataclass(frozen=True, eq=False)
    class Softmax:
        def predict_proba(self, records: Records) -> np.ndarray:
            z = records.X.astype(float) @ w.T
            p = np.exp(z - z.max(axis=1, keepdims=True))
            return p / p.sum(axis=1, keepdims=True)

        def input_gradient(self, records: Records) -> tuple[np.ndarray, None]:
            return (self.predict_proba(records) - np.eye(3)[records.y]) @ w, None

        def weight_gradient(self, records: Records) -> np.ndarray:
            raise NotImplementedError

    y = Softmax().predict_proba(records).argmax(axis=1)
    aim = target(replace(records, y=y, classes=("a", "b", "c")), Softmax())
    steps = Pgd().run(aim, (), np.random.default_rng(0))
    asked = Square().run(aim, (), np.random.default_rng(0))
    assert steps[at(0.5)].success.mean() > steps[at(0.5)].control.mean() + 0.1
    assert asked[at(0.5)].success.mean() > steps[at(0.5)].success.mean() - 0.03


@pytest.mark.slow
def test_one_step_is_that_of_the_robustness_toolbox_where_nothing_is_tied() -> None:
    import torch
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import PyTorchClassifier
    from torch import nn

    records = table()
    model = linear()
    field = _evasion.Field.of(target(records, model), 300)
    network = nn.Linear(10, 2)
    weights = np.stack([0 * model.weights, model.weights])
    network.weight.data.copy_(torch.tensor(weights, dtype=torch.float32))
    network.bias.data.zero_()
    classifier = PyTorchClassifier(network, nn.CrossEntropyLoss(), (10,), 2)
    step = np.maximum(0.5 * field.spread, 1e-30).astype(np.float32)
    theirs = FastGradientMethod(classifier, eps=step, eps_step=step).generate(
        field.records.X, y=field.records.y
    )
    ours = _gradient.Climb(field, 1).at(0.5).X
    assert np.allclose(theirs, ours, atol=1e-4)


def test_series_move_for_a_model_that_reads_them() -> None:
    n, hours = 1200, 6
    rng = np.random.default_rng(0)
    series = rng.normal(size=(n, hours, 2)).astype(np.float32)
    series[rng.random(series.shape) < 0.4] = np.nan
    y = (np.nan_to_num(series[..., 0]).sum(axis=1) + rng.normal(size=n) > 0.5).astype(int)
    channels = (Column("c0", bounds=(-3.0, 3.0)), Column("c1", mutable=False))
    records = replace(table(n), y=y, series=series, channels=channels)

    @dataclass(frozen=True, eq=False)
    class Sum:
        def predict_proba(self, records: Records) -> np.ndarray:
            p = expit(np.nan_to_num(records.series[..., 0].astype(float)).sum(axis=1))
            return np.stack([1 - p, p], axis=1)

        def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray]:
            slopes = np.zeros(records.series.shape)
            error = self.predict_proba(records)[:, 1] - records.y
            slopes[..., 0] = error[:, None] * np.isfinite(records.series[..., 0])
            return np.zeros(records.X.shape), slopes

        def weight_gradient(self, records: Records) -> np.ndarray:
            raise NotImplementedError

    aim = target(records, Sum())
    field = _evasion.Field.of(aim, 300)
    assert len(field.columns) == 0
    assert field.channels.tolist() == [0]
    budget = 0.5

    after = _gradient.Climb(field, 1).at(budget)
    moved = (after.series - field.records.series)[..., 0] / field.spread_series[0]
    known = np.isfinite(field.records.series[..., 0])
    up = np.where(field.records.y == 1, -1.0, 1.0)[:, None] * budget
    inside = known & (np.abs(field.records.series[..., 0]) < 2)
    assert np.allclose(moved[inside], np.broadcast_to(up, moved.shape)[inside], atol=1e-3)
    assert np.isnan(moved[~known]).all()
    assert np.nanmax(np.abs(after.series[..., 0])) <= max(3.0, np.nanmax(np.abs(series[..., 0])))
    assert np.array_equal(after.series[..., 1], field.records.series[..., 1], equal_nan=True)
    for attack in ATTACKS:
        found = attack.run(aim, (), np.random.default_rng(1))[at(1)]
        assert found.success.mean() > found.control.mean() + 0.3


def test_the_decision_flags_as_many_as_have_the_outcome() -> None:
    records = table()
    rare = replace(records, y=(np.random.default_rng(0).random(len(records)) < 0.12).astype(int))
    shy = Linear(linear().weights * 0.05)
    field = _evasion.Field.of(target(rare, shy), 300)
    reference = target(rare, shy).split.reference
    flagged = (shy.predict_proba(reference)[:, 1] > field.cut).mean()
    assert abs(flagged - (reference.y == 1).mean()) < 2 / len(reference)


def test_a_model_that_reads_nothing_is_not_fooled() -> None:
    found = Square(queries=5).run(
        target(table(), Linear(np.zeros(10))), (), np.random.default_rng(0)
    )
    for trials in found.values():
        assert np.array_equal(trials.success, trials.guess)
        assert np.array_equal(trials.control, trials.guess)


def test_nothing_to_change_is_an_error_with_a_remedy() -> None:
    records = table()
    fixed = replace(records, columns=tuple(replace(c, mutable=False) for c in records.columns))
    with pytest.raises(PrivauditError, match="no column that an attacker may change"):
        Fgsm().run(target(fixed, linear()), (), np.random.default_rng(0))


@pytest.mark.parametrize("attack", [Fgsm(records=0), Pgd(steps=0), Square(queries=0)])
def test_settings_out_of_range_are_refused(attack) -> None:
    with pytest.raises(PrivauditError, match="=0"):
        attack.run(target(table(), linear()), (), np.random.default_rng(0))


def test_the_auroc_falls_under_attack_and_hardly_under_noise() -> None:
    """As arithmetic says: on a linear model every score moves by the same, towards the other
    side."""
    from sklearn.metrics import roc_auc_score

    from privaudit import stats

    aim = target(table(), linear())
    field = _evasion.Field.of(aim, 300)
    odds = field.records.X.astype(float) @ field.model.weights  # type: ignore[attr-defined]
    reach = np.abs(field.model.weights * field.spread).sum()  # type: ignore[attr-defined]
    found = Fgsm().run(aim, (), np.random.default_rng(2))
    estimates = {e.metric: e for e in stats.estimates(found, rng=np.random.default_rng(0))}
    for budget in _evasion.BUDGETS:
        y = field.records.y
        moved = odds + np.where(y == 1, -1, 1) * budget * reach
        one = {
            name: estimates[Metric(name, at=at(budget))]
            for name in ("auroc_attacked", "auroc_shaken", "auroc_unchanged", "auroc_fall")
        }
        assert one["auroc_attacked"].value == pytest.approx(roc_auc_score(y, moved), abs=1e-3)
        assert one["auroc_unchanged"].value == pytest.approx(roc_auc_score(y, odds), abs=1e-9)
        if budget <= 0.25:
            assert abs(one["auroc_shaken"].value - one["auroc_unchanged"].value) < 0.05
        gap = one["auroc_shaken"].value - one["auroc_attacked"].value
        assert one["auroc_fall"].value == pytest.approx(gap)
        assert one["auroc_fall"].low < gap < one["auroc_fall"].high or gap == 1
    assert estimates[Metric("auroc_fall", at=at(0.5))].low > 0.3
    none = Square(queries=2).run(
        target(table(), Linear(np.zeros(10))), (), np.random.default_rng(0)
    )
    for e in stats.estimates(none, rng=np.random.default_rng(0)):
        if e.metric.name == "auroc_fall":
            assert (e.value, e.low <= 0 <= e.high) == (0.0, True)


@pytest.mark.real
@pytest.mark.parametrize("learner", ["logreg", "mlp"])
def test_attacks_of_real_patients_come_near_the_linear_program(learner, tmp_path) -> None:
    """Challenge 2012: for a linear model one step is the optimum of the linear program, and several
    steps and the search by answers come within two points of it."""
    from pipelines.learners.logreg import LogReg
    from pipelines.learners.mlp import MLP
    from pipelines.methods.baseline import Baseline
    from pipelines.tasks.mortality import Mortality
    from privaudit.seeds import Seeds

    data = REAL / "challenge-2012"
    if not data.is_dir():
        pytest.skip("needs the open data of Challenge 2012 beside the checkout")
    records = Mortality().prepare(data, tmp_path, lambda *a, **k: None).records
    seeds = Seeds(7)
    split = Split.assign(records, seeds.rng("split"))
    release = Baseline(LogReg() if learner == "logreg" else MLP()).fit(
        split.members, seeds.rng("fit")
    )
    aim = Target(release, split)
    one, several, asked = (
        a.run(aim, (), np.random.default_rng(1))
        for a in (Fgsm(records=100), Pgd(records=100), Square(records=100))
    )
    for budget in (0.25, 0.5, 1.0):
        best = several[at(budget)].success.mean()
        assert best >= one[at(budget)].success.mean() - 1e-9
        assert asked[at(budget)].success.mean() > best - 0.06
        if learner == "logreg":
            assert best == pytest.approx(one[at(budget)].success.mean(), abs=0.02)
            assert asked[at(budget)].success.mean() > best - 0.02
    assert several[at(0.5)].success.mean() > several[at(0.5)].control.mean() + 0.4
