"""Nobody who reads a shared document narrows a count under ten to fewer than five values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from attacker import Attacker
from cohorts import Cohort, draw_cohort, exact_document
from toy_audit import ToyTask, request

from privaudit.attacks.membership.threshold import Threshold
from privaudit.contracts import FlowStep, Prepared, Progress
from privaudit.disclosure import disclose, tables
from privaudit.disclosure.suppress import suppress
from privaudit.engine.folder import read, read_exact
from privaudit.engine.run import run
from privaudit.evidence.stored import Stored
from privaudit.results import Audit, to_json

FEWEST = 5


def find_leaks(cohort: Cohort, shown: Audit) -> dict[str, int]:
    """Every small count that can be fewer than five values, and how many."""
    attacker = Attacker(json.loads(to_json(shown)), cohort)
    found = {name: attacker.candidates(cell) for name, cell in cohort.small().items()}
    return {name: count for name, count in found.items() if count < FEWEST}


def draw(seed: int) -> Cohort:
    return draw_cohort(np.random.default_rng([20261129, seed]))


def leaks_somewhere(control: Callable[[Audit], Audit]) -> bool:
    """Whether the attacker finds a small count in any of a dozen cohorts after this control."""
    return any(
        find_leaks(cohort, control(exact_document(cohort))) for cohort in map(draw, range(14))
    )


@pytest.mark.parametrize("seed", range(14))
def test_no_small_count_is_narrowed(seed: int) -> None:
    cohort = draw(seed)
    assert cohort.small()
    assert find_leaks(cohort, suppress(exact_document(cohort))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(5))
def test_no_small_count_is_narrowed_in_many_cohorts(part: int) -> None:
    """150 cohorts: a fault that shows in 1 of 50 is seen 95 times in 100."""
    for seed in range(100 + 30 * part, 130 + 30 * part):
        cohort = draw(seed)
        assert find_leaks(cohort, suppress(exact_document(cohort))) == {}, seed


def test_an_exact_document_gives_every_small_count() -> None:
    cohort = draw(1)
    leaks = find_leaks(cohort, exact_document(cohort))
    assert len(leaks) > len(cohort.small()) / 2


def test_the_attacker_finds_what_primary_suppression_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without secondary suppression: small cells alone are hidden, and subtraction gives them."""

    def only_small(cells: object, gone: frozenset[str]) -> frozenset[str]:
        found = {
            cell.level
            for cell in cells  # type: ignore[attr-defined]
            if cell.outcome and cell.pool == "nonmembers" and cell.patients < 10
        }
        return frozenset(found) | gone

    monkeypatch.setattr(tables, "hide_outcomes", only_small)
    assert leaks_somewhere(suppress)


def test_the_attacker_finds_a_level_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_small(cells: object) -> frozenset[str]:
        return frozenset(
            cell.level
            for cell in cells  # type: ignore[attr-defined]
            if not cell.outcome and cell.patients < 10
        )

    monkeypatch.setattr(tables, "hide_levels", only_small)
    assert leaks_somewhere(suppress)


def test_the_attacker_finds_a_total_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deaths of the reference pool are those of all less those of the two others."""
    whole = tables.find_hidden
    monkeypatch.setattr(
        "privaudit.disclosure.suppress.find_hidden", lambda data: replace(whole(data), joint=False)
    )
    assert leaks_somewhere(suppress)


def test_rounding_after_it_gives_nothing_back() -> None:
    """What is shared is what suppression leaves, rounded: no number appears in it anew."""
    for seed in range(4):
        exact = exact_document(draw(seed))
        left, shared = (json.loads(to_json(part)) for part in (suppress(exact), disclose(exact)))
        assert_no_more(left["data"], shared["data"])
        assert_no_more(left["subjects"], shared["subjects"])


def assert_no_more(left: object, shared: object) -> None:
    if left is None or left == []:
        assert shared == left
    elif isinstance(left, dict) and isinstance(shared, dict):
        assert set(shared) <= set(left)
        for name, part in shared.items():
            assert_no_more(left[name], part)
    elif isinstance(left, list) and isinstance(shared, list):
        assert len(shared) <= len(left)
        for one, other in zip(left, shared, strict=False):
            assert_no_more(one, other)


@dataclass(frozen=True)
class RareTask(ToyTask):
    """Toy records with a rare outcome in some levels, and a rare level."""

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        made = super().prepare(data, cache, progress)
        rng = np.random.default_rng(8)
        table = made.records
        unit = rng.choice(
            ["medical", "surgical", "burns", "other"], self.n, p=[0.5, 0.35, 0.1, 0.05]
        )
        y = np.where(unit == "burns", (rng.random(self.n) < 0.06).astype(int), table.y)
        groups = {"unit": unit, "sex": table.groups["sex"]}
        facts = {"patients": self.n, "ages_over_89": self.n - 4}
        return replace(made, records=replace(table, y=y, groups=groups), facts=facts)


def test_a_run_of_the_engine_gives_nothing_away(tmp_path: Path) -> None:
    asked = request(attacks={"threshold": Threshold()}, task=RareTask())
    finished = run(asked, out=tmp_path, workers=1)
    split = Stored(finished.folder).split
    exact = read_exact(finished.folder)
    steps = tuple(FlowStep(f.step, f.excluded, f.stays, f.patients) for f in exact.data.flow)
    parts = {"died_without_deathtime": 0, "died_with_deathtime_outside_admission": 0}
    cohort = Cohort(split, steps, {**parts, "ages_over_89": 596}, 0)
    assert any("burns" in name for name in cohort.small())
    assert find_leaks(cohort, suppress(exact)) == {}
    assert exact.data.cells
    assert disclose(exact) == read(finished.folder) == finished.audit
    assert finished.audit.data.cells == ()
