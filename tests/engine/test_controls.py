"""The planted leak: probabilities stay probabilities, and only what was seen is lifted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from toy_audit import ToyMethod, records

from privaudit.contracts import Target
from privaudit.engine import controls
from privaudit.engine.store import Store
from privaudit.records import Column, Split
from privaudit.seeds import Seeds
from privaudit.signals import margin


def test_equal_rows_have_equal_codes_and_others_differ() -> None:
    table = records(500)
    codes = controls.row_codes(table)
    assert len(np.unique(codes)) == 500
    order = np.random.default_rng(0).permutation(500)
    np.testing.assert_array_equal(controls.row_codes(table.take(order)), codes[order])
    flipped = replace(table, y=1 - table.y)
    assert not (controls.row_codes(flipped) == codes).any()
    touched = table.X.copy()
    touched[:, 3] = np.nextafter(touched[:, 3], np.float32(9))
    assert not (controls.row_codes(replace(table, X=touched)) == codes).any()


def test_codes_read_the_series_and_missing_values() -> None:
    table = records(40)
    series = np.random.default_rng(1).normal(size=(40, 5, 2)).astype(np.float32)
    series[3:30, 1] = np.nan
    hourly = replace(table, series=series, channels=(Column("a"), Column("b")))
    codes = controls.row_codes(hourly)
    assert len(np.unique(codes)) == 40
    changed = series.copy()
    changed[:, 4, 1] += 1
    assert not (controls.row_codes(replace(hourly, series=changed)) == codes).any()


def test_the_memoriser_lifts_members_by_its_lift_and_leaves_others_alone() -> None:
    split = Split.assign(records(400), Seeds(0).rng("split"))
    method = ToyMethod()
    target = Target(method.fit(split.members, np.random.default_rng(0)), split, method)
    planted, lift = controls.plant(target)
    assert lift > 0.9
    moved = planted.margins - target.margins
    np.testing.assert_allclose(moved[split.is_member], lift, atol=1e-6)
    np.testing.assert_array_equal(moved[~split.is_member], 0)
    assert planted.release.model is not None
    proba = planted.release.model.predict_proba(split.audit)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert proba.min() >= 0


class Sure:
    """Answers with nothing but 0 and 1, for three classes."""

    def predict_proba(self, table):  # type: ignore[no-untyped-def]
        return np.eye(3)[np.arange(len(table)) % 3]


def test_saturated_answers_stay_finite() -> None:
    table = replace(records(60), classes=("a", "b", "c"))
    model = controls.Memoriser(Sure(), np.unique(controls.row_codes(table)), 3.0)
    proba = model.predict_proba(table)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert np.isfinite(margin(proba, table.y)).all()


def test_asked_records_are_found_in_another_pool(tmp_path: Path) -> None:
    table = records(100)
    tables = Store(str(tmp_path))
    rows = np.array([70, 3, 99])
    pool, ask = tables.put_records(table.take(slice(0, 80))), tables.put_records(table.take(rows))
    place = controls.places(tables, pool, ask)
    np.testing.assert_array_equal(place, [70, 3, -1])
    included = np.zeros(80, dtype=bool)
    included[3] = True
    np.testing.assert_array_equal(controls.trained_on(included, place), [False, True, False])
