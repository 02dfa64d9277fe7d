"""A gate over pairs: runs of the baseline and of the candidate on the same splits and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from policy_lab import DAY, audit, controls, member, number, policy, subject, tried

from privaudit.errors import PrivauditError
from privaudit.facts import Metric, ReasonCode
from privaudit.policy import baseline, judge
from privaudit.policy.baseline import Baseline
from privaudit.policy.change import Change
from privaudit.policy.rules import Regression, Statistics
from privaudit.report.formats import FORMATS, render
from privaudit.report.wording.verdicts import word_finding, word_reason, word_remedy
from privaudit.results import Audit, Finding, Skipped
from privaudit.verdicts import Verdict, Verdicts

RULE = Regression("worse", "membership.auc", 0.02, candidate_seeds=3)
KEY = "hmac-sha256:0123456789ab:"
SPLITS = (0.578, 0.686, 0.610, 0.655)
"""What the split of each seed makes of one model's AUC."""


def run(seed: int, outcomes: Sequence[Finding], split: int | None = None, name: str = "m") -> Audit:
    made = audit(subject(name, outcomes=outcomes))
    mark = seed if split is None else split
    manifest = replace(
        made.manifest,
        seed_commitment=f"sha256:{seed:064x}",
        split_fingerprint=f"{KEY}{mark:064x}",
        records_fingerprint=f"{KEY}{7:064x}",
        run=f"run-{seed}",
    )
    return replace(made, manifest=manifest)


def found(attack: str, value: float) -> Finding:
    return member(attack, number("auc", round(value, 4), value - 0.0401, value + 0.0403))


def runs(*shifts: float, first: int = 0, attack: str = "lira") -> list[Audit]:
    """A run of each seed: what its split makes of the model, moved by a shift."""
    return [run(first + i, [found(attack, SPLITS[i] + shift)]) for i, shift in enumerate(shifts)]


def held(*audits: Audit) -> Baseline:
    return baseline.create(audits, who="Dr. Who", when="2026-11-01", reason="in use")


def gate(base: Baseline, audits: Sequence[Audit], rule: Regression = RULE) -> Verdicts:
    first, *others = [later(one) for one in audits]
    return judge(policy(rule), first, baseline=base, candidates=others, today=DAY)


def later(one: Audit) -> Audit:
    """A run of the candidate: made after the baseline's."""
    return replace(one, manifest=replace(one.manifest, created="2026-11-22T00:00:00+00:00"))


def moved(made: Verdicts) -> list[Verdict]:
    return [one for one in made.verdicts if one.kind == "regression"]


def test_pairs_decide_what_other_seeds_cannot() -> None:
    """The case of 2026: AUCs from .578 to .686 by the split, a leak of .067 on every one of
    them."""
    base = held(*runs(0, 0, 0, 0))
    leaky = (0.080, 0.087, 0.041, 0.060)
    same = (0.002, -0.004, 0.003, -0.001)
    assert gate(base, runs(*leaky)).code == 1
    assert gate(base, runs(*same)).code == 0
    assert gate(base, runs(*leaky, first=20)).code == 3
    assert gate(base, runs(*same, first=20)).code == 3
    (one,) = moved(gate(base, runs(*leaky)))
    assert (one.n["pairs"], one.value) == (4, pytest.approx(0.067))
    assert one.lower == pytest.approx(0.043, abs=0.001)
    assert "pair by pair" in word_finding(one)
    (other,) = moved(gate(base, runs(*leaky, first=20)))
    assert "--like BASELINE" in word_remedy(other)


def test_bounds_are_those_of_a_paired_t_test() -> None:
    from scipy import stats

    before, after = SPLITS, (0.658, 0.773, 0.651, 0.715)
    change = Change("m", "lira", Metric("auc"), "low", before, after, pairs=("a", "b", "c", "d"))
    wanted = stats.ttest_rel(after, before, alternative="greater")
    assert change.p(0.0) == pytest.approx(wanted.pvalue)
    assert change.bound(0.95, "lower") == pytest.approx(wanted.confidence_interval(0.95).low)
    assert change.freedom == 3
    extra = change.more_runs(0.06, 0.95)
    assert 0 < extra < 100


