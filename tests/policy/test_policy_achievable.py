"""Limits on attempts: what a clean release can keep to, and what a leaking one can exceed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from policy_lab import DAY, audit, policy, subject

from privaudit import stats
from privaudit.contracts import Trials
from privaudit.facts import CaveatCode, Metric, ReasonCode, Setting
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.rules import Limit
from privaudit.policy.starters import starter
from privaudit.report.wording.verdicts import word_notes, word_reason, word_remedy
from privaudit.results import Audit, Estimate, Fidelity, Finding
from privaudit.stats import onesided
from privaudit.verdicts import Verdict, Verdicts

LIMIT = Limit("inference", "synthetic.attribute_inference", 0.05)
COPIES = Limit("copies", "synthetic.near_copies", 0.01)
SEX, DIED = Setting("column", "sex"), Setting("column", "died")


def read(success: np.ndarray, control: np.ndarray, at: Setting | None = SEX) -> tuple:
    ids = np.arange(len(success)), 10**6 + np.arange(len(control))
    return stats.estimates({at: Trials(success, control, None, "", *ids)}, rng=None)  # type: ignore[arg-type]


def hits(share: float, n: int) -> np.ndarray:
    return (np.arange(n) < round(share * n)).astype(float)


def ruled(*estimates: Estimate, rule: Limit = LIMIT, fidelity: Fidelity | None = None) -> Verdicts:
    found = Finding("synthetic_attribute_inference", "synthetic", {}, ("TABLE",), estimates)
    made = subject(outcomes=[found], access=("TABLE",), fidelity=fidelity)
    return judge(policy(rule), audit(made), today=DAY)


def first(found: Verdicts) -> Verdict:
    return next(v for v in found.verdicts if v.rule)


def test_a_limit_that_no_leak_can_exceed_is_not_kept() -> None:
    """A table that gives every value away reads .03 above a control of .97."""
    clean = first(ruled(*read(hits(0.97, 4000), hits(0.97, 4000))))
    assert (clean.state, clean.reason.code) == ("INCONCLUSIVE", ReasonCode.LIMIT_ABOVE_CEILING)
    assert "no more than 0.03" in word_reason(clean)
    assert "below half of 0.03" in word_remedy(clean)
    leaking = first(ruled(*read(hits(1, 4000), hits(0.97, 4000))))
    assert leaking.state == "INCONCLUSIVE"
    edge = first(ruled(*read(hits(0.95, 4000), hits(0.95, 4000))))
    assert edge.reason.code is ReasonCode.LIMIT_ABOVE_CEILING
    # Everybody with a value of 4 % is given away: 0.04 over a control of 0.92, of 0.08 at most.
    rare = first(ruled(*read(hits(0.96, 9000), hits(0.92, 9000)), rule=replace(LIMIT, max=0.07)))
    assert (rare.state, rare.reason.code) == ("INCONCLUSIVE", ReasonCode.LIMIT_ABOVE_CEILING)
    smaller = ruled(*read(hits(1, 4000), hits(0.97, 4000)), rule=replace(LIMIT, max=0.01))
    assert first(smaller).state == "EXCEEDS"


def test_one_series_that_cannot_exceed_leaves_the_rule_undecided() -> None:
    two = (*read(hits(0.6, 9000), hits(0.6, 9000)), *read(hits(0.97, 900), hits(0.97, 900), DIED))
    found = first(ruled(*two))
    assert (found.state, found.setting) == ("INCONCLUSIVE", DIED)
    chosen = first(ruled(*two, rule=replace(LIMIT, at=("sex",))))
    assert chosen.state == "WITHIN"


def test_an_advantage_over_a_guess_has_a_ceiling_too() -> None:
    success = hits(0.96, 5000)
    ids = np.arange(5000), 10**6 + np.arange(5000)
    evidence = Trials(success, success, success, "", *ids)
    estimates = stats.estimates({SEX: evidence}, rng=None)  # type: ignore[arg-type]
    finding = Finding("stored_records", "reconstruction", {}, ("FILE",), estimates)
    rule = Limit("rebuilt", "reconstruction.advantage", 0.1)
    made = subject(outcomes=[finding], access=("FILE",))
    found = first(judge(policy(rule), audit(made), today=DAY))
    assert found.reason.code is ReasonCode.LIMIT_ABOVE_CEILING


def copied(share: float, chance: float) -> Fidelity:
    bare = read(hits(share, 2000), hits(chance, 2000), None)
    n = {"members": 2000, "patients": 2000}
    rate = replace(bare[0], metric=Metric("near_copies"), n=n)
    gap = replace(bare[2], metric=Metric("near_copies_excess"), n={**n, "nonmembers": 2000})
    return Fidelity(2000, (rate, gap), ())


def test_copies_are_held_against_what_others_copies_leave_room_for() -> None:
    plain = read(hits(0.5, 2000), hits(0.5, 2000))
    assert first(ruled(*plain, rule=COPIES, fidelity=copied(0, 0))).state == "WITHIN"
    full = first(ruled(*plain, rule=COPIES, fidelity=copied(1, 1)))
    assert full.reason.code is ReasonCode.LIMIT_ABOVE_CEILING


def noted(found: Verdicts) -> bool:
    return any(note.code is CaveatCode.LIMIT_BELOW_RESOLUTION for note in found.notes)


def test_limits_that_clean_tables_do_not_keep_to_are_named() -> None:
    few, many = (read(hits(0.6, n), hits(0.6, n)) for n in (500, 5000))
    assert noted(ruled(*few))
    assert "500 patients or attempts" in " ".join(word_notes(ruled(*few)))
    assert not noted(ruled(*many))
    assert not noted(ruled(*few, rule=replace(LIMIT, max=0.1)))
    crowd = [e for i in range(12) for e in read(hits(0.6, 2000), hits(0.6, 2000), _at(i))]
    assert not noted(ruled(*crowd[:3]))
    assert noted(ruled(*crowd))


def _at(i: int) -> Setting:
    return Setting("column", f"c{i}")


@pytest.mark.parametrize(("rate", "n"), [(0.6, 800), (0.1, 2000), (0.02, 1500), (0.3, 300)])
@pytest.mark.parametrize("series", [1, 4])
def test_a_clean_release_keeps_to_the_floor_in_four_audits_of_five(
    rate: float, n: int, series: int
) -> None:
    rng = np.random.default_rng(7)
    expected = read(hits(rate, n), hits(rate, n))[2]
    least = onesided.floor_of_trials(expected, rate, 0.05, series)
    assert least is not None
    kept = []
    for _ in range(400):
        drawn = [(rng.random(n) < rate).astype(float) for _ in range(2)]
        known = onesided.bounds(read(*drawn)[2])
        assert known is not None
        kept.append(known.upper(0.05) <= least)  # type: ignore[operator]
    assert np.mean(kept) ** series == pytest.approx(0.8, abs=0.09)


@pytest.mark.parametrize(
    "release", ["internal", "partner", "public-api", "open-weights", "tre-egress"]
)
def test_starters_can_be_kept_by_clean_tables_of_2500_patients(release: str) -> None:
    """Five inferred columns, the control a third smaller, as `audit-table` leaves it."""
    made = parse(starter(release, date(2027, 1, 1)).encode())
    limits = {rule.metric: rule.max for rule in made.limits}
    for metric, rate, series in (
        ("synthetic.attribute_inference", 0.5, 5),
        ("synthetic.linkability", 0.05, 2),
        ("synthetic.singling_out", 0.3, 2),
        ("synthetic.near_copies", 0.0, 1),
    ):
        expected = read(hits(rate, 2500), hits(rate, 1667))[2]
        least = onesided.floor_of_trials(expected, rate, 0.05, series)
        assert least is not None
        assert least <= limits[metric], metric


def test_nothing_is_said_of_numbers_without_a_rate_beside_them() -> None:
    bare = read(hits(0.6, 500), hits(0.6, 500))[2]
    assert onesided.floor_of_trials(bare, None, 0.05) is None
    made: Audit = audit(subject(outcomes=[Finding("a", "synthetic", {}, (), (bare,))]))
    assert not noted(judge(policy(Limit("x", "synthetic.advantage", 0.001)), made, today=DAY))
