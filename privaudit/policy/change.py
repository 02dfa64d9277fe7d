"""One number in the runs of a baseline and in those of a candidate, and how much worse it got.

Two designs. Where the runs share their seeds, the two runs of one seed are a pair: split, shadow
models and every stream are the same, and the differences inside the pairs are the sample (Student's
t over pairs). Else the two means are compared, with the spread between seeds pooled over both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from privaudit.facts import Metric, ReasonCode
from privaudit.policy.metrics import Better

FEWEST = 2
"""Below this many runs of the baseline, or pairs, nothing is known about the spread."""

MOST_RUNS = 200
"""No more further runs than this are proposed."""


@dataclass(frozen=True)
class Change:
    """One number of one subject in the baseline's runs (before) and in the candidate's (after).

    number: which number of the audit, None where no run has it; better: which way is good. missing:
    why nothing is known of it; before and after may then be empty. lacking: runs of the candidate
    without the number. step: what the values are rounded to in documents that are shared. pairs:
    commitments to the seeds that the runs share, in the order of before and after; none where they
    share none. held: all that the baseline holds of the number, whichever runs are compared.
    """

    subject: str
    attack: str
    number: Metric | None
    better: Better
    before: tuple[float, ...]
    after: tuple[float, ...]
    missing: ReasonCode | None = None
    lacking: int = 0
    step: float = 0.0
    pairs: tuple[str, ...] = ()
    held: tuple[float, ...] = ()

    @property
    def worse(self) -> float:
        """How much worse the candidate is on average; negative: better."""
        return _mean(self._badness(self.after)) - _mean(self._badness(self.before))

    @property
    def level(self) -> float:
        """How bad the number is on average in all runs of the baseline."""
        return _mean(self._badness(self.held or self.before))

    @property
    def error(self) -> float:
        """Standard error of `worse`: from the differences inside pairs, or from the spread between
        seeds, pooled over both."""
        if self.pairs:
            return self.spread / math.sqrt(len(self.pairs))
        return self.spread * math.sqrt(1 / len(self.before) + 1 / len(self.after))

    @property
    def spread(self) -> float:
        """Standard deviation of the differences inside pairs; of unpaired runs, between seeds."""
        one, other = self._badness(self.before), self._badness(self.after)
        parts = [one, other]
        if self.pairs:
            parts = [[b - a for a, b in zip(one, other, strict=True)]]
        total = sum(sum((v - _mean(part)) ** 2 for v in part) for part in parts)
        return math.sqrt(total / self.freedom)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the spread."""
        return len(self.pairs) - 1 if self.pairs else len(self.before) + len(self.after) - 2

    @property
    def hidden(self) -> float:
        """What may have been rounded off on average.

        Where runs differ by less than what was rounded off, all may be off the same way: values of
        one model where it spreads by less than half a step, differences of two rounded values where
        they spread by less than a whole one.
        """
        return max(0.0, self.step - (1 if self.pairs else 2) * self.spread)

    def _badness(self, values: Sequence[float]) -> list[float]:
        how = {"low": 1.0, "high": -1.0}
        if self.better in how:
            return [how[self.better] * v for v in values]
        return [abs(v - (1.0 if self.better == "one" else 0.0)) for v in values]

    def bound(self, confidence: float, side: Literal["lower", "upper"]) -> float:
        """The one-sided bound on `worse`."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, confidence)) * self.error + self.hidden
        return self.worse - half if side == "lower" else self.worse + half

    def p(self, margin: float) -> float:
        """Chance of a candidate this much worse if it were worse by the margin and no more."""
        from scipy.special import stdtr

        gap = self.worse - margin - self.hidden
        if self.error == 0:
            return 0.0 if gap > 0 else 1.0
        return float(stdtr(self.freedom, -gap / self.error))

    def more_runs(self, margin: float, confidence: float) -> int:
        """Pairs to add, or runs on each side, so that the bounds would exclude the margin if the
        means stay."""
        from scipy.special import stdtrit

        gap = abs(self.worse - margin)
        one, other, spread = len(self.before), len(self.after), self.spread
        for extra in range(1, MOST_RUNS):
            if self.pairs:
                freedom, scale = self.freedom + extra, 1 / (one + extra)
            else:
                freedom = self.freedom + 2 * extra
                scale = 1 / (one + extra) + 1 / (other + extra)
            if float(stdtrit(freedom, confidence)) * spread * math.sqrt(scale) <= gap:
                return extra
        return MOST_RUNS


def against(one: Change, strongest: Change) -> Change | None:
    """The candidate by one attack against the baseline by another, pair by pair where both are
    paired; None where they do not rest on the same runs."""
    if one.pairs != strongest.pairs or one.number != strongest.number:
        return None
    return replace(
        one, before=strongest.before, held=strongest.held, step=max(one.step, strongest.step)
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


__all__ = ["FEWEST", "MOST_RUNS", "Change", "against"]
