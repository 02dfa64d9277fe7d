"""Empirical epsilon: what one training run proves about how much it gives away of each patient.

Every patient was assigned to members or non-members at random and independently; an attack guesses
which. If training is (epsilon, delta)-private for patients, no attack guesses too many of them
right, so many right guesses prove a lower bound on epsilon. A bound above the claimed epsilon is a
defect of the implementation.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from privaudit.contracts import Scores
from privaudit.disclosure_limits import MIN_PATIENTS_EPSILON
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Estimate
from privaudit.stats import epsilon_bounds, resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import EPSILON
from privaudit.stats.epsilon_bounds import Family
from privaudit.stats.membership import Patients, check

BOTH = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Shares of the patients guessed about: half of them the most, half the least member-like."""
TOP = (0.25, 0.125, 0.0625, 0.03125)
"""Shares guessed to be members, the rest left out: memorised outliers show on this side alone."""
MAX_IMBALANCE = 6.0
"""Standard errors by which members may outnumber non-members before the assignment counts as not
random."""


def lower_bounds(
    evidence: Scores,
    *,
    patients: Patients,
    delta: float = 1e-5,
    confidence: float = 0.95,
    rng: np.random.Generator,
    family: Family = "approximate",
    names: Collection[str] | None = None,
) -> tuple[Estimate, ...]:
    """`epsilon_lower_bound` (Steinke 2023) and `epsilon_lower_bound_fdp` (Mahloujifar 2024).

    A patient's stays are one unit: their scores are added. Ties are broken by `rng`. All shares in
    BOTH and TOP are tried, each at a level divided by their number (Bonferroni): picking the best
    one without that would state a bound above the truth far more often than 1 - confidence.
    One-sided: value and low are the bound, high is None. The unit is the patient, neighbours are
    add-or-remove.

    delta: at which epsilon is stated, the claim's where there is one. family: see
    `epsilon_bounds.tradeoff`; for the second bound alone.
    Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846); Mahloujifar, Melis and Chaudhuri 2024
    (arXiv 2410.22235).
    """
    _check(delta, confidence, family)
    evidence, ids = check(evidence, patients)
    pools = [
        _add(part, whose)
        for part, whose in zip((evidence.members, evidence.nonmembers), ids, strict=True)
    ]
    n = {
        "members": len(evidence.members),
        "nonmembers": len(evidence.nonmembers),
        "member_patients": len(pools[0]),
        "nonmember_patients": len(pools[1]),
    }
    asked = [name for name in EPSILON if names is None or name in names]
    m = len(pools[0]) + len(pools[1])
    refusal = _refusal(len(pools[0]), m)
    if refusal is not None:
        return tuple(refuse_estimate(Metric(name), refusal, 0.0, n, confidence) for name in asked)
    guesses, right = play(pools[0], pools[1], rng)
    level = (1 - confidence) / len(guesses)
    found = []
    for name in asked:
        method = BoundMethod.STEINKE
        if name == "epsilon_lower_bound":
            bounds = epsilon_bounds.binomial(m, guesses, right, delta, level)
        else:
            method = BoundMethod.MAHLOUJIFAR
            bounds = epsilon_bounds.tradeoff(m, guesses, right, delta, level, family)
        best = int(np.argmax(bounds))
        value = float(bounds[best])
        bound = Bound(
            method,
            family=family if method is BoundMethod.MAHLOUJIFAR else "",
            delta=delta,
            tried=len(guesses),
            made=int(guesses[best]) if value else 0,
            right=int(right[best]) if value else 0,
            assigned=m,
        )
        found.append(Estimate(Metric(name), value, value, None, 0.0, n, confidence, bound))
    return tuple(found)


def play(
    members: np.ndarray, nonmembers: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(t,) guesses made and right, for every share in BOTH and TOP, of one score a patient."""
    scores = np.concatenate([members, nonmembers])
    is_member = np.arange(len(scores)) < len(members)
    # Shuffled first: a stable sort would else put members before the others wherever scores tie.
    shuffled = rng.permutation(len(scores))
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    hits = np.append(0, np.cumsum(is_member[order]))
    m = len(scores)
    made = []
    for share in BOTH:
        k = max(2, round(share * m))
        made.append(((k + 1) // 2, k // 2))
    made += [(max(1, round(share * m)), 0) for share in TOP]
    made = sorted(set(made))
    guesses = np.array([top + bottom for top, bottom in made])
    right = np.array([hits[top] + bottom - (hits[m] - hits[m - bottom]) for top, bottom in made])
    return guesses, right


def _add(scores: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """One score a patient, in the order of their ids: the sum over stays."""
    (code,), clusters = resample.codes(patients)
    return np.bincount(code, weights=scores, minlength=clusters)


def _refusal(members: int, m: int) -> Reason | None:
    if m < MIN_PATIENTS_EPSILON:
        more = MIN_PATIENTS_EPSILON - m
        return Reason(ReasonCode.TOO_FEW_ASSIGNMENTS, {"more": more, "have": m})
    if abs(members - m / 2) > MAX_IMBALANCE * np.sqrt(m) / 2:
        return Reason(ReasonCode.UNBALANCED_ASSIGNMENT, {"members": members, "patients": m})
    return None


def _check(delta: float, confidence: float, family: str) -> None:
    if not 0.0 <= delta < 1.0:
        raise PrivauditError(
            f"delta={delta!r}",
            "it is a probability, from 0 to below 1",
            "use the claim's delta, or 1e-5 where nothing is claimed",
        )
    if not 0.0 < confidence < 1.0:
        raise PrivauditError(
            f"confidence={confidence!r}", "it is a probability between 0 and 1", "use 0.95"
        )
    if family not in ("approximate", "gaussian"):
        raise PrivauditError(
            f"family={family!r}",
            'the families are "approximate" and "gaussian"',
            'use "approximate", which assumes nothing about the mechanism',
        )
    if family == "gaussian" and delta == 0.0:
        raise PrivauditError(
            "delta=0 with the Gaussian family",
            "Gaussian noise gives no epsilon without a delta",
            'use family="approximate", or a delta above 0',
        )


__all__ = ["lower_bounds", "play"]
