"""The forecast: what it counts, where its times come from, what its table covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from toy_audit import Threshold, ToyLearner, request

from privaudit import plugins
from privaudit.contracts import Access, Attack, Scores
from privaudit.engine import forecast as module
from privaudit.engine.forecast import announce, costs, work_of
from privaudit.engine.run import forecast_only, run


@dataclass(frozen=True)
class ReadsTable(Attack):
    """Needs a synthetic table, which no toy releases."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.TABLE})
    family: ClassVar = "membership"

    def run(self, *_: object) -> Scores:
        raise AssertionError("never")


def test_attacks_that_cannot_apply_are_not_part_of_the_plan(tmp_path: Path) -> None:
    asked = request({"threshold": Threshold(), "reads_table": ReadsTable()})
    _, expected, _ = forecast_only(asked, out=tmp_path, workers=1)
    assert (expected.attacks, expected.steps) == (("threshold",), 3)
    assert "reads_table" not in announce(expected, 1)


def test_times_of_this_machine_are_used_once_there_are_some(tmp_path: Path) -> None:
    asked = request({"threshold": Threshold()}, {"slow": ToyLearner(wait=0.0)})
    _, before, _ = forecast_only(asked, out=tmp_path, workers=1)
    assert before.fits == 2
    run(asked, out=tmp_path, workers=1)
    _, after, todo = forecast_only(asked, out=tmp_path, workers=1)
    assert (after.fits, after.refits, after.steps, after.seconds, todo) == (0, 0, 0, 0.0, set())
    assert announce(after, 1) == "everything is in the cache already"


def test_no_stage_is_shorter_than_its_longest_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_probe", lambda method, bench: (100.0, frozenset(Access)))
    asked = request({"threshold": Threshold()})
    seconds = [
        forecast_only(asked, out=tmp_path, workers=workers)[1].seconds for workers in (1, 2, 64)
    ]
    assert seconds[0] > seconds[1] > 100.0
    assert 100.0 < seconds[2] < 200.0


def test_work_counts_records_and_the_settings_it_is_proportional_to() -> None:
    assert work_of({}, 2000) == 2.0
    assert work_of({"records": 500, "queries": 10, "share": 0.1}, 2000) == 5.0
    assert work_of({"records": 5000}, 2000) == 2.0


def test_every_member_has_a_measured_cost() -> None:
    known = {(row.job, row.name) for row in costs()} | {(row.job, row.subject) for row in costs()}
    for attack in plugins.members("attacks"):
        assert ("attack", attack) in known
    subjects = {row.subject for row in costs() if row.job == "fit"}
    for method in plugins.members("methods"):
        assert any(name.split("-")[0] == method for name in subjects), method
    for generator in plugins.members("generators"):
        assert f"synthetic-{generator}" in subjects
    for learner in plugins.members("learners"):
        assert f"baseline-{learner}" in subjects


def test_a_measured_cost_grows_with_the_records() -> None:
    fits = {row.subject: row for row in costs() if row.job == "fit"}
    row = fits["dp_forest"]
    once = module._table_cost("fit", "", "dp_forest", row.work)
    twice = module._table_cost("fit", "", "dp_forest", 2 * row.work)
    assert once is not None
    assert twice == pytest.approx(2 * once)
    assert module._table_cost("fit", "", "unknown", 1.0) is None
    assert module._table_cost("attack", "unknown", "dp_forest", 1.0) is None
    # An attack on a subject that was not measured costs what it costs on the others.
    assert module._table_cost("attack", "lira", "unknown", 1.0) is not None
