"""From evidence and answers to parts of the document: the only place in the engine that calls
stats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, cast, get_args

import numpy as np

from privaudit import stats
from privaudit.contracts import Claim, Combine, Pairs, Ranked, Rebuilt, Rows, Scores, Trials
from privaudit.engine.groups import Groups, read_groups
from privaudit.engine.site_models import measure_sites
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Setting
from privaudit.records import Split
from privaudit.results import ClaimText, Curve, Estimate, GroupResult, from_tree, to_tree
from privaudit.seeds import Seeds
from privaudit.stats import against_null

DELTA = 1e-5
"""At which delta a lower bound on epsilon is read where nothing is claimed."""

Series = dict[Setting | None, Trials]
"""Attempts by setting, None where an attack has one series alone."""

Evidence = Scores | Trials | Mapping[Setting, Trials] | Series


def claim(claimed: Claim) -> dict[str, Any]:
    """A claim as documents hold it, as plain data."""
    text = ClaimText(
        claimed.epsilon,
        claimed.delta,
        claimed.unit,
        claimed.neighbours,
        tuple(sorted(access.name for access in claimed.covers)),
        claimed.basis,
    )
    return dict(to_tree(text))


def costs(stated: Mapping[str, float]) -> dict[str, float]:
    """What training cost, as numbers that a document may hold."""
    return {name: float(cost) for name, cost in stated.items() if np.isfinite(float(cost))}


def null_confidence() -> float:
    """Confidence of a negative control's interval.

    A run has up to a hundred of them and one that misses voids the audit, so each is made at a
    level at which 200 fail a sound harness in fewer than 1 run of 100. It never depends on how many
    there are: adding an attack moves no other's numbers.
    """
    return stats.control_confidence()


def patients(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Whose records the scores of members and of non-members are."""
    return split.members.patient, split.nonmembers.patient


def judge(
    evidence: Evidence,
    split: Split,
    confidence: float,
    rng: np.random.Generator,
    *,
    brief: bool = False,
    claim: Claim | None = None,
) -> dict[str, Any]:
    """Estimates and curves of one attack's evidence, as plain data. brief: the AUC alone,
    which is what a control is judged by. claim: what is guaranteed, whose delta a bound is read at.

    Raises:
        PrivauditError: evidence that is neither scores nor trials, or trials not keyed by
            `Setting`.
    """
    if isinstance(evidence, Scores):
        ids = patients(split)
        names = ("auc",) if brief else None
        delta = claim.delta if claim is not None and claim.epsilon is not None else DELTA
        found = stats.estimates(
            evidence, patients=ids, confidence=confidence, rng=rng, names=names, delta=delta
        )
        curves: list[Curve] = []
        by_record: tuple[Estimate, ...] = ()
        evened: tuple[Estimate, ...] = ()
        if not brief:
            curves.append(stats.roc(evidence, patients=ids, confidence=confidence, rng=rng))
            by_record = stats.by_record(evidence, patients=ids, confidence=confidence, rng=rng)
            evened = stats.evened(evidence, patients=ids, confidence=confidence, rng=rng)
        groups: tuple[GroupResult, ...] = ()
        if evidence.pairs is not None and not brief:
            found += stats.patients_at_risk(evidence, patients=ids, confidence=confidence, rng=rng)
            line = stats.risk_curve(evidence, confidence=confidence)
            curves += [] if line is None else [line]
            groups = stats.over_represented(
                evidence, groups=read_groups(split), patients=ids, confidence=confidence
            )
        return {
            "estimates": to_tree(found),
            "curves": to_tree(curves),
            "by_record": to_tree(by_record),
            "evened": to_tree(evened),
            "caveats": [],
            "over_represented": to_tree(groups),
        }
    given = series_of(evidence)
    series = {at: _with_patients(trials) for at, trials in given.items()}
    found = tuple(
        _count_attempts(e) if given[e.metric.at].patients is None else e
        for e in stats.estimates(series, patients=None, confidence=confidence, rng=rng)
    )
    curves = [
        stats.budget_curve(line, patients=None, confidence=confidence, which=which)
        for which in ("attack_rate", "control_rate")
        for line in _budgets(series)
    ]
    labels = sorted({trials.control_label for trials in series.values()} - {"control"})
    described = [
        Caveat(CaveatCode.CONTROL_DESCRIBED, "note", {"control": label}) for label in labels
    ]
    return {
        "estimates": to_tree(found),
        "curves": to_tree(curves),
        "by_record": to_tree(stats.trials_by_record(series, confidence=confidence)),
        "caveats": to_tree(described),
    }


