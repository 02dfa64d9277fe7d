"""What `privaudit doctor --data` tells of a source."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_mimic4 import Hospital, ward

from pipelines.tasks.mortality import Mortality
from privaudit.errors import PrivauditError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def hospital(stays: int, unit: str | None = "bpm") -> Hospital:
    h = Hospital()
    for i in range(stays):
        who, dies = 10_000_000 + i, i % 2
        h.stay(who, i + 1, died=dies, death=100.0 if dies else None)
        h.chart(who, i + 1, 1.0, 220045, 80 + i % 3, unit)
        h.chart(who, i + 1, 1.0, 226512, 80, "kg")
    for i in range(5):
        h.chart(10_000_000 + i, i + 1, 3.0, 220210, 20, "insp/min")
    return h


def test_what_is_read_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    h = hospital(30)
    h.chart(10_000_000, 1, 2.0, 226512, 12, "stone")
    h.chart(10_000_000, 1, 2.0, 220045, 999, "bpm")
    found = Mortality().check(h.write(tmp_path / "a"))
    assert found["rows of icustays"] == "30"
    assert found["cohort: in the ICU for at least 48 h"] == "30 stays, 30 patients"
    assert found["heart_rate"] == "median 81 bpm in 30 stays (usually 60 to 120)"
    assert found["values: a unit that is not known for the variable"] == "1"
    assert found["values: outside the valid range"] == "1"
    assert found["lactate"].startswith("never measured")
    assert found["resp_rate"].startswith("fewer than 10 stays")
    assert list(Path().iterdir()) == []


def test_an_unusual_median_stands_out(tmp_path: Path) -> None:
    h = hospital(30)
    for row in h.tables["chartevents"]:
        if row["itemid"] == 226512:
            row["valuenum"] = row["value"] = 176  # pounds in a field of kilograms
    found = Mortality().check(h.write(tmp_path / "a"))
    assert found["weight"].endswith("(usually 50 to 110): CHECK ITS UNIT")


def test_tables_that_make_no_cohort_are_told_beside_their_rows(tmp_path: Path) -> None:
    h = ward()
    h.tables["icustays"] = [row for row in h.tables["icustays"] if row["stay_id"] == 7]
    found = Mortality().check(h.write(tmp_path / "a"))
    assert found["rows of icustays"] == "1"
    assert found["cohort"].startswith("none: no stay is left of fewer than 10")


def _seen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where `check` keeps what it needs in between."""
    seen: list[Path] = []
    read = Mortality.read

    def watched(self: Mortality, data: Path, cache: Path, *rest: object) -> object:
        seen.append(cache.resolve())
        return read(self, data, cache, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Mortality, "read", watched)
    return seen


@pytest.mark.parametrize("inside", [".", "hosp"])
def test_nothing_is_written_into_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    seen = _seen(monkeypatch)
    folder = hospital(5).write(tmp_path / "a")
    monkeypatch.chdir(folder / inside)
    found = Mortality().check(folder)
    assert found["rows of icustays"] == "5"
    (cache,) = seen
    assert folder.resolve() not in cache.parents
    assert not cache.exists()


def test_without_a_folder_to_work_in_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(5).write(tmp_path / "a")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("pipelines.tasks._stays.gettempdir", lambda: str(folder))
    with pytest.raises(PrivauditError, match="no folder to work in"):
        Mortality().check(folder)


def test_a_second_interrupt_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(5).write(tmp_path / "a")
    remove, calls = shutil.rmtree, []

    def interrupted(path: Path, ignore_errors: bool = False) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Mortality().check(folder)
    assert list(Path().iterdir()) == []
