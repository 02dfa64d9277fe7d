"""Tables as files: what a column is called never decides what is read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from privaudit.inputs.table_file import open_table


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
