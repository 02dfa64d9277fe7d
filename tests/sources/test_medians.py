"""A wrong unit shows in the median of a variable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tiny_omop import Cdm

from pipelines.sources import medians, units
from pipelines.sources.extract import Extract
from pipelines.sources.recognise import recognise

CREATININE, MG_PER_DL = 3016723, 8840


def hospital(folder: Path, stays: int, creatinine: float) -> Extract:
    cdm = Cdm()
    for key in range(1, stays + 1):
        cdm.person(key)
        cdm.stay(key)
        cdm.measure(key, 1.0, CREATININE, creatinine, MG_PER_DL)
        cdm.measure(key, 1.0, 3027018, 85, 8541)
    return recognise(cdm.write(folder)).extract(
        window=48,
        cohort="first_stay",
        as_known=False,
        cache=folder.parent / "cache",
        progress=lambda what, share: None,
    )


def test_umol_marked_as_mg_is_told_and_no_value_with_it(tmp_path: Path) -> None:
    # 40 mg/dL is inside the range of what can be measured, and no hospital's median
    said = " ".join(hospital(tmp_path / "a", medians.ENOUGH_STAYS, 40.25).notes)
    assert "creatinine (usually 0.5 to 4)" in said
    assert "heart_rate" not in said
    assert "40.25" not in said


@pytest.mark.parametrize(("stays", "creatinine"), [(19, 40.25), (20, 1.0)])
def test_few_stays_and_usual_values_are_not_told(
    tmp_path: Path, stays: int, creatinine: float
) -> None:
    assert "unusual" not in " ".join(hospital(tmp_path / "a", stays, creatinine).notes)


def test_every_variable_has_a_usual_range_inside_its_valid_one() -> None:
    usual = pl.read_csv(medians.USUAL, schema_overrides={"low": float, "high": float})
    assert usual["variable"].to_list() == units.names()
    both = usual.join(units.catalogue(), on="variable", suffix="_valid")
    assert both.filter(
        (pl.col("low") < pl.col("low_valid")) | (pl.col("high") > pl.col("high_valid"))
    ).is_empty()


def test_nothing_measured(tmp_path: Path) -> None:
    found = hospital(tmp_path / "a", 20, 1.0)
    empty = replace(found, events=found.events.clear())
    assert medians.notes(empty) == ()
    assert medians.compared(empty).is_empty()
