"""Every place of a document that can hold a count is declared; an undeclared one is withheld."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cohorts import draw_cohort, exact_document

from privaudit import facts
from privaudit.disclosure import marginals
from privaudit.disclosure.marginals import States
from privaudit.disclosure.suppress import suppress
from privaudit.disclosure_limits import WITHHELD
from privaudit.facts import CAVEAT_PARAMS, FAMILIES, REASON_PARAMS, Caveat, CaveatCode, Metric
from privaudit.results import Audit, Estimate
from privaudit.stats.catalogue import CATALOGUE


def numbers_of(kind: Any, seen: set[Any] | None = None) -> Iterator[str]:
    """Type and field of every number, and every mapping to numbers, that a document can hold."""
    seen = set() if seen is None else seen
    if kind in seen:
        return
    seen.add(kind)
    for name, of in typing.get_type_hints(kind).items():
        if any(part in (int, float) for part in walk(of)):
            yield f"{kind.__name__}.{name}"
        for part in walk(of):
            if dataclasses.is_dataclass(part):
                yield from numbers_of(part, seen)


def walk(of: Any) -> Iterator[Any]:
    """A type and the types that it is made of."""
    if typing.get_origin(of) in (typing.Union, types.UnionType, tuple, Mapping) or (
        typing.get_args(of) and typing.get_origin(of) is not typing.Literal
    ):
        for part in typing.get_args(of):
            yield from walk(part)
    else:
        yield of


def test_every_number_of_the_document_type_is_declared() -> None:
    found = set(numbers_of(Audit))
    assert {"Estimate.n", "Pool.rates", "FlowRow.excluded", "Caveat.params"} <= found
    assert found <= marginals.PLACES.keys()


@pytest.mark.parametrize("code", [*REASON_PARAMS, *CAVEAT_PARAMS])
def test_every_parameter_is_declared(code: Any) -> None:
    known = REASON_PARAMS.get(code) or CAVEAT_PARAMS.get(code) or ()
    assert set(known) <= marginals.PARAMS.keys()


def test_every_metric_and_family_is_declared() -> None:
    assert set(CATALOGUE) == marginals.METRICS.keys()
    assert set(FAMILIES) == marginals.FAMILIES.keys()
    assert set(marginals.CONSTANT_CHANCE) <= marginals.METRICS.keys()


def exact(seed: int = 4) -> Audit:
    return exact_document(draw_cohort(np.random.default_rng(seed)))


def test_an_undeclared_number_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = exact()
    one = audit.subjects[0]
    odd = Estimate(Metric("no_such_metric"), 0.25, 0.2, 0.3, 0.1, {"patients": 40})
    count = Estimate(Metric("auc"), 0.25, 0.2, 0.3, 0.1, {"patients": 40, "dead_patients": 17})
    # A parameter that no code of this version has.
    monkeypatch.setitem(facts.CAVEAT_PARAMS, CaveatCode.NOTE, ("text", "dead"))  # type: ignore[arg-type]
    said = Caveat(CaveatCode.NOTE, "note", {"text": "x", "dead": 17})
    changed = replace(one, utility=(odd, count), notes=(said,))
    data = replace(audit.data, facts={**audit.data.facts, "died at night": 17, "share": 0.25})
    shown = suppress(replace(audit, subjects=(changed,), data=data))
    first, second = shown.subjects[0].utility
    assert first.value is None
    assert "dead_patients" not in second.n
    assert shown.subjects[0].notes[0].params == {"text": "x", "dead": WITHHELD}
    assert not {"died at night", "share"} & set(shown.data.facts)


def test_without_the_cells_everything_by_outcome_and_group_is_withheld() -> None:
    """A document of another hand, of which nobody knows the counts behind it."""
    audit = exact()
    shown = suppress(replace(audit, data=replace(audit.data, cells=())))
    for one in shown.subjects:
        measured = (*one.utility, *one.utility_members)
        assert all(e.value is None for e in measured if e.metric.name in ("auroc", "brier"))
        assert all(g.suppressed for g in one.utility_groups)
    assert all(not pool.rates for pool in shown.data.pools)
    assert not any(name.startswith("stays (") for name in shown.data.facts)


@pytest.mark.parametrize("how", [{"real": False}, {"open_": True}])
def test_open_records_keep_every_count(how: dict[str, bool]) -> None:
    audit = exact_document(draw_cohort(np.random.default_rng(4)), **how)
    shown = suppress(audit)
    assert shown == replace(audit, data=replace(audit.data, cells=()))
    assert suppress(exact()) != exact()


def test_withholding_a_withheld_document_changes_nothing_more() -> None:
    shown = suppress(exact())
    again = suppress(replace(shown, data=replace(shown.data, cells=exact().data.cells)))
    assert again == shown


def test_hidden_outcomes_take_every_equivalent_with_them() -> None:
    """Brier, log loss, precision, calibration, chances, losses, curves, rates of evasion and
    poisoning: one of them would give the others away."""
    for seed in range(40):
        cohort = draw_cohort(np.random.default_rng(seed))
        if min(cohort.outcomes("nonmembers").values()) in range(1, 10):
            break
    shown = suppress(exact_document(cohort))
    one = shown.subjects[0]
    assert one.fidelity is not None
    known = [*one.utility, *(e for g in one.utility_groups for e in g.estimates)]
    for part in one.fidelity.utility:
        known += [*part.synthetic, *part.real, part.loss]
    for finding in one.outcomes:
        if finding.family in ("evasion", "poisoning"):
            assert finding.kind == "finding"
            known += finding.estimates
            assert finding.curves == ()
    assert len(known) > 20
    assert all(e.value is None and e.low is None and e.high is None for e in known)
    assert all("events" not in e.n for e in known)
    assert all(e.chance is None for e in known if e.metric.name in ("auprc", "brier", "log_loss"))
    assert one.reliability is not None
    assert one.reliability.y == ()
    threshold = one.outcomes[0]
    assert threshold.kind == "finding"
    assert any(g.estimates for g in threshold.groups), "sizes are no outcomes"


def test_the_reason_does_not_tell_a_small_group_from_its_cover() -> None:
    for seed in range(60):
        shown = suppress(exact_document(draw_cohort(np.random.default_rng(seed))))
        codes = {
            e.refusal.code
            for one in shown.subjects
            for g in one.utility_groups
            for e in g.estimates
            if e.refusal is not None
        }
        assert codes <= {"small_cell"}


def test_places_state_one_thing_each() -> None:
    assert all(isinstance(kind, States) for kind in marginals.PLACES.values())
    assert set(marginals.PEOPLE) <= marginals.N.keys()
