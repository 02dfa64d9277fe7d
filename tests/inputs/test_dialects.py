"""One true table in many dialects: the same records, or a refusal; never another number."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import to_boolean
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import TableSchema

ROWS = 120
Cell = Any


def make_truth() -> dict[str, list[Cell]]:
    """The true table: None where nothing was recorded."""
    rng = np.random.default_rng(5)
    lactate: list[Cell] = [round(float(x), 2) for x in rng.gamma(2, 1.2, ROWS)]
    platelets: list[Cell] = [int(x) for x in rng.integers(90_000, 1_400_000, ROWS)]
    unit: list[Cell] = [str(x) for x in rng.choice(["MICU", "Notaufnahme Süd", "a/b, c"], ROWS)]
    for cells, step in ((lactate, 6), (platelets, 11), (unit, 9)):
        cells[::step] = [None] * len(cells[::step])
    return {
        "patient_id": [9_007_199_254_740_993 + i // 2 for i in range(ROWS)],
        "age": [int(x) for x in rng.integers(18, 89, ROWS)],
        "lactate": lactate,
        "platelets": platelets,
        "unit": unit,
        "ward": [f"{x:03d}" for x in rng.choice([7, 12, 30], ROWS)],
        "ventilated": [bool(x) for x in rng.random(ROWS) < 0.4],
        "admitted": [date(2150, 1, 1) + timedelta(days=int(x)) for x in rng.integers(0, 900, ROWS)],
        "died": [int(x) for x in rng.random(ROWS) < 0.3],
    }


TRUTH = make_truth()
WHOLE = ("age", "platelets", "died", "patient_id")


@dataclass(frozen=True)
class Dialect:
    """How a tool writes a text table."""

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    quoting: int = csv.QUOTE_MINIMAL
    encoding: str = "utf-8"
    newline: str = "\n"
    null: str = ""
    booleans: tuple[str, str] = ("False", "True")
    dates: str = "%Y-%m-%d"
    order: int = 1
    index: str | None = None
    pad: str = ""
    digits: str = "{}"
    whole: str = "{}"
    gz: bool = False

    def write(self, folder: Path) -> Path:
        """The true table as a file."""
        names = list(TRUTH)[:: self.order]
        text = io.StringIO()
        writer = csv.writer(
            text,
            delimiter=self.separator,
            quoting=self.quoting,  # type: ignore[arg-type]
            lineterminator=self.newline,
        )
        lead = [] if self.index is None else [self.index]
        writer.writerow([*lead, *names])
        for i in range(ROWS):
            cells = [self.spell(name, TRUTH[name][i]) for name in names]
            writer.writerow([*([str(i)] if lead else []), *cells])
        path = folder / ("table.csv.gz" if self.gz else "table.csv")
        data = text.getvalue().encode(self.encoding)
        path.write_bytes(gzip.compress(data) if self.gz else data)
        return path

    def spell(self, name: str, value: Cell) -> str:
        """One cell."""
        if value is None:
            return self.null
        if isinstance(value, bool):
            return self.booleans[value]
        if isinstance(value, date):
            return value.strftime(self.dates)
        text = str(value)
        if name == "lactate":
            text = self.digits.format(value).replace(".", self.decimal)
        elif name == "platelets" and self.thousands:
            text = f"{value:,}".replace(",", self.thousands)
        elif name in WHOLE and name != "patient_id":
            text = self.whole.format(value).replace(".", self.decimal)
        return f"{self.pad}{text}{self.pad}"


DIALECTS: dict[str, Dialect] = {
    "plain": Dialect(),
    "semicolons": Dialect(";"),
    "tabs": Dialect("\t"),
    "bars": Dialect("|"),
    "European": Dialect(";", ","),
    "European tabs": Dialect("\t", ","),
    "European commas": Dialect(",", ","),
    "European thousands": Dialect(";", ",", "."),
    "Swiss thousands": Dialect(";", ".", "'"),
    "English thousands": Dialect(",", ".", ","),
    "French thousands": Dialect(";", ",", "\u202f"),
    "blank thousands": Dialect("\t", ",", " "),
    "all quoted": Dialect(quoting=csv.QUOTE_ALL),
    "all quoted, semicolons": Dialect(";", quoting=csv.QUOTE_ALL),
    "byte order mark": Dialect(encoding="utf-8-sig"),
    "Latin-1": Dialect(encoding="latin-1"),
    "UTF-16": Dialect(encoding="utf-16"),
    "Windows": Dialect(newline="\r\n"),
    "Excel": Dialect(";", ",", encoding="utf-8-sig", newline="\r\n", dates="%d.%m.%Y"),
    "SQL nulls": Dialect(null="NULL"),
    "MySQL nulls": Dialect(null="\\N", booleans=("0", "1")),
    "SPSS nulls": Dialect(null="#NULL!"),
    "R nulls": Dialect(null="NA", booleans=("FALSE", "TRUE")),
    "Excel nulls": Dialect(null="#N/A"),
    "pandas nulls": Dialect(null="<NA>"),
    "SAS nulls": Dialect(null=".", dates="%d%b%Y"),
    "blank nulls": Dialect(null="  "),
    "NaN": Dialect(null="NaN"),
    "yes and no": Dialect(booleans=("no", "yes")),
    "Y and N": Dialect(booleans=("N", "Y")),
    "t and f": Dialect(booleans=("f", "t")),
    "1.0 and 0.0": Dialect(booleans=("0.0", "1.0"), whole="{:.1f}"),
    "Oracle dates": Dialect(dates="%d-%b-%Y"),
    "dates in words": Dialect(dates="%B %d, %Y"),
    "dates as numbers": Dialect(dates="%Y%m%d"),
    "American dates": Dialect(dates="%m/%d/%Y"),
    "times with a zone": Dialect(dates="%Y-%m-%dT08:30:00+02:00"),
    "reversed columns": Dialect(order=-1),
    "pandas index": Dialect(index=""),
    "named index": Dialect(index="Unnamed: 0"),
    "padded": Dialect(pad=" "),
    "padded, no-break": Dialect(pad="\u00a0"),
    "zeros behind": Dialect(digits="{:.4f}"),
    "exponents": Dialect(digits="{:.3e}"),
    "plus signs": Dialect(digits="{:+.2f}", whole="{:+d}"),
    "gzip": Dialect(gz=True),
    "gzip, European": Dialect(";", ",", gz=True),
}


def frame(**kinds: Any) -> pl.DataFrame:
    """The true table as a polars frame, some columns of other types."""
    made = pl.DataFrame(TRUTH)
    return made.with_columns(pl.col(name).cast(kind) for name, kind in kinds.items())


def pandas_frame(**kinds: Any) -> pd.DataFrame:
    """The true table as a pandas frame, some columns of other types."""
    made = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in TRUTH.items()})
    usual = {"patient_id": "int64", "age": "int64", "lactate": "float64", "died": "int64"}
    return made.astype({**usual, **kinds})


def as_parquet(made: pl.DataFrame) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        made.write_parquet(folder / "table.parquet")
        return folder / "table.parquet"

    return write


def as_arrow(column: str, kind: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = frame().to_arrow()
        place = table.column_names.index(column)
        kinds = {
            "dictionary": lambda: pa.array(TRUTH[column]).dictionary_encode(),
            "binary": lambda: pa.array([x and x.encode() for x in TRUTH[column]], pa.binary()),
            "large_string": lambda: pa.array(TRUTH[column], pa.large_string()),
            "decimal": lambda: pa.array(
                [None if x is None else Decimal(str(x)) for x in TRUTH[column]],
                pa.decimal128(12, 4),
            ),
            "timestamp": lambda: pa.array(
                [datetime.combine(x, time(), UTC) for x in TRUTH[column]], pa.timestamp("us", "UTC")
            ),
        }
        table = table.set_column(place, column, kinds[kind]())
        pq.write_table(table, folder / "table.parquet")
        return folder / "table.parquet"

    return write


TYPES: dict[str, Callable[[Path], Any]] = {
    "parquet": as_parquet(frame()),
    "parquet, small whole numbers": as_parquet(frame(age=pl.Int8, died=pl.UInt8)),
    "parquet, 32 bits": as_parquet(frame(age=pl.Int32, lactate=pl.Float32, platelets=pl.Int32)),
    "parquet, whole numbers as floats": as_parquet(frame(age=pl.Float64, platelets=pl.Float32)),
    "parquet, outcome as boolean": as_parquet(frame(died=pl.Boolean)),
    "parquet, numbers as texts": as_parquet(frame(age=pl.String, lactate=pl.String)),
    "parquet, categories": as_parquet(frame(unit=pl.Categorical, ward=pl.Categorical)),
    "parquet, patients as texts": as_parquet(frame(patient_id=pl.String)),
    "parquet, patients rounded": as_parquet(frame(patient_id=pl.Float64)),
    "parquet, booleans as numbers": as_parquet(frame(ventilated=pl.Int64)),
    "parquet, booleans as texts": as_parquet(frame(ventilated=pl.String)),
    "parquet, wards as numbers": as_parquet(frame(ward=pl.Int64)),
    "parquet, moments": as_parquet(frame(admitted=pl.Datetime("us"))),
    "parquet, dictionary": as_arrow("unit", "dictionary"),
    "parquet, binary": as_arrow("unit", "binary"),
    "parquet, large texts": as_arrow("unit", "large_string"),
    "parquet, decimals": as_arrow("lactate", "decimal"),
    "parquet, moments with a zone": as_arrow("admitted", "timestamp"),
    "polars": lambda _: frame(),
    "pandas": lambda _: pandas_frame(),
    "pandas nullable": lambda _: pandas_frame(
        patient_id="Int64", age="Int16", lactate="Float64", platelets="Int64", unit="string",
        ventilated="boolean",
    ),
    "pandas categories": lambda _: pandas_frame(unit="category", ventilated="bool"),
    "pandas arrow": lambda _: pandas_frame(
        unit="string[pyarrow]", age="int64[pyarrow]", lactate="float64[pyarrow]"
    ),
    "pandas objects": lambda _: pandas_frame(patient_id=object, age=object, lactate=object),
    "pandas floats for gaps": lambda _: pandas_frame(platelets="float64", ventilated="bool"),
    "pandas moments": lambda _: pandas_frame(admitted="datetime64[ns]"),
    "pandas patients rounded": lambda _: pandas_frame(patient_id="float64"),
}  # fmt: skip


def read_as(table: Any, schema: TableSchema) -> dict[str, list[Cell]]:
    """What was read, in the true table's terms."""
    records = read_table(table, schema)
    found: dict[str, list[Cell]] = {}
    for j, column in enumerate(records.columns):
        values = records.X[:, j]
        if column.levels:
            levels = [column.levels[int(x)] if x == x else None for x in values.tolist()]
            said = [level and to_boolean(level) for level in levels]
            found[column.name] = said if column.kind == "binary" else levels
        else:
            found[column.name] = [None if x != x else x for x in values.tolist()]
    found["died"] = [to_boolean(records.classes[k]) for k in records.y.tolist()]
    _, first = np.unique(records.patient, return_inverse=True)
    found["patient_id"] = first.tolist()
    return found


