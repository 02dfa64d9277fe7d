"""No cell, point or sentence rests on 1 to 9 patients, also not by subtraction within a table."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruled import limit, ruled
from sample import BY_AUC, in_group, sample, utility

from privaudit import report
from privaudit.contracts import Scores
from privaudit.disclosure.marginals import PEOPLE
from privaudit.facts import Metric, Setting, note
from privaudit.report.blocks import Table, plain, walk
from privaudit.report.sections import most_affected_groups as section
from privaudit.report.withheld import suppress_groups, withhold, withhold_verdicts
from privaudit.results import Audit, Control, Estimate, Finding, GroupResult
from privaudit.stats.groups import score_groups, utility_groups

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=7)


def with_groups(found: tuple[GroupResult, ...], n: dict[str, int]) -> Audit:
    """An audit of one model whose only groups are these."""
    s = sample().subjects[1]
    assert s.headline is not None
    game = next(o for o in s.outcomes if isinstance(o, Finding) and o.attack == "few_shadow_lira")
    all_ = tuple(replace(e, n=n) for e in game.estimates)
    outcomes = (replace(game, groups=found, estimates=all_, curves=()),)
    headline = replace(s.headline, groups=())
    kept = replace(s, outcomes=outcomes, headline=headline, utility_groups=())
    closed = replace(sample().data, real=True)
    return replace(sample(), data=closed, subjects=(kept,))


def rows_of(audit: Audit, first: str) -> list[list[str]]:
    """Rows of every table of the groups' section whose first column is headed so."""
    return [
        [plain(cell) for cell in row]
        for block in walk(section.build(withhold(audit), None))
        if isinstance(block, Table) and block.columns[0] == first
        for row in block.rows
    ]


def shown_sizes(audit: Audit) -> dict[str, int]:
    """Group -> patients, as the group table shows them."""
    return {
        row[0]: int(row[-1].replace(",", "")) for row in rows_of(audit, "Group") if row[-1].strip()
    }


@settings(max_examples=40, deadline=None)
@given(members=SIZES, others=SIZES, seed=st.integers(0, 2**32 - 1))
def test_groups_of_the_engine_show_no_small_cell(
    members: list[int], others: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = max(len(members), len(others))
    members = members + [0] * (levels - len(members))
    others = others + [0] * (levels - len(others))
    if sum(members) < 30 or sum(others) < 30:
        return
    labels = [np.repeat([f"L{i}" for i in range(levels)], sizes) for sizes in (members, others)]
    ids = np.arange(sum(members)), 10_000 + np.arange(sum(others))
    evidence = Scores(rng.normal(0.3, 1, sum(members)), rng.normal(0, 1, sum(others)))
    found = score_groups(evidence, patients=ids, groups={"kind": (labels[0], labels[1])}, rng=rng)
    n = {"member_patients": sum(members), "nonmember_patients": sum(others)}
    audit = with_groups(found, n)
    sizes = shown_sizes(audit)
    truth = {f"kind: L{i}": (a, b) for i, (a, b) in enumerate(zip(members, others, strict=True))}
    for name, size in sizes.items():
        assert size == truth[name][0] >= 10
        assert truth[name][1] >= 10
    hidden = [pair for name, pair in truth.items() if name not in sizes and sum(pair)]
    for pool in (0, 1):
        left = sum(pair[pool] for pair in hidden)
        assert not 0 < left < 10
        assert not (len(hidden) == 1 and 0 < hidden[0][pool] < 10)


def group(level: str, members: int, others: int) -> GroupResult:
    n = {"member_patients": members, "nonmember_patients": others}
    return GroupResult("kind", level, in_group(0.2, n), 0.5)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6),
    known=st.booleans(),
)
def test_groups_made_by_hand_do_not_get_past_the_last_door(
    sizes: list[tuple[int, int]], known: bool
) -> None:
    """A document that breaks the rule: every group with its number, however small."""
    made = tuple(group(f"L{i}", *pair) for i, pair in enumerate(sizes))
    total = {
        "member_patients": sum(a for a, _ in sizes),
        "nonmember_patients": sum(b for _, b in sizes),
    }
    kept = suppress_groups(made, total if known else {})
    shown = [i for i, g in enumerate(kept) if not g.suppressed]
    hidden = [i for i, g in enumerate(kept) if g.suppressed]
    assert all(min(sizes[i]) >= 10 for i in shown)
    assert all(not kept[i].estimates for i in hidden)
    for pool in (0, 1):
        left = sum(sizes[i][pool] for i in hidden)
        if known and shown:
            assert not 0 < left < 10
    if not known and shown:
        assert len(hidden) != 1
    if all(min(pair) >= 10 for pair in sizes):
        assert not hidden


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 45), min_size=2, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_usefulness_by_group_shows_no_small_cell(sizes: list[int], seed: int) -> None:
    if sum(sizes) < 60:
        return
    rng = np.random.default_rng(seed)
    y = np.arange(sum(sizes)) % 2
    p = rng.random(sum(sizes))
    labels = np.repeat([f"L{i}" for i in range(len(sizes))], sizes)
    found = utility_groups(
        np.column_stack([1 - p, p]), y, patients=np.arange(len(y)), groups={"kind": labels}
    )
    s = replace(sample().subjects[0], utility_groups=found)
    audit = replace(sample(), subjects=(s,))
    rows = [row for row in rows_of(audit, "Group") if row[0].startswith("kind: ")]
    assert len(rows) == (len(found) if any(not g.suppressed for g in found) else 0)
    truth = {f"kind: L{i}": size for i, size in enumerate(sizes)}
    for row in rows:
        if "not shown" not in row[1]:
            assert truth[row[0]] >= 10


