"""Is a candidate worse than the baseline by more than a margin? Non-inferiority over seeds.

A run that shares its seed with one of the baseline has the same split, shadow models and streams,
and is paired with it: what differs inside a pair is the model, and few pairs decide. Where no seed
is shared, each run trains, splits and attacks anew, and the spread between seeds holds every source
of chance. Either way the mean change has a Student t interval (Schuirmann 1987, one side of the
two; margin fixed beforehand): EXCEEDS where the lower bound is above the margin, WITHIN where the
upper one is at most the margin, else INCONCLUSIVE. The sample is seeds: the answer is about these
records, split again and again; where one split was supplied, about that split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from privaudit.disclosure import steps
from privaudit.disclosure.coarsen import ATTACKS, least_step, tens_step
from privaudit.disclosure.marginals import PATIENTS_FOUND
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Param, Reason, ReasonCode
from privaudit.policy import alike
from privaudit.policy.baseline import Baseline, digest_of
from privaudit.policy.change import FEWEST, Change
from privaudit.policy.metrics import find_metric, findings, named_settings, readings
from privaudit.policy.rules import Regression
from privaudit.results import Audit, Estimate, Manifest
from privaudit.verdicts import State, Verdict

Key = tuple[str, str, Metric]
"""Subject, attack and number."""


def changes(
    rule: Regression,
    audits: Audit | Sequence[Audit],
    baseline: Baseline,
    subjects: Sequence[str] = (),
) -> tuple[Change, ...]:
    """Every number that the rule is about, before and after.

    Args:
        rule: The regression rule.
        audits: The candidate's runs, which differ in their seed alone.
        baseline: The runs that it is compared with.
        subjects: Subjects that the rule is about; where it is empty, all that the runs or the
            baseline have.

    Returns:
        A change for each number. What only one side has, or what the rule names and no run of the
        candidate has, is there with `missing`; so is an attack of the baseline that no run of the
        candidate made, whether the rule names it or not.

    Raises:
        PrivauditError: The runs must not be compared with the baseline.
    """
    runs = [audits] if isinstance(audits, Audit) else list(audits)
    alike.check_comparable(baseline.basis, runs)
    pairs = _find_pairs(runs, baseline)
    known = find_metric(rule.metric)
    own = [(audit.manifest.seed_commitment, s) for audit in runs for s in audit.subjects]
    kept = sorted({n.subject for run in baseline.runs for n in run.numbers})
    wanted = list(dict.fromkeys(subjects or [*(subject.name for _, subject in own), *kept]))
    found: dict[Key, dict[str, float]] = {
        key: {} for key in baseline.expected(rule) if key[0] in wanted
    }
    # What the baseline tried and the candidate did not run is stated, whatever the rule names.
    ran = {(subject.name, one.attack) for _, subject in own for one in findings(subject, known)}
    for key in baseline.expected(replace(rule, attacks=())):
        if key[0] in wanted and key[:2] not in ran:
            found.setdefault(key, {})
    halves: dict[Key, float] = {}
    for seed, subject in own:
        if subject.name not in wanted:
            continue
        for one in readings(
            known,
            subject,
            fpr=rule.fpr,
            prior=rule.prior,
            at=rule.at,
            attacks=rule.attacks,
            evened=True,
        ):
            if one.estimate is None:
                continue
            key = (subject.name, one.attack, one.estimate.metric)
            values = found.setdefault(key, {})
            if one.estimate.value is not None:
                values[seed] = one.estimate.value
                least = least_step(one.estimate)
                if one.attack in PATIENTS_FOUND:
                    least = max(least, tens_step(one.estimate))
                half = max(_half(one.estimate), least / ATTACKS)
                halves[key] = max(halves.get(key, 0.0), half)
    made = []
    for key, after in found.items():
        who, attack, number = key
        before = baseline.by_seed(who, attack, number)
        missing = None if before else ReasonCode.ABSENT_FROM_BASELINE
        missing = missing if after else ReasonCode.ABSENT_FROM_CANDIDATE
        both = tuple(seed for seed in pairs if seed in before and seed in after)
        if pairs and not both and missing is None:
            missing = ReasonCode.ABSENT_FROM_BASELINE
        ours, theirs = (
            tuple(side[seed] for seed in both) if both else tuple(side.values())
            for side in (before, after)
        )
        held, step = tuple(before.values()), _find_step((*ours, *theirs), halves.get(key, 0.0))
        about = (who, attack, number, known.better)
        lacking = len(runs) - len(after)
        made.append(Change(*about, ours, theirs, missing, lacking, step, both, held))
    heard = {(change.subject, attack) for change in made for attack in (change.attack, "")}
    named = (rule.attacks if known.place == "outcomes" else ()) or ("",)
    there = {subject.name for _, subject in own}
    asked = [who for who in wanted if subjects or who in there]
    blank = [(who, attack) for who in asked for attack in named if (who, attack) not in heard]
    for who in asked:
        settings = [c.number.at for c in made if c.subject == who and c.number is not None]
        unnamed = any(not named_settings(settings, text) for text in rule.at)
        if unnamed and known.place == "outcomes" and (who, "") not in blank:
            blank.append((who, ""))
    absent = ReasonCode.ABSENT_FROM_CANDIDATE
    made += [Change(who, attack, None, known.better, (), (), absent) for who, attack in blank]
    return tuple(made)


def _find_pairs(runs: Sequence[Audit], baseline: Baseline) -> tuple[str, ...]:
    """The seeds that the candidate's runs share with the baseline, in its order; none where they
    share none, or where nothing shows that they have one split.

    Raises:
        PrivauditError: Two runs of the candidate have one seed, one is a run of the baseline
            itself, some share their seed with the baseline and others do not, one has another split
            than its pair or took steps from the cache, or the seeds are not the first ones of the
            baseline: whoever may choose among pairs can choose those that look well.
    """
    _check_seeds(runs)
    _check_other_runs(runs, baseline)
    splits = {run.seed: run.split for run in baseline.runs if run.seed}
    own = {audit.manifest.seed_commitment: audit.manifest for audit in runs}
    shared = tuple(seed for seed in splits if seed in own)
    again = "make the candidate's runs with `privaudit run TASK --like BASELINE`"
    kept = {run.run for run in baseline.runs}
    stale = [m.run for m in (own[seed] for seed in shared) if _is_cached(m) and m.run not in kept]
    if stale:
        raise PrivauditError(
            f"runs of the candidate that took steps from the cache: {', '.join(stale)}",
            "on the baseline's seeds these may be steps of the baseline, found again although "
            "something changed that the cache does not see",
            f"{again}, which trains anew",
        )
    if not shared or not all(splits[seed] for seed in shared):
        return ()
    alone = [made.run for seed, made in own.items() if seed not in splits]
    if alone:
        raise PrivauditError(
            f"runs of the candidate without a pair beside others with one: {', '.join(alone)}",
            "runs that share their seed with one of the baseline are judged pair by pair, and the "
            "others would be left out of it",
            f"{again}, or name runs of other seeds alone",
        )
    for seed in shared:
        if not alike.have_one_split(splits[seed], own[seed].split_fingerprint):
            raise PrivauditError(
                f"the run {own[seed].run}, of the same seed as one of the baseline and another "
                "split",
                "a pair has one split; another version of the software may have drawn it otherwise",
                "make the baseline again with this version: privaudit baseline update ... --anew",
            )
    first = tuple(splits)[: len(shared)]
    if shared != first:
        lost = [run.run for run in baseline.runs if run.seed in first and run.seed not in own]
        raise PrivauditError(
            f"no run of the candidate on the seed of the baseline's {', '.join(lost)}",
            "pairs are judged in the order of the baseline's runs: where some may be left out, "
            "those that look worst can be",
            again,
        )
    return shared


def _is_cached(made: Manifest) -> bool:
    return bool(made.steps.get("from_cache"))


def _half(estimate: Estimate) -> float:
    low, high = estimate.low, estimate.high
    return 0.0 if low is None or high is None else (high - low) / 2


def _find_step(values: Sequence[float], half: float) -> float:
    """The largest step that documents round to by an interval of this half, and all values are
    multiples of; 0 where they are not rounded."""
    size = half * ATTACKS
    for _ in range(8):
        if size <= 0:
            break
        step = steps.step_below(size)
        if all(abs(value - steps.nearest(value, step)) < 1e-9 for value in values):
            return step
        size = 0.99 * step
    return 0.0


def _check_seeds(runs: Sequence[Audit]) -> None:
    twice = alike.runs_of_one_seed(runs)
    if twice:
        raise PrivauditError(
            f"runs of the candidate with one seed: {', '.join(twice)}",
            "a seed counted twice makes numbers look steadier than they are",
            "name one run of each seed",
        )


def _check_other_runs(runs: Sequence[Audit], baseline: Baseline) -> None:
    """Refuse runs of the baseline in the place of a candidate's: they are no worse than themselves.
    One alone decides nothing."""
    held = {run.audit_sha256 for run in baseline.runs}
    own = [audit.manifest.run for audit in runs if digest_of(audit) in held]
    if own and len(runs) > 1:
        raise PrivauditError(
            f"runs of the baseline itself as runs of a candidate: {', '.join(own)}",
            "a baseline is no worse than itself, so that no candidate would have been looked at",
            "make the candidate's runs with `privaudit run TASK --like BASELINE` and name those",
        )


def judge_change(
    rule: Regression,
    change: Change,
    *,
    confidence: float = 0.95,
    lower_confidence: float | None = None,
) -> Verdict:
    """The verdict on one change. lower_confidence: of the bound that blocks, where it is adjusted
    over several blocking rules."""
    made = _about(rule, change.subject) | {
        "chance": 0.0,
        "attack": change.attack,
        "setting": None if change.number is None else change.number.at,
        "number": change.number,
        "n": _count(change),
    }
    if change.missing is not None:
        return Verdict(**made, state="NOT TESTED", reason=Reason(change.missing))
    made["value"] = change.worse
    before, after = (math.fsum(part) / len(part) for part in (change.before, change.after))
    means: dict[str, Param] = {"before": before, "after": after}
    wanted = max(1, rule.candidate_seeds)
    if len(change.before) < FEWEST:
        reason = Reason(ReasonCode.TOO_FEW_BASELINE_RUNS, means)
        return Verdict(**made, state="INCONCLUSIVE", reason=reason)
    if len(change.after) < wanted:
        reason = Reason(ReasonCode.TOO_FEW_CANDIDATE_RUNS, {**means, "wanted": wanted})
        return Verdict(**made, state="INCONCLUSIVE", reason=reason)
    lower = change.bound(lower_confidence or confidence, "lower")
    upper = change.bound(confidence, "upper")
    state: State
    if lower > rule.margin:
        state, reason = "EXCEEDS", Reason(ReasonCode.WORSE_THAN_MARGIN, means)
    elif change.lacking:
        state, params = "INCONCLUSIVE", {**means, "lacking": change.lacking}
        reason = Reason(ReasonCode.CANDIDATE_RUNS_LACK_NUMBER, params)
    elif upper <= rule.margin:
        state, reason = "WITHIN", Reason(ReasonCode.NO_WORSE_THAN_MARGIN, means)
    else:
        further = {"spread": change.spread, "more": change.more_runs(rule.margin, confidence)}
        state = "INCONCLUSIVE"
        reason = Reason(ReasonCode.MARGIN_INSIDE_BOUNDS, {**means, **further})
    return Verdict(**made, state=state, lower=lower, upper=upper, reason=reason)


def judge_without_baseline(rule: Regression, subject: str) -> Verdict:
    """That a rule about a baseline was judged without one."""
    made = _about(rule, subject)
    return Verdict(**made, state="NOT TESTED", reason=Reason(ReasonCode.NO_BASELINE))


def _about(rule: Regression, subject: str) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "kind": "regression",
        "subject": subject,
        "metric": rule.metric,
        "severity": rule.severity,
        "limit": rule.margin,
        "fpr": rule.fpr,
        "prior": rule.prior,
    }


def _count(change: Change) -> Mapping[str, int]:
    """How many runs a verdict rests on."""
    runs = {"baseline_runs": len(change.before), "candidate_runs": len(change.after)}
    return {**runs, "pairs": len(change.pairs)} if change.pairs else runs


def regress(
    rule: Regression,
    audits: Audit | Sequence[Audit],
    baseline: Baseline,
    *,
    confidence: float = 0.95,
    lower_confidence: float | None = None,
    subjects: Sequence[str] = (),
) -> tuple[Verdict, ...]:
    """One verdict for every number that the rule is about: is the candidate worse by more than the
    margin?"""
    return tuple(
        judge_change(rule, change, confidence=confidence, lower_confidence=lower_confidence)
        for change in changes(rule, audits, baseline, subjects)
    )
