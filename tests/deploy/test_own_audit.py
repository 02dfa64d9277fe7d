"""What a hospital finds in its own updates: few patients are rebuilt, many are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from deploy.hospital_lab import Lab

from pipelines.deploy.own_audit import DryRound, audit_data, audit_dry_round, describe_cuts
from pipelines.deploy.site_data import SiteData, open_data
from privaudit.records import Split


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), {"a": 1750, "b": 150, "c": 150})


def cut(data: SiteData, patients: int) -> SiteData:
    """The same hospital with so few patients to train on."""
    few = np.unique(data.split.members.patient)[:patients]
    members = data.split.members.take(np.isin(data.split.members.patient, few))
    split = Split(members, data.split.nonmembers, data.split.reference)
    return replace(data, split=split, exact_patients=patients)


def test_an_update_of_seven_hundred_patients_is_not_rebuilt(lab: Lab) -> None:
    terms = lab.terms("federated", "federated.rounds=20")
    open_data(lab.homes["a"], terms)
    found = audit_dry_round(lab.homes["a"], terms)
    assert found.patients > 650
    assert found.rebuilt is not None
    assert found.told is not None
    assert (found.rebuilt.exact, found.rebuilt.control) == (0.0, 0.0)
    assert 0.43 < found.told.auroc < 0.57
    assert found.told.low < found.told.auroc < found.told.high
    assert found.small_counts == ()
    assert (found.rounds, found.is_hidden, found.protection) == (20, False, "none")
    # 10 numbers and 10 masks: (20 + 1) x 64 and (64 + 1) x 2 parameters of 4 bytes.
    assert found.bytes_per_round == 4 * (21 * 64 + 65 * 2)


@pytest.mark.parametrize("steps", [1, 10])
def test_an_update_of_four_patients_is(lab: Lab, steps: int) -> None:
    terms = lab.terms("federated", f"federated.steps={steps}")
    data = cut(open_data(lab.homes["b"], terms), 4)
    found = [audit_data(data, terms, bytes([place]) * 32) for place in range(16)]
    # Where few units tell of one record, the hospital leaves them out before it sends.
    rebuilt = [one for one in found if one.rebuilt is not None and one.rebuilt.exact >= 0.5]
    assert rebuilt
    assert all(one.verdict == "leaks" for one in rebuilt)
    assert all(one.leaks and "patients" in one.small_counts for one in found)
    assert all(one.rebuilt is not None and one.rebuilt.control == 0 for one in found)


def test_of_eighteen_patients_under_much_noise_nothing_is_said(lab: Lab) -> None:
    terms = lab.terms(
        "federated_private", "federated_private.delta=1e-3", "federated_private.epsilon=0.2"
    )
    data = cut(open_data(lab.homes["b"], terms), 18)
    verdicts = [audit_data(data, terms).verdict for _ in range(2)]
    assert "too_few" in verdicts
    assert "no_leak_seen" not in verdicts


def test_a_network_that_knows_its_patients_is_found_out(lab: Lab) -> None:
    terms = lab.terms(
        "federated",
        *("federated.steps=600", "federated.rate=0.5", "federated.rows=200"),
        "federated.hidden=128",
    )
    data = cut(open_data(lab.homes["a"], terms), 60)
    found = audit_data(data, terms)
    assert found.told is not None
    assert found.told.is_above
    assert found.verdict == "leaks"


def test_what_leaves_is_counted_by_protection(lab: Lab) -> None:
    found: dict[str, DryRound] = {}
    for method in ("federated", "federated_secure", "federated_trees"):
        terms = lab.terms(method, f"{method}.rounds=2")
        found[method] = audit_dry_round(lab.homes["b"], terms)
    assert found["federated_secure"].is_hidden
    assert found["federated_secure"].bytes_per_round > 2 * found["federated"].bytes_per_round
    assert found["federated_trees"].rebuilt is None
    assert 200 < found["federated_trees"].bytes_per_round < 20_000
    assert found["federated_trees"].rounds == 2


def test_nothing_is_written_down(lab: Lab) -> None:
    terms = lab.terms("federated", "federated.steps=1", run="dry")
    open_data(lab.homes["c"], terms)
    before = sorted(lab.homes["c"].root.rglob("*"))
    audit_dry_round(lab.homes["c"], terms)
    assert sorted(lab.homes["c"].root.rglob("*")) == before


def test_under_a_seed_the_update_is_attacked_as_it_would_be_sent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under a seed a hospital leaves nothing out, so the dry round may not either.
    seen: list[bool] = []

    def withhold(*given: object) -> tuple[object, int]:
        seen.append(True)
        return given[1], 0

    monkeypatch.setattr("pipelines.deploy.own_audit.withhold", withhold)
    data = open_data(lab.homes["c"], lab.terms())
    audit_data(data, lab.terms(seed=3))
    assert not seen
    audit_data(data, lab.terms())
    assert seen


def test_cut_points_that_are_a_patients_own_value_are_a_leak(lab: Lab) -> None:
    terms = lab.terms("federated_trees", "federated_trees.rounds=2")
    found = audit_dry_round(lab.homes["a"], terms)
    assert found.cuts is not None
    own, count = found.cuts
    assert 0 < own <= count
    assert found.verdict == "leaks"
    assert f"{own} of {count}" in describe_cuts(own, count)
    # Of values that many share, none is anybody's own.
    data = open_data(lab.homes["a"], terms)
    pools = (data.split.members, data.split.nonmembers, data.split.reference)
    coarse = [replace(pool, X=np.round(pool.X)) for pool in pools]
    for pool in coarse:
        pool.X[np.abs(pool.X) > 1] = 0
    found = audit_data(replace(data, split=Split(*coarse)), terms)
    assert found.cuts is not None
    assert found.cuts[0] == 0


def test_many_records_of_one_patient_are_not_many_patients(lab: Lab) -> None:
    terms = lab.terms(
        "federated_private", "federated_private.delta=1e-3", "federated_private.epsilon=0.2"
    )
    data = open_data(lab.homes["a"], terms)
    patient = data.split.members.patient.copy()
    patient[: int(0.9 * len(patient))] = patient[0]
    members = replace(data.split.members, patient=patient)
    assert len(np.unique(patient)) > 40
    split = Split(members, data.split.nonmembers, data.split.reference)
    assert audit_data(replace(data, split=split), terms).verdict != "no_leak_seen"
