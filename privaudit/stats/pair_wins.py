"""How often a patient is told apart in complementary pairs of refits, and what that proves.

In one pair every patient was trained on in exactly one of two models. Where the answers do not
depend on whether the patient was in, which of the two is surer of the patient is a fair coin that
no other pair and no other patient shares: the number of pairs that are read right is binomial,
whatever the model, the patient and the scale of its answers. So no false positive rate is pooled
over patients, and no distribution is assumed. docs/design/027-each-patient.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARES_FOUND = (0.9, 0.7, 0.5, 0.3, 0.15)
"""Chances of finding a patient at the limit at whose numbers of pairs an upper bound is read."""

FALSE_ALARMS = (0.2, 0.05, 0.01, 1e-3, 1e-4)
"""Chances of a false alarm at whose numbers of pairs a lower bound is read."""

GRID = (np.arange(200) + 0.5) / 200
"""Chances among which the distribution over patients is fitted."""


@dataclass(frozen=True, eq=False)
class Wins:
    """In how many of `pairs` pairs the model with the patient was the surer one.

    counts: (ways, n) int64, by way of reading a patient's records. spread: how much more the
    share of patients read right varies from pair to pair than if patients were independent (a
    design effect, at least 1).
    """

    counts: np.ndarray
    pairs: int
    spread: float = 1.0

    @classmethod
    def of(cls, moved: np.ndarray, first: np.ndarray, coins: np.ndarray) -> Wins:
        """The wins in these pairs.

        Args:
            moved: (ways, pairs, n) by how much the first refit of each pair is surer.
            first: (pairs, n) bool, whether the first refit was trained on the patient.
            coins: (ways, pairs, n) bool, what decides where both are equally sure.
        """
        won = np.where(moved == 0.0, coins, (moved > 0.0) == first)
        counts = won.sum(axis=1)
        return cls(counts, len(first), max(map(_spread, won), default=1.0))

    @property
    def ways(self) -> int:
        return len(self.counts)

    @property
    def apart(self) -> np.ndarray:
        """(n,) pairs told apart, in the way and the direction that do best: pairs / 2 at least.

        A model that is less sure of whom it was trained on gives them away as well.
        """
        folded = np.maximum(self.counts, self.pairs - self.counts)
        result: np.ndarray = folded.max(axis=0)
        return result

    def false_alarm(self, limit: float) -> np.ndarray:
        """(pairs + 1,) most that the chance of `apart` of at least so many can be for a patient
        who is told apart in no more than `limit` of pairs, in any way."""
        from scipy.stats import binom

        at = np.arange(self.pairs + 1)
        both = binom.sf(at - 1, self.pairs, limit) + binom.cdf(self.pairs - at, self.pairs, limit)
        return np.where(2 * at <= self.pairs, 1.0, np.minimum(1.0, self.ways * both))

    def found(self, limit: float) -> np.ndarray:
        """(pairs + 1,) least that it can be for one who is told apart in more."""
        from scipy.stats import binom

        result: np.ndarray = binom.sf(np.arange(self.pairs + 1) - 1, self.pairs, limit)
        return result

    def p_values(self, limit: float) -> np.ndarray:
        """(n,) of "told apart in no more than `limit` of pairs, in any way": exact."""
        result: np.ndarray = self.false_alarm(limit)[self.apart]
        return result


def _spread(won: np.ndarray) -> float:
    """The design effect of pairs, (pairs, n).

    The correlation of two patients in single pairs bounds that of anything read off all pairs,
    as two-valued variables have no larger one under any function (Witsenhausen 1975).
    """
    pairs, n = won.shape
    if pairs < 2 or n < 2:
        return 1.0
    share = won.mean(axis=0)
    alone = float((share * (1.0 - share)).mean()) * pairs / (pairs - 1) / n
    together = float(np.var(won.mean(axis=1), ddof=1))
    return max(1.0, together / alone) if alone > 0.0 else 1.0


def false_discovery(p: np.ndarray) -> np.ndarray:
    """(n,) adjusted p-values: those at most q are found with a false discovery rate of q.

    Benjamini and Hochberg 1995. Patients that nothing tells apart have coins of their own, which
    the halves bind by -1 / (n - 1) alone.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def pairs_needed(patients: int, limit: float, rate: float, least: int, ways: int = 1) -> int:
    """Pairs from which on `least` of so many patients, told apart in every pair, are found."""
    pairs = 1
    while ways * (limit**pairs + (1.0 - limit) ** pairs) * patients > rate * least:
        pairs += 1
    return pairs


