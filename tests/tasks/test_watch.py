"""A wrist watch worn by ten people: read whole, and no verdict, by whatever way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.tasks.table import Table
from privaudit.engine.run import find_few_people
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.inputs.checks import refuse_few_patients
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import TableSchema, read_schema, write_schema
from privaudit.inputs.series import Channel, SeriesSchema
from privaudit.records import Column, Split

DATA = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
WATCH = DATA / "watch-shoulder" / "watch.npz"


@pytest.mark.real
def test_ten_people_of_many_windows_give_no_verdict(tmp_path: Path) -> None:
    if not WATCH.exists():
        pytest.skip("the recordings of the watch are not beside the checkout")
    held = np.load(WATCH, allow_pickle=False)
    lengths, values = held["lengths"], held["values"]
    record = np.repeat(np.arange(len(lengths)), lengths)
    seconds = np.concatenate([np.arange(n) / 50 for n in lengths])
    names = [str(name) for name in held["channel_names"]]
    pl.concat(
        pl.DataFrame({"rec": record, "s": seconds, "c": [name] * len(record), "v": values[:, j]})
        for j, name in enumerate(names)
    ).write_parquet(tmp_path / "long.parquet")
    pl.DataFrame(
        {
            "rec": np.arange(len(lengths)),
            "who": held["subject"],
            "side": held["side"],
            "exercise": [str(held["label_names"][k]) for k in held["label"]],
        }
    ).write_csv(tmp_path / "watch.csv")
    series = SeriesSchema("long.parquet", "rec", "s", "c", "v", 0.5, 60, tuple(map(Channel, names)))
    classes = tuple(sorted(map(str, held["label_names"])))
    columns = (Column("side", "binary"),)
    schema = TableSchema(columns, "exercise", classes, "who", series=series)
    write_schema(schema, tmp_path / "schema.toml")
    with pytest.raises(PrivauditError, match="a table of 10 people"):
        Table(schema=str(tmp_path / "schema.toml"), checked=("all",)).prepare(
            tmp_path / "watch.csv", tmp_path, lambda what, share: None
        )
    records = read_table(tmp_path / "watch.csv", read_schema(tmp_path / "schema.toml"))
    assert records.series is not None
    assert records.series.shape == (140, 60, 6)
    first = values[:25].mean(axis=0)
    np.testing.assert_allclose(records.series[0, 0], first, rtol=1e-5, atol=1e-6)
    split = Split.assign(records, np.random.default_rng(0))
    with pytest.raises(PrivauditError, match="below 20"):
        refuse_few_patients(split)
    assert [one.code for one in find_few_people(split)] == [CaveatCode.FEW_PEOPLE]