def test_what_was_rounded_off_is_allowed_for() -> None:
    """0.5951 and 0.6049 are shared as 0.60: four pairs without any difference, a leak of 0.0098."""
    pairs = ("a", "b", "c")
    same = Change("m", "", Metric("auc"), "low", SPLITS[:3], SPLITS[:3], step=0.01, pairs=pairs)
    assert same.bound(0.95, "upper") == pytest.approx(0.01)
    assert same.p(-0.005) > 0.05
    base = held(*runs(0, 0, 0, 0))
    exact = runs(0, 0, 0, 0)
    assert gate(base, exact).code == 0
    assert gate(base, exact, replace(RULE, margin=0.0001)).code == 3


@pytest.mark.parametrize(("deviation", "effect"), [(0.0005, 0.0049), (0.002, 0.0), (0.02, 0.01)])
def test_rounded_pairs_cover(deviation: float, effect: float) -> None:
    """Both one-sided bounds hold in 95 of 100 gates, whatever is rounded off."""
    rng, step, missed = np.random.default_rng(3), 0.005, np.zeros(2)
    for _ in range(2000):
        before = 0.6 + 0.03 * rng.normal(size=4)
        after = before + effect + deviation * rng.normal(size=4)
        rounded = [tuple(np.round(part / step) * step) for part in (before, after)]
        change = Change("m", "", Metric("auc"), "low", *rounded, step=step, pairs=tuple("abcd"))
        missed += [
            change.bound(0.95, "upper") < effect - 1e-9,
            change.bound(0.95, "lower") > effect + 1e-9,
        ]
    assert max(missed) / 2000 < 0.065


def test_mixed_missing_or_foreign_pairs_are_refused() -> None:
    base = held(*runs(0, 0, 0, 0))
    with pytest.raises(PrivauditError, match="without a pair beside others with one: run-30"):
        gate(base, [*runs(0, 0, 0), run(30, [found("lira", 0.9)])])
    with pytest.raises(PrivauditError, match="seed of the baseline's run-1"):
        gate(base, [one for one in runs(0, 0, 0, 0) if one.manifest.run != "run-1"])
    with pytest.raises(PrivauditError, match="same seed as one of the baseline and another split"):
        gate(base, [*runs(0, 0), run(2, [found("lira", 0.6)], split=9)])
    cached = runs(0, 0, 0)
    steps = {"made": 1, "from_cache": 9}
    cached[1] = replace(cached[1], manifest=replace(cached[1].manifest, steps=steps, run="again"))
    with pytest.raises(PrivauditError, match="took steps from the cache: again"):
        gate(base, cached)
    # The first ones in their order are enough.
    assert gate(base, runs(0, 0, 0)).code == 0


def test_a_baseline_that_states_no_splits_is_compared_unpaired() -> None:
    base = held(*runs(0, 0, 0, 0))
    old = replace(base, runs=tuple(replace(one, split="") for one in base.runs))
    (one,) = moved(gate(old, runs(0, 0, 0)))
    assert "pairs" not in one.n
    assert one.state == "INCONCLUSIVE"


def test_a_run_without_the_number_leaves_the_gate_undecided() -> None:
    base = held(*runs(0, 0, 0, 0))
    lost = [*runs(0, 0, 0), run(3, [found("other", 0.6)])]
    made = gate(base, lost)
    states = {(one.attack, one.state): one.reason.code for one in moved(made)}
    assert states["lira", "INCONCLUSIVE"] is ReasonCode.CANDIDATE_RUNS_LACK_NUMBER
    assert made.code == 3


def test_the_baselines_own_runs_are_no_candidate() -> None:
    """A job that names the wrong runs would be green for ever."""
    own = runs(0, 0, 0, 0)
    base = held(*own)
    with pytest.raises(PrivauditError, match=r"runs of the baseline itself .*: run-0, run-1"):
        judge(policy(RULE), own[0], baseline=base, candidates=own[1:], today=DAY)
    mixed = [later(own[0]), own[1], later(own[2])]
    with pytest.raises(PrivauditError, match="of a candidate: run-1\n"):
        judge(policy(RULE), mixed[0], baseline=base, candidates=mixed[1:], today=DAY)
    # One alone decides nothing, so that its limits can be judged.
    assert judge(policy(RULE), own[0], baseline=base, today=DAY).code == 3


