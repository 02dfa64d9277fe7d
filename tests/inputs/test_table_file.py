"""Tables as files: what a column is called never decides what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from privaudit.errors import PrivauditError
from privaudit.inputs.read_table import read_table, write_table
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import INDEX, open_table
from privaudit.records import Column, Records


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_names_that_polars_takes_for_patterns_are_plain_names(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame({"*": ["1", "2"], "^a.*$": ["3", "4"], "ab": ["5", "6"]})
    path = tmp_path / f"table.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    with open_table(path, "the table") as table:
        for names in (["*"], ["^a.*$"], ["ab", "*"]):
            (batch,) = table.batches(names)
            assert batch.columns == names
            assert batch.rows() == frame.select(pl.selectors.by_name(*names)).rows()


@pytest.mark.parametrize(
    "name",
    ["m[12]", "*", "?", "~/t", "~t", "s3:/b/t", "$HOME/t", "site=3/t", "{a,b}", "100%25", "x?y=1"],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_name_of_a_file_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ending: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m1.csv").write_text("a,died\n9.5,1\n")
    path = Path(f"{name}.{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = TableSchema((Column("a"),), "died", ("0", "1"))
    X = np.array([[1.5], [2.5]])
    rows = np.arange(2)
    records = Records(schema.columns, X, rows, rows, 0 * rows, classes=("0", "1"))
    write_table(records, schema, path)
    assert path.is_file()
    assert read_table(path, schema).X.tolist() == X.tolist()
    assert read_table(str(path), schema).X.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"Age, years";"died"\n"79";"1"\n"63";"0"\n', ("Age, years", "died")),
        ("Age, years;died\n79;1\n63;0\n", ("Age, years", "died")),
        ('a,"b;c;d",died\n1,2,3\n4,5,6\n', ("a", "b;c;d", "died")),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ("a", "b")),
        (",a,died\n0,1,2\n1,3,4\n", (INDEX, "a", "died")),
        ("only\n1\n2\n", ("only",)),
    ],
)
def test_the_separator_is_the_one_that_cuts_all_lines_alike(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with open_table(tmp_path / "t.csv", "the table") as table:
        assert table.columns == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2,\n3,4,\n", "end with a separator"),
        ("a,b\nx,1,2\ny,3,4\n", "row names"),
        ("sep=;\na;b\n1;2\n", "sep="),
        ("a,,b\n1,2,3\n", "without a name"),
        ("a,b\n\n1,2\n3,4\n", "fewer cells than the header"),
        ("a,b\r1,2\r", "Macintosh"),
        ("a,b\n1,2\n3,4,5\n", "more cells than the header"),
    ],
)
def test_a_table_that_cannot_be_cut_is_refused_for_what_it_is(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "t.csv").write_text(text, newline="")
    with (
        pytest.raises(PrivauditError) as caught,
        open_table(tmp_path / "t.csv", "the table") as table,
    ):
        list(table.batches(table.columns))
    assert said in str(caught.value)