def as_read(name: str, cells: Sequence[Cell]) -> list[Cell]:
    """The true cells as float32 or texts."""
    if name == "patient_id":
        return np.unique(cells, return_inverse=True)[1].tolist()
    return [float(np.float32(x)) if isinstance(x, int | float) else x for x in cells]


def compare(found: dict[str, list[Cell]]) -> None:
    """Every column that was read holds the true cells; dates and indices are read as nothing."""
    assert set(found) == set(TRUTH) - {"admitted"}
    for name, cells in found.items():
        assert cells == as_read(name, TRUTH[name]), name


def propose(table: Any, unclear: str) -> TableSchema:
    return propose_schema(table, outcome="died", patient="patient_id", unclear=unclear)[0]  # type: ignore[arg-type]


PLAIN_SCHEMA: list[TableSchema] = []


def plain_schema() -> TableSchema:
    if not PLAIN_SCHEMA:
        PLAIN_SCHEMA.append(
            propose(frame().with_columns(pl.col("ventilated").cast(pl.Int8)), "refuse")
        )
    return PLAIN_SCHEMA[0]


def is_read(table: Any, schema: TableSchema | None, unclear: str = "refuse") -> bool:
    """Whether a table is read, and then as it is true; False where it is refused."""
    try:
        found = read_as(table, propose(table, unclear) if schema is None else schema)
    except PrivauditError:
        return False
    compare(found)
    return True


