"""From evidence and answers to parts of the document: the only place in the engine that calls stats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from privaudit import stats
from privaudit.contracts import Claim, Scores, Trials
from privaudit.records import Records, Split
from privaudit.results import ClaimText, to_tree
from privaudit.seeds import Seeds

DELTA = 1e-5
"""At which delta a lower bound on epsilon is read where nothing was promised."""

Evidence = Scores | Trials | Mapping[str, Trials]


def claim(promise: Claim) -> dict[str, Any]:
    """A claim as printed, as plain data."""
    covers = tuple(sorted(access.value for access in promise.covers))
    return to_tree(
        ClaimText(
            promise.epsilon, promise.delta, promise.unit, promise.neighbours, covers, promise.basis
        )
    )


def costs(told: Mapping[str, float]) -> dict[str, float]:
    """What training cost, as numbers that a document may hold."""
    return {name: float(cost) for name, cost in told.items() if np.isfinite(float(cost))}


def null_confidence() -> float:
    """Confidence of a negative control's interval.

    A run has up to a hundred of them and one that misses voids the audit, so each is asked at a level
    at which 200 raise a false alarm in fewer than 1 run of 100. It never depends on how many there are: adding
    an attack moves no other's numbers.
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
    which is what a control is judged by. claim: what was promised, whose delta a bound is read at."""
    if isinstance(evidence, Scores):
        ids = patients(split)
        names = ("auc",) if brief else None
        delta = claim.delta if claim is not None and claim.epsilon is not None else DELTA
        found = stats.estimates(
            evidence, patients=ids, confidence=confidence, rng=rng, names=names, delta=delta
        )
        curves = []
        if not brief:
            curves.append(stats.roc(evidence, patients=ids, confidence=confidence, rng=rng))
        return {"estimates": to_tree(found), "curves": to_tree(curves), "notes": []}
    given = {"": evidence} if isinstance(evidence, Trials) else dict(evidence)
    series = {key: _counted(trials) for key, trials in given.items()}
    found = stats.estimates(series, patients=None, confidence=confidence, rng=rng)
    curves = []
    for which in ("attack_rate", "control_rate"):
        for family, budgets in _budgets(series).items():
            curve = stats.budget_curve(budgets, patients=None, confidence=confidence, which=which)
            tree = to_tree(curve)
            tree["name"] = f"{which}{': ' + family if family else ''}"
            curves.append(tree)
    labels = sorted({trials.control_label for trials in series.values()})
    notes = [f"control: {label}" for label in labels if label != "control"]
    return {"estimates": to_tree(found), "curves": curves, "notes": notes}


def _counted(trials: Trials) -> Trials:
    """Attempts at what is no patient's, such as a key, each count for themselves."""
    if trials.patients is not None:
        return trials
    return replace(trials, patients=np.arange(len(trials.success)))


def _budgets(series: Mapping[str, Trials]) -> dict[str, dict[str, Trials]]:
    """Trials keyed by a budget ("0.1 sd ..."), by what follows the size and unit; two points a line."""
    lines: dict[str, dict[str, Trials]] = {}
    for key, trials in series.items():
        if re.match(r"\s*[0-9.]+(?:[eE][-+]?[0-9]+)?\s*\S*", key) and key.lstrip()[:1].isdigit():
            rest = " ".join(key.split()[2:])
            lines.setdefault(rest, {})[key] = trials
    return {family: budgets for family, budgets in lines.items() if len(budgets) > 1}


def arrays(evidence: Evidence) -> dict[str, np.ndarray]:
    """Evidence as named arrays, to be kept under `restricted/`."""
    if isinstance(evidence, Scores):
        return {
            "members": np.asarray(evidence.members, dtype=np.float64),
            "nonmembers": np.asarray(evidence.nonmembers, dtype=np.float64),
            "coin": np.array(evidence.randomised),
        }
    series = {"": evidence} if isinstance(evidence, Trials) else dict(evidence)
    found = {}
    for index, (key, trials) in enumerate(series.items()):
        found[f"name{index}"] = np.array(key)
        for part in ("success", "control", "guess", "patients", "control_patients"):
            value = getattr(trials, part)
            if value is not None:
                found[f"{part}{index}"] = np.asarray(value)
    return found


def scores(kept: Mapping[str, np.ndarray]) -> Scores:
    """Membership scores back from the arrays kept."""
    return Scores(kept["members"], kept["nonmembers"], bool(kept["coin"]))


def subject(
    proba: np.ndarray | None,
    evidences: Mapping[str, Scores],
    chosen: str | None,
    split: Split,
    confidence: float,
    seeds: Seeds,
) -> dict[str, Any]:
    """Usefulness on both pools, by group, calibration, and the strongest attack with its groups.

    chosen: the attack that the headline quotes, where it was chosen without looking at this subject.
    """
    body: dict[str, Any] = {
        "utility": [],
        "utility_members": [],
        "utility_groups": [],
        "reliability": None,
        "strongest": None,
        "groups": {},
    }
    if proba is not None:
        body |= _utility(proba, split, confidence, seeds)
    ids = patients(split)
    for name, evidence in evidences.items():
        rng = seeds.rng("groups", name)
        groups = {
            by: (split.members.groups[by], split.nonmembers.groups[by])
            for by in split.members.groups
        }
        if groups:
            found = stats.score_groups(
                evidence, patients=ids, groups=groups, confidence=confidence, rng=rng
            )
            body["groups"][name] = to_tree(found)
    if chosen is None and len(evidences) == 1:
        (chosen,) = evidences
    if chosen is not None:
        body["strongest"] = {"attack": chosen, "estimates": None}
    elif evidences:
        rng = seeds.rng("strongest")
        best = stats.strongest(evidences, patients=ids, confidence=confidence, rng=rng)
        body["strongest"] = {"attack": best[0], "estimates": to_tree(best[1])}
    return body


def with_sites(records: Records) -> dict[str, np.ndarray]:
    """The subgroups, with the sites among them even where no subgroup is cut as they are."""
    groups = dict(records.groups)
    if len(np.unique(records.site)) > 1:
        cuts = [np.unique(g, return_inverse=True)[1] for g in groups.values()]
        own = np.unique(records.site, return_inverse=True)[1]
        if not any(
            len(set(zip(own, c, strict=True))) == own.max() + 1 == c.max() + 1 for c in cuts
        ):
            groups["site"] = np.array(records.sites)[records.site]
    return groups


def _utility(proba: np.ndarray, split: Split, confidence: float, seeds: Seeds) -> dict[str, Any]:
    cut = len(split.members)
    own, other = proba[:cut], proba[cut:]
    inside, outside = split.members, split.nonmembers
    parts = {
        "utility": stats.utility(
            other, outside.y, patients=outside.patient, confidence=confidence,
            rng=seeds.rng("utility"), classes=outside.classes,
        ),
        "utility_members": stats.utility(
            own, inside.y, patients=inside.patient, confidence=confidence,
            rng=seeds.rng("utility", "members"), classes=inside.classes,
        ),
        "utility_groups": stats.utility_groups(
            other, outside.y, patients=outside.patient, groups=with_sites(outside),
            confidence=confidence, rng=seeds.rng("utility", "groups"),
        ),
        "reliability": stats.reliability(
            other, outside.y, patients=outside.patient, confidence=confidence,
        ),
    }  # fmt: skip
    return {name: to_tree(part) for name, part in parts.items()}
