"""What a folder is, by the names of its files, and why it is nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny_mimic3
import tiny_mimic4

from pipelines.sources.recognise import recognise, sources
from pipelines.sources.source import Source
from privaudit.errors import PrivauditError


def complaint(folder: Path) -> str:
    with pytest.raises(PrivauditError) as caught:
        recognise(folder)
    return str(caught.value)


def test_sources_have_names_of_their_own() -> None:
    found = sources()
    assert {"mimic-iii", "mimic-iv", "meds", "challenge-2012"} <= {kind.name for kind in found}
    for field in ("name", "title", "looked_for"):
        assert len({getattr(kind, field) for kind in found}) == len(found)
    assert all(issubclass(kind, Source) for kind in found)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_mimic_iii_and_iv_side_by_side_in_one_folder_are_told_apart(
    tmp_path: Path, form: str
) -> None:
    third = tiny_mimic3.ward().write(tmp_path / "iii", form)
    fourth = tiny_mimic4.ward().write(tmp_path / "iv", form, flat=True)
    assert recognise(third).name == "mimic-iii"
    assert recognise(fourth).name == "mimic-iv"


def test_one_level_too_high_and_too_low(tmp_path: Path) -> None:
    folder = tiny_mimic4.ward().write(tmp_path / "up" / "2.2")
    (folder / "hosp" / "emar.csv.gz").write_bytes(b"")
    (folder / "hosp" / "poe.csv.gz").write_bytes(b"")
    assert recognise(folder).name == "mimic-iv"
    assert "'up' is one level too high" in complaint(tmp_path / "up")
    assert "subfolder '2.2' looks like MIMIC-IV" in complaint(tmp_path / "up")
    assert "'hosp' is one level too low" in complaint(folder / "hosp")
    assert "'icu' is one level too low" in complaint(folder / "icu")


def test_a_part_of_mimic_iv_says_what_is_missing(tmp_path: Path) -> None:
    folder = tiny_mimic4.ward().write(tmp_path / "a")
    (folder / "icu" / "icustays.csv.gz").unlink()
    said = complaint(folder)
    assert "a part of MIMIC-IV" in said
    assert "its tables icustays are missing" in said
    folder = tiny_mimic4.ward().write(tmp_path / "b")
    (folder / "icu" / "chartevents.csv.gz").unlink()
    with pytest.raises(PrivauditError, match="no table chartevents among the files"):
        recognise(folder).extract(
            window=48,
            cohort="first_stay",
            as_known=False,
            cache=tmp_path / "c",
            progress=lambda what, share: None,
        )


def test_two_sources_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tiny_mimic3.ward().write(tmp_path / "a")
    tiny_mimic4.ward().meds().write_parquet(folder / "events.parquet")
    assert "holds MEDS and MIMIC-III" in complaint(folder)
    shutil.rmtree(folder)
    folder.mkdir()
    assert "found nothing" in complaint(folder)


def test_files_of_other_names_are_counted_and_not_named(tmp_path: Path) -> None:
    (tmp_path / "anna_smith.parquet").write_bytes(b"PAR1")
    (tmp_path / "anna_smith.csv").write_text("x\n")
    said = complaint(tmp_path)
    assert "1 *.csv, 1 *.parquet" in said
    assert "smith" not in said