# ---------------------------------------------------------------- attacks without power


def blind(one: Audit, attack: str, passed: bool | None = False) -> Audit:
    """The run, in which the attack missed the planted leak; None: none was planted."""
    (only,) = one.subjects
    kept = [c for c in only.controls if (c.attack, c.kind) != (attack, "positive")]
    if passed is not None:
        kept += [c for c in controls(attack, positive=passed) if c.kind == "positive"]
    return replace(one, subjects=(replace(only, controls=tuple(kept)),))


@pytest.mark.parametrize(
    ("passed", "code"),
    [(False, ReasonCode.LACKS_POWER), (None, ReasonCode.NO_POSITIVE_CONTROL)],
)
def test_an_attack_that_sees_nothing_of_the_candidate_passes_no_gate(
    passed: bool | None, code: ReasonCode
) -> None:
    """One run of the candidate in which the attack is broken is enough."""
    base = held(*runs(0, 0, 0, 0))
    lower = runs(-0.08, -0.081, -0.08, -0.079)
    assert gate(base, lower).code == 0
    lower[2] = blind(lower[2], "lira", passed)
    made = gate(base, lower)
    (one,) = moved(made)
    assert (one.state, one.severity, one.reason.code) == ("INCONCLUSIVE", "block", code)
    assert made.code == 3
    for name in FORMATS:
        assert "INCONCLUSIVE" in render(made, name).upper()
    worse = [blind(one, "lira", passed) for one in runs(0.08, 0.087, 0.06, 0.07)]
    assert gate(base, worse).code == 1
    rules = policy(RULE, statistics=Statistics(positive_control="optional"))
    first, *others = map(later, lower)
    assert judge(rules, first, baseline=base, candidates=others, today=DAY).code == 0


def test_a_weaker_attack_without_power_is_told_unless_it_is_named() -> None:
    base = held(*two(NONE, NONE))
    lost = [blind(one, "threshold") for one in two(NONE, NONE)]
    made = gate(base, lost)
    states = {one.attack: (one.state, one.severity) for one in moved(made)}
    assert states == {"lira": ("WITHIN", "block"), "threshold": ("INCONCLUSIVE", "warn")}
    assert made.code == 0
    assert gate(base, lost, replace(RULE, attacks=("lira", "threshold"))).code == 3
    assert gate(base, [blind(one, "lira") for one in two(NONE, NONE)]).code == 3


# ---------------------------------------------------------------- weaker attacks


def two(strong: Sequence[float], weak: Sequence[float], first: int = 0) -> list[Audit]:
    return [
        run(first + i, [found("lira", SPLITS[i] + a), found("threshold", 0.52 + b)])
        for i, (a, b) in enumerate(zip(strong, weak, strict=True))
    ]


NONE = (0.0, 0.001, -0.001, 0.0)
UNSURE = (0.03, -0.01, 0.035, 0.0)


def test_an_undecided_weaker_attack_is_told_and_stops_nothing() -> None:
    base = held(*two(NONE, NONE))
    made = gate(base, two(NONE, UNSURE))
    one, other = moved(made)
    assert (one.attack, one.state, one.severity) == ("lira", "WITHIN", "block")
    assert (other.attack, other.state, other.severity) == ("threshold", "INCONCLUSIVE", "warn")
    assert other.reason.code is ReasonCode.WEAKER_ATTACK_UNDECIDED
    assert "lira, which read highest in the baseline" in word_reason(other)
    assert made.code == 0
    for name in FORMATS:
        text = render(made, name)
        assert "threshold" in text
        assert "lira" in text


@pytest.mark.parametrize(
    ("strong", "weak", "code"),
    [
        (NONE, (0.3, 0.02, 0.25, 0.1), 3),  # higher than the strongest one ever read
        (NONE, (0.05, 0.051, 0.049, 0.05), 1),  # surely worse, whichever attack shows it
        (UNSURE, UNSURE, 3),  # the strongest one has not decided
        ((0.08, 0.087, 0.06, 0.07), UNSURE, 1),
    ],
)
def test_no_weaker_attack_is_left_aside_where_it_may_matter(
    strong: Sequence[float], weak: Sequence[float], code: int
) -> None:
    made = gate(held(*two(NONE, NONE)), two(strong, weak))
    assert made.code == code
    assert all(one.severity == "block" for one in moved(made))


