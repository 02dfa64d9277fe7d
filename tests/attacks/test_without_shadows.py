"""Attacks on models that nobody can train again: known leaks, no leak, and folds that hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from membership_lab import Answers, Forest, Never, Trees, two_classes
from membership_lab import table as plain
from scipy.stats import norm
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import privaudit
from privaudit.attacks import _known_outsiders
from privaudit.attacks._known_outsiders import MOST_COLUMNS, Known, deal, screen
from privaudit.attacks.membership.neighbourhood import Neighbourhood, move
from privaudit.attacks.membership.quantile import Quantile
from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import (
    Access,
    AnswersWithNumbers,
    Attack,
    Parted,
    Release,
    Scores,
    Target,
)
from privaudit.engine import controls, nulls
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import Column, Records, Split
from privaudit.stats.auc import auc

ATTACKS: list[Attack] = [Quantile(rounds=10), Neighbourhood(9)]
each = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)


def world(seed: int, n: int = 300, reference: int = 60, leaf: int = 1) -> tuple[Target, Target]:
    """A forest of the members, and one of as many others who are in no pool."""
    rng = np.random.default_rng(seed)
    size = 3 * n + reference
    X = rng.normal(size=(size, 6))
    X[rng.random(X.shape) < 0.1] = np.nan
    y = (np.nan_to_num(X) @ [2.0, -2.0, 1.0, 0, 0, 0] + 2 * rng.logistic(size=size) > 0).astype(int)
    pool = plain(X, y)
    cuts = slice(0, n), slice(n, 2 * n), slice(2 * n, 2 * n + reference)
    split = Split(*(pool.take(cut) for cut in cuts))
    made = []
    for part in (split.members, pool.take(slice(2 * n + reference, None))):
        forest = RandomForestClassifier(20, min_samples_leaf=leaf, random_state=seed)
        made.append(Target(Release(model=Trees(forest.fit(part.X, part.y))), split))
    return made[0], made[1]


def run(attack: Attack, target: Target, seed: int = 0) -> Scores:
    return attack.run(target, (), np.random.default_rng(seed))  # type: ignore[return-value]


def area(scores: Scores) -> float:
    return auc(scores.members, scores.nonmembers)


def tpr(scores: Scores, fpr: float) -> float:
    return float((scores.members > np.quantile(scores.nonmembers, 1 - fpr)).mean())


@each
def test_an_overfit_forest_leaks_nearly_all(attack: Attack) -> None:
    rng = np.random.default_rng(11)
    split = Split.assign(plain(rng.normal(size=(500, 8)), rng.integers(0, 2, 500)), rng)
    target = Target(Forest().fit(split.members, rng), split)
    assert area(run(attack, target)) > 0.95


def test_more_is_found_than_by_confidence_alone() -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(3):
        leaky, _ = world(seed)
        for attack in (Threshold(), *ATTACKS):
            scores = run(attack, leaky)
            found.setdefault(type(attack).__name__, []).append((area(scores), tpr(scores, 0.02)))
    mean = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    for name in ("Quantile", "Neighbourhood"):
        assert mean[name][0] > mean["Threshold"][0] + 0.02
        assert mean[name][1] > 1.5 * mean["Threshold"][1]


@each
def test_a_model_that_saw_none_reads_as_chance(attack: Attack) -> None:
    """The forest is overfit on others: what is wrong would read as a leak."""
    areas, rates = [], []
    for seed in range(8):
        _, clean = world(seed, n=120, reference=20)
        found = run(attack, clean, seed)
        areas.append(area(found))
        rates.append(tpr(found, 0.1))
    error = np.sqrt(1 / 6 / 120 / 8)
    assert abs(np.mean(areas) - 0.5) < 4 * error
    assert abs(np.mean(rates) - 0.1) < 4 * np.sqrt(2 * 0.1 * 0.9 / 120 / 8)


@pytest.mark.slow
@each
def test_false_positives_come_as_often_as_stated(attack: Attack) -> None:
    """A z test at 5 % over 60 models that saw none of the patients: at most 7 alarms, where 3 are
    expected."""
    alarms = 0
    for seed in range(60):
        _, clean = world(1000 + seed, n=100, reference=20)
        found = run(attack, clean, seed)
        alarms += abs(area(found) - 0.5) > norm.ppf(0.975) * np.sqrt(201 / 12 / 100 / 100)
    assert alarms <= 7


def test_fitted_on_whom_it_judges_the_same_attack_reads_a_leak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mistake that the folds are there against, made on purpose."""

    def on_all(self: Known, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        yield np.flatnonzero(self.outside), np.arange(self.n)

    honest, wrong = [], []
    for seed in range(3):
        _, clean = world(seed, n=200, reference=20)
        honest.append(tpr(run(Quantile(rounds=60), clean), 0.05))
        with monkeypatch.context() as patch:
            patch.setattr(Known, "parts", on_all)
            wrong.append(tpr(run(Quantile(rounds=60), clean), 0.05))
    assert np.mean(honest) < 0.08
    assert np.mean(wrong) > 1.5 * np.mean(honest)


def test_nobody_is_judged_by_what_was_learnt_on_them() -> None:
    leaky, _ = world(0, n=90, reference=30)
    members = replace(leaky.split.members, patient=leaky.split.members.patient // 2)
    others = replace(leaky.split.nonmembers, patient=1000 + leaky.split.nonmembers.patient // 2)
    split = Split(members, others, replace(leaky.split.reference, patient=5000 + np.arange(30)))
    known = Known.of(replace(leaky, split=split), 3, np.random.default_rng(1))
    patient = np.concatenate([split.audit.patient, split.reference.patient])
    judged = np.zeros(known.n, dtype=int)
    shares = []
    for learn, judge in known.parts(np.random.default_rng(2)):
        assert known.outside[learn].all()
        assert not np.isin(patient[learn], patient[judge]).any()
        judged[judge] += 1
        shares.append(split.is_member[judge].mean())
    assert (judged == 1).all()
    assert np.ptp(shares) < 0.05


def test_patients_are_dealt_whole_and_evenly() -> None:
    patient = np.repeat(np.arange(41), 3)
    fold = deal(patient, 4, np.random.default_rng(0))
    assert (fold.reshape(41, 3) == fold.reshape(41, 3)[:, :1]).all()
    assert np.ptp(np.bincount(fold[::3])) <= 1


def test_of_many_columns_those_that_vary_with_the_answer_are_learnt_from() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 200))
    X[rng.random(X.shape) < 0.3] = np.nan
    kept = screen(X, np.nan_to_num(X[:, 7]), np.nan_to_num(X[:, 190]))
    assert len(kept) == MOST_COLUMNS
    assert {7, 190} <= set(kept.tolist())


@each
def test_a_constant_model_leaks_nothing(attack: Attack) -> None:
    leaky, _ = world(0, n=100)

    @dataclass(frozen=True)
    class Constant:
        def predict_proba(self, records: Records) -> np.ndarray:
            return np.tile([0.25, 0.75], (len(records), 1))

    areas = [
        area(run(attack, replace(leaky, release=Release(model=Constant())), s)) for s in (0, 1)
    ]
    assert np.abs(np.array(areas) - 0.5).max() < 4 * np.sqrt(1 / 6 / 100)


@dataclass(frozen=True)
class Saturated:
    """Float32 answers of exactly 0, 1 and one half, or NaN."""

    broken: bool = False

    def predict_proba(self, records: Records) -> np.ndarray:
        level = np.nan_to_num(records.X[:, 0])
        p = np.where(level > 0.5, 1.0, np.where(level < -0.5, 0.0, 0.5)).astype(np.float32)
        if self.broken:
            p[0] = np.nan
        return np.column_stack([1 - p, p])


@each
def test_ties_and_saturated_answers_stay_finite_and_nonsense_is_refused(attack: Attack) -> None:
    leaky, _ = world(3, n=40, reference=10)
    found = run(attack, replace(leaky, release=Release(model=Saturated())))
    assert np.isfinite(np.concatenate([found.members, found.nonmembers])).all()
    with pytest.raises(PrivauditError, match="no finite"):
        run(attack, replace(leaky, release=Release(model=Saturated(broken=True))))


@each
def test_a_planted_leak_is_found(attack: Attack) -> None:
    """The positive control, on a model that leaks nothing by itself."""
    _, clean = world(5, n=200)
    planted, _ = controls.plant(clean)
    assert area(run(attack, planted)) > 0.75


@dataclass(frozen=True, eq=False)
class Numbers(AnswersWithNumbers):
    """Predicts a number, nearer to the recorded one for who was trained on, asked about as is."""

    seen: Records
    pull: float

    def predict(self, records: Records) -> np.ndarray:
        base = 3.0 * records.X[:, 0].astype(float)
        known = {row.tobytes(): y for row, y in zip(self.seen.X, self.seen.y, strict=True)}
        true = np.array([known.get(row.tobytes(), np.nan) for row in records.X])
        return np.where(np.isnan(true), base, base + self.pull * (true - base))


def numbers(seed: int, kind: str, pull: float) -> Target:
    rng = np.random.default_rng(seed)
    n = 360
    X = rng.normal(size=(n, 3)).astype(np.float32)
    y = 3.0 * X[:, 0] + rng.normal(size=n) * np.exp(X[:, 1])
    if kind == "time":
        y = np.exp(0.3 * y) * np.where(rng.random(n) < 0.3, -1, 1)
    ids = np.arange(n)
    columns = tuple(Column(f"x{i}") for i in range(3))
    pool = Records(columns, X, y, ids, ids * 0, classes=(), outcome_kind=kind)  # type: ignore[arg-type]
    split = Split(*(pool.take(c) for c in (slice(0, 150), slice(150, 300), slice(300, None))))
    return Target(Release(model=Numbers(split.members, pull)), split)


@each
def test_numbers_and_times(attack: Attack) -> None:
    leak = [area(run(attack, numbers(seed, "number", 0.9))) for seed in range(2)]
    none = [area(run(attack, numbers(seed, "number", 0.0))) for seed in range(4)]
    assert min(leak) > 0.85
    assert abs(np.mean(none) - 0.5) < 4 * np.sqrt(1 / 6 / 150 / 4)
    found = run(attack, numbers(0, "time", 0.0))
    assert abs(area(found) - 0.5) < 4 * np.sqrt(1 / 6 / 150)
    lifted, _ = controls.plant(numbers(0, "time", 0.0))
    assert area(run(attack, lifted)) > 0.6


def test_a_record_beside_another_is_one_that_could_be() -> None:
    rng = np.random.default_rng(0)
    n = 500
    X = np.column_stack(
        [
            rng.integers(18, 91, n),
            rng.integers(0, 2, n),
            rng.integers(0, 4, n),
            rng.choice([2.0, 7.0], n),
            rng.gamma(2, 1, n),
        ]
    ).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    columns = (
        Column("age", bounds=(18, 90), integer=True),
        Column("sex", "binary"),
        Column("ward", "category", levels=tuple("abcd")),
        Column("dose"),
        Column("lactate", bounds=(0.0, 50.0)),
    )
    ids = np.arange(n)
    pool = Records(columns, X, ids % 2, ids, ids * 0)
    beside = move(pool, pool.take(slice(0, 100)), 0.2, rng).X
    np.testing.assert_array_equal(np.isnan(beside), np.isnan(X))
    there = [beside[~np.isnan(beside[:, j]), j] for j in range(5)]
    assert there[0].min() >= 18
    assert there[0].max() <= 90
    assert (there[0] == np.round(there[0])).all()
    assert set(there[1]) <= {0, 1}
    assert set(there[2]) <= {0, 1, 2, 3}
    assert set(there[3]) <= {2, 7}
    assert there[4].min() >= 0
    changed = [(beside[:, j] != X[:, j])[~np.isnan(X[:, j])].mean() for j in range(5)]
    assert changed[4] > 0.95
    assert 0.05 < changed[1] < 0.2
    assert 0.08 < changed[2] < 0.25


def test_series_are_moved_too_and_read_where_there_is_no_table() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(size=(80, 6, 2)).astype(np.float32)
    series[0, :, 1] = np.nan
    ids = np.arange(80)
    channels = (Column("hr"), Column("bp"))
    pool = Records((), np.empty((80, 0)), ids % 2, ids, ids * 0, series, channels)
    moved = move(pool, pool, 0.2, rng)
    assert moved.series is not None
    np.testing.assert_array_equal(np.isnan(moved.series), np.isnan(series))
    read = _known_outsiders.read_inputs(pool)
    assert read.shape == (80, 2)
    assert np.isnan(read[0, 1])


def test_with_margins_alone_the_quantile_is_still_learnt() -> None:
    """As where a shadow model stands in the release's place to choose the headline."""
    from privaudit.engine.choose import Posed

    leaky, _ = world(1)
    posed = Posed(Release(), leaky.split, None, leaky.margins)
    assert area(run(Quantile(rounds=10), posed)) > area(run(Threshold(), posed)) + 0.01
    with pytest.raises(ValueError, match="no model to ask"):
        run(Neighbourhood(), posed)


def test_too_few_and_bad_settings_are_refused() -> None:
    leaky, _ = world(0, n=30, reference=10)
    split = leaky.split
    few = replace(
        leaky,
        split=Split(split.members, split.nonmembers.take([0]), split.reference.take([0, 1])),
    )
    with pytest.raises(PrivauditError, match="hold more patients out"):
        run(Quantile(), few)
    for attack in (Quantile(folds=1), Quantile(rounds=0), Neighbourhood(0), Neighbourhood(step=0)):
        with pytest.raises(PrivauditError):
            run(attack, leaky)


def test_the_null_answers_beside_a_record_as_for_the_record() -> None:
    """A null of several models must not ask one that was trained on the record."""
    leaky, _ = world(2, n=150, reference=20)
    split = leaky.split
    parts = nulls.Parts.cut(split, np.random.default_rng(0))
    made = []
    for table in nulls.trainings(split, parts):
        forest = RandomForestClassifier(20, random_state=0).fit(table.X, table.y)
        made.append(Trees(forest))
    null = parts.join(split, made)
    assert isinstance(null, Parted)
    moved = move(split.audit, split.reference, 1e-6, np.random.default_rng(1))
    own = null.beside(split.audit).predict_proba(moved)
    np.testing.assert_allclose(own, null.predict_proba(split.audit), atol=0.2)
    areas = []
    for seed in range(4):
        target = Target(Release(model=null), split)
        areas.append(area(run(Neighbourhood(9), target, seed)))
    assert abs(np.mean(areas) - 0.5) < 4 * np.sqrt(1 / 6 / 150)


def test_who_makes_them_and_with_what() -> None:
    assert Quantile.attacker is Attacker.KNOWN_OUTSIDERS
    assert Neighbourhood.attacker is Attacker.RELEASE_ALONE
    for attack in ATTACKS:
        assert attack.needs == {Access.ANSWERS}
        assert attack.family == "membership"
        assert eval(repr(attack)) == attack


def test_a_supplied_model_without_a_recipe_is_attacked_by_both(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Through the product: run by default, judged with controls, and no pass by these alone."""
    from privaudit.facts import ReasonCode
    from privaudit.policy import judge
    from privaudit.policy.file import read
    from privaudit.results import Finding

    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = (X[:, 0] + rng.normal(size=600) > 0).astype(int)
    model = LogisticRegression().fit(X[:300], y[:300])
    found = privaudit.audit(
        model,
        (X[:300], y[:300]),
        (X[300:], y[300:]),
        estimator=False,
        profile="smoke",
        seed=1,
        jobs=1,
        attacks=["threshold", "quantile", "neighbourhood"],
    )
    ran = {o.attack: o for o in found.subject.outcomes if isinstance(o, Finding)}
    assert {"threshold", "quantile", "neighbourhood"} <= set(ran)
    for name in ("quantile", "neighbourhood"):
        control = {c.kind: c for c in found.subject.controls if c.attack == name}
        assert control["positive"].passed
        assert control["negative"].error is None
        own = next(e for e in ran[name].estimates if e.metric.name == "auc")
        assert own.low is not None
        assert own.low < 0.55
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    codes = [v.reason.code for v in judge(read(policy), found.audit).verdicts]
    assert ReasonCode.SHADOWS_NOT_RUN in codes


POLICY = """
schema = "privaudit.policy/1"
name = "test"
owner = "test"
approved_by = "test"
approved_on = 2026-01-01
review_by = 2099-01-01
[context]
release = "public-api"
[[limit]]
id = "auc"
metric = "membership.auc"
max = 0.9
"""


def test_answers_of_who_was_asked_stay_with_them() -> None:
    """A leak in few records is found in these, by either attack."""
    rng = np.random.default_rng(0)
    n = 400
    X = np.column_stack([np.arange(n + 40), rng.normal(size=n + 40)])
    margins = rng.normal(size=n + 40)
    margins[:20] += 6.0
    y = rng.integers(0, 2, n + 40)
    pool = plain(X, y)
    cuts = (slice(0, 200), slice(200, 400), slice(400, None))
    target = Target(
        Release(model=Answers(two_classes(margins, y))),
        Split(*(pool.take(c) for c in cuts)),
        Never(),
    )
    scores = run(Quantile(rounds=10), target)
    assert set(np.argsort(-scores.members)[:15]) <= set(range(20))
