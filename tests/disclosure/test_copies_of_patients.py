"""Counts of patients whose records are copied: few are told neither by patient nor by record."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit import stats
from privaudit.contracts import Trials
from privaudit.disclosure.coarsen import _Rounding
from privaudit.disclosure.suppress import _Door
from privaudit.disclosure.tables import Hidden
from privaudit.facts import Setting
from privaudit.results import Finding

EXACT, NEAR = (Setting("variant", name) for name in ("exact duplicates", "near-duplicates"))


def finding(*copied: int, controls: int = 0) -> Finding:
    """300 patients with three records, all three of so many copied in each series."""
    ids = np.repeat(np.arange(300), 3)
    series: dict[Setting | None, Trials] = {}
    for at, count in zip((EXACT, NEAR), copied, strict=True):
        success, control = ((ids < k).astype(float) for k in (count, controls))
        series[at] = Trials(success, control, None, "", ids, ids + 1000, "any")
    rng = np.random.default_rng(0)
    patients, records = stats.estimates(series, rng=rng), stats.trials_by_record(series)
    return Finding("copies", "synthetic", {}, ("TABLE",), patients, by_record=records)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (finding(61, 90), True),
        (finding(5, 90), False),
        (finding(60, 66), False),
        (finding(295, 100), False),
        (finding(60, 90, controls=7), False),
        (finding(61, 90, controls=60), True),
    ],
)
def test_few_copied_patients_are_told_in_no_line(made: Finding, shown: bool) -> None:
    found = _Door(Hidden()).finding(made)
    values = [e.value for e in found.estimates if e.metric.at == EXACT]
    assert all(value is not None for value in values) is shown
    assert bool(found.by_record) is shown
    if shown:
        rounded = _Rounding(exact=False, patients=300).finding(found).by_record[0]
        assert rounded.n["attempts"] == 900
        assert rounded.value != made.by_record[0].value
        assert rounded.value == pytest.approx(made.by_record[0].value, abs=0.01)


def test_none_copied_is_no_few() -> None:
    """Nobody's record is copied by patient and by record alike: both zero, both told."""
    found = _Door(Hidden()).finding(finding(0, 0))
    assert [e.value for e in found.by_record if e.metric.name == "attack_rate"] == [0, 0]
