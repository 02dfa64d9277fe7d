"""The reader of MIMIC-III: forms of files, wrong inputs, and what must not enter."""

from __future__ import annotations

import gzip
import re
import stat
from pathlib import Path

import polars as pl
import pytest
from tiny_mimic3 import Hospital, at, ward

from pipelines.sources.extract import EVENTS, STAYS, Extract
from pipelines.sources.mimic3 import Mimic3
from pipelines.sources.recognise import recognise
from privaudit.errors import PrivauditError


def read(folder: Path, cache: Path, **kwargs: object) -> Extract:
    return Mimic3(folder).extract(cache=cache, progress=lambda what, share: None, **kwargs)


def same(a: Extract, b: Extract) -> bool:
    return a.stays.equals(b.stays) and a.events.equals(b.events) and a.flow == b.flow


FORMS = [("csv", False), ("csv", True), ("csv.gz", False), ("csv.gz", True), ("parquet", True)]


@pytest.mark.parametrize(("form", "upper"), FORMS)
def test_every_form_gives_one_extract(tmp_path: Path, form: str, upper: bool) -> None:
    plain = read(ward().write(tmp_path / "plain"), tmp_path / "c1")
    other = read(ward().write(tmp_path / "other", form, upper), tmp_path / "c2")
    assert same(plain, other)
    assert dict(plain.stays.schema) == STAYS
    assert dict(plain.events.schema) == EVENTS
    assert plain.stays["stay"].to_list() == [200, 201, 206, 209]
    assert len(plain.events) == 4 * 10


def test_parquet_folders_and_a_second_look_at_the_cache(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a", "parquet")
    whole = pl.read_parquet(folder / "CHARTEVENTS.parquet")
    (folder / "CHARTEVENTS.parquet").unlink()
    (folder / "CHARTEVENTS.parquet").mkdir()
    whole[:7].write_parquet(folder / "CHARTEVENTS.parquet" / "part-0.parquet")
    whole[7:].write_parquet(folder / "CHARTEVENTS.parquet" / "part-1.parquet")
    first = read(folder, tmp_path / "c")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "c").rglob("*.parquet")}
    assert same(first, read(folder, tmp_path / "c"))
    assert times == {p: p.stat().st_mtime_ns for p in (tmp_path / "c").rglob("*.parquet")}
    assert same(first, read(ward().write(tmp_path / "b"), tmp_path / "d"))


def test_cache_is_private_and_notices_a_changed_table(tmp_path: Path) -> None:
    hospital = ward()
    folder, cache = hospital.write(tmp_path / "a"), tmp_path / "c"
    before = read(folder, cache)
    inside = cache / "mimic-iii"
    assert stat.S_IMODE(inside.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in inside.iterdir()} == {0}
    assert not list(inside.glob(".*"))
    hospital.chart(10, 200, 2.0, 211, 99)
    after = read(hospital.write(folder), cache)
    assert len(after.events) == len(before.events) + 1


def test_one_patient(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10, 200)
    for add in (h.chart, h.lab, h.output):
        add(10, 200, 1.0, {h.chart: 211, h.lab: 50813, h.output: 40055}[add], 5)
    found = read(h.write(tmp_path / "a"), tmp_path / "c")
    assert found.events["variable"].to_list() == ["heart_rate", "lactate", "urine"]


def test_nothing_after_the_window_or_about_the_outcome_enters(tmp_path: Path) -> None:
    """Values that encode the outcome, in places from which a careless reader would take them."""
    h = Hospital()
    for subject in range(10, 30):
        died = subject % 2
        stay = 200 + subject
        h.stay(subject, stay, los=60.0 + 100 * (1 - died), died=died, death=60.0 if died else None)
        h.chart(subject, stay, 1.0, 211, 80)
        h.lab(subject, stay, 2.0, 50813, 2)
        h.output(subject, stay, 3.0, 40055, 100)
        code = 250 if died else 50
        h.chart(subject, stay, 48.0, 211, code)  # at the end of the half-open window
        h.chart(subject, stay, -0.001, 211, code)  # before it
        h.chart(subject, stay, 59.0, 220045, code)
        h.chart(subject, stay, 5.0, 211, code, error=1)  # marked as an error
        h.chart(subject, stay, 6.0, 128, code)  # code status: not in the catalogue
        h.lab(subject, stay, 48.5, 50813, 40 if died else 1, hadm=100_000 + stay)
        h.output(subject, stay, 55.0, 40055, 4000 if died else 1)
        h.output(subject, stay, 6.0, 40055, 4000 if died else 1, error=1)
        h.chart(subject, stay, 47.0, 211, code + 1, stored=48.01)  # known too late
        h.chart(subject, stay, 46.0, 211, 81, stored=48.0)  # known in time
    folder = h.write(tmp_path / "a")
    plain = read(folder, tmp_path / "c")
    strict = read(folder, tmp_path / "c", as_known=True)
    assert plain.stays["died"].sum() == 10
    assert (plain.events["hour"] < 48).all()
    per_stay = plain.events.group_by("stay").len()["len"].unique().to_list()
    assert per_stay == [5]
    assert set(strict.events["value"].to_list()) == {80.0, 81.0, 2.0, 100.0}
    assert set(plain.events["value"].to_list()) == {80.0, 81.0, 2.0, 100.0, 251.0, 51.0}
    assert {c.name for c in plain.variables}.isdisjoint(STAYS)


