"""Attacks on tables whose patients have several records: one that betrays the patient is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from table_lab import grouped, marginals, people, planted, split, target

from privaudit import stats
from privaudit.attacks._pools import Tried, draw_alike, draw_rows
from privaudit.attacks.synthetic._predicates import EQUAL, Predicates
from privaudit.attacks.synthetic.copies import Copies
from privaudit.attacks.synthetic.linkability import Linkability
from privaudit.attacks.synthetic.singling_out import SinglingOut
from privaudit.attacks.synthetic.synthetic_attribute_inference import SyntheticAttributeInference
from privaudit.engine.measure import judge
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode, Setting
from privaudit.fidelity import _nearness
from privaudit.fidelity._align import Pools
from privaudit.fidelity._nearness import counted
from privaudit.records import Records, Split
from privaudit.results import Estimate
from privaudit.seeds import Seeds

EXACT = Setting("variant", "exact duplicates")


def several(
    rng: np.random.Generator, n: int, most: tuple[int, int] = (5, 5), missing: float = 0.0
) -> Split:
    """Pools of n records each, of patients with up to so many."""
    s = split(rng, n, missing)
    members = grouped(s.members, most[0], rng)
    return replace(s, members=members, nonmembers=grouped(s.nonmembers, most[1], rng, 10**6))


def named(estimates: tuple[Estimate, ...], name: str) -> Estimate:
    return next(e for e in estimates if e.metric.name == name)


def test_a_patient_is_copied_where_any_record_is() -> None:
    rng = Seeds(31).rng("copied")
    s = several(rng, 1200)
    table, rows = planted(s.members, rng, 0.1)
    truth = len(np.unique(s.members.patient[rows])) / len(np.unique(s.members.patient))
    trials = Copies().run(target(s, table), (), rng)[EXACT]
    found = stats.estimates(trials, rng=rng)
    assert named(found, "attack_rate").value == pytest.approx(truth)
    assert truth > 0.2
    second = stats.trials_by_record({None: trials})
    assert named(second, "attack_rate").value == pytest.approx(0.1)
    assert named(second, "attack_rate").n["attempts"] == 1200
    pools = Pools(s.members, s.nonmembers)
    patients, records, _ = counted(table, pools, 0.95, Seeds(1))
    for name in ("exact_copies", "exact_copies_excess"):
        assert named(patients, name).value == pytest.approx(truth)
        assert named(records, name).value == pytest.approx(0.1)
    single = Pools(*(replace(p, patient=np.arange(len(p))) for p in (s.members, s.nonmembers)))
    assert not counted(table, single, 0.95, Seeds(1))[1]


def test_all_records_of_the_patients_that_are_drawn() -> None:
    rng = Seeds(32).rng("drawn")
    s = several(rng, 300)
    few = Tried.draw(s, 20, rng)
    for pool, whole in ((few.members, s.members), (few.others, s.nonmembers)):
        ids = np.unique(pool.patient)
        assert len(ids) == 20
        assert len(pool) == np.isin(whole.patient, ids).sum()
    assert np.array_equal(draw_rows(s.members, 1000, rng), np.arange(300))


def test_a_search_that_is_cut_takes_whole_patients_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = Seeds(35).rng("cut")
    s = several(rng, 600)
    table, _ = planted(s.members, rng, 0.1)
    monkeypatch.setattr(_nearness, "CELLS", 1)
    found, _, notes = counted(table, Pools(s.members, s.nonmembers), 0.95, Seeds(1))
    near, exact = (named(found, name) for name in ("near_copies", "exact_copies"))
    (told,) = (c.params["patients"] for c in notes if c.code is CaveatCode.PATIENTS_DRAWN)
    assert 50 < near.n["patients"] <= told < exact.n["patients"]  # type: ignore[operator]
    assert _nearness.LEAST - 5 <= near.n["members"] <= _nearness.LEAST
    assert near.value == pytest.approx(exact.value, abs=0.15)


def test_descriptions_are_tried_on_pools_alike() -> None:
    rng = Seeds(33).rng("alike")
    s = several(rng, 900, (5, 4))
    own, other = draw_alike(s.members, s.nonmembers, 1000, rng)
    counts = [np.sort(np.unique(p.patient, return_counts=True)[1]) for p in (own, other)]
    assert np.array_equal(*counts)
    assert len(own) > 0.75 * len(s.members.take(np.isin(s.members.patient, own.patient)))
    for pool, whole in ((own, s.members), (other, s.nonmembers)):
        assert set(pool.X[:, 0]) <= set(whole.X[:, 0])
    alone = replace(s.nonmembers, patient=np.arange(900))
    with pytest.raises(PrivauditError, match="as many others"):
        draw_alike(s.members, alone, 1000, rng)


def test_a_description_that_fits_two_records_of_one_patient_singles_out() -> None:
    made = Predicates(np.zeros((2, 1), int), np.full((2, 1), EQUAL), np.array([[1.0], [2.0]]))
    cells = np.array([[1.0, 1.0, 2.0, 2.0, 3.0]])
    assert made.isolate(cells, np.array([0, 0, 0, 1, 1])).tolist() == [1, 0]
    assert made.counts(cells).tolist() == [2, 2]


@pytest.mark.slow
@pytest.mark.parametrize("most", [(5, 5), (5, 2), (2, 5)], ids=["alike", "fewer", "more"])
def test_a_clean_table_raises_no_alarm_whatever_the_numbers_of_records(
    most: tuple[int, int],
) -> None:
    """Members have up to so many records a patient and others up to so many: of 40 tables drawn
    anew the 95 % interval of the difference lies above 0 in few."""
    attacks = (SinglingOut(attempts=500), Linkability(), SyntheticAttributeInference(), Copies())
    alarms: dict[str, list[bool]] = {}
    refused = 0
    for stream in range(40):
        rng = Seeds(stream).rng("null of several")
        s = several(rng, 300, most, 0.1)
        table = people(300, rng, 0.1)
        for attack in attacks:
            try:
                evidence = attack.run(target(s, table), (), rng)
            except PrivauditError:
                assert (type(attack), most) == (SinglingOut, (5, 2))
                refused += 1
                continue
            for key, trials in evidence.items():
                given = trials
                if trials.patients is None:
                    given = replace(trials, patients=np.arange(len(trials.success)))
                gap = named(stats.estimates(given, rng=rng), "attack_minus_control")
                assert gap.low is not None
                alarms.setdefault(f"{type(attack).__name__} {key}", []).append(gap.low > 0)
    rates = {key: np.mean(found) for key, found in alarms.items()}
    assert np.mean(list(rates.values())) <= 0.05
    assert max(rates.values()) <= 0.15, rates
    assert refused == (40 if most == (5, 2) else 0)


def test_a_leak_of_one_record_of_five_is_found_where_guesses_are_many() -> None:
    """Inference: the record in the table decides, not the share of the patient's records."""
    rng = Seeds(34).rng("surest")
    s = split(rng, 1500)
    s = replace(
        s,
        members=replace(s.members, patient=np.arange(1500) // 5),
        nonmembers=replace(s.nonmembers, patient=10**6 + np.arange(1500) // 5),
    )
    table = marginals(s.members, rng)
    leaked = Records.concatenate([table, s.members.take(np.arange(0, 1500, 5))])
    leaked = replace(leaked, patient=np.arange(len(leaked)))
    evidence = SyntheticAttributeInference(secrets=("sex",)).run(target(s, leaked), (), rng)
    (trials,) = evidence.values()
    gap = named(stats.estimates(trials, rng=rng), "attack_minus_control")
    alone = named(stats.trials_by_record({None: trials}), "attack_minus_control")
    assert gap.value == pytest.approx(0.5, abs=0.08)
    assert alone.value == pytest.approx(0.1, abs=0.05)


def test_descriptions_are_attempts_and_no_patients() -> None:
    rng = Seeds(36).rng("descriptions")
    s = several(rng, 400)
    evidence = SinglingOut().run(target(s, marginals(s.members, rng)), (), rng)
    found = judge(evidence, s, 0.95, rng)["estimates"]
    assert {tuple(sorted(e["n"])) for e in found} == {("attempts",), ("attempts", "controls")}
    assert max(e["n"]["attempts"] for e in found) <= 500
