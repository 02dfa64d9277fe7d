"""The unit of membership is the patient: the scores of a patient's records become one."""

import numpy as np
import pytest
from scipy.special import ndtr

from privaudit import stats
from privaudit.contracts import Scores
from privaudit.facts import Metric
from privaudit.results import Estimate
from privaudit.stats.differences import area as difference_of_areas
from privaudit.stats.headline import strength
from privaudit.stats.patients import by_patient, combine_records, even_out, has_several

Both = tuple[np.ndarray, np.ndarray]


def world(
    seed: int, patients: int, shift: float, most: int = 5
) -> tuple[Scores, Both, tuple[np.ndarray, np.ndarray]]:
    """1 to `most` records a patient, scores N(0, 1), members' raised by `shift`; and how many."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(1, most + 1, patients) for _ in range(2)]
    ids = (
        np.repeat(np.arange(patients), rows[0]),
        np.repeat(np.arange(patients) + patients, rows[1]),
    )
    scores = Scores(rng.normal(size=len(ids[0])) + shift, rng.normal(size=len(ids[1])))
    return scores, ids, (rows[0], rows[1])


def read(found: tuple[Estimate, ...], name: str, fpr: float | None = None) -> Estimate:
    return next(e for e in found if e.metric == Metric(name, fpr))


def estimates(scores: Scores, ids: Both) -> tuple[Estimate, ...]:
    return stats.estimates(scores, patients=ids, rng=np.random.default_rng(0))


def test_sums_of_a_patients_records_are_what_is_ranked() -> None:
    """With k records a side of a pair, AUC = Phi(shift * (k + l) / 2 / sqrt(k + l)) after
    centring at half the shift: the mean of it over the numbers of records is the truth."""
    shift = 0.7
    scores, ids, (ones, zeros) = world(3, 3000, shift)
    k, m = ones[:, None], zeros[None, :]
    truth = float(ndtr(shift * (k + m) / 2 / np.sqrt(k + m)).mean())
    auc = read(estimates(scores, ids), "auc")
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < truth < auc.high
    assert auc.n["member_patients"] == 3000
    assert auc.n["members"] == len(scores.members)
    single = read(stats.by_record(scores, patients=ids, rng=np.random.default_rng(0)), "auc")
    assert single.low is not None
    assert single.high is not None
    assert single.low < ndtr(shift / np.sqrt(2)) < single.high < auc.low


def test_one_record_a_patient_changes_nothing() -> None:
    scores, ids, _ = world(1, 400, 0.3, most=1)
    same, whose = by_patient(scores, ids)
    assert same is scores
    assert whose is ids
    assert not has_several(ids)
    assert stats.by_record(scores, patients=ids, rng=np.random.default_rng(0)) == ()


def test_how_many_records_a_patient_has_is_no_evidence() -> None:
    """All scores far above 0: a plain sum would rank patients by their number of records."""
    scores, ids, _ = world(5, 2000, 0.5)
    plain = read(estimates(scores, ids), "auc")
    lifted = Scores(scores.members + 40.0, scores.nonmembers + 40.0)
    assert read(estimates(lifted, ids), "auc").value == pytest.approx(plain.value, abs=1e-9)


def test_the_largest_score_finds_a_patient_by_one_record() -> None:
    members = np.array([0.0, 9.0, 0.0, 1.0])
    found, ids = combine_records(members, np.array([7, 7, 4, 4]), "largest")
    assert found.tolist() == [1.0, 9.0]
    assert ids.tolist() == [4, 7]


def test_a_model_without_a_leak_reads_as_chance_by_patient() -> None:
    """Of 200 null games whose patients have 1 to 5 records, about 1 in 20 intervals miss .5."""
    missed = 0
    for seed in range(200):
        scores, ids, _ = world(1000 + seed, 120, 0.0)
        auc = read(estimates(scores, ids), "auc")
        assert auc.low is not None
        assert auc.high is not None
        missed += not auc.low <= 0.5 <= auc.high
    assert 2 <= missed <= 19


def test_every_reading_of_scores_has_the_same_unit() -> None:
    """The curve, the groups, the choice of the strongest and the paired difference count
    patients."""
    scores, ids, _ = world(8, 1500, 0.6)
    rng = np.random.default_rng(0)
    found = estimates(scores, ids)
    curve = stats.roc(scores, patients=ids, rng=rng)
    at = int(np.argmin(np.abs(np.array(curve.x) - 0.1)))
    rate = read(found, "tpr", 0.1)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < curve.y[at] < rate.high + 0.05
    everybody = {"all": (np.full(len(ids[0]), "a"), np.full(len(ids[1]), "a"))}
    (group,) = stats.score_groups(scores, patients=ids, groups=everybody, rng=rng)
    assert read(group.estimates, "auc").value == read(found, "auc").value
    assert strength(scores, patients=ids)[1] == read(found, "auc").value
    weaker = Scores(scores.members - 0.3, scores.nonmembers)
    change = difference_of_areas(weaker, scores, ids, 0.95)
    assert change is not None
    values = [read(estimates(one, ids), "auc").value for one in (weaker, scores)]
    assert None not in values
    assert change[0] == pytest.approx(values[1] - values[0])  # type: ignore[operator]


def test_a_patient_of_two_levels_belongs_to_both() -> None:
    """A patient who grew older between two stays counts in either age band, with one score."""
    ids = (np.repeat(np.arange(30), 2), np.repeat(np.arange(30, 60), 2))
    rng = np.random.default_rng(2)
    scores = Scores(rng.normal(size=60) + 1.0, rng.normal(size=60))
    bands = np.tile(["younger", "older"], 30)
    found = stats.score_groups(
        scores, patients=ids, groups={"age": (bands, bands)}, rng=np.random.default_rng(0)
    )
    values = {g.level: read(g.estimates, "auc") for g in found}
    assert values["younger"].n["member_patients"] == 30
    assert values["younger"].value == values["older"].value


def heavy(seed: int) -> tuple[Scores, Both]:
    """One patient in 20 has 100 records that say nothing; of the members with one record, one in 20
    stands out by 4 standard deviations."""
    rng = np.random.default_rng(seed)
    counts = np.where(np.arange(2000) < 100, 100, 1)
    ids = np.repeat(np.arange(2000), counts), np.repeat(np.arange(2000) + 5000, counts)
    members, others = (rng.normal(size=len(part)) for part in ids)
    members[-100:] += 4.0
    return Scores(members, others), ids


def test_patients_with_many_records_do_not_hide_who_has_few() -> None:
    scores, ids = heavy(4)
    rng = np.random.default_rng(0)
    found = read(estimates(scores, ids), "tpr", 0.01)
    evened = read(stats.evened(scores, patients=ids, rng=rng), "tpr", 0.01)
    assert found.value is not None
    assert evened.low is not None
    assert found.value < 0.02
    assert evened.low > 0.04


def test_evened_scores_are_as_likely_to_be_high_by_chance() -> None:
    """Without a leak, patients of many records are above the threshold as often as the rest."""
    rng = np.random.default_rng(6)
    counts = np.tile([1, 1, 1, 30], 1000)
    ids = np.repeat(np.arange(4000), counts), np.repeat(np.arange(4000) + 5000, counts)
    raw = [rng.normal(size=len(part)) for part in ids]
    for combine, scores in (("add", raw), ("largest", [np.abs(part) for part in raw])):
        made, _ = even_out(Scores(*scores, combine=combine), ids)  # type: ignore[arg-type]
        top = made.nonmembers > np.quantile(made.nonmembers, 0.95)
        assert abs(top[counts == 30].mean() - top[counts == 1].mean()) < 0.025


def test_no_evened_numbers_where_each_patient_has_one_record() -> None:
    scores, ids, _ = world(1, 100, 0.3, most=1)
    assert stats.evened(scores, patients=ids, rng=np.random.default_rng(0)) == ()