def test_a_number_on_few_patients_is_withheld_wherever_it_stands() -> None:
    s = sample().subjects[1]
    few = {"patients": 7, "attempts": 70}
    rate = Metric("attack_rate", at=Setting("column", "insurance"))
    finding = Finding("guesser", "attribute", {}, (), (Estimate(rate, 0.4286, 0.1, 0.8, 0.2, few),))
    auroc = Estimate(Metric("auroc"), 0.8123, 0.7, 0.9, 0.5, {"patients": 9})
    auc = Estimate(Metric("auc"), 0.9876, 0.9, 1.0, 0.5, {"member_patients": 3})
    c = Control("positive", "few_shadow_lira", (auc,), True, note("planted"))
    odd = replace(s, outcomes=(finding,), utility=(auroc, *utility(0.8, 1.0)[1:]), controls=(c,))
    audit = replace(sample(), subjects=(odd,))
    for text in (report.html(audit), report.markdown(audit)):
        for number in ("42.86", "42.9", "43 in 100", "0.8123", "0.81 ", "0.9876", "0.988"):
            assert number not in text.replace("\u00a0", " ")
    kept = withhold(audit).subjects[0]
    assert all(
        e.value is None for f in kept.outcomes if isinstance(f, Finding) for e in f.estimates
    )
    assert kept.utility[0].refusal


def test_counts_among_the_facts_of_real_data_are_withhold() -> None:
    data = replace(
        sample().data,
        real=True,
        source="Challenge 2012",
        facts={"stays_without_events": 4, "window_hours": 8, "patients": 9, "source": "set a"},
    )
    audit = replace(sample(), data=data)
    assert withhold(audit).data.facts == {"window_hours": 8, "source": "set a"}
    opened = replace(audit, manifest=replace(audit.manifest, exact_counts=True))
    assert withhold(opened).data.facts == data.facts
    assert withhold(sample()).data == sample().data


def test_verdicts_on_few_patients_keep_their_word_alone() -> None:
    few = limit("baseline-mlp", "EXCEEDS", 0.5714, n={"member_patients": 7})
    (kept,) = withhold_verdicts(ruled((few,))).verdicts
    assert (kept.state, kept.value, kept.lower, kept.upper) == ("EXCEEDS", None, None, None)
    text = report.html(sample(), ruled((few,)))
    assert "57.1\u00a0in" not in text
    assert "57.1 in" not in text
    whole = ruled((limit("baseline-mlp", "EXCEEDS"),))
    assert withhold_verdicts(whole) is whole


def test_the_house_made_sample_passes_unchanged() -> None:
    assert withhold(sample()) == sample()


@pytest.mark.parametrize("name", PEOPLE)
def test_every_kind_of_count_is_watched(name: str) -> None:
    e = Estimate(Metric("auc"), 0.7, 0.6, 0.8, 0.5, {name: 9}, bound=BY_AUC)
    s = replace(sample().subjects[0], utility=(e,))
    assert withhold(replace(sample(), subjects=(s,))).subjects[0].utility[0].value is None
    edge = replace(e, n={name: 10})
    s = replace(s, utility=(edge,))
    assert withhold(replace(sample(), subjects=(s,))).subjects[0].utility[0] == edge


def test_no_sentence_speaks_of_few_patients() -> None:
    text = report.markdown(sample())
    assert not re.search(r"(?<![\d,.])[1-9] (held-out |training )?patients\b", text)
