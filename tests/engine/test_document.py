"""The exact document: what it is made of, and which classes of attack were tested."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_audit import ToyMethod, records

from privaudit.engine import document
from privaudit.engine.cells import count_cells
from privaudit.facts import Reason, ReasonCode
from privaudit.records import Split
from privaudit.results import ClaimText, Skipped, Subject


def test_the_exact_document_holds_what_disclosure_control_counts_with() -> None:
    table = records(200)
    y = np.zeros(200, dtype=int)
    y[:7] = 1
    sex = np.where(np.arange(200) < 60, "F", "M")
    # Two stays of one patient in one cell count as one patient.
    patient = np.arange(200)
    patient[1] = patient[0]
    rare = replace(table, y=y, patient=patient, groups={"sex": sex})
    assert document.pool("members", rare).rates == {"no": 0.965, "yes": 0.035}
    others = replace(table, patient=1000 + np.arange(200), groups={"sex": sex})
    split = Split(rare, others, replace(table, patient=5000 + np.arange(200), groups={"sex": sex}))
    cells = {(c.pool, c.by, c.level, c.outcome): c for c in count_cells(split)}
    assert len(cells) == 3 * 3 + 2 * 2 * 3
    found = cells["members", "sex", "F", "yes"]
    assert (found.patients, found.records) == (6, 7)
    assert cells["members", "", "", ""].patients == 199
    for pool, size in (("members", 200), ("nonmembers", 200)):
        for outcome in ("no", "yes"):
            parts = [cells[pool, "sex", level, outcome].records for level in "FM"]
            assert sum(parts) == cells[pool, "", "", outcome].records
        assert cells[pool, "", "", ""].records == size


def test_parameters_are_shown_through_all_levels() -> None:
    shown = document.params(ToyMethod())
    assert shown == {"learner": "ToyLearner", "learner.memory": "0.0", "learner.wait": "0.0"}
    assert document.describe(ToyMethod()).startswith("Train on the members. Least squares")


@pytest.mark.parametrize(
    ("given", "needs", "state"),
    [
        (("ANSWERS",), ("WEIGHTS",), "NOT TESTED"),
        (("TABLE",), ("ANSWERS", "WEIGHTS"), "NOT APPLICABLE"),
        (("TABLE",), (), "NOT TESTED"),
    ],
)
def test_a_family_applies_by_what_is_given_away(
    given: tuple[str, ...], needs: tuple[str, ...], state: str
) -> None:
    """An attack that needs more than the release gives away says nothing of the others."""
    refused = {"what": "no table", "because": "none came", "fix": ""}
    why = Reason(ReasonCode.REFUSED, refused)
    if needs:
        why = Reason(ReasonCode.LACKS_ACCESS, {"access": needs})
    claim = ClaimText(None, 0.0, "patient", "add-remove", (), "no claim")
    outcomes = (Skipped("pgd", "evasion", why),)
    groups = ((), (), ())
    one = Subject(
        "own", "supplied", "", "", {}, claim, given, *groups, None, None, outcomes, (), {}
    )
    covered = {c.family: c for c in document.coverage([one], {"pgd": "evasion"}, {"pgd"})}
    assert covered["evasion"].state == state
