"""FHIR RiskAssessment resources as predictions: the same audit as of a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.inputs.risk_assessments import Assessments, read_assessments

CANARY = "pat-0007"


def cohort(rows: int = 240) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    died = rng.integers(0, 2, rows)
    inside = np.arange(rows) < rows // 2
    p = np.clip(0.5 + (died - 0.5) * (0.5 + 0.4 * inside) * rng.random(rows), 0.01, 0.99)
    names = [f"pat-{i:04d}" for i in range(rows)]
    frame = pd.DataFrame({"pid": names, "died": died, "age": rng.integers(20, 90, rows)})
    return frame, p.round(4)


def resource(name: str, *p: float, **more: Any) -> dict[str, Any]:
    """An assessment of one probability, or of one for each outcome."""
    outcomes: list[dict[str, Any]] = (
        [{}] if len(p) == 1 else [{"outcome": {"text": str(k)}} for k in range(len(p))]
    )
    predictions = [{**one, "probabilityDecimal": q} for one, q in zip(outcomes, p, strict=True)]
    return {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"reference": f"Patient/{name}"},
        "prediction": predictions,
        **more,
    }


def write(home: Path, resources: list[dict[str, Any]]) -> Assessments:
    frame, _ = cohort()
    half = len(frame) // 2
    frame[:half].to_csv(home / "members.csv", index=False)
    frame[half:].to_csv(home / "heldout.csv", index=False)
    path = home / "risks.ndjson"
    path.write_text("".join(json.dumps(one) + "\n" for one in resources))
    return Assessments(path, home / "members.csv", home / "heldout.csv", "died", "pid")


def every() -> list[dict[str, Any]]:
    frame, p = cohort()
    return [resource(name, float(q)) for name, q in zip(frame.pid, p, strict=True)]


def test_each_patient_gets_the_own_probability(tmp_path: Path) -> None:
    frame, p = cohort()
    shuffled = [every()[i] for i in np.random.default_rng(1).permutation(len(frame))]
    shuffled.insert(3, {"resourceType": "Patient", "id": "x"})
    shuffled.append(resource("pat-0000", 0.1, status="entered-in-error"))
    found, member, columns = read_assessments(write(tmp_path, shuffled))
    assert columns == ("p",)
    assert found["pid"].to_list() == frame.pid.tolist()
    np.testing.assert_array_equal(found["p"].to_numpy(), p)
    np.testing.assert_array_equal(found[member].to_numpy(), np.arange(len(p)) < len(p) // 2)


def test_a_bundle_and_one_probability_a_class(tmp_path: Path) -> None:
    frame, p = cohort()
    of = [resource(n, round(1 - float(q), 4), float(q)) for n, q in zip(frame.pid, p, strict=True)]
    for one, name in zip(of, frame.pid, strict=True):
        one["subject"]["reference"] = f"https://host/fhir/Patient/{name}/_history/2"
    given = write(tmp_path, of)
    bundle = tmp_path / "risks.json"
    bundle.write_text(
        json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in of]})
    )
    found, _, columns = read_assessments(
        Assessments(bundle, given.members, given.nonmembers, "died", "pid")
    )
    assert columns == ("p_0", "p_1")
    np.testing.assert_array_equal(found["p_1"].to_numpy(), p)


def _with(change: dict[str, Any]) -> list[dict[str, Any]]:
    return [every()[0] | change, *every()[1:]]


def _of(outcome: str, one: dict[str, Any]) -> dict[str, Any]:
    return one | {"prediction": [{**one["prediction"][0], "outcome": {"text": outcome}}]}


BAD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "twice": ([*every(), resource(CANARY, 0.5)], "several assessments of one patient"),
    "absent": (every()[:-1], "fewer than 10 patients of the tables without an assessment"),
    "percent": ([resource(CANARY, 40.0)], "outside"),
    "a word": (
        _with({"prediction": [{"qualitativeRisk": {"text": "high"}}]}),
        "probabilityDecimal",
    ),
    "no subject": (_with({"subject": {}}), "cannot be read"),
    "a group": (_with({"subject": {"reference": "Group/1"}}), "no patient"),
    "other outcomes": ([*every()[:-1], resource("pat-0239", 0.5, 0.5)], "different outcomes"),
    "another outcome alone": (
        [_of("death", one) for one in every()[:-9]]
        + [_of("survival", one) for one in every()[-9:]],
        "different outcomes",
    ),
    "none": ([{"resourceType": "Patient"}], "no assessment"),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_joined_is_refused(fault: str, tmp_path: Path) -> None:
    resources, match = BAD[fault]
    with pytest.raises(PrivauditError, match=match) as found:
        read_assessments(write(tmp_path, resources))
    assert CANARY not in str(found.value)


def test_the_command_reads_them_as_it_reads_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, every())
    frame, p = cohort()
    table = frame[["pid", "died"]].assign(p=p, member=(np.arange(len(p)) < len(p) // 2).astype(int))
    table.to_csv("answers.csv", index=False)
    common = ["--outcome", "died", "--patient", "pid", "--profile", "smoke", "--jobs", "1"]
    common += ["--seed", "1", "--json", "--attacks", "threshold", "audit"]
    numbers = []
    for own in (
        ["risks.ndjson", "--members", "members.csv", "--nonmembers", "heldout.csv"],
        ["answers.csv"],
    ):
        assert cli.main(["audit", "--predictions", *own, *common[:-1]]) == 0
        told = json.loads(capsys.readouterr().out)
        subject = json.loads(Path(told["audit"]).read_text())["subjects"][0]
        numbers.append(subject["outcomes"][0]["estimates"])
    assert numbers[0] == numbers[1]
    assert cli.main(["audit", "--predictions", "risks.ndjson", *common[:-1]]) == 2
    assert "--members" in capsys.readouterr().err
