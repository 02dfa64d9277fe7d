"""Numbers of single classes, cuts and ordered classes leave no small class to be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import Cohort, exact_document

from privaudit import stats
from privaudit.contracts import FlowStep
from privaudit.disclosure import disclose, marginals
from privaudit.disclosure.suppress import suppress
from privaudit.engine.groups import read_groups
from privaudit.facts import ReasonCode
from privaudit.records import Column, Records, Split
from privaudit.results import Audit, Estimate
from privaudit.stats.catalogue import UTILITY, UTILITY_OF_ORDER

CLASSES = ("none", "some", "many", "most")


def cohort(rare: int, ordered: bool, in_level: int = 40) -> Cohort:
    """Pools of 400 in which `rare` of the held out have the third class, of whom, and of each other
    class, `in_level` are in the smaller level."""
    pools = []
    for start, count in ((0, 60), (1000, rare), (2000, 60)):
        y = np.repeat([0, 1, 2, 3], [150, 110, count, 80])
        place = np.concatenate([np.arange((y == c).sum()) for c in range(4)])
        pools.append(
            Records(
                columns=(Column("a"),),
                X=np.zeros((len(y), 1)),
                y=y,
                patient=start + np.arange(len(y)),
                site=np.zeros(len(y)),
                groups={"unit": np.where(place < in_level, "east", "west")},
                classes=CLASSES,
                ordered=ordered,
            )
        )
    return Cohort(Split(*pools), (FlowStep("all", 0, 1200, 1200),), {}, 20)


def measured(made: Cohort) -> Audit:
    """The exact document with real numbers of random answers in place of the made-up ones."""
    held = made.split.nonmembers
    proba = np.random.default_rng(0).dirichlet(np.ones(4), len(held))
    asked = {"classes": CLASSES, "ordered": held.ordered}
    utility = stats.utility(
        proba, held.y, patients=held.patient, rng=np.random.default_rng(1), **asked
    )
    groups = stats.utility_groups(
        proba,
        held.y,
        patients=held.patient,
        groups={by: labels for by, (_, labels) in read_groups(made.split).items()},
        **asked,
    )
    audit = exact_document(made)
    subject = replace(
        audit.subjects[0], utility=utility, utility_groups=groups, fidelity=None, outcomes=()
    )
    return replace(audit, subjects=(replace(subject, headline=None),))


def stated(found: tuple[Estimate, ...]) -> list[str]:
    return [str(e.metric) for e in found if e.value is not None]


@pytest.mark.parametrize("ordered", [False, True])
def test_one_small_class_withholds_every_class_with_one_reason(ordered: bool) -> None:
    exact = measured(cohort(7, ordered))
    before = exact.subjects[0].utility
    # Only the small class is refused in the exact document: that alone would name it.
    codes = {str(e.metric): e.refusal.code for e in before if e.refusal is not None}
    if not ordered:
        assert codes == dict.fromkeys(
            ("calibration_slope@many", "calibration_intercept@many"),
            ReasonCode.TOO_FEW_WITH_OUTCOME,
        )
    for shown in (suppress(exact), disclose(exact)):
        (subject,) = shown.subjects
        assert not stated(subject.utility)
        assert {e.refusal.code for e in subject.utility if e.refusal} == {ReasonCode.SMALL_CELL}
        assert len(subject.utility) == len(before)
        for group in subject.utility_groups:
            assert not stated(group.estimates)
        for e in subject.utility:
            assert e.chance is None or e.metric.name in marginals.CONSTANT_CHANCE


@pytest.mark.parametrize("ordered", [False, True])
def test_where_every_class_is_large_every_class_is_stated(ordered: bool) -> None:
    exact = measured(cohort(60, ordered))
    (subject,) = suppress(exact).subjects
    assert stated(subject.utility) == [str(e.metric) for e in exact.subjects[0].utility]
    names = {e.metric.name for e in subject.utility}
    assert bool(names & set(UTILITY_OF_ORDER)) is ordered


@pytest.mark.parametrize("ordered", [False, True])
def test_a_level_with_few_of_one_class_has_no_class_stated(ordered: bool) -> None:
    exact = measured(cohort(60, ordered, in_level=8))
    (subject,) = suppress(exact).subjects
    assert stated(subject.utility)
    assert not any(stated(group.estimates) for group in subject.utility_groups)


def test_every_metric_of_utility_is_declared_as_stating_outcomes() -> None:
    for name in (*UTILITY, *UTILITY_OF_ORDER):
        assert marginals.METRICS[name] is marginals.States.OUTCOMES
