"""The Challenge 2012 source, on files made by hand, and on the real set where it is there."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.sources import challenge2012, units
from pipelines.sources.extract import EVENTS, STAYS, Extract
from privaudit.errors import PrivauditError

REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
STATIC = ("RecordID", "Age", "Gender", "Height", "ICUType", "Weight")


def patient(stay: int, *rows: str, **statics: str) -> str:
    """A patient file: descriptors at 00:00, then the rows given."""
    values = dict(zip(STATIC, (str(stay), "60", "0", "-1", "3", "-1"), strict=True)) | statics
    lines = ["Time,Parameter,Value", *(f"00:00,{name},{value}" for name, value in values.items())]
    return "\n".join([*lines, *rows]) + "\n"


def outcomes(stays: Mapping[int, tuple[int, int]]) -> str:
    head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
    return head + "".join(f"{s},1,1,{los},-1,{died}\n" for s, (los, died) in stays.items())


def pack(path: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def source(folder: Path, files: Mapping[int | str, str], died: Mapping[int, int]) -> Path:
    """A Challenge folder with one archive."""
    folder.mkdir(exist_ok=True)
    names = {f"set-a/{k}.txt" if isinstance(k, int) else k: text for k, text in files.items()}
    pack(folder / "set-a.tar.gz", names)
    (folder / "Outcomes-a.txt").write_text(outcomes({s: (5, d) for s, d in died.items()}))
    return folder


def read(folder: Path, window: int = 48) -> Extract:
    return challenge2012.extract(
        folder, window=window, cache=folder / "cache", progress=lambda what, share: None
    )


def values(extract: Extract, variable: str) -> list[tuple[float, float]]:
    part = extract.events.filter(pl.col("variable") == variable).sort("hour")
    return [(round(hour, 4), round(value, 3)) for hour, value in part["hour", "value"].rows()]


def one(tmp_path: Path, *rows: str, **statics: str) -> Extract:
    return read(source(tmp_path / "s", {1: patient(1, *rows, **statics)}, {1: 0}))


def test_stays_and_events_keep_the_contract(tmp_path: Path) -> None:
    files = {
        7: patient(7, "00:30,HR,80", "10:15,HR,90", Gender="1", ICUType="2", Age="71"),
        3: patient(3, "01:00,GCS,15", Gender="-1"),
    }
    extract = read(source(tmp_path / "s", files, {3: 0, 7: 1}))
    assert dict(extract.stays.schema) == STAYS
    assert dict(extract.events.schema) == EVENTS
    assert extract.stays["stay"].to_list() == [3, 7]
    assert extract.stays["sex"].to_list() == [None, "M"]
    assert extract.stays["unit"].to_list() == ["MICU", "CSRU"]
    assert extract.stays["died"].to_list() == [0, 1]
    assert extract.stays["los_days"].to_list() == [5, 5]
    assert extract.stays["readmitted"].null_count() == 2
    assert values(extract, "heart_rate") == [(0.5, 80), (10.25, 90)]
    assert values(extract, "gcs_total") == [(1, 15)]
    assert len(extract.variables) == 38
    assert extract.real


def test_the_window_is_half_open(tmp_path: Path) -> None:
    rows = ("23:59,HR,1", "24:00,HR,2", "47:59,HR,3", "48:00,HR,4", "51:00,HR,5")
    folder = source(tmp_path / "s", {1: patient(1, *rows)}, {1: 0})
    assert [v for _, v in values(read(folder), "heart_rate")] == [1, 2, 3]
    assert [v for _, v in values(read(folder, window=24), "heart_rate")] == [1]


@pytest.mark.parametrize(
    ("row", "variable", "expected"),
    [
        ("01:00,pH,735", "ph_art", 7.35),
        ("01:00,pH,73.5", "ph_art", 7.35),
        ("01:00,pH,95", "ph_art", None),
        ("01:00,Temp,98.6", "temperature", 37.0),
        ("01:00,Temp,-17.8", "temperature", None),
        ("01:00,Temp,20", "temperature", None),
        ("01:00,FiO2,50", "fio2", 0.5),
        ("01:00,SysABP,0", "sbp_art", None),
        ("01:00,NIDiasABP,0", "dbp_ni", None),
        ("01:00,Weight,0", "weight", None),
        ("01:00,WBC,0", "wbc", 0.0),
        ("01:00,PaO2,7.47", "pao2", None),
    ],
)
def test_known_unit_errors_are_undone_or_dropped(
    tmp_path: Path, row: str, variable: str, expected: float | None
) -> None:
    extract = one(tmp_path, row)
    assert values(extract, variable) == ([] if expected is None else [(1.0, expected)])
    assert extract.facts["implausible_values"] == (expected is None)


@pytest.mark.parametrize(
    ("charted", "expected"),
    [("-1", None), ("175.3", 175.3), ("70", 177.8), ("431.8", 170.0), ("1.8", 180.0), ("13", None)],
)
def test_height_in_other_units(tmp_path: Path, charted: str, expected: float | None) -> None:
    extract = one(tmp_path, Height=charted)
    assert values(extract, "height") == ([] if expected is None else [(0.0, expected)])
    assert extract.facts["implausible_values"] == (charted == "13")


def test_the_weight_at_admission_is_an_event_and_minus_one_is_missing(tmp_path: Path) -> None:
    assert values(one(tmp_path, "05:00,Weight,81", Weight="80"), "weight") == [(0, 80), (5, 81)]
    assert values(one(tmp_path, "05:00,Weight,81"), "weight") == [(5, 81)]


def test_duplicates_become_their_median(tmp_path: Path) -> None:
    extract = one(tmp_path, "02:00,MAP,60", "02:00,MAP,90", "02:00,MAP,70")
    assert values(extract, "map_art") == [(2, 70)]
    assert extract.facts["duplicates"] == 2


def test_folder_and_archive_and_line_ends_give_the_same(tmp_path: Path) -> None:
    files = {1: patient(1, "01:00,HR,80", "", "02:00,HR,90"), 2: patient(2, "01:00,Na,140")}
    packed = read(source(tmp_path / "packed", files, {1: 0, 2: 1}))
    loose = tmp_path / "loose"
    (loose / "set-a").mkdir(parents=True)
    for stay, text in files.items():
        unended = text.rstrip("\n").replace("\n", "\r\n")
        (loose / "set-a" / f"{stay}.txt").write_bytes(unended.encode())
    (loose / "Outcomes-a.txt").write_text(outcomes({2: (5, 1), 1: (5, 0)}))
    unpacked = read(loose)
    assert_frame_equal(packed.events, unpacked.events)
    assert_frame_equal(packed.stays, unpacked.stays)
    assert len(packed.events) == 3


def test_several_sets_are_one_source(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1)}, {1: 0})
    pack(folder / "set-b.tar.gz", {"set-b/2.txt": patient(2, "01:00,HR,70")})
    with pytest.raises(PrivauditError, match=r"set-b\.tar\.gz without Outcomes-b"):
        read(folder)
    (folder / "Outcomes-b.txt").write_text(outcomes({2: (-1, 1)}))
    extract = read(folder)
    assert extract.stays["stay"].to_list() == [1, 2]
    assert extract.stays["los_days"].to_list() == [5, None]


def test_the_cache_is_private_and_is_read_again(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1, "01:00,HR,80")}, {1: 0})
    first = read(folder)
    (kept,) = (folder / "cache").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    written = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    again = read(folder)
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == written
    assert_frame_equal(first.events, again.events)
    assert first.facts == again.facts
    changed = read(source(folder, {1: patient(1, "01:00,HR,81", "02:00,HR,82")}, {1: 0}))
    assert [v for _, v in values(changed, "heart_rate")] == [81, 82]
    for path in kept.iterdir():
        path.write_bytes(b"not parquet")
    source(folder, {1: patient(1, "01:00,HR,80")}, {1: 0})
    stamp = next(iter(written.values()))
    os.utime(folder / "set-a.tar.gz", ns=(stamp, stamp))
    read(folder)


def test_a_damaged_cache_is_an_error(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1, "01:00,HR,80")}, {1: 0})
    read(folder)
    (kept,) = (folder / "cache").iterdir()
    (kept / "events.parquet").write_bytes(b"PAR1")
    with pytest.raises(PrivauditError, match="delete this folder"):
        read(folder)


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1, "01:00,HR,80")}, {1: 0})
    (folder / "cache").write_text("a file where the folder should be")
    with pytest.raises(PrivauditError, match="the cache cannot be written: File exists"):
        read(folder)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    files = {1: patient(1, "01:00,,80"), "set-a/.DS_Store": "x", "set-a/._1.txt": "x"}
    extract = read(source(tmp_path / "s", files, {1: 0}))
    assert any("no patient files" in note for note in extract.notes)
    assert any("name no parameter" in note for note in extract.notes)


BROKEN = {
    "an unreadable time": ({1: patient(1, "1h,HR,80", "01:60,HR,80", ",HR,80")}, {1: 0}, "3 times"),
    "an unreadable value": ({1: patient(1, "01:00,HR,eighty", "01:00,HR")}, {1: 0}, "2 values"),
    "an unknown parameter": ({1: patient(1, "01:00,Mood,3")}, {1: 0}, "1 values are of parameters"),
    "too many fields": ({1: patient(1, "01:00,HR,3,4")}, {1: 0}, "Time,Parameter,Value"),
    "no header": ({1: patient(1)[5:]}, {1: 0}, "1 files do not begin"),
    "a file without an age": ({1: patient(1).replace("Age", "HR")}, {1: 0}, "one Age: 1 stays"),
    "a second gender": ({1: patient(1, "01:00,Gender,1")}, {1: 0}, "1 lines repeat it"),
    "another stay inside": ({1: patient(2)}, {1: 0}, "1 files hold the stay of another"),
    "a fifth unit": ({1: patient(1, ICUType="5")}, {1: 0}, "ICUType outside 1 to 4"),
    "a stay in two places": ({1: patient(1), "b/1.txt": patient(1)}, {1: 0}, "1 patient files are"),
    "no outcome": ({1: patient(1), 2: patient(2)}, {1: 0}, "1 stays without an outcome, 0"),
    "no stay": ({1: patient(1)}, {1: 0, 2: 1}, "0 stays without an outcome, 1"),
    "outcome 2": ({1: patient(1)}, {1: 2}, "1 outcomes are neither 0 nor 1"),
    "no patient": ({"set-a/readme.md": "hello"}, {1: 0}, "no patient file"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_faults_are_told_with_counts_and_without_keys(tmp_path: Path, case: str) -> None:
    files, died, message = BROKEN[case]
    renamed = {f"set-a/77770{k}.txt" if isinstance(k, int) else k: t for k, t in files.items()}
    renamed = {name: text.replace("RecordID,", "RecordID,77770") for name, text in renamed.items()}
    renamed = {name.replace("b/1.txt", "b/777701.txt"): text for name, text in renamed.items()}
    folder = source(tmp_path / "s", renamed, {777700 + stay: d for stay, d in died.items()})
    with pytest.raises(PrivauditError, match=message) as caught:
        read(folder)
    assert "7777" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert not list(folder.glob("cache/.*"))


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1)}, {1: 0})
    (folder / "set-a.tar.gz").unlink()
    (folder / "set-a").mkdir()
    (folder / "set-a" / "1.txt").write_bytes(patient(1).encode() + b"01:00,H\xff,80\n")
    with pytest.raises(PrivauditError, match="cannot be used"):
        read(folder)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_archive_is_refused(tmp_path: Path, share: float) -> None:
    rows = tuple(f"{i % 48:02d}:{i % 60:02d},HR,{i % 97 + 40}" for i in range(2000))
    stays = range(1, 9)
    folder = source(tmp_path / "s", {s: patient(s, *rows) for s in stays}, dict.fromkeys(stays, 0))
    whole = (folder / "set-a.tar.gz").read_bytes()
    (folder / "set-a.tar.gz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(PrivauditError, match="cut short or damaged"):
        read(folder)


def test_an_archive_cut_between_members_is_refused(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1), 2: patient(2)}, {1: 0, 2: 0})
    plain = gzip.decompress((folder / "set-a.tar.gz").read_bytes())
    (folder / "set-a.tar.gz").write_bytes(gzip.compress(plain[:1024]))
    with pytest.raises(PrivauditError, match="0 stays without an outcome, 1 outcomes without"):
        read(folder)


def test_an_archive_never_writes_where_its_names_point(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {"../../../evil/1.txt": patient(1)}, {1: 0})
    assert len(read(folder).stays) == 1
    assert sorted(p.name for p in tmp_path.rglob("*.txt")) == ["Outcomes-a.txt"]
    with tarfile.open(folder / "set-a.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("set-a/1.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(PrivauditError, match="links, devices"):
        read(folder)


def test_the_outcomes_must_be_a_table_of_numbers(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {1: patient(1)}, {1: 0})
    for text, message in (
        ("RecordID,Length_of_stay\n1,2\n", "lacks the columns In-hospital_death"),
        (outcomes({1: (5, 0)}) + "x,1,1,5,-1,0\n", "1 of its values are no numbers"),
        (outcomes({1: (5, 0)}) + outcomes({1: (5, 0)}).split("\n", 1)[1], "1 stays have a second"),
    ):
        (folder / "Outcomes-a.txt").write_text(text)
        with pytest.raises(PrivauditError, match=message):
            read(folder)


def test_an_empty_folder_and_a_window_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PrivauditError, match="no Challenge 2012 set"):
        read(tmp_path)
    for window in (0, 49):
        with pytest.raises(PrivauditError, match=f"a window of {window} hours"):
            read(tmp_path, window=window)


def test_names_and_ranges_agree_with_the_catalogue_of_mimic() -> None:
    ranges = {
        # Irrigant that went in is subtracted from urine in MIMIC; the Challenge has no such rows.
        row["variable"]: (
            0.0 if row["variable"] == "urine" else row["low"],
            row["high"],
            row["unit"],
        )
        for row in units.catalogue().iter_rows(named=True)
    }
    ours = {v.name: (*v.bounds, v.unit) for v in challenge2012.variables() if v.bounds}
    only_here = {"sao2", "gcs_total", "mech_vent", "cholesterol", "troponin_i"}
    assert set(ours) - set(ranges) == only_here
    assert {name: ours[name] for name in ours.keys() - only_here} == {
        name: ranges[name] for name in ours.keys() - only_here
    }


@pytest.mark.real
def test_the_real_set_is_read_whole(tmp_path: Path) -> None:
    data = REAL / "challenge-2012"
    if not data.is_dir():
        pytest.skip("the Challenge 2012 data are not beside the checkout")
    extract = challenge2012.extract(data, cache=tmp_path, progress=lambda what, share: None)
    assert len(extract.stays) == 4000
    assert extract.stays["died"].sum() == 554
    assert extract.facts["rescaled_values"] == 11
    assert extract.facts["unnamed_values"] == extract.facts["other_files"] == 0
    assert extract.facts["implausible_values"] < 0.002 * len(extract.events)
    assert len(extract.events) == 1_733_452
    counts = extract.events["variable"].value_counts()
    assert dict(counts.rows())["heart_rate"] == 228_466