def series_of(evidence: Trials | Mapping[Setting, Trials] | Series) -> Series:
    """Attempts by setting; evidence that an attack may not return is refused."""
    if isinstance(evidence, Trials):
        return {None: evidence}
    kind, series = type(evidence).__name__, Series()
    if isinstance(evidence, Mapping):
        for at, trials in evidence.items():
            if isinstance(at, Setting | None) and isinstance(trials, Trials):
                series[at] = trials
        if series and len(series) == len(evidence):
            return series
        kind = f"a {kind} that does not hold Trials by Setting"
    raise PrivauditError(
        f"an attack that returned {kind}",
        "evidence is Scores, Trials, or a mapping of Setting to Trials: a series is known by its "
        "kind and value, never by a text",
        "return {Setting(kind, value): Trials(...)} with one of the kinds of privaudit.facts",
    )


def _with_patients(trials: Trials) -> Trials:
    """Attempts at what is no patient's, such as a key, each count for themselves."""
    if trials.patients is not None:
        return trials
    return replace(trials, patients=np.arange(len(trials.success)))


def _count_attempts(estimate: Estimate) -> Estimate:
    """The number without a count of patients: what was tried is none."""
    return replace(estimate, n={k: n for k, n in estimate.n.items() if k != "patients"})


def _budgets(series: Series) -> list[dict[Setting, Trials]]:
    """Trials at a budget, one line of at least two points for each unit and details."""
    lines: dict[Setting, dict[Setting, Trials]] = {}
    for at, trials in series.items():
        if at is not None and at.kind == "budget" and not isinstance(at.value, str):
            lines.setdefault(replace(at, value=0.0), {})[at] = trials
    return [line for line in lines.values() if len(line) > 1]


_PAIRS = "pairs_"
_PAIR_ARRAYS = ("patients", "first", "moved", "coins")
_RANKED = "ranked_"
_REBUILT = "rebuilt_"
_REBUILT_ARRAYS = ("attack", "control", "pictures", "originals")
_RANKED_ARRAYS = ("y", "attacked", "control", "unchanged")
_PARTS = (
    "success",
    "control",
    "guess",
    "patients",
    "control_patients",
    "sure",
    "control_sure",
)


def arrays(evidence: Evidence) -> dict[str, np.ndarray]:
    """Evidence as named arrays, for `restricted/`; a setting is stored as JSON."""
    if isinstance(evidence, Scores):
        own = {} if evidence.pairs is None else vars(evidence.pairs)
        return {
            "members": np.asarray(evidence.members, dtype=np.float64),
            "nonmembers": np.asarray(evidence.nonmembers, dtype=np.float64),
            "randomised": np.array(evidence.randomised),
            "combine": np.array(evidence.combine),
            **{f"{_PAIRS}{name}": np.asarray(part) for name, part in own.items()},
        }
    found = {}
    for index, (at, trials) in enumerate(series_of(evidence).items()):
        tree = None if at is None else asdict(at)
        found[f"setting{index}"] = np.array(json.dumps(tree, sort_keys=True))
        for part in _PARTS:
            value = getattr(trials, part)
            if value is not None:
                found[f"{part}{index}"] = np.asarray(value)
        own = {} if trials.ranked is None else vars(trials.ranked)
        found |= {f"{_RANKED}{name}{index}": np.asarray(part) for name, part in own.items()}
        made = {} if trials.rebuilt is None else vars(trials.rebuilt)
        found |= {f"{_REBUILT}{name}{index}": np.asarray(part) for name, part in made.items()}
        found[f"rows{index}"] = np.array(trials.rows)
    return found


def evidence_of(stored: Mapping[str, np.ndarray]) -> Scores | Series:
    """Evidence back from the arrays that `arrays` made.

    Raises:
        ValueError: they hold neither scores nor trials.
    """
    if "members" in stored:
        return scores(stored)
    series: Series = {}
    while f"setting{len(series)}" in stored:
        index = len(series)
        tree = json.loads(str(stored[f"setting{index}"]))
        at = None if tree is None else from_tree(tree, Setting)
        parts: dict[str, Any] = {part: stored.get(f"{part}{index}") for part in _PARTS}
        how = str(stored[f"rows{index}"])
        if how not in get_args(Rows):
            raise ValueError("attempts that come to a patient's in no known way")
        answers = {part: stored.get(f"{_RANKED}{part}{index}") for part in _RANKED_ARRAYS}
        known = all(part is not None for part in answers.values())
        ranked = Ranked(**cast(Any, answers)) if known else None
        made = {part: stored.get(f"{_REBUILT}{part}{index}") for part in _REBUILT_ARRAYS}
        drawn = all(part is not None for part in made.values())
        rebuilt = Rebuilt(**cast(Any, made)) if drawn else None
        series[at] = Trials(**parts, rows=cast(Rows, how), ranked=ranked, rebuilt=rebuilt)
    if not series:
        raise ValueError("neither scores nor trials")
    return series


def list_patients(stored: Mapping[str, np.ndarray], split: Split) -> dict[str, np.ndarray]:
    """Columns of what was found of every patient, none where an attack does not judge each."""
    if f"{_PAIRS}patients" not in stored:
        return {}
    return stats.list_patients(scores(stored), patients(split))