def test_the_strongest_attack_follows_from_the_baseline_alone() -> None:
    """A candidate that makes another attack the strongest one gains nothing by it."""
    base = held(*two(NONE, NONE))
    swapped = two((-0.2, -0.25, -0.2, -0.22), (0.15, 0.0, 0.2, 0.05))
    assert gate(base, swapped).code == 3


def test_attacks_on_other_things_do_not_stand_for_each_other() -> None:
    def made(gaps: Sequence[float], more: Sequence[float]) -> list[Audit]:
        return [
            run(
                i,
                [
                    tried("one", "attribute", {"sex": (0.10 + a, 0.05)}),
                    tried("two", "attribute", {"sex": (b, 0.05)}),
                ],
            )
            for i, (a, b) in enumerate(zip(gaps, more, strict=True))
        ]

    rule = Regression("worse", "attribute.advantage", 0.02, candidate_seeds=3)
    same = made(NONE, NONE)
    answer = gate(held(*same), made(NONE, UNSURE), rule)
    assert answer.code == 3
    assert {one.severity for one in moved(answer)} == {"block"}


# ---------------------------------------------------------------- what was dropped


def test_what_the_baseline_holds_and_the_candidate_lacks_stops_the_gate() -> None:
    base = held(*two(NONE, NONE))

    def without(change: object) -> list[Audit]:
        kept = []
        for one in two(NONE, NONE):
            (only,) = one.subjects
            outcomes = [o for o in only.outcomes if o.attack != "lira"]
            if isinstance(change, Skipped):
                outcomes.append(change)
            kept.append(replace(one, subjects=(replace(only, outcomes=tuple(outcomes)),)))
        return kept

    from privaudit.facts import Reason

    skipped = Skipped("lira", "membership", Reason(ReasonCode.NEEDS_RETRAINING))
    for change in (None, skipped):
        made = gate(base, without(change))
        gone = next(one for one in moved(made) if one.attack == "lira")
        assert (gone.state, gone.severity) == ("NOT TESTED", "block")
        assert (made.state, made.code) == ("INCONCLUSIVE", 3)
        assert "lira" in word_finding(gone)
        # A rule that names the other attack alone changes nothing of it.
        named = replace(RULE, attacks=("threshold",))
        assert gate(base, without(change), named).code == 3


def test_a_subject_that_was_dropped_or_renamed_stops_the_gate() -> None:
    pair = [
        replace(one, subjects=(*one.subjects, replace(one.subjects[0], name="other")))
        for one in two(NONE, NONE)
    ]
    base = held(*pair)
    made = gate(base, two(NONE, NONE))
    gone = [one for one in moved(made) if one.state == "NOT TESTED"]
    assert {(one.subject, one.attack) for one in gone} == {
        ("other", "lira"),
        ("other", "threshold"),
    }
    assert made.code == 3
    renamed = [
        replace(one, subjects=(one.subjects[0], replace(one.subjects[1], name="new")))
        for one in pair
    ]
    states = {(one.subject, one.state) for one in moved(gate(base, renamed))}
    assert states == {("m", "WITHIN"), ("other", "NOT TESTED"), ("new", "NOT TESTED")}
    # The policy names what is to be released, and the other subject is none of it.
    rules = policy(RULE)
    rules = replace(rules, context=replace(rules.context, subjects=("m",)))
    first, *others = map(later, two(NONE, NONE))
    assert judge(rules, first, baseline=base, candidates=others, today=DAY).code == 0


def test_a_setting_that_was_dropped_stops_the_gate() -> None:
    def made(columns: Sequence[str]) -> list[Audit]:
        gaps = dict.fromkeys(columns, (0.1, 0.01))
        return [run(i, [tried("attribute", "attribute", gaps)]) for i in range(4)]

    rule = Regression("worse", "attribute.advantage", 0.02, candidate_seeds=3)
    answer = gate(held(*made(("sex", "race"))), made(("sex",)), rule)
    states = {str(one.setting): one.state for one in moved(answer)}
    assert states == {"sex": "WITHIN", "race": "NOT TESTED"}
    assert answer.code == 3
