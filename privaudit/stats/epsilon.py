"""Empirical epsilon: what one training run proves about how much it gives away of each patient.

Every patient was assigned to members or non-members at random and independently; an attack guesses
which. If training is (epsilon, delta)-private for patients, no attack guesses too many of them
right, so many right guesses prove a lower bound on epsilon. A bound above the claimed epsilon is a
defect of the implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np

from privaudit.contracts import Scores
from privaudit.disclosure_limits import MIN_PATIENTS_EPSILON
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Estimate
from privaudit.stats import epsilon_bounds
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import EPSILON
from privaudit.stats.epsilon_bounds import Curves, Family, Least
from privaudit.stats.membership import Patients, check
from privaudit.stats.patients import by_patient

Kind = Literal["approximate", "gaussian", "curve"]

BOTH = (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
"""Shares of the patients guessed about: half of them the most, half the least member-like."""
TOP = (0.25, 0.125, 0.0625, 0.03125)
"""Shares guessed to be members, the rest left out: memorised outliers show on this side alone."""
MAIN = 7.2
"""Guesses over the square root of the patients in the main test of a family of curves: from half as
many to twice as many prove the most about Gaussian noise of mu 0.75 to 2 (`benchmarks/one_run.py`),
for 250 patients as for 10,000."""
MAIN_SHARE = 0.8
"""Share of the level that the main test has; the others divide what is left."""
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
    family: Family | Curves = "approximate",
    names: Collection[str] | None = None,
) -> tuple[Estimate, ...]:
    """`epsilon_lower_bound` (Steinke 2023) and `epsilon_lower_bound_fdp` (Mahloujifar 2024).

    A patient's records are one unit: their scores become one as `Scores.combine` says. Ties are
    broken by `rng`. All numbers of guesses are tried, and the levels of the tests add up to
    1 - confidence (Bonferroni): picking the best one without that would state a bound above the
    truth far more often. One-sided: value and low are the bound, high is None. The unit is the
    patient, neighbours are add-or-remove.

    Args:
        evidence: Scores of members and non-members.
        patients: Whose they are.
        delta: At which epsilon is stated, the claim's where there is one.
        confidence: Of the bound.
        rng: Breaks ties.
        family: What is assumed of the mechanism, for the second bound alone. "approximate":
            nothing, so that every test has the same level. "gaussian": its trade-off curve is that
            of one Gaussian; or `Curves`: that of the claimed mechanism with more or less noise. For
            these one test has most of the level (`MAIN`), so that little is lost to choosing. None
            assumes that patients' scores are independent.
        names: Only these, None for both.

    Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846); Mahloujifar, Melis and Chaudhuri 2024
    (arXiv 2410.22235).
    """
    _check(delta, confidence, family)
    counted, ids = check(evidence, patients)
    each, _ = by_patient(counted, ids)
    pools = each.members, each.nonmembers
    n = {
        "members": len(counted.members),
        "nonmembers": len(counted.nonmembers),
        "member_patients": len(pools[0]),
        "nonmember_patients": len(pools[1]),
    }
    asked = [name for name in EPSILON if names is None or name in names]
    m = len(pools[0]) + len(pools[1])
    refusal = _refusal(len(pools[0]), m)
    if refusal is not None:
        return tuple(refuse_estimate(Metric(name), refusal, 0.0, n, confidence) for name in asked)
    kind: Kind = family if isinstance(family, str) else "curve"
    order = rng.permutation(m)
    found = []
    for name in asked:
        steinke = name == "epsilon_lower_bound"
        method = BoundMethod.STEINKE if steinke else BoundMethod.MAHLOUJIFAR
        weights = weigh(m, "approximate" if steinke else kind)
        guesses, right = play(*pools, order, weights)
        levels = (1 - confidence) * np.array(list(weights.values()))
        if steinke:
            bounds = epsilon_bounds.binomial(m, guesses, right, delta, levels)
        elif isinstance(family, str):
            bounds = epsilon_bounds.tradeoff(m, guesses, right, delta, levels, family)
        else:
            size, place = epsilon_bounds.largest_size(m, guesses, right, levels, family)
            bounds = np.zeros(len(guesses))
            bounds[place] = family.epsilon(size)
        best = int(np.argmax(bounds))
        value = float(bounds[best])
        bound = Bound(
            method,
            family="" if steinke else kind,
            delta=delta,
            tried=len(guesses),
            made=int(guesses[best]) if value else 0,
            right=int(right[best]) if value else 0,
            assigned=m,
        )
        found.append(Estimate(Metric(name), value, value, None, 0.0, n, confidence, bound))
    return tuple(found)


def refute(bound: Bound, least: Least) -> float:
    """How surely the stated guesses refute one trade-off curve: a p-value, to 1 %.

    It is corrected for all tests that were tried, as the bound is. least: what the curve leaves of
    an event.
    """
    if not bound.made:
        return 1.0
    p = epsilon_bounds.tradeoff_p(bound.assigned, bound.made, bound.right, least)
    return min(1.0, p / share_of(bound))


def weigh(m: int, family: str) -> Mapping[tuple[int, int], float]:
    """The tests of m patients: guesses made of the most and of the least member-like -> share of
    the level. Known before any score is."""
    made = []
    for share in BOTH:
        k = max(2, round(share * m))
        made.append(((k + 1) // 2, k // 2))
    made += [(max(1, round(share * m)), 0) for share in TOP]
    made = sorted(set(made))
    if family == "approximate":
        return dict.fromkeys(made, 1 / len(made))
    side = max(1, round(min(m, MAIN * np.sqrt(m)) / 2))
    main = (min(side, m - m // 2), min(side, m // 2))
    others = [one for one in made if one != main]
    weights = dict.fromkeys(others, (1 - MAIN_SHARE) / len(others))
    return {**weights, main: MAIN_SHARE}


def share_of(bound: Bound) -> float:
    """The share of the level that the stated test had, the smallest where several made as many
    guesses; 1 over those tried where nothing is known of the patients."""
    weights = weigh(bound.assigned, bound.family or "approximate") if bound.assigned > 1 else {}
    own = [share for (top, bottom), share in weights.items() if top + bottom == bound.made]
    return min(own, default=1 / max(1, bound.tried))


def play(
    members: np.ndarray,
    nonmembers: np.ndarray,
    shuffled: np.ndarray,
    made: Collection[tuple[int, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """(t,) guesses made and right, of one score a patient.

    shuffled: (m,) a random order of the patients, members first: a stable sort would else put
    members before the others wherever scores tie. made: guesses of the most and of the least
    member-like, for each test.
    """
    scores = np.concatenate([members, nonmembers])
    is_member = np.arange(len(scores)) < len(members)
    order = shuffled[np.argsort(-scores[shuffled], kind="stable")]
    hits = np.append(0, np.cumsum(is_member[order]))
    m = len(scores)
    guesses = np.array([top + bottom for top, bottom in made])
    right = np.array([hits[top] + bottom - (hits[m] - hits[m - bottom]) for top, bottom in made])
    return guesses, right


def _refusal(members: int, m: int) -> Reason | None:
    if m < MIN_PATIENTS_EPSILON:
        more = MIN_PATIENTS_EPSILON - m
        return Reason(ReasonCode.TOO_FEW_ASSIGNMENTS, {"more": more, "have": m})
    if abs(members - m / 2) > MAX_IMBALANCE * np.sqrt(m) / 2:
        return Reason(ReasonCode.UNBALANCED_ASSIGNMENT, {"members": members, "patients": m})
    return None


def _check(delta: float, confidence: float, family: Family | Curves) -> None:
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
    if isinstance(family, str) and family not in ("approximate", "gaussian"):
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


__all__ = ["Kind", "lower_bounds", "play", "refute", "share_of", "weigh"]
