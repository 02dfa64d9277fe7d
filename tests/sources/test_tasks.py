"""The three tasks: who is in, which label, which words go with the numbers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.sources.extract import EVENTS, STAYS, Extract
from pipelines.tasks import _stays as stays
from pipelines.tasks.length_of_stay import LengthOfStay
from pipelines.tasks.mortality import Mortality
from pipelines.tasks.readmission import Readmission
from privaudit.contracts import FlowStep, Prepared, Task
from privaudit.errors import PrivauditError
from privaudit.facts import as_caveat
from privaudit.records import Column
from privaudit.report.wording.reasons_and_caveats import word_caveat

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
TASKS: list[type[Task]] = [Mortality, LengthOfStay, Readmission]


def quiet(what: str, share: float) -> None:
    """Progress that nobody watches."""


def extract(source: str = "MIMIC-III", real: bool = True, **columns: list[Any]) -> Extract:
    """An extract of as many stays as the columns are long, each with one heart rate."""
    n = len(next(iter(columns.values())))
    given: dict[str, list[Any]] = {
        "stay": list(range(n)),
        "patient": list(range(n)),
        "age": [60.0] * n,
        "unit": ["MICU"] * n,
        "died": [i % 2 for i in range(n)],
        "los_days": [4.0] * n,
        "readmitted": [0] * n,
    } | columns
    given |= {name: [None] * n for name in STAYS if name not in given}
    return Extract(
        stays=pl.DataFrame({name: given[name] for name in STAYS}, schema=STAYS),
        events=pl.DataFrame([(i, 1.0, "a", 80.0) for i in range(n)], schema=EVENTS, orient="row"),
        variables=(Column("a", bounds=(0.0, 300.0)), Column("b", bounds=(0.0, 1.0))),
        sites=("MICU", "other"),
        flow=(FlowStep("stays", 0, n, n),),
        window=48,
        source=source,
        real=real,
        facts={"tables": 5},
    )


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Prepared]:
    """Prepare a task from a hand-made extract."""

    def prepare(task: Task, source: Extract) -> Prepared:
        monkeypatch.setattr(stays.StayTask, "read", lambda task, data, cache, progress: source)
        return task.prepare(tmp_path, tmp_path, quiet)

    return prepare


Prepare = Callable[..., Prepared]


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_is_its_fields(kind: type[Task]) -> None:
    task = kind(window=24, cohort="all_stays", as_known=True)  # type: ignore[call-arg]
    assert eval(repr(task), {kind.__name__: kind}) == task
    assert kind.title
    assert kind.positive


def test_mortality_keeps_everybody_whose_outcome_is_known(prepared: Prepare) -> None:
    result = prepared(Mortality(), extract(died=[0, 1, None, 0]))
    assert result.records.y.tolist() == [0, 1, 0]
    assert result.records.classes == ("survived", "died")
    assert result.flow[-1] == FlowStep("outcome not recorded", 1, 3, 3)
    assert result.facts["stays (died)"] == 1
    assert result.facts["tables"] == 5
    assert not result.records.ordered


def test_buckets_count_from_the_end_of_the_window(prepared: Prepare) -> None:
    days = [1.9, 2.0, 2.99, 3.0, 4.99, 5.0, 8.99, 9.0, 15.99, 16.0, 400.0, None]
    result = prepared(LengthOfStay(), extract(los_days=days))
    assert result.records.y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert result.records.classes == (
        "under 1 day",
        "1 to 3 days",
        "3 to 7 days",
        "7 to 14 days",
        "14 days or more",
    )
    assert result.records.ordered
    assert result.flow[1:] == (
        FlowStep("length of stay not recorded", 1, 11, 11),
        FlowStep("over within 48 hours", 1, 10, 10),
    )
    shifted = prepared(LengthOfStay(window=24), extract(los_days=days))
    assert shifted.records.y.tolist() == [0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4]


def test_a_death_ends_a_stay_like_a_discharge(prepared: Prepare) -> None:
    lived = prepared(LengthOfStay(), extract(los_days=[2.5, 4, 9], died=[0, 0, 0]))
    died = prepared(LengthOfStay(), extract(los_days=[2.5, 4, 9], died=[1, 1, 1]))
    assert lived.records.fingerprint == died.records.fingerprint


@pytest.mark.parametrize("edges", [(), (0, 1), (-1.0, 2.0), (3, 1), (2, 2)])
def test_edges_must_rise_from_above_zero(tmp_path: Path, edges: tuple[float, ...]) -> None:
    with pytest.raises(PrivauditError, match="bucket edges"):
        LengthOfStay(edges=edges).prepare(None, tmp_path, quiet)


def test_only_those_who_left_alive_can_come_back(prepared: Prepare) -> None:
    source = extract(
        died=[0, 0, 1, 1, 0], readmitted=[1, 0, None, 0, None], patient=[1, 2, 3, 4, 4]
    )
    result = prepared(Readmission(), source)
    assert result.records.y.tolist() == [1, 0]
    assert result.flow[1:] == (
        FlowStep("died in hospital", 2, 3, 3),
        FlowStep("return to intensive care not recorded", 1, 2, 2),
    )


def test_one_outcome_is_refused_with_counts_of_many_alone(prepared: Prepare) -> None:
    with pytest.raises(PrivauditError, match="outcome only: survived 12\n"):
        prepared(Mortality(), extract(died=[0] * 12))
    with pytest.raises(PrivauditError, match="outcome only: not readmitted fewer than 10\n"):
        prepared(Readmission(), extract(died=[0, 0], readmitted=[0, 0]))


def test_one_patient_is_refused(prepared: Prepare) -> None:
    with pytest.raises(PrivauditError, match=r"^fewer than two patients"):
        prepared(Mortality(), extract(died=[0, 1], patient=[5, 5]))
    with pytest.raises(PrivauditError, match=r"^fewer than two patients"):
        prepared(Readmission(), extract(died=[1, 1], readmitted=[None, 0]))


def said(result: Prepared) -> str:
    """Its notes as the report words them."""
    return " ".join(word_caveat(as_caveat(note)) for note in result.notes)


def test_the_words_that_go_with_the_numbers(prepared: Prepare) -> None:
    def notes(n: int, **more: Any) -> str:
        return said(prepared(Mortality(), extract(died=[0, 1] * (n // 2), **more)))

    small = notes(100)
    assert "There are 40 held-out patients" in small
    assert "Never measured in these stays: b." in small
    assert "held-out patients" in notes(2498)
    assert "held-out patients" not in notes(2500)
    assert "split of MIMIC-III (mimic3-benchmarks) is public" in small
    made_up = prepared(Mortality(), extract(source="generated demo", real=False, died=[0, 1]))
    assert "these numbers are not MIMIC-III results." in said(made_up)
    assert not made_up.real
    assert "is public" not in said(made_up)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 36}, "a window of 36 hours"),
        ({"window": "48"}, "a window of '48' hours"),
        ({"cohort": "everyone"}, "a cohort called 'everyone'"),
        ({"patients": 0}, "a demo of 0 patients"),
    ],
)
def test_options_out_of_range_are_refused(
    kind: type[Task], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PrivauditError, match=message):
        kind(**options).prepare(None, tmp_path, quiet)
    assert not list(tmp_path.iterdir())


def challenge(folder: Path, died: dict[int, int]) -> Path:
    """A Challenge folder of loose files."""
    (folder / "set-a").mkdir(parents=True)
    rows = ["RecordID,Length_of_stay,In-hospital_death"]
    for stay, dead in died.items():
        statics = (("RecordID", stay), ("Age", 60), ("Gender", 1), ("Height", -1), ("ICUType", 2))
        lines = [f"00:00,{name},{value}" for name, value in statics]
        lines += ["00:00,Weight,80", f"07:00,HR,{60 + stay}", "48:00,HR,200"]
        text = "\n".join(["Time,Parameter,Value", *lines, ""])
        (folder / "set-a" / f"{stay}.txt").write_text(text)
        rows.append(f"{stay},{5 + stay},{dead}")
    (folder / "Outcomes-a.txt").write_text("\n".join([*rows, ""]))
    return folder


def test_the_challenge_from_files_to_records(tmp_path: Path) -> None:
    first = challenge(tmp_path / "one", {1: 0, 2: 1, 3: 0})
    second = challenge(tmp_path / "two", {1: 1, 2: 0, 3: 0})
    one = Mortality().prepare(first, tmp_path / "cache", quiet)
    two = Mortality().prepare(second, tmp_path / "cache", quiet)
    assert one.source == "PhysioNet/CinC Challenge 2012"
    assert one.real
    assert one.records.y.tolist() == [0, 1, 0]
    assert two.records.y.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(one.records.X, two.records.X)
    names = [c.name for c in one.records.columns]
    assert one.records.X[:, names.index("heart_rate.max")].tolist() == [61, 62, 63]
    stay = LengthOfStay(edges=(4.5,)).prepare(first, tmp_path / "cache", quiet)
    assert stay.records.y.tolist() == [0, 1, 1]
    assert "hospital stay from admission to the unit" in said(stay)


def test_what_the_challenge_cannot_give_is_refused(tmp_path: Path) -> None:
    folder = challenge(tmp_path / "s", {1: 0, 2: 1})
    for task, message in (
        (Readmission(), "has no readmissions"),
        (Mortality(as_known=True), "when a value was charted"),
        (Mortality(cohort="benchmarks"), "benchmarks cohort"),
    ):
        with pytest.raises(PrivauditError, match=message):
            task.prepare(folder, tmp_path / "cache", quiet)


def test_the_demo_is_written_once_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[int] = []

    def write(out: Path, patients: int, seed: int, progress: Callable[[str, float], None]) -> None:
        calls.append(patients)
        progress("patients", 0.5)
        if patients == 13:
            raise OSError(28, "No space left on device")
        out.mkdir()

    monkeypatch.setattr(importlib.import_module("mimic_demo"), "write", write)
    told: list[str] = []
    kept = stays.demo(10, tmp_path, lambda what, share: told.append(what))
    assert stays.demo(10, tmp_path, quiet) == kept
    assert calls == [10]
    assert told == ["writing the demo: patients"]
    assert stays.demo(11, tmp_path, quiet) != kept
    with pytest.raises(PrivauditError, match="the demo cannot be written: No space left"):
        stays.demo(13, tmp_path, quiet)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_embedded_demo_goes_the_way_of_real_tables(tmp_path: Path) -> None:
    first = Mortality(patients=300).prepare(None, tmp_path / "one", quiet)
    again = Mortality(patients=300).prepare(None, tmp_path / "two", quiet)
    assert first.records.fingerprint == again.records.fingerprint
    assert (first.source, first.real) == ("generated demo", False)
    assert "these numbers are not MIMIC-III results" in said(first)
    assert "mimic3-benchmarks" not in said(first)
    assert first.flow[-1].stays == len(first.records) > 60
    assert np.isfinite(first.records.X[:, -1]).any()
    folder = stays.demo(300, tmp_path / "one", quiet)
    by_path = Mortality().prepare(folder, tmp_path / "three", quiet)
    assert by_path.records.fingerprint == first.records.fingerprint
    assert not by_path.real
    days = LengthOfStay(patients=300).prepare(None, tmp_path / "one", quiet)
    assert len(days.records) == len(first.records)
    back = Readmission(patients=300).prepare(None, tmp_path / "one", quiet)
    assert len(back.records) == (first.records.y == 0).sum()
    day = Mortality(patients=300, window=24, cohort="all_stays").prepare(
        None, tmp_path / "one", quiet
    )
    assert day.records.series is not None
    assert day.records.series.shape[1] == 24
    assert len(day.records) > len(first.records)


@pytest.mark.real
def test_the_hundred_patients_of_the_mimic_demo(tmp_path: Path) -> None:
    data = REAL / "mimic-iii-demo"
    if not data.is_dir():
        pytest.skip("the MIMIC-III demo is not beside the checkout")
    result = Mortality().prepare(data, tmp_path, quiet)
    assert (result.source, result.real) == ("MIMIC-III", True)
    assert np.bincount(result.records.y).tolist() == [34, 16]
    assert set(result.records.groups) == {"age", "sex", "ethnicity", "unit", "insurance"}
    assert "There are 20 held-out patients" in said(result)
    whole = Mortality(cohort="all_stays").prepare(data, tmp_path, quiet)
    assert len(whole.records) > len(np.unique(whole.records.patient)) > 50


@pytest.mark.real
def test_the_real_challenge_is_the_published_one(tmp_path: Path) -> None:
    data = REAL / "challenge-2012"
    if not data.is_dir():
        pytest.skip("the Challenge 2012 data are not beside the checkout")
    result = Mortality().prepare(data, tmp_path, quiet)
    records = result.records
    assert records.X.shape == (4000, 263)
    assert records.series is not None
    assert records.series.shape == (4000, 48, 37)
    assert np.bincount(records.y).tolist() == [3446, 554]
    for values, columns in ((records.X, records.columns), (records.series, records.channels)):
        for index, column in enumerate(columns):
            if column.bounds is not None:
                low, high = np.float32(column.bounds)
                assert np.nanmin(values[..., index]) >= low, column.name
                assert np.nanmax(values[..., index]) <= high, column.name
    # Medians of the died and of the survived as an earlier, separate reading of these files had
    # them (design notes); its cleaning differed a little.
    names = [c.name for c in records.columns]
    for name, died, survived in (
        ("age", 73, 66),
        ("bun.mean", 28.0, 17.8),
        ("gcs_total.mean", 9.1, 12.9),
        ("lactate.mean", 2.22, 1.84),
        ("heart_rate.mean", 89.2, 85.8),
        ("resp_rate.mean", 20.9, 18.9),
        ("wbc.mean", 12.5, 11.5),
        ("bicarbonate.mean", 22, 24),
        ("glucose.mean", 139, 128),
        ("urine.mean", 75, 118),
    ):
        values = records.X[:, names.index(name)]
        for outcome, median in enumerate((survived, died)):
            found = np.nanmedian(values[records.y == outcome])
            assert found == pytest.approx(median, rel=0.05), (name, outcome)
    hours = [c.name for c in records.channels]
    for name, share in {"heart_rate": 0.93, "temperature": 0.33, "gcs_total": 0.31}.items():
        measured = np.isfinite(records.series[:, :, hours.index(name)]).mean()
        assert measured == pytest.approx(share, abs=0.05), name


def test_a_command_that_is_shown_names_no_file() -> None:
    from privaudit.commands._options import printable_command

    options = {"data": "folder", "profile": "smoke", "confidence": 0.95, "exact_counts": False}
    options |= dict.fromkeys(("methods", "learners", "generators", "attacks"), "")
    settings = ["task.codes=/home/anna/map.csv", "task.window=24"]
    shown = printable_command("run", "mortality", options, settings)
    assert "anna" not in shown
    assert shown.endswith("--set task.codes=FILE --set task.window=24")
