"""Fidelity and utility: known tables read as they must, and intervals cover."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.contracts import Learner, Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Metric, Setting
from privaudit.fidelity import _marginals
from privaudit.fidelity._align import Pools
from privaudit.fidelity._association import association
from privaudit.fidelity._bins import bins
from privaudit.fidelity._detection import detection
from privaudit.fidelity.measure import fidelity, prevalence
from privaudit.records import Column, Records, Split
from privaudit.results import Estimate, Fidelity, GroupResult, from_tree, to_tree
from privaudit.seeds import Seeds
from privaudit.stats.catalogue import FIDELITY
from privaudit.stats.paired import auroc_loss

LEVELS = ("medical", "surgical", "coronary", "burns")


@dataclass(frozen=True)
class Linear(Learner):
    """Ranks by the difference of class means of the recorded values."""

    reads: ClassVar[Literal["table", "series"]] = "table"

    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        if len(np.unique(records.y)) < 2:
            raise PrivauditError("one class", "two are needed", "give both")
        X = np.nan_to_num(records.X)
        weight = [X[records.y == c].mean(axis=0) for c in (0, 1)]
        return Ranked((weight[1] - weight[0]) / (X.std(axis=0) ** 2 + 1e-6), X.mean(axis=0))


@dataclass(frozen=True)
class Hourly(Linear):
    """Reads series."""

    reads: ClassVar[Literal["table", "series"]] = "series"


@dataclass(frozen=True, eq=False)
class Ranked:
    weight: np.ndarray
    middle: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        score = (np.nan_to_num(records.X) - self.middle) @ self.weight
        p = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        return np.column_stack([1 - p, p])


def records(n: int = 1200, seed: int = 0, visits: int = 1) -> Records:
    rng = np.random.default_rng(seed)
    age, unit = rng.uniform(18, 90, n), rng.choice(4, n, p=[0.5, 0.3, 0.19, 0.01])
    sex = rng.integers(0, 2, n)
    hr = rng.normal(90, 15, n) + 10 * (unit == 2)
    lab = 0.05 * hr + rng.normal(0, 1, n)
    y = ((hr - 90) / 10 + (age - 50) / 20 + rng.logistic(size=n) > 2).astype(int)
    X = np.column_stack([age, hr, lab, sex, unit]).astype(float)
    X[rng.random(n) < 0.2, 2] = np.nan
    return Records(
        columns=(
            Column("age"),
            Column("hr"),
            Column("lab"),
            Column("sex", "binary"),
            Column("unit", "category", levels=LEVELS),
        ),
        X=X,
        y=y,
        patient=np.arange(n) // visits,
        site=np.zeros(n),
        groups={
            "sex": np.where(sex == 1, "M", "F"),
            "age_band": np.where(X[:, 0].astype(np.float32) < 65, "under 65", "65 and older"),
        },
    )


@cache
def split() -> Split:
    return Split.assign(records(), np.random.default_rng(1))


def synthetic(table: Records) -> Records:
    return replace(table, patient=np.arange(len(table)), groups={})


def copied() -> Records:
    m = split().members
    return synthetic(m.take(np.random.default_rng(2).integers(len(m), size=len(m))))


def shuffled() -> Records:
    m, rng = split().members, np.random.default_rng(3)
    X = np.column_stack([rng.permutation(column) for column in m.X.T])
    return synthetic(replace(m, X=X, y=rng.permutation(m.y)))


def other() -> Records:
    return synthetic(records(len(split().members), seed=9))


@cache
def measured(which: str) -> Fidelity:
    table = {"copied": copied, "shuffled": shuffled, "other": other}[which]()
    return fidelity(table, split(), learners={"linear": Linear()}, seeds=Seeds(4))


def named(f: Fidelity, name: str) -> Estimate:
    return next(e for e in f.estimates if e.metric.name == name)


def test_prevalence_stands_first_and_every_number_has_a_meaning() -> None:
    for which in ("copied", "shuffled", "other"):
        f = measured(which)
        assert f.estimates[0].metric == Metric("prevalence_synthetic")
        assert {e.metric.name for e in f.estimates} <= set(FIDELITY)
        for e in f.estimates:
            assert e.value is None or (e.low <= e.value <= e.high and e.n and e.bound)  # type: ignore[operator]
        assert from_tree(to_tree(f), Fidelity) == f
        json.dumps(to_tree(f), allow_nan=False)


def test_a_table_of_other_patients_is_as_like_as_other_patients_are() -> None:
    f = measured("other")
    for name in ("column_distance", "association_error"):
        e = named(f, name)
        assert e.low <= e.chance <= e.high  # type: ignore[operator]
    e = named(f, "detection_auc")
    assert e.low <= 0.5 <= e.high  # type: ignore[operator]
    assert named(f, "exact_copies").value == 0
    assert abs(f.utility[0].loss.value or 0) < 0.05


def test_copies_are_counted_and_other_patients_have_none() -> None:
    f = measured("copied")
    expected = 1 - (1 - 1 / f.rows) ** f.rows
    assert named(f, "exact_copies").value == pytest.approx(expected, abs=0.05)
    assert named(f, "exact_copies").chance == 0
    assert named(f, "exact_copies_excess").low > 0.5  # type: ignore[operator]
    assert named(f, "closest_distance").value == 0
    # Copies are real records: nobody can tell them from real ones, and models of them are as good.
    e = named(f, "detection_auc")
    assert e.low <= 0.5 <= e.high  # type: ignore[operator]
    assert f.utility[0].loss.low <= 0.02  # type: ignore[operator]


def test_shuffled_columns_look_right_alone_and_are_useless() -> None:
    f = measured("shuffled")
    assert named(f, "column_distance").value == 0
    e = named(f, "association_error")
    assert e.low > e.chance  # type: ignore[operator]
    worst = named(f, "association_error_outcome")
    assert worst.low > worst.chance  # type: ignore[operator]
    assert f.utility[0].loss.low > 0.1  # type: ignore[operator]
    assert named(f, "detection_auc").low > 0.5  # type: ignore[operator]


def test_the_sign_of_a_correlation_is_seen() -> None:
    turned = other()
    X = turned.X.copy()
    X[:, 2] = -X[:, 2] + 2 * np.nanmean(X[:, 2])
    f = fidelity(replace(turned, X=X), split(), learners={}, seeds=Seeds(4))
    usual = named(measured("other"), "association_error").value
    assert named(f, "association_error").value > 2 * usual  # type: ignore[operator]


def test_a_wrong_prevalence_is_reported() -> None:
    table = other()
    sides = [np.flatnonzero(table.y == c) for c in (1, 1, 1, 0)]
    table = table.take(np.concatenate(sides))
    f = fidelity(table, split(), learners={}, seeds=Seeds(4))
    gap = named(f, "prevalence_gap")
    assert gap.low > 0.1  # type: ignore[operator]
    assert named(f, "prevalence_synthetic").chance == named(f, "prevalence_real").value


def test_several_classes_and_rare_ones() -> None:
    def three(table: Records) -> Records:
        y = table.y.copy()
        y[:4] = 2
        return replace(table, y=y, classes=("a", "b", "c"))

    s = split()
    pools = Pools(three(s.members), three(s.nonmembers))
    found = prevalence(three(other()), pools, 0.95)
    assert len(found) == 9
    by_metric = {e.metric: e for e in found}

    def share(of: str, name: str) -> Estimate:
        return by_metric[Metric(f"prevalence_{of}", at=Setting("outcome", name))]

    # Class c has 4 real patients: the exact document counts them, disclosure control hides all.
    assert share("real", "c").value == pytest.approx(4 / len(s.members))
    assert sum(share("real", name).value or 0 for name in "abc") == pytest.approx(1)
    assert share("synthetic", "c").chance == share("real", "c").value


def test_a_forgotten_minority_is_found() -> None:
    table = other()
    keep = (table.X[:, 3] == 0) | (np.arange(len(table)) % 4 == 0)
    f = fidelity(table.take(keep), split(), learners={"linear": Linear()}, seeds=Seeds(4))
    found = {(g.by, g.level): {e.metric.name: e for e in g.estimates} for g in f.groups}
    share = found["sex", "M"]
    assert share["group_share_synthetic"].high < share["group_share_real"].low  # type: ignore[operator]
    # Age bands are derived from the number they were cut from.
    band = found["age_band", "65 and older"]
    assert band["group_share_synthetic"].value == pytest.approx(
        float((table.take(keep).X[:, 0] >= 65).mean()), abs=0.01
    )
    assert band["auroc_loss"].low <= band["auroc_loss"].value <= band["auroc_loss"].high  # type: ignore[operator]


def test_small_groups_are_suppressed_and_never_counted() -> None:
    s = split()

    def tiny(pool: Records) -> Records:
        label = np.array(["many"] * len(pool), dtype=object)
        label[:4] = "few"
        return replace(pool, groups={"g": label.astype(str)})

    small = Split(tiny(s.members), tiny(s.nonmembers), tiny(s.reference))
    f = fidelity(other(), small, learners={"linear": Linear()}, seeds=Seeds(4))
    hidden = {g.level for g in f.groups if g.suppressed and not g.estimates}
    # What covers it is hidden in what is shared.
    assert hidden == {"few"}


def test_fewer_columns_in_another_order_with_levels_by_name() -> None:
    table = other()
    order = [4, 1, 0]
    names = (*LEVELS[::-1],)
    X = table.X[:, order].copy()
    X[:, 0] = 3 - X[:, 0]
    columns = [table.columns[j] for j in order]
    columns[0] = replace(columns[0], levels=names)
    narrow = replace(table, columns=tuple(columns), X=X)
    f = fidelity(narrow, split(), learners={"linear": Linear()}, seeds=Seeds(4))
    assert {c.name for c in f.columns} == {"age", "hr", "unit"}
    every = {c.name: c for c in measured("other").columns}
    assert all(c.synthetic == every[c.name].synthetic for c in f.columns)
    missing = {"count": 2, "columns": ("lab", "sex")}
    assert Caveat(CaveatCode.COLUMNS_MISSING, "note", missing) in f.notes


def test_what_cannot_be_compared_is_refused() -> None:
    table = other()
    renamed = replace(table, columns=(replace(table.columns[0], name="AGE"), *table.columns[1:]))
    with pytest.raises(PrivauditError, match="AGE"):
        fidelity(renamed, split(), learners={}, seeds=Seeds(0))
    first = replace(table.columns[0], kind="binary")
    other_kind = replace(table, columns=(first, *table.columns[1:]))
    with pytest.raises(PrivauditError, match="binary in the synthetic table"):
        fidelity(other_kind, split(), learners={}, seeds=Seeds(0))
    bad = table.X.copy()
    bad[0, 4] = 7
    with pytest.raises(PrivauditError, match="levels"):
        fidelity(replace(table, X=bad), split(), learners={}, seeds=Seeds(0))


def test_learners_that_cannot_take_part_are_reported() -> None:
    table = other()
    f = fidelity(table, split(), learners={"hourly": Hourly(), "linear": Linear()}, seeds=Seeds(4))
    assert [u.learner for u in f.utility] == ["linear"]
    assert Caveat(CaveatCode.LEARNER_READS_SERIES, "note", {"learner": "hourly"}) in f.notes
    alike = replace(table, y=np.zeros(len(table)))
    one = fidelity(alike, split(), learners={"linear": Linear()}, seeds=Seeds(4))
    assert not one.utility
    assert CaveatCode.ONE_SYNTHETIC_OUTCOME in {note.code for note in one.notes}


def test_own_answers_are_taken_and_the_same_stream_gives_the_same_numbers() -> None:
    s, table = split(), other()
    model = Linear().fit(table, np.random.default_rng(0))
    own = model.predict_proba(s.nonmembers)
    f = fidelity(table, s, learners={"linear": Linear()}, seeds=Seeds(4), own=("linear", own))
    assert f == measured("other")


def test_noise_of_a_private_generator_is_binned_like_the_rest() -> None:
    cuts = np.array([30.0, 50.0, 70.0])
    shares = np.array([0.1, 0.3, 0.2, 0.35, 0.05])
    noisy = {"age": (cuts, shares)}
    f = fidelity(other(), split(), learners={}, seeds=Seeds(4), noisy=noisy)
    age = next(c for c in f.columns if c.name == "age")
    assert age.bins[:4] == ("below 30", "30 to below 50", "50 to below 70", "70 and above")
    assert sum(age.noisy) == pytest.approx(1.0)
    assert all(not c.noisy for c in f.columns if c.name != "age")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["numeric", "binary", "category"]), st.integers(1, 3))
def test_no_bin_rests_on_one_to_nine_patients(seed: int, kind: str, visits: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    levels = tuple(f"l{i}" for i in range(int(rng.integers(1, 30))))
    column = Column("c", kind, levels=levels if kind == "category" else ())  # type: ignore[arg-type]

    def values(size: int) -> np.ndarray:
        if kind == "numeric":
            x = np.round(rng.lognormal(size=size), int(rng.integers(0, 3)))
        else:
            k = 2 if kind == "binary" else len(levels)
            x = np.minimum(rng.geometric(0.3, size) - 1, k - 1).astype(float)
        x[rng.random(size) < rng.choice([0.0, 0.03, 0.5, 0.97, 1.0])] = np.nan
        return x

    x, patients = values(n), np.arange(n) // visits
    found = bins(column, x, patients, values(50))
    code = found.code(x)
    assert len(set(found.labels)) == len(found.labels)
    for b in range(len(found.labels)):
        people = len(np.unique(patients[code == b]))
        assert people == 0 or people >= 10 or len(found.labels) == 1


def test_a_level_that_nobody_has_changes_no_name() -> None:
    column = Column("c", "category", levels=("a", "b", "empty"))
    x = np.repeat([0.0, 1.0], 50)
    assert bins(column, x, np.arange(100), x).labels == ("a", "b")
    number = Column("n", integer=True)
    few = bins(number, np.repeat(np.arange(4.0), 30), np.arange(120), np.arange(4.0))
    assert few.labels == ("up to 0", "1", "2", "3 and above")


def test_the_loss_is_paired_and_its_interval_covers() -> None:
    """600 patients with 1 to 3 records, two correlated scores: a 95 % interval covers 93-98 %."""
    rng = np.random.default_rng(11)
    truth = _truth()
    hits = 0
    for _ in range(300):
        y, ids, first, second = _draw(rng, 300)
        e = auroc_loss(first, second, y, patients=ids)
        hits += e.low <= truth <= e.high  # type: ignore[operator]
    assert 0.92 <= hits / 300 <= 0.985


def _draw(rng: np.random.Generator, patients: int) -> tuple[np.ndarray, ...]:
    ids = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    own = rng.normal(size=patients)[ids]
    y = (rng.normal(size=len(ids)) + own > 0.8).astype(int)
    base = own + y + rng.normal(size=len(ids))
    scores = [base, base + 1.5 * rng.normal(size=len(ids))]
    p = [1 / (1 + np.exp(-s)) for s in scores]
    return y, ids, *(np.column_stack([1 - q, q]) for q in p)


def _truth() -> float:
    y, ids, first, second = _draw(np.random.default_rng(12), 60_000)
    value = auroc_loss(first, second, y, patients=ids).value
    assert value is not None
    return value


def test_the_loss_of_equal_answers_is_nothing_and_of_perfect_ones_is_bounded() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    p = np.column_stack([1 - rng.random(60)] * 2)
    p[:, 0] = 1 - p[:, 1]
    same = auroc_loss(p, p, y, patients=np.arange(60))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    sure = np.column_stack([1 - y, y]).astype(float)
    perfect = auroc_loss(sure, sure, y, patients=np.arange(60))
    assert perfect.value == 0
    assert perfect.low < 0 < perfect.high  # type: ignore[operator]
    one = auroc_loss(p, p, np.zeros(60, dtype=int), patients=np.arange(60))
    assert one.value is None
    assert one.refusal


@pytest.mark.slow
def test_a_detector_that_cannot_tell_covers_a_half() -> None:
    hits = 0
    for i in range(40):
        s = Split.assign(records(800, seed=i), np.random.default_rng(i))
        table = synthetic(records(len(s.members), seed=1000 + i))
        e, f = detection(table, Pools(s.members, s.nonmembers), 0.95, Seeds(i))
        hits += (e.low <= 0.5 <= e.high) + (f.low <= 0.5 <= f.high)  # type: ignore[operator]
    assert hits >= 74


def test_patients_with_several_rows_are_counted_once() -> None:
    s = Split.assign(records(visits=3), np.random.default_rng(1))
    f = fidelity(other(), s, learners={"linear": Linear()}, seeds=Seeds(4))
    e = named(f, "prevalence_real")
    assert e.n["patients"] == len(np.unique(s.members.patient)) < e.n["members"]
    assert all(isinstance(g, GroupResult) for g in f.groups)


@pytest.mark.slow
def test_intervals_of_distances_cover_what_such_tables_read() -> None:
    """Coverage of what tables of this many rows read on average, patients of two rows each."""
    value: dict[str, list[float]] = {}
    ends: dict[str, list[tuple[float, float]]] = {}
    for i in range(150):
        real, rest = records(600, seed=2 * i, visits=2), records(600, seed=2 * i + 1, visits=2)
        drawn = records(600, seed=5000 + i)
        X = drawn.X.copy()
        X[:, 1] = X[:, 1] * 1.3 - 20
        X[:, 2] = np.random.default_rng(i).permutation(X[:, 2])
        table = replace(drawn, X=X)
        pools = Pools(real, replace(rest, patient=rest.patient + 10_000))
        counted = _marginals.count(table, pools)
        fits = _marginals.columns(counted, np.random.default_rng(i))
        found = [
            _marginals.distance(counted, fits, real.patient, 0.95),
            *association(table, pools, counted, 0.95, Seeds(i)),
        ]
        for e in found:
            value.setdefault(e.metric.name, []).append(e.value)  # type: ignore[arg-type]
            ends.setdefault(e.metric.name, []).append((e.low, e.high))  # type: ignore[arg-type]
    for name, values in value.items():
        truth = float(np.mean(values))
        covered = np.mean([low <= truth <= high for low, high in ends[name]])
        assert 0.90 <= covered <= 1.0, (name, covered)


def test_a_whole_number_that_a_few_patients_have_is_no_cut() -> None:
    """Levels 1 and 9 are many patients', 5 is one patient's, of one row or of thirty."""
    for rows in (1, 30):
        values = np.concatenate([np.full(60, 1.0), np.full(60, 9.0), np.full(rows, 5.0)])
        patients = np.concatenate([np.arange(120), np.full(rows, 120)])
        found = bins(Column("x", integer=True), values, patients, values)
        assert found.edges.tolist() == [9.0]
        assert not any("5" in label for label in found.labels)
    values = np.concatenate([values, np.full(9, 5.0)])
    patients = np.concatenate([patients, np.arange(121, 130)])
    assert bins(Column("x", integer=True), values, patients, values).edges.tolist() == [5.0, 9.0]
