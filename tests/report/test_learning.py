"""A table leaks as soon as one of its attacks beats its control, after correction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sample import sample
from supplied import SHIFT

from privaudit import report, stats
from privaudit.contracts import Scores
from privaudit.facts import Metric, Reason, ReasonCode, Setting
from privaudit.report.learning import count_tried, get_learning_attacks
from privaudit.report.reading import read_membership
from privaudit.results import Audit, Estimate, Finding, Subject
from privaudit.seeds import Seeds


def tried(attack: str, *gains: float, half: float = 0.02) -> Finding:
    """One series a gain over the control, each with a 95 % interval of this half width."""
    estimates = tuple(
        Estimate(
            Metric("attack_minus_control", at=Setting("variant", f"v{i}")),
            gain,
            gain - half,
            gain + half,
            0.0,
            {"attempts": 1000, "patients": 1000},
        )
        for i, gain in enumerate(gains)
    )
    return Finding(attack, "synthetic", {}, ("TABLE",), estimates)


def table(*found: Finding) -> Subject:
    return replace(sample().subjects[0], access=("TABLE",), outcomes=found, headline=None)


def test_one_sure_find_among_many_is_enough() -> None:
    one = table(tried("linkability", *[0.0] * 10), tried("singling_out", 0.5))
    assert get_learning_attacks(one) == ["singling_out"]
    assert count_tried(one) == 11


def test_many_series_make_no_find_by_luck() -> None:
    """2.1 standard errors are a find for one comparison, and none among twenty."""
    lucky = 2.1 * 0.02 / 1.96
    assert get_learning_attacks(table(tried("singling_out", lucky))) == ["singling_out"]
    assert not get_learning_attacks(table(tried("singling_out", lucky, *[0.0] * 19)))


@pytest.mark.parametrize(("gain", "state"), [(0.5, "learnt"), (0.0, "untested")])
def test_the_reading_of_a_table_is_that_of_its_attacks(gain: float, state: str) -> None:
    made = only(table(tried("singling_out", gain)))
    assert read_membership(made, made.subjects[0]).state == state
    page = report.markdown(made)
    assert ("reveals more about the patients" in page) == (state == "learnt")
    assert "1 in 40" not in page


def test_a_find_without_its_negative_control_is_not_confirmed() -> None:
    audit = sample()
    leaky = [s for s in audit.subjects if read_membership(audit, s).state == "detected"]
    assert leaky
    lost = Reason(ReasonCode.NULL_OF_ONE_OUTCOME)
    controls = tuple(
        replace(c, estimates=(), passed=False, error=lost) if c.kind == "negative" else c
        for c in leaky[0].controls
    )
    made = only(replace(leaky[0], controls=controls))
    assert read_membership(made, made.subjects[0]).state == "unconfirmed"
    page = report.markdown(made)
    assert "Without the negative control, leakage that was detected may be the audit’s own" in page
    assert "beyond chance." not in page.split("against-which-limit")[0]


def only(subject: Subject) -> Audit:
    return replace(sample(), subjects=(subject,))


def told_apart(attack: str, auc: float, half: float = 0.02, **kinds: object) -> Finding:
    """A membership attack that holds the table, by its AUC with a 95 % interval."""
    n = {"member_patients": 800, "nonmember_patients": 800}
    e = Estimate(Metric("auc"), auc, auc - half, auc + half, 0.5, n)
    return replace(Finding(attack, "membership", {}, ("TABLE",), (e,)), **kinds)  # type: ignore[arg-type]


def read(*found: Finding, **changes: object) -> str:
    """The state of a table with these findings, whose headline quotes the first and reads as
    chance, with controls that passed."""
    quiet = sample().subjects[0]
    assert quiet.headline is not None
    head = replace(quiet.headline, attack=found[0].attack, access=("TABLE",))
    controls = tuple(replace(c, attack=found[0].attack) for c in sample().subjects[1].controls[:2])
    one = replace(table(*found), headline=head, controls=controls)
    made = replace(only(one), **changes)  # type: ignore[arg-type]
    return read_membership(made, one).state


def test_a_leak_that_one_membership_attack_alone_sees_is_read() -> None:
    """The headline quotes one attack; the table leaks where any of them finds who was in it."""
    chance = told_apart("distance", 0.5)
    assert read(chance) == "undetected"
    assert read(chance, told_apart("mama_mia", 0.6)) == "learnt"
    assert read(chance, tried("singling_out", 0.3)) == "learnt"
    inferred = replace(tried("attribute", 0.3), family="attribute", access=("ANSWERS",))
    assert read(chance, inferred) == "learnt"
    opened = replace(tried("stored_records", 0.3), family="reconstruction", access=("FILE",))
    assert read(chance, opened) == "learnt"
    # Luck, and what many attacks find by luck, is no leak.
    assert read(chance, *(told_apart(f"a{i}", 0.521) for i in range(8))) == "undetected"


def test_pools_that_differ_are_no_leak_of_the_table() -> None:
    chance, sees = told_apart("distance", 0.5), told_apart("mama_mia", 0.6)
    data = replace(sample().data, distribution_shift=SHIFT)
    assert read(chance, sees, data=data) == "shifted"
    # The model of a table, on pools that nobody assigned, is read beside its null alone.
    asked = replace(sees, access=("ANSWERS",))
    supplied = replace(sample().data, random_split=False)
    assert read(chance, asked, data=supplied) == "undetected"
    less = told_apart("threshold", 0.6).estimates
    assert read(chance, replace(asked, corrected=less), data=supplied) == "learnt"
    assert read(chance, asked, data=replace(sample().data, random_split=True)) == "learnt"


@pytest.mark.slow
def test_membership_attacks_that_find_nothing_are_seldom_a_leak() -> None:
    """Three attacks that err alike, on pools that differ in nothing: at most 2.5 % are finds."""
    finds = 0
    for stream in range(120):
        rng = Seeds(stream).rng("null")
        n = (120, 400)[stream % 2]
        whose, shared = (np.arange(n), np.arange(n, 2 * n)), rng.normal(size=2 * n)
        found = []
        for name in ("distance", "gen_lra", "mama_mia"):
            x = 0.5 * shared + rng.normal(size=2 * n)
            scores = Scores(x[:n], x[n:])
            numbers = stats.estimates(scores, patients=whose, confidence=0.95, rng=rng)
            found.append(replace(told_apart(name, 0.5), estimates=numbers))
        finds += bool(get_learning_attacks(table(*found)))
    # Of 120 at 2.5 %, more than 8 come up once in 300 such tests.
    assert finds <= 8