def scores(stored: Mapping[str, np.ndarray]) -> Scores:
    """Membership scores back from the arrays that `arrays` made."""
    how = str(stored["combine"])
    if how not in get_args(Combine):
        raise ValueError("scores that are combined in no known way")
    combine = cast(Combine, how)
    found = Scores(stored["members"], stored["nonmembers"], bool(stored["randomised"]), combine)
    own = {part: stored[f"{_PAIRS}{part}"] for part in _PAIR_ARRAYS if f"{_PAIRS}{part}" in stored}
    if not own:
        return found
    return replace(found, pairs=Pairs(**own))


def subject(
    proba: np.ndarray | None,
    evidences: Mapping[str, Scores],
    chosen: str | None,
    split: Split,
    confidence: float,
    seeds: Seeds,
    nulls: Mapping[str, Scores] | None = None,
    answers: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Utility on both pools, by group, calibration, and the strongest attack with its groups.

    chosen: the attack that the headline quotes, where it was chosen without looking at this
    subject. nulls: by attack, its scores of a null, of the same records. answers: what was stored
    of the model, those of each site's own model among it.
    """
    body: dict[str, Any] = {
        "utility": [],
        "utility_members": [],
        "utility_groups": [],
        "utility_everybody": [],
        "reliability": None,
        "strongest": None,
        "groups": {},
        "null": {},
        "corrected": {},
    }
    groups = read_groups(split)
    if proba is not None:
        body |= _utility(proba, split, groups, confidence, seeds)
        body["utility_everybody"] = measure_sites(answers or {}, split, groups, confidence)
    ids = patients(split)
    for name, evidence in evidences.items():
        rng = seeds.rng("groups", name)
        own = {by: both for by, both in groups.items() if by in split.members.groups}
        if own:
            found = stats.score_groups(
                evidence, patients=ids, groups=own, confidence=confidence, rng=rng
            )
            body["groups"][name] = to_tree(found)
        null = None if nulls is None else nulls.get(name)
        if null is not None:
            rng = seeds.rng("null", name)
            read = against_null.read_null(null, patients=ids, confidence=confidence, rng=rng)
            less = against_null.correct(
                evidence, null, patients=ids, confidence=confidence, rng=rng
            )
            body["null"][name], body["corrected"][name] = to_tree(read), to_tree(less)
    if chosen is None and len(evidences) == 1:
        (chosen,) = evidences
    if chosen is not None:
        body["strongest"] = {"attack": chosen, "estimates": None}
    elif evidences:
        rng = seeds.rng("strongest")
        best = stats.strongest(evidences, patients=ids, confidence=confidence, rng=rng)
        body["strongest"] = {"attack": best[0], "estimates": to_tree(best[1])}
    return body


def _utility(
    proba: np.ndarray, split: Split, groups: Groups, confidence: float, seeds: Seeds
) -> dict[str, Any]:
    cut = len(split.members)
    own, other = proba[:cut], proba[cut:]
    inside, outside = split.members, split.nonmembers
    if outside.outcome_kind != "class":
        return _utility_of_numbers(own, other, split, groups, confidence)
    classes, ordered = outside.classes, outside.ordered
    utility = partial(stats.utility, confidence=confidence, classes=classes, ordered=ordered)
    own_rng, other_rng = seeds.rng("utility", "members"), seeds.rng("utility")
    parts = {
        "utility": utility(other, outside.y, patients=outside.patient, rng=other_rng),
        "utility_members": utility(own, inside.y, patients=inside.patient, rng=own_rng),
        "utility_groups": stats.utility_groups(
            other,
            outside.y,
            patients=outside.patient,
            groups={by: labels for by, (_, labels) in groups.items()},
            confidence=confidence,
            classes=classes,
            ordered=ordered,
        ),
        "reliability": stats.reliability(
            other, outside.y, patients=outside.patient, confidence=confidence
        ),
    }
    return {name: to_tree(part) for name, part in parts.items()}


def _utility_of_numbers(
    own: np.ndarray, other: np.ndarray, split: Split, groups: Groups, confidence: float
) -> dict[str, Any]:
    """own, other: (n,) predictions, or risk scores, for the members and the non-members."""
    inside, outside = split.members, split.nonmembers
    is_time = outside.outcome_kind == "time"
    of_all = stats.utility_of_times if is_time else stats.utility_of_numbers
    of_groups = stats.utility_groups_of_times if is_time else stats.utility_groups_of_numbers
    utility = partial(of_all, confidence=confidence)
    parts = {
        "utility": utility(other, outside.y, patients=outside.patient),
        "utility_members": utility(own, inside.y, patients=inside.patient),
        "utility_groups": of_groups(
            other,
            outside.y,
            patients=outside.patient,
            groups={by: labels for by, (_, labels) in groups.items()},
            confidence=confidence,
        ),
    }
    return {name: to_tree(part) for name, part in parts.items()}