ALL: dict[str, Callable[[Path], Any]] = {
    **{name: one.write for name, one in DIALECTS.items()},
    **TYPES,
}
REFUSED = {"Latin-1", "UTF-16", "parquet, patients rounded", "pandas patients rounded"}
"""Encodings that would be guessed, and patients that two floats made one of."""

UNLIKE = {"parquet, wards as numbers"}
"""Another table: 007 became 7."""


@pytest.mark.parametrize("name", sorted(set(ALL) - UNLIKE))
def test_a_dialect_is_read_by_the_schema_that_is_proposed_for_it(tmp_path: Path, name: str) -> None:
    assert is_read(ALL[name](tmp_path), None, "propose") == (name not in REFUSED)


def test_most_dialects_are_read_unchecked_and_none_is_read_wrongly(tmp_path: Path) -> None:
    read = {name: is_read(make(tmp_path), None) for name, make in ALL.items() if name not in UNLIKE}
    assert {name for name, ok in read.items() if not ok} == REFUSED | {
        *("European", "European tabs", "European commas", "European thousands", "Excel"),
        *("Swiss thousands", "English thousands", "French thousands", "blank thousands"),
        "gzip, European",
    }
    assert sum(read.values()) >= 0.75 * len(read)


def test_a_schema_of_the_plain_table_reads_the_others_or_refuses(tmp_path: Path) -> None:
    schema = plain_schema()
    read = [is_read(make(tmp_path), schema) for name, make in ALL.items()]
    assert sum(read) >= 0.7 * len(read)
    assert not is_read(TYPES["parquet, wards as numbers"](tmp_path), schema)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    dialect=st.builds(
        Dialect,
        separator=st.sampled_from(",;\t|"),
        decimal=st.sampled_from(".,"),
        thousands=st.sampled_from(["", ",", ".", "'", " "]),
        quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
        newline=st.sampled_from(["\n", "\r\n"]),
        null=st.sampled_from(["", "NULL", "\\N", "#N/A", "nan", " ", "None", "-", ".", "?"]),
        booleans=st.sampled_from([("False", "True"), ("no", "yes"), ("0", "1"), ("N", "Y")]),
        dates=st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%Y%m%d", "%d%b%Y", "%b %d, %Y"]),
        order=st.sampled_from([1, -1]),
        index=st.sampled_from([None, "", "Unnamed: 0"]),
        pad=st.sampled_from(["", " "]),
        digits=st.sampled_from(["{}", "{:.2f}", "{:.3f}", "{:.3e}"]),
        gz=st.booleans(),
    ).filter(lambda one: one.thousands != one.decimal)
)
def test_any_mixture_of_dialects_is_read_as_it_is_or_refused(
    tmp_path: Path, dialect: Dialect
) -> None:
    # Words that may be a level of a column of texts stand for missing numbers alone.
    if dialect.null in ("None", "-"):
        dialect = replace(dialect, null="")
    table = dialect.write(tmp_path)
    is_plain = dialect.decimal == "." and not dialect.thousands
    assert is_read(table, None) or not is_plain
    is_read(table, None, "propose")
    is_read(table, plain_schema())
