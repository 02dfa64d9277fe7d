"""Attribute inference: planted leaks are found, and what imputation gives is no leak."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from pipelines.methods.baseline import Baseline
from privaudit import stats
from privaudit.attacks.disclosure._imputer import Imputer
from privaudit.attacks.disclosure.attribute import Answers, Attribute, Reader, code, options
from privaudit.contracts import Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import BoundMethod, Setting
from privaudit.records import Column, Records, Split

SEX, WARD = (Setting("column", name) for name in ("sex", "ward"))

WARDS = ("a", "b", "c")


def table(n: int = 2400, seed: int = 0, gaps: float = 0.0) -> Records:
    """sex and ward, each told a little by the rest; the outcome depends on nothing."""
    rng = np.random.default_rng(seed)
    sex, ward = rng.integers(0, 2, n), rng.integers(0, 3, n)
    x = rng.normal(size=(n, 6))
    x[:, 0] += 0.8 * sex
    x[:, 1] += 0.8 * (ward == 2)
    full = np.column_stack([x, sex, ward]).astype(np.float32)
    full[rng.random(full.shape) < gaps] = np.nan
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(6)),
        Column("sex", "binary", (0, 1), ("F", "M"), sensitive=True),
        Column("ward", "category", levels=WARDS, sensitive=True),
    )
    y = rng.integers(0, 2, n)
    return Records(columns, full, y, np.arange(n), np.zeros(n, dtype=int))


def split_of(records: Records) -> Split:
    return Split.assign(records, np.random.default_rng(1))


class Ignorant:
    """Answers by x2 alone."""

    def predict_proba(self, records: Records) -> np.ndarray:
        p = 1 / (1 + np.exp(-np.nan_to_num(records.X[:, 2].astype(float))))
        return np.column_stack([1 - p, p])


class Constant:
    def predict_proba(self, records: Records) -> np.ndarray:
        return np.full((len(records), 2), 0.5)


class Memory:
    """Sure of the outcome of a training record with its own sex and ward, unsure of all else."""

    def __init__(self, members: Records) -> None:
        self.seen = {row.tobytes() for row in members.X}

    def predict_proba(self, records: Records) -> np.ndarray:
        known = np.array([row.tobytes() in self.seen for row in records.X])
        p = np.full((len(records), 2), 0.5)
        p[known] = 0.05
        p[known, records.y[known]] = 0.95
        return p


def rates(evidence: dict[Setting, Trials]) -> dict:
    found = stats.estimates(evidence, rng=np.random.default_rng(0))
    return {str(e.metric): e for e in found}


def attack(model: object, split: Split, **options: object) -> dict[Setting, Trials]:
    return Attribute(**options).run(
        Target(Release(model=model), split), (), np.random.default_rng(3)
    )


def test_a_model_that_remembers_sex_and_ward_is_found():
    split = split_of(table())
    found = rates(attack(Memory(split.members), split))
    for column in ("sex", "ward"):
        assert found[f"attack_rate@{column}"].value > 0.7
        assert found[f"attack_minus_guess@{column}"].low > 0.12
        assert found[f"attack_minus_control@{column}"].low > 0.12
    assert found["attack_minus_control@sex"].n["controls"] == len(split.nonmembers)
    assert found["attack_minus_control@sex"].bound.method == BoundMethod.NEWCOMBE_INDEPENDENT


def test_a_model_that_predicts_from_sex_tells_sex_but_not_of_members_alone():
    """The outcome is sex, turned round by the sign of x2: these columns cannot impute it."""
    plain = table()
    y = (plain.X[:, 6] > 0.5) ^ (plain.X[:, 2] > 0)
    split = split_of(replace(plain, y=y.astype(int)))

    class FromSex:
        def predict_proba(self, records: Records) -> np.ndarray:
            p = np.where((records.X[:, 6] > 0.5) ^ (records.X[:, 2] > 0), 0.9, 0.1)
            return np.column_stack([1 - p, p])

    small = replace(split, reference=split.reference.take(slice(0, 60)))
    found = rates(attack(FromSex(), small))
    assert found["attack_minus_guess@sex"].low > 0.1
    control = found["attack_minus_control@sex"]
    assert control.low < 0 < control.high
    assert abs(found["attack_minus_guess@ward"].value) < 1e-12


@pytest.mark.parametrize("model", [Ignorant(), Constant()])
def test_a_model_that_ignores_the_column_adds_exactly_nothing(model: object):
    split = split_of(table(gaps=0.1))
    evidence = attack(model, split)
    assert set(evidence) == {SEX, WARD}
    for trials in evidence.values():
        assert np.array_equal(trials.success, trials.guess)
    found = rates(evidence)
    assert found["guess_rate@sex"].low > 0.5, "the imputer must use x0"
    gap = found["attack_minus_control@sex"]
    assert gap.low < 0 < gap.high


def test_an_honest_model_adds_nothing_and_is_quick():
    split = split_of(table(n=4000))
    release = Baseline().fit(split.members, np.random.default_rng(0))
    target = Target(release, split)
    Attribute(patients=50).run(target, (), np.random.default_rng(0))
    start = time.process_time()
    evidence = Attribute().run(target, (), np.random.default_rng(0))
    assert time.process_time() - start < 1.5
    for column in ("sex", "ward"):
        gap = rates(evidence)[f"attack_minus_guess@{column}"]
        assert gap.low <= 0 < gap.high + 0.02


def test_false_alarms_are_rare():
    """Answers that are noise about the column, alike for members and others: 95 % intervals of
    attack minus control miss 0 in few of 25 splits."""

    class Noisy:
        def predict_proba(self, records: Records) -> np.ndarray:
            noise = np.sin(1e4 * np.nan_to_num(records.X).sum(axis=1).astype(float))
            p = 0.5 + 0.3 * noise
            return np.column_stack([1 - p, p])

    alarms = 0
    for seed in range(25):
        split = split_of(table(n=300, seed=seed))
        only = Attribute(patients=100)
        gap = rates(
            only.run(Target(Release(model=Noisy()), split), (), np.random.default_rng(seed))
        )
        alarms += not (
            gap["attack_minus_control@sex"].low <= 0 <= gap["attack_minus_control@sex"].high
        )
    assert alarms <= 4


def test_gaps_are_left_out_of_the_column_and_allowed_elsewhere():
    split = split_of(table(gaps=0.3))
    evidence = attack(Memory(split.members), split, patients=5000)
    for j, name in ((6, "sex"), (7, "ward")):
        trials, pools = evidence[Setting("column", name)], (split.members, split.nonmembers)
        sizes = [np.isfinite(pool.X[:, j]).sum() for pool in pools]
        assert [len(trials.success), len(trials.control)] == sizes
    assert evidence[SEX].success.mean() > 0.8


def test_the_rule_by_confidence_alone():
    """CSMIA: the surest right answer; where none is right, the one least sure of the wrong."""
    answers = np.array(
        [
            [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]],  # right with 1 and 2: 2 is surer
            [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]],  # right with 1 alone
            [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]],  # right with none: least sure is 1
        ]
    )
    three = replace(table(3), y=np.array([1, 1, 1]))
    assert Answers(three, answers, 1.0).confidence.argmax(axis=1).tolist() == [2, 1, 1]
    split = split_of(table())
    found = rates(attack(Memory(split.members), split, rule="confidence"))
    assert found["attack_rate@sex"].value > 0.9


def test_numbers_with_public_bounds_are_binned():
    column = Column("age", bounds=(0.0, 80.0), sensitive=True)
    assert options(column, 4).tolist() == [10, 30, 50, 70]
    assert code(column, np.array([0, 19, 21, 59, 61, 99]), 4).tolist() == [0, 0, 1, 2, 3, 3]
    assert not len(options(replace(column, bounds=None), 4))


def test_the_imputer_goes_by_shares_where_it_cannot_learn():
    few = table(n=10)
    imputer = Imputer.fit(few, few.X[:, 6].astype(int), 2, 6, np.random.default_rng(0))
    p = imputer(table(n=50, seed=2))
    assert np.allclose(p, p[0])
    one = table(n=200)
    never = Imputer.fit(one, np.zeros(200, dtype=int), 3, 7, np.random.default_rng(0))(one)
    assert (never > 0).all()
    assert np.allclose(never.sum(axis=1), 1)
    assert (never.argmax(axis=1) == 0).all()


def test_the_imputer_reads_neither_the_column_nor_anything_but_reference_records():
    split = split_of(table())
    evidence = attack(Ignorant(), split)
    blind = replace(split, members=replace(split.members, X=split.members.X.copy()))
    blind.members.X[:, 6] = 1 - blind.members.X[:, 6]
    other = attack(Ignorant(), blind)
    assert np.array_equal(evidence[SEX].guess, 1 - other[SEX].guess)


def test_it_is_a_function_of_its_stream():
    split = split_of(table())
    one, two = (attack(Memory(split.members), split) for _ in range(2))
    assert all(np.array_equal(one[k].success, two[k].success) for k in one)


def test_refusals_name_what_came():
    split = split_of(table())
    bare = tuple(replace(c, sensitive=False) for c in split.members.columns)
    plain = replace(
        split,
        **{
            p: replace(getattr(split, p), columns=bare)
            for p in ("members", "nonmembers", "reference")
        },
    )
    with pytest.raises(PrivauditError, match="no sensitive column"):
        attack(Constant(), plain)
    for wrong in ({"patients": 0}, {"bins": 1}, {"rule": "magic"}):
        with pytest.raises(PrivauditError, match=next(iter(wrong))):
            attack(Constant(), split, **wrong)


def test_one_remembered_record_of_three_gives_a_patient_away():
    """The attacker stands by the record on which the model says most, so that what is known of a
    patient's other records takes nothing away."""
    split = split_of(replace(table(), patient=np.arange(2400) // 3))
    first = np.unique(split.members.patient, return_index=True)[1]
    evidence = attack(Memory(split.members.take(first)), split)
    patients = rates(evidence)["attack_minus_guess@sex"]
    records = {str(e.metric): e for e in stats.trials_by_record(evidence)}
    assert patients.value > 0.2
    assert records["attack_minus_guess@sex"].value == pytest.approx(patients.value / 3, abs=0.04)
    assert patients.n["patients"] == len(first)
    null = rates(attack(Constant(), split))["attack_minus_control@sex"]
    assert null.low <= 0 <= null.high


def world(n: int, effect: float, known: float, seed: int) -> Records:
    """A secret known a little from x1, an outcome of x0 and the secret."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    secret = (rng.random(n) < 1 / (1 + np.exp(-known * x[:, 1]))).astype(float)
    y = rng.random(n) < 1 / (1 + np.exp(-(x[:, 0] + effect * (secret - 0.5))))
    columns = (
        *(Column(f"x{i}", bounds=(-5.0, 5.0)) for i in range(5)),
        Column("sex", "binary", (0, 1), ("F", "M"), sensitive=True),
    )
    return Records(
        columns, np.column_stack([x, secret]), y.astype(int), np.arange(n), np.zeros(n, dtype=int)
    )


class Fitted:
    """A scikit-learn model of the first `width` columns."""

    def __init__(self, model: object, members: Records, width: int = 6) -> None:
        self.width = width
        self.model = model.fit(members.X[:, :width], members.y)  # type: ignore[attr-defined]

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.model.predict_proba(records.X[:, : self.width])


def forest(members: Records, width: int = 6) -> Fitted:
    from sklearn.ensemble import RandomForestClassifier

    trees = RandomForestClassifier(40, min_samples_leaf=3, random_state=0, n_jobs=1)
    return Fitted(trees, members, width)


def gains(effect: float, known: float, repeats: int, width: int = 6) -> np.ndarray:
    """(repeats, 3): advantage over the guess, over the control, and that of a posterior whose prior
    holds the outcome, on forests."""
    found = []
    for seed in range(repeats):
        split = Split.assign(world(1250, effect, known, seed), np.random.default_rng(seed), 0.3)
        model = forest(split.members, width)
        trials = attack(model, split)[SEX]
        reader = Reader.fit(
            model, split.reference, 5, np.array([0, 1]), 4, 1.0, np.random.default_rng(3)
        )
        twice = replace(reader, held=0.0, weight=1.0).name(split.members, "posterior")[0]
        right = (split.members.X[:, 5] == twice).mean()
        over_control = trials.success.mean() - trials.control.mean()
        guess = trials.guess.mean()
        found.append((trials.success.mean() - guess, over_control, right - guess))
    return np.array(found)


def test_the_outcome_counts_once():
    """On a forest that learned the secret, several times what a prior that holds the outcome, times
    the likelihood of the same outcome, would find."""
    over_guess, over_control, twice = gains(2.0, 0.0, 6).mean(axis=0)
    assert over_guess > 2 * twice
    assert over_guess > 0.03
    assert over_control > 0.03


def test_answers_are_weighed_by_what_is_usual_for_the_model():
    """A forest trained on noise differs little between values, but in the right direction on the
    records that it was trained on."""
    over_guess, over_control, twice = gains(0.0, 0.0, 3).mean(axis=0)
    assert over_guess > 2 * twice
    assert over_guess > 0.12
    assert over_control > 0.12


def test_a_model_without_the_column_is_no_leak_however_much_the_outcome_tells():
    """The guess knows the outcome, and so must an attack on a model that holds nothing of it."""
    found = gains(3.0, 1.0, 6, width=5)
    assert np.array_equal(found[:, 0], np.zeros(6))
    assert (found[:, 2] == 0).all()


@pytest.mark.slow
def test_intervals_cover_0_without_a_leak_in_94_of_100():
    """Trained without the column: over the guess exactly 0, over the control as often as stated."""
    from sklearn.linear_model import LogisticRegression

    covered = 0
    for seed in range(150):
        split = Split.assign(world(400, 1.0, 1.0, seed), np.random.default_rng(seed), 0.3)
        found = rates(attack(Fitted(LogisticRegression(), split.members, 5), split))
        assert found["attack_minus_guess@sex"].low <= 0 <= found["attack_minus_guess@sex"].high
        gap = found["attack_minus_control@sex"]
        covered += gap.low <= 0 <= gap.high
    assert covered >= 141 - 6  # 94 of 100, less two standard deviations of 150 repeats


def test_a_forest_gives_away_the_sex_of_patients_with_several_records():
    """Three records a patient, one in ten without the value."""
    plain = world(2400, 0.0, 0.0, 0)
    x = plain.X.copy()
    x[:, 5] = x[np.arange(2400) // 3 * 3, 5]
    x[np.random.default_rng(0).random(2400) < 0.1, 5] = np.nan
    split = split_of(replace(plain, X=x, patient=np.arange(2400) // 3))

    from sklearn.ensemble import RandomForestClassifier

    class Filled(Fitted):
        def predict_proba(self, records: Records) -> np.ndarray:
            return self.model.predict_proba(np.nan_to_num(records.X, nan=0.5))

    trees = RandomForestClassifier(40, random_state=0, n_jobs=1)
    model = Filled(trees, replace(split.members, X=np.nan_to_num(split.members.X, nan=0.5)))
    found = rates(attack(model, split))
    assert found["attack_minus_guess@sex"].low > 0.02
    assert found["attack_minus_control@sex"].low > 0.02


@pytest.mark.parametrize("levels", [2, 12])
def test_numbers_and_many_levels_that_a_model_remembers_are_found(levels: int):
    """A secret of twelve levels, or a number between public bounds, in a model of memory."""
    plain = table(n=1800)
    rng = np.random.default_rng(0)
    x = plain.X.copy()
    names = tuple(f"w{i}" for i in range(levels))
    column = Column("ward", "category", levels=names, sensitive=True)
    x[:, 7] = rng.integers(0, levels, 1800)
    if levels == 2:
        column = Column("ward", bounds=(0.0, 8.0), sensitive=True)
        x[:, 7] = rng.choice([1.0, 3.0, 5.0, 7.0], 1800)
    split = split_of(replace(plain, X=x, columns=(*plain.columns[:7], column)))
    found = rates(attack(Memory(split.members), split))
    assert found["attack_minus_guess@ward"].low > 0.2
    assert found["attack_minus_control@ward"].low > 0.2