def test_error_null_empty_and_zero_are_kept_and_one_is_dropped(tmp_path: Path) -> None:
    h = Hospital()
    h.stay(10, 200)
    h.lab(10, 200, 1.0, 50813, 1)
    h.output(10, 200, 1.0, 40055, 1)
    for hour, error in enumerate((None, "", " ", "0", "0.0", "1", "1 ", "1.0")):
        h.chart(10, 200, hour, 211, 60 + hour, error=error)
    found = read(h.write(tmp_path / "a"), tmp_path / "c").events
    kept = found.filter(pl.col("variable") == "heart_rate")["value"].to_list()
    assert kept == [60.0, 61.0, 62.0, 63.0, 64.0]


def test_trailing_blanks_and_other_date_forms_change_nothing(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    before = read(folder, tmp_path / "c")
    path = folder / "chartevents.csv"
    text = path.read_text().replace(",211,", ",211 ,").replace(",80,80,", ",80,80 ,")
    path.write_text(re.sub(r"(\d\d:\d\d:\d\d)", r"\1 UTC", text))
    assert same(before, read(folder, tmp_path / "c"))


def test_rows_without_stay_or_admission_ids_join_by_patient_and_time(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    before = read(folder, tmp_path / "c")
    frame = pl.read_csv(folder / "chartevents.csv", infer_schema_length=0)
    frame.with_columns(pl.lit(None, pl.String).alias("icustay_id")).write_csv(
        folder / "chartevents.csv"
    )
    assert same(before, read(folder, tmp_path / "c"))


def test_latin1_bytes_and_unknown_columns_are_no_obstacle(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    before = read(folder, tmp_path / "c")
    path = folder / "chartevents.csv"
    lines = path.read_bytes().splitlines()
    path.write_bytes(
        b"\n".join([lines[0] + b",extra", *(line + b",\xb0F" for line in lines[1:])]) + b"\n"
    )
    assert same(before, read(folder, tmp_path / "c"))


def complaint(folder: Path, cache: Path, **kwargs: object) -> str:
    with pytest.raises(PrivauditError) as caught:
        read(folder, cache, **kwargs)
    assert not re.search(r"\b(10|11|200|201)\b", str(caught.value)), "a key in a message"
    assert str(folder.parent) not in str(caught.value)
    assert not list(cache.rglob(".*.part")), "a partial file was left behind"
    return str(caught.value)


def test_missing_table(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    (folder / "labevents.csv").unlink()
    assert "LABEVENTS.csv.gz" in complaint(folder, tmp_path / "c")


def test_missing_column(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a")
    pl.read_csv(folder / "chartevents.csv").drop("storetime").write_csv(folder / "chartevents.csv")
    assert "CHARTEVENTS has no column STORETIME" in complaint(folder, tmp_path / "c")


@pytest.mark.parametrize("table", ["CHARTEVENTS", "LABEVENTS", "ICUSTAYS"])
@pytest.mark.parametrize("keep", [0.3, 0.9, -4])
def test_truncated_gzip(tmp_path: Path, table: str, keep: float) -> None:
    h = ward()
    for hour in range(2000):
        h.chart(10, 200, hour, 211, 70 + hour % 9)
        h.lab(10, 200, hour, 50813, 1 + hour % 9)
    folder = h.write(tmp_path / "a", "csv.gz")
    path = folder / f"{table}.csv.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep < 0 else keep * len(whole))])
    said = complaint(folder, tmp_path / "c")
    assert f"{table} cannot be read to its end" in said
    assert "ends too early" in said
    with pytest.raises(PrivauditError, match="cannot be read to its end"):
        Mimic3(folder).row_counts()


def test_damaged_gzip_and_cut_csv(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a", "csv.gz")
    path = folder / "CHARTEVENTS.csv.gz"
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 0xFF
    path.write_bytes(bytes(whole))
    assert "checksum" in complaint(folder, tmp_path / "c")
    path.write_bytes(
        gzip.decompress(ward().write(tmp_path / "b", "csv.gz").joinpath(path.name).read_bytes())[
            :-40
        ]
    )
    assert "CHARTEVENTS cannot be read to its end" in complaint(folder, tmp_path / "c")


@pytest.mark.parametrize("table", ["CHARTEVENTS", "PATIENTS"])
def test_unclosed_quotation_mark(tmp_path: Path, table: str) -> None:
    h = ward()
    folder = h.write(tmp_path / "a")
    text = h.frame(table).write_csv(quote_style="always")
    with gzip.open(folder / f"{table}.csv.gz", "wt") as file:
        file.write(text[: text.rindex('"21' if table == "CHARTEVENTS" else '"20') + 6])
    (folder / f"{table.lower()}.csv").unlink()
    assert "a quotation mark is opened" in complaint(folder, tmp_path / "c")
    assert "2150" not in complaint(folder, tmp_path / "c")


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("table", "column"),
    [("CHARTEVENTS", "charttime"), ("CHARTEVENTS", "storetime"), ("ICUSTAYS", "intime")],
)
def test_unreadable_date(tmp_path: Path, form: str, table: str, column: str) -> None:
    h = ward()
    folder = h.write(tmp_path / "a", form)
    frame = h.frame(table).with_columns(
        pl.when(pl.int_range(pl.len()) < 3)
        .then(pl.lit("31/12/2150"))
        .otherwise(column)
        .alias(column)
    )
    if form == "csv":
        frame.write_csv(folder / f"{table.lower()}.csv")
    else:
        frame.write_parquet(folder / f"{table}.parquet")
    said = complaint(folder, tmp_path / "c")
    assert f"{table}.{column.upper()}: 3 unreadable date(s)" in said
    assert "31/12" not in said


@pytest.mark.parametrize(
    ("table", "column"),
    [("CHARTEVENTS", "itemid"), ("LABEVENTS", "subject_id"), ("ICUSTAYS", "hadm_id")],
)
@pytest.mark.parametrize("value", ["secret", "2.5"])
def test_id_that_is_no_number(tmp_path: Path, table: str, column: str, value: str) -> None:
    h = ward()
    folder = h.write(tmp_path / "a")
    h.frame(table).with_columns(
        pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(value)).otherwise(column).alias(column)
    ).write_csv(folder / f"{table.lower()}.csv")
    said = complaint(folder, tmp_path / "c")
    assert f"{table}.{column.upper()}: 1 unreadable number(s)" in said
    assert value not in said


@pytest.mark.parametrize("table", ["CHARTEVENTS", "PATIENTS"])
@pytest.mark.parametrize("content", ["header", "nothing"])
def test_empty_table(tmp_path: Path, table: str, content: str) -> None:
    h = ward()
    folder = h.write(tmp_path / "a")
    text = h.frame(table)[:0].write_csv() if content == "header" else ""
    (folder / f"{table.lower()}.csv").write_text(text)
    assert f"{table} is empty" in complaint(folder, tmp_path / "c")


def test_row_counts_and_kind(tmp_path: Path) -> None:
    h = ward()
    folder = h.write(tmp_path / "a", "csv.gz")
    counts = Mimic3(folder).row_counts()
    assert counts == {name: len(rows) for name, rows in h.tables.items()}
    assert Mimic3(folder).kind == "part"
    for rows in h.tables.values():
        for row in rows:
            row["subject_id"] = int(row["subject_id"]) + 1_000_000  # type: ignore[call-overload]
    generated = read(h.write(tmp_path / "b"), tmp_path / "c")
    assert not generated.real
    assert generated.source == "generated demo"


def test_recognise_sources_and_wrong_folders(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "up" / "mimic")
    assert recognise(folder).name == "mimic-iii"
    challenge = tmp_path / "challenge"
    challenge.mkdir()
    (challenge / "Outcomes-a.txt").write_text("RecordID\n")
    (challenge / "set-a.tar.gz").write_bytes(b"")
    assert recognise(challenge).name == "challenge-2012"
    four = tmp_path / "four"
    (four / "icu").mkdir(parents=True)
    (four / "hosp").mkdir()
    (four / "icu" / "icustays.csv.gz").write_bytes(b"")
    (four / "hosp" / "patients.csv.gz").write_bytes(b"")
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "anna_smith.csv").write_text("x\n")
    cases = {
        tmp_path / "absent": "nothing exists at 'absent'",
        folder / "patients.csv": "is a file, not a folder",
        tmp_path / "up": "subfolder 'mimic' looks like MIMIC-III",
        wrong: r"found 1 \*\.csv",
    }
    for path, said in cases.items():
        with pytest.raises(PrivauditError, match=said) as caught:
            recognise(path)
        assert "smith" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"window": 0}, "a window of 0 hours"),
        ({"cohort": "some"}, "a cohort named 'some'"),
        ({"minimum_los": float("nan")}, "a minimum stay of nan hours"),
    ],
)
def test_wrong_arguments(tmp_path: Path, kwargs: dict[str, object], said: str) -> None:
    assert said in complaint(ward().write(tmp_path / "a"), tmp_path / "c", **kwargs)


def test_progress_never_falls_and_ends_at_one(tmp_path: Path) -> None:
    shares: list[float] = []
    Mimic3(ward().write(tmp_path / "a")).extract(
        cache=tmp_path / "c",
        progress=lambda what, share: shares.append(share),
    )
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert at(0) == "2150-01-01 12:00:00"


def test_a_first_row_in_place_of_a_header_is_not_quoted(tmp_path: Path) -> None:
    folder = ward().write(tmp_path / "a", "csv")
    path = next(p for p in folder.iterdir() if p.name.lower() == "icustays.csv")
    path.write_text("1,4711,22,33,Jane Roe,5,6,7,8,9,10,11\n")
    with pytest.raises(PrivauditError, match="a header") as caught:
        recognise(folder).check()
    assert "4711" not in str(caught.value)
    assert "Jane" not in str(caught.value).title()
