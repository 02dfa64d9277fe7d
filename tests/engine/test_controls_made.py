"""Controls that could not be made: of the null model, by its reference records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_audit import ToyMethod, records, request

from privaudit.attacks.membership.threshold import Threshold
from privaudit.engine.folder import read_exact
from privaudit.engine.run import exit_code, run
from privaudit.evidence.derive import derive
from privaudit.facts import CaveatCode, Metric, ReasonCode, note
from privaudit.inputs.pools import REFERENCE_SHARE, split_pools
from privaudit.records import Records, Split
from privaudit.results import Control, Estimate
from privaudit.stats.headline import control_state


def outcomes(y: np.ndarray, patient: np.ndarray | None = None, start: int = 0) -> Records:
    table = records(len(y))
    ids = np.arange(len(y)) if patient is None else patient
    return replace(table, y=y.astype(np.int64), patient=ids + start)


@pytest.mark.parametrize("events", [2, 5, 50])
@pytest.mark.parametrize("seed", range(3))
def test_the_reference_holds_every_outcome_that_two_patients_have(events: int, seed: int) -> None:
    y = np.arange(100) < events
    members = outcomes(np.arange(60) % 2, start=1000)
    split, _ = split_pools(members, outcomes(y), None, np.random.default_rng(seed))
    for pool in (split.reference, split.nonmembers):
        assert set(pool.y.tolist()) == {0, 1}
    assert len(split.reference) == round(REFERENCE_SHARE * 100)
    assert int(split.reference.y.sum()) == max(1, round(REFERENCE_SHARE * events))


def test_a_patient_is_drawn_whole_and_counts_as_any_event() -> None:
    y = np.tile([0, 0, 0, 1], 50)
    whose = np.repeat(np.arange(100), 2)
    members = outcomes(np.arange(60) % 2, start=1000)
    split, _ = split_pools(members, outcomes(y, whose), None, np.random.default_rng(0))
    assert not set(split.reference.patient) & set(split.nonmembers.patient)
    assert len(np.unique(split.reference.patient)) == 20
    assert int(split.reference.y.sum()) == 10


def test_the_draw_moves_with_its_stream_alone() -> None:
    members, held_out = outcomes(np.arange(60) % 2, start=1000), outcomes(np.arange(100) < 30)
    drawn = [
        split_pools(members, held_out, None, np.random.default_rng(seed))[0].reference.patient
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert set(drawn[0]) != set(drawn[2])


def test_a_null_model_of_one_outcome_is_not_made_and_nothing_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assign(table: Records, rng: np.random.Generator) -> Split:
        healthy = np.flatnonzero(table.y == 0)[:40]
        rest = np.setdiff1d(np.arange(len(table)), healthy)
        return Split(*(table.take(rows) for rows in (rest[::2], rest[1::2], healthy)))

    monkeypatch.setattr(Split, "assign", staticmethod(assign))
    made = request({"threshold": Threshold()})
    made = replace(made, entries=made.entries[:1])
    finished = run(made, out=tmp_path, workers=1)
    (subject,) = finished.audit.subjects
    lost = next(c for c in subject.controls if c.kind == "negative")
    assert isinstance(made.entries[0].method, ToyMethod)
    assert lost.error is not None
    # A number of reference patients would be a cell of one outcome.
    assert (lost.error.code, lost.error.params) == (ReasonCode.NULL_OF_ONE_OUTCOME, {})
    assert control_state(lost) == "not made"
    codes = {caveat.code: caveat.severity for caveat in finished.audit.caveats}
    assert codes[CaveatCode.CONTROL_NOT_MADE] == "warning"
    assert finished.code == exit_code(finished.audit) == 3
    assert derive(finished.folder, read_exact(finished.folder)).faults == []


def auc(*numbers: float | None) -> Control:
    return Control("negative", "lira", (Estimate(Metric("auc"), *numbers),), True, note("null"))


@pytest.mark.parametrize(
    ("control", "state"),
    [
        (auc(0.5, 0.45, 0.55), "passed"),
        (auc(0.6, 0.55, 0.65), "failed"),
        (auc(0.4, 0.35, 0.45), "failed"),
        (replace(auc(0.5, 0.45, 0.55), passed=False), "failed"),
        (replace(auc(0.6, 0.55, 0.65), kind="positive"), "passed"),
        (replace(auc(0.5, 0.45, 0.55), kind="positive"), "failed"),
        (auc(None), "not made"),
        (auc(0.5), "not made"),
        (replace(auc(0.5, 0.45, 0.55), estimates=()), "not made"),
    ],
)
def test_a_control_has_three_states(control: Control, state: str) -> None:
    assert control_state(control) == state
