"""Columns of a synthetic table that no attack looks at: real cells in them are no silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privaudit.errors import PrivauditError
from privaudit.inputs.copied_cells import refuse_copied_cells
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.read_synthetic import SyntheticTables, read_synthetic
from privaudit.inputs.schema import TableSchema
from privaudit.seeds import Seeds

ROWS = 300


def draw(seed: int, first: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2150-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D")
    return pd.DataFrame(
        {
            "subject_id": first + np.arange(ROWS),
            "admit": days.strftime("%Y-%m-%d"),
            "mrn": [f"M{k:07d}" for k in first + np.arange(ROWS)],
            "lactate": rng.lognormal(0.3, 0.5, ROWS).round(2),
            "sex": rng.choice(["F", "M"], ROWS),
            "died": np.arange(ROWS) % 2,
        }
    )


REAL, CONTROL, OTHERS = draw(1, 1000), draw(2, 2000), draw(3, 3000)


def look(synthetic: pd.DataFrame, schema: TableSchema | None = None) -> list[str]:
    if schema is None:
        schema, _ = propose_schema([REAL, CONTROL], outcome="died", patient="subject_id")
    return refuse_copied_cells(REAL, CONTROL, synthetic, schema)


def test_identifiers_and_dates_made_without_the_real_ones_are_a_note() -> None:
    (note,) = look(OTHERS)
    assert "subject_id, admit, mrn" in note
    assert look(OTHERS.drop(columns=["subject_id", "admit", "mrn"])) == []
    real = REAL.assign(subject_id=np.arange(ROWS) + 1)
    control = CONTROL.assign(subject_id=np.arange(ROWS) + ROWS + 1)
    schema, _ = propose_schema([real, control], outcome="died", patient="subject_id")
    counted = OTHERS.assign(subject_id=np.arange(ROWS) + 1)
    assert refuse_copied_cells(real, control, counted, schema)


@pytest.mark.parametrize("name", ["subject_id", "admit", "mrn"])
def test_cells_of_the_real_table_are_refused(name: str) -> None:
    with pytest.raises(PrivauditError) as caught:
        look(OTHERS.assign(**{name: REAL[name].sample(frac=1, random_state=1).to_numpy()}))
    assert caught.value.what.endswith(f": {name}")


def test_a_control_in_which_nothing_was_recorded_hides_no_copies() -> None:
    schema, _ = propose_schema([REAL, CONTROL], outcome="died", patient="subject_id")
    copied = OTHERS.assign(mrn=REAL["mrn"])
    with pytest.raises(PrivauditError, match="mrn"):
        refuse_copied_cells(REAL, CONTROL.assign(mrn=None), copied, schema)
    assert refuse_copied_cells(REAL, CONTROL.assign(mrn=None), OTHERS, schema)


def test_one_note_of_a_real_patient_is_refused() -> None:
    tables = [
        table.assign(note=[f"came in after a fall from ladder {k}, wife waits" for k in keys])
        for table, keys in (
            (REAL, range(ROWS)),
            (CONTROL, range(ROWS, 2 * ROWS)),
            (OTHERS, [7, *range(2 * ROWS, 3 * ROWS - 1)]),
        )
    ]
    schema, _ = propose_schema(tables[:2], outcome="died", patient="subject_id")
    with pytest.raises(PrivauditError, match="note"):
        refuse_copied_cells(tables[0], tables[1], tables[2], schema)
    assert refuse_copied_cells(tables[0], tables[1], tables[2].iloc[1:], schema)


def test_dates_of_the_real_table_in_another_dress_are_refused() -> None:
    days = pd.to_datetime(REAL["admit"]).dt.strftime("%d.%m.%Y 00:00")
    with pytest.raises(PrivauditError, match="admit"):
        look(OTHERS.assign(admit=days.to_numpy()))


def test_a_measurement_that_a_schema_leaves_aside_is_refused() -> None:
    schema, _ = propose_schema([REAL, CONTROL], outcome="died", patient="subject_id")
    short = TableSchema(
        tuple(c for c in schema.columns if c.name != "lactate"),
        "died",
        schema.classes,
        "subject_id",
        ignored=(*schema.ignored, "lactate"),
    )
    with pytest.raises(PrivauditError, match="leaves aside although attacks can read them: lact"):
        look(OTHERS, short)
    assert look(OTHERS.drop(columns="lactate"), short)


def test_an_audit_looks(tmp_path: Path) -> None:
    for name, table in (("r", REAL), ("c", CONTROL), ("s", OTHERS.assign(mrn=REAL["mrn"]))):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    tables = SyntheticTables(
        *(tmp_path / f"{name}.csv" for name in "rcs"), outcome="died", patient="subject_id"
    )
    with pytest.raises(PrivauditError, match="mrn"):
        read_synthetic(tables, seeds=Seeds(0))
