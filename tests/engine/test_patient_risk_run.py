"""A whole run that judges patients one by one: what is stored, what is shared, what verify says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from toy_audit import ToyLearner, request

from privaudit.attacks.membership.patient_risk import PatientRisk
from privaudit.engine.folder import read_exact
from privaudit.engine.run import run
from privaudit.evidence.derive import derive
from privaudit.results import Finding


def test_a_run_lists_everybody_in_restricted_and_verify_recomputes_it(tmp_path: Path) -> None:
    asked = request({"patient_risk": PatientRisk(shadows=24)}, {"plain": ToyLearner()}, seed=3)
    done = run(asked, out=tmp_path, workers=1)
    exact = read_exact(done.folder)
    (subject,) = exact.subjects
    (found,) = subject.outcomes
    assert isinstance(found, Finding)
    by = {e.metric.name: e for e in found.estimates}
    assert by["patients_at_risk"].high is not None
    assert by["patients_named"].value is not None
    assert {c.kind for c in subject.controls if c.passed} == {"positive", "negative"}
    with open(done.folder / "restricted" / "patients" / f"{subject.name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    split = np.load(done.folder / "restricted" / "split.npz")
    audited = split["patient"][split["pool"] != "reference"]
    assert {int(row["patient"]) for row in rows} == set(audited.tolist())
    members = set(split["patient"][split["pool"] == "members"].tolist())
    assert {int(r["patient"]) for r in rows if r["in_training"] == "True"} == members
    assert not list((done.folder / "shareable").rglob("patients*"))
    again = derive(done.folder, exact)
    assert again.faults == []
    assert again.numbers > 50
