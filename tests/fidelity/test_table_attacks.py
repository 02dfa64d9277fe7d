"""Singling out, linkability, inference and copies: what they must find, and what they must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from table_lab import bootstrap, marginals, near, people, planted, split, target

from privaudit import stats
from privaudit.attacks.synthetic._predicates import Predicates, at_random, multivariate, univariate
from privaudit.attacks.synthetic.copies import Copies
from privaudit.attacks.synthetic.linkability import Linkability, blind, deal
from privaudit.attacks.synthetic.singling_out import SinglingOut
from privaudit.attacks.synthetic.synthetic_attribute_inference import (
    SyntheticAttributeInference,
    commonest,
)
from privaudit.contracts import Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

NEAREST = Setting("neighbours", 1, "nearest")
EXACT, NEAR, UNIVARIATE, MULTIVARIATE = (
    Setting("variant", name)
    for name in ("exact duplicates", "near-duplicates", "univariate", "multivariate")
)
ATTACKS = (SinglingOut(), Linkability(), SyntheticAttributeInference(), Copies())


def column(name: str) -> Setting:
    return Setting("column", name)


def gap(trials: Trials) -> tuple[float, float, float]:
    """Attack minus control, with its 95 % interval, as the report states it."""
    patients = trials.patients
    given = replace(
        trials, patients=np.arange(len(trials.success)) if patients is None else patients
    )
    found = {str(e.metric): e for e in stats.trials(given)}
    e = found["attack_minus_control"]
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    return e.value, e.low, e.high


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_a_bootstrap_is_found_and_chance_is_not(attack) -> None:
    rng = Seeds(11).rng(type(attack).__name__)
    s = split(rng)
    leak = attack.run(target(s, bootstrap(s.members, rng)), (), rng)
    least = {"multivariate": 0.05, "sex": 0.05, "outcome": 0.02, "unit": 0.1}
    for key, trials in leak.items():
        value, low, _ = gap(trials)
        assert value > least.get(str(key), 0.2), key
        assert low > 0, key
    free = attack.run(target(s, marginals(s.members, rng)), (), rng)
    for key, trials in free.items():
        assert gap(trials)[1] <= 0.02, key


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_unseen_members_and_nonmembers_read_as_equal(missing: float) -> None:
    """Many streams: the 95 % interval of the difference misses 0 in few of them."""
    missed: dict[str, list[bool]] = {}
    for stream in range(25):
        rng = Seeds(stream).rng("null")
        s = split(rng, 150, missing, 60)
        table = people(150, rng, missing)
        for attack in ATTACKS:
            for key, trials in attack.run(target(s, table), (), rng).items():
                _, low, high = gap(trials)
                missed.setdefault(f"{type(attack).__name__} {key}", []).append(low > 0 or high < 0)
    rates = {key: np.mean(found) for key, found in missed.items()}
    assert np.mean(list(rates.values())) <= 0.06
    assert max(rates.values()) <= 0.2, rates


@pytest.mark.parametrize("missing", [0.02, 0.1, 0.3])
def test_missing_values_take_a_tenth_of_linkability_at_most(missing: float) -> None:
    rates = []
    for share in (0.0, missing):
        found = []
        for stream in range(4):
            rng = Seeds(stream).rng("gaps")
            s = split(rng, 400, share)
            trials = Linkability().run(target(s, near(s.members, rng)), (), rng)[NEAREST]
            found.append(trials.success.mean() - trials.control.mean())
        rates.append(np.mean(found))
    assert rates[0] == pytest.approx(0.3, abs=0.03)
    assert rates[1] >= 0.9 * rates[0]


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.3])
def test_copies_are_counted(missing: float) -> None:
    rng = Seeds(2).rng("copies", str(missing))
    s = split(rng, 400, missing)
    table, rows = planted(s.members, rng, 0.1)
    found = Copies().run(target(s, table), (), rng)
    assert found[EXACT].success.mean() == pytest.approx(0.1)
    assert set(found[EXACT].patients[found[EXACT].success > 0]) == set(s.members.patient[rows])
    assert found[NEAR].success.mean() == pytest.approx(0.1, abs=0.01)
    assert found[NEAR].control.mean() <= 0.01
    moved = Copies().run(target(s, near(s.members, rng)), (), rng)
    assert moved[EXACT].success.mean() == 0
    assert moved[NEAR].success.mean() == pytest.approx(0.3, abs=0.06)


def test_every_record_is_tried_and_nothing_moves() -> None:
    rng = Seeds(4).rng("patients")
    s = split(rng, 120)
    s = Split(
        *(
            replace(p, patient=p.patient // 3 + i * 10_000)
            for i, p in enumerate((s.members, s.nonmembers, s.reference))
        )
    )
    table = bootstrap(s.members, rng)
    kept = table.X.copy()
    for attack in ATTACKS[1:]:
        for trials in attack.run(target(s, table), (), Seeds(1).rng("run")).values():
            for ids in (trials.patients, trials.control_patients):
                assert ids is not None
                assert (len(np.unique(ids)), len(ids)) == (40, 120)
            assert {e.n["patients"] for e in stats.trials(trials)} == {40}
            of_records = stats.trials_by_record({None: trials})
            assert {e.n["attempts"] for e in of_records} == {120}
    assert np.array_equal(kept, table.X, equal_nan=True)


def test_predicates_count_what_they_say() -> None:
    rng = Seeds(6).rng("predicates")
    cells = np.round(rng.normal(size=(4, 60)), 1)
    cells[3] = rng.integers(0, 3, 60)
    cells[rng.random(cells.shape) < 0.2] = np.nan
    ordered = np.array([True, True, True, False])
    made = Predicates.join(
        [multivariate(cells, ordered, np.arange(30), 2, rng), at_random(cells, ordered, 30, 2, rng)]
    )
    for i, count in enumerate(made.counts(cells)):
        holds = np.ones(60, dtype=bool)
        for column, test, value in zip(made.columns[i], made.tests[i], made.values[i], strict=True):
            row = cells[column]
            with np.errstate(invalid="ignore"):
                holds &= (row == value, row >= value, row <= value, np.isnan(row))[test]
        assert holds.sum() == count
    assert (made.counts(cells)[:30] >= 1).all()
    alone = univariate(cells, ordered)
    assert (alone.counts(cells) == 1).all()
    assert len(alone.distinct()) == len(alone)
    twice = Predicates.join([made, made])
    assert len(twice.distinct()) == len(made.distinct())


def test_columns_are_dealt_by_variable() -> None:
    columns = [Column(f"hr.{s}", variable="hr") for s in ("min", "max")]
    columns += [Column("age"), Column("lactate.max", variable="lactate"), Column("outcome")]
    assert deal(columns) == (("hr.min", "hr.max", "lactate.max"), ("age", "outcome"))
    assert deal(columns[:2]) == (("hr.min",), ("hr.max",))
    assert blind(10, 1) == pytest.approx(0.1)
    assert blind(10, 6) == 1.0
    assert commonest(np.array([1.0, 1.1, 5.0, 5.0]), 0.2) in (1.0, 1.1, 5.0)
    assert commonest(np.array([3.0, 1.0, 3.0]), 0.0) == 3.0


def test_a_synthetic_table_of_fewer_columns_in_another_order_is_read() -> None:
    rng = Seeds(8).rng("columns")
    s = split(rng, 200)
    table = bootstrap(s.members, rng)
    order = [17, 3, 0, 1, 2, 15]
    fewer = replace(table, columns=tuple(table.columns[j] for j in order), X=table.X[:, order])
    found = SyntheticAttributeInference().run(target(s, fewer), (), rng)
    assert set(found) == {column("unit"), column("outcome")}
    assert gap(found[column("unit")])[1] > 0
    for attack in ATTACKS:
        assert attack.run(target(s, fewer), (), rng)


def test_secrets_and_holders_can_be_named() -> None:
    rng = Seeds(9).rng("named")
    s = split(rng, 200)
    t = target(s, bootstrap(s.members, rng))
    found = SyntheticAttributeInference(secrets=("x3",)).run(t, (), rng)
    assert list(found) == [column("x3")]
    assert gap(found[column("x3")])[1] > 0.2
    held = Linkability(first=("x0", "x1", "x2"), second=("x3", "x4", "x5")).run(t, (), rng)
    assert gap(held[NEAREST])[1] > 0.2
    plain = tuple(replace(c, sensitive=False) for c in s.members.columns)
    bare = Split(*(replace(p, columns=plain) for p in (s.members, s.nonmembers, s.reference)))
    table = replace(bootstrap(s.members, rng), columns=plain)
    assert set(SyntheticAttributeInference(few=2).run(target(bare, table), (), rng)) == {
        column(name) for name in ("outcome", "b0", "b1")
    }


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (SyntheticAttributeInference(secrets=("weight",)), "weight"),
        (SyntheticAttributeInference(tolerance=2.0), "tolerance=2.0"),
        (Linkability(first=("x0",)), "one holder"),
        (Linkability(first=("x0",), second=("x0",)), "in both: x0"),
        (Linkability(neighbours=0), "neighbours=0"),
        (SinglingOut(attempts=True), "attempts=True"),
        (Copies(patients=0), "patients=0"),
    ],
)
def test_settings_that_cannot_be_are_refused(attack, told: str) -> None:
    rng = Seeds(9).rng("settings")
    s = split(rng, 50)
    with pytest.raises(PrivauditError, match=told):
        attack.run(target(s, bootstrap(s.members, rng)), (), rng)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_tables_too_small_constant_or_of_one_class_are_refused_or_read(attack) -> None:
    rng = Seeds(12).rng("odd")
    s = split(rng, 60)
    with pytest.raises(PrivauditError, match="table of 5 records"):
        attack.run(target(s, bootstrap(s.members, rng).take(slice(0, 5))), (), rng)
    strange = tuple(replace(c, name=f"q{i}") for i, c in enumerate(s.members.columns))
    alien = replace(s.members, columns=strange, classes=("u", "v"))
    with pytest.raises(PrivauditError, match="no column of the records' names"):
        attack.run(target(s, alien), (), rng)
    same = s.members.take(np.zeros(60, dtype=int))
    if isinstance(attack, SinglingOut):
        with pytest.raises(PrivauditError, match="1 of them different"):
            attack.run(target(s, same), (), rng)
    else:
        for trials in attack.run(target(s, same), (), rng).values():
            assert abs(gap(trials)[0]) < 0.3
    lone = Split(
        *(
            replace(p, y=np.zeros(len(p)), classes=("all",))
            for p in (s.members, s.nonmembers, s.reference)
        )
    )
    table = replace(bootstrap(s.members, rng), y=np.zeros(60), classes=("all",))
    assert attack.run(target(lone, table), (), rng)
    blank = replace(s.members, X=np.full_like(s.members.X, np.nan))
    if isinstance(attack, SinglingOut):
        with pytest.raises(PrivauditError, match="2 of them different"):
            attack.run(target(s, blank), (), rng)
    else:
        assert attack.run(target(s, blank), (), rng)


def test_the_outcome_is_a_column_whatever_it_is_called() -> None:
    rng = Seeds(13).rng("outcome")
    s = split(rng, 80)
    named = tuple(replace(c, name="outcome") if c.name == "b0" else c for c in s.members.columns)
    s = Split(*(replace(p, columns=named) for p in (s.members, s.nonmembers, s.reference)))
    found = SyntheticAttributeInference().run(target(s, bootstrap(s.members, rng)), (), rng)
    assert column("outcome (y)") in found


def test_records_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of one column and no outcome: linking is refused, the others say what they can."""
    rng = Seeds(14).rng("one")
    s = split(rng, 60)
    first, pools = s.members.columns[:1], (s.members, s.nonmembers, s.reference)
    alone = [replace(p, columns=first, X=p.X[:, :1], y=np.zeros(len(p), dtype=int)) for p in pools]
    one = Split(*(replace(p, classes=("all",)) for p in alone))
    table = bootstrap(one.members, rng)
    with pytest.raises(PrivauditError, match="1 column in common"):
        Linkability().run(target(one, table), (), rng)
    with pytest.raises(PrivauditError, match="no column to infer"):
        SyntheticAttributeInference().run(target(one, table), (), rng)
    assert set(SinglingOut().run(target(one, table), (), rng)) == {UNIVARIATE, MULTIVARIATE}


def test_in_a_large_table_of_few_values_descriptions_grow_until_there_are_enough() -> None:
    rng = Seeds(21).rng("few values")
    columns = tuple(
        Column(f"c{i}", kind="category", levels=("a", "b", "c", "d")) for i in range(16)
    )

    def draw(n: int) -> Records:
        x = rng.choice(4, (n, 16), p=[0.7, 0.2, 0.08, 0.02])
        return Records(columns, x, np.zeros(n), np.arange(n), np.zeros(n))

    whole = draw(900)
    s = Split(*(whole.take(np.arange(*ends)) for ends in ((0, 400), (400, 800), (800, 900))))
    table = Records.concatenate([s.members, draw(600)])
    found = SinglingOut(attempts=200, columns=2).run(target(s, table), (), Seeds(22).rng("run"))
    wide = found[MULTIVARIATE]
    assert len(wide.success) == 200
    assert "columns each" in wide.control_label
    assert wide.success.mean() - wide.control.mean() > 0.1