def share_beyond(wins: Wins, limit: float, confidence: float) -> tuple[float, float, float]:
    """The share of patients who are told apart in more than `limit` of pairs: value, low, high.

    The value is read off the distribution over patients that is likeliest to give these counts
    (Kiefer and Wolfowitz 1956). The bounds are those of all distributions that are in accord with
    how many patients are told apart in at least so many pairs, within exact bounds of each of these
    shares at a level divided by how many there are: each side errs at half of 1 - confidence.
    """
    low, high = bound_share(wins, limit, (1.0 - confidence) / 2.0)
    value = max(_fitted(counts, wins.pairs, limit) for counts in wins.counts)
    return min(max(value, low), high), low, high


def bound_share(wins: Wins, limit: float, level: float) -> tuple[float, float]:
    """A lower and an upper bound of the share beyond the limit, each wrong in at most a share
    `level` of audits. See `share_beyond`."""
    n = wins.counts.shape[1]
    tail = np.bincount(wins.apart, minlength=wins.pairs + 1)[::-1].cumsum()[::-1] / n
    alarm, found = wins.false_alarm(limit), wins.found(limit)
    read = {int(np.abs(found - share).argmin()) for share in SHARES_FOUND}
    read |= {int(np.abs(alarm - share).argmin()) for share in FALSE_ALARMS}
    at = np.array(sorted(which for which in read if alarm[which] < 1.0))
    if not len(at):
        return 0.0, 1.0
    for wider in (1.0, 0.1, 0.01, 0.001):
        each = wider * level / (2 * len(at))
        bounds = np.array([_clopper(share, n / wins.spread, each) for share in tail[at]])
        low, high = (_extreme(wins, limit, at, bounds, most=most) for most in (False, True))
        if low is not None and high is not None:
            return low, high
        # No distribution is in accord: the truth is not either, which wider bounds may mend.
    return 0.0, 1.0


def _extreme(
    wins: Wins, limit: float, at: np.ndarray, bounds: np.ndarray, *, most: bool
) -> float | None:
    """The least or the greatest share beyond the limit that any distribution over patients has
    whose shares of patients told apart in at least `at` pairs keep to the bounds, (len(at), 2);
    None where there is none."""
    from scipy.optimize import linprog
    from scipy.stats import binom

    chances = np.unique(np.append(np.linspace(0.5, 1.0, 101), limit))
    pairs, where = wins.pairs, at[:, None]
    # Of a patient's ways only the best is known: it, or all of them, reaches as many pairs.
    one = binom.sf(where - 1, pairs, chances) + binom.cdf(pairs - where, pairs, chances)
    any_way = np.minimum(1.0, wins.ways * one)
    beyond = (chances >= limit if most else chances > limit).astype(np.float64)
    solved = linprog(
        -beyond if most else beyond,
        A_ub=np.concatenate([one, -any_way]),
        b_ub=np.concatenate([bounds[:, 1], -bounds[:, 0]]),
        A_eq=np.ones((1, len(chances))),
        b_eq=[1.0],
    )
    if not solved.success:
        return None
    return float(np.clip(beyond @ solved.x, 0.0, 1.0))


def _fitted(counts: np.ndarray, pairs: int, limit: float) -> float:
    """The share beyond the limit, in either direction, of the likeliest distribution."""
    from scipy.stats import binom

    seen = np.bincount(counts, minlength=pairs + 1).astype(np.float64)
    chance = binom.pmf(np.arange(pairs + 1)[:, None], pairs, GRID)
    weight = np.full(len(GRID), 1.0 / len(GRID))
    for _ in range(500):
        weight = weight * (chance.T @ (seen / (chance @ weight))) / seen.sum()
    return float(weight[(limit < GRID) | (1.0 - limit > GRID)].sum())


def _clopper(share: float, size: float, level: float) -> tuple[float, float]:
    """Exact bounds of a share, each at this level; size may be an effective, fractional one."""
    from scipy.stats import beta

    hits = share * size
    low = float(beta.ppf(level, hits, size - hits + 1.0)) if hits > 0.0 else 0.0
    high = float(beta.ppf(1.0 - level, hits + 1.0, size - hits)) if hits < size else 1.0
    return low, high


__all__ = ["Wins", "bound_share", "false_discovery", "pairs_needed", "share_beyond"]
