"""How much of what training on patients leaves in a model is still in it.

Sample by sample, a model's answer is placed between those of models that never saw the patient and
of models that did, as in Wang et al. 2025 (arXiv 2506.06112, read in part), here with the curves of
`few_shadow_lira` and its likelihood ratio, as Naderloui et al. 2025 (RULI, arXiv 2506.13009, read
in part) ask of an audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privaudit.attacks._empirical_bayes import Curves, Sums, fit
from privaudit.forgetting.bank import Bank

FAR = 5.0
"""Standard deviations beyond which an answer is as odd as can be: one patient decides nothing
alone."""
FLAT = 1e-3
"""Least slope of a model's answers on those of the refits: below it they know of nobody."""
FPRS = (0.01, 0.1)
"""False positive rates at which the forgotten are recognised among strangers."""
DECIDING_FPR = 0.1


@dataclass(frozen=True, eq=False)
class Reading:
    """What one model shows of the forgotten.

    imprint: 0 as in models that never saw them, 1 as in models that did, below 0 where it answers
    worse on them than these; surprise: how much odder its answers on them are than on strangers;
    recognised: share of them that a likelihood ratio names at `DECIDING_FPR`; noise: how odd its
    answers on strangers are; slope: of its margins on strangers by those of the refits; scores:
    (n,) the likelihood ratio of every record asked.
    """

    imprint: float
    surprise: float
    recognised: float
    noise: float
    slope: float
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Scale:
    """The bank with what it says of models that never saw the forgotten.

    Each of these is read with its own pair left out of the curves, as a model under audit is.
    """

    bank: Bank

    @cached_property
    def curves(self) -> Curves:
        """Of every record's margin, without it and with it, from all refits."""
        return fit(Sums.of(self.bank.margins, self.bank.included))

    def read(self, margins: np.ndarray) -> Reading:
        """A model that saw none of the strangers."""
        return _read(margins, self.curves, self.bank.forgotten, ~self.bank.forgotten)

    @cached_property
    def never(self) -> tuple[Reading, ...]:
        """The models that never saw the forgotten, in turn."""
        return tuple(self._read_pair(pair, 0) for pair in range(self.bank.pairs))

    @cached_property
    def saw(self) -> tuple[Reading, ...]:
        """The models that saw the forgotten, in turn."""
        return tuple(self._read_pair(pair, 1) for pair in range(self.bank.pairs))

    def _read_pair(self, pair: int, which: int) -> Reading:
        bank = self.bank
        rest = np.delete(np.arange(len(bank.margins)), [2 * pair, 2 * pair + 1])
        curves = fit(Sums.of(bank.margins[rest], bank.included[rest]))
        row = 2 * pair + which
        return _read(
            bank.margins[row], curves, bank.forgotten, ~bank.forgotten & ~bank.included[row]
        )


def _read(
    margins: np.ndarray, curves: Curves, forgotten: np.ndarray, strangers: np.ndarray
) -> Reading:
    """strangers: those whom the model did not see; by them its answers are first aligned with
    those of the refits, so that a model that is better or worse on everybody is not odd."""
    without, spread = curves.location[0], curves.scale[0]
    slope, level = _align(without[strangers], margins[strangers], spread[strangers])
    # Divided by the slope: answers that are blurred or turned round know what they knew.
    steep = np.copysign(max(abs(slope), FLAT), slope)
    away = np.clip(((margins - level) / steep - without) / spread, -FAR, FAR)
    effect = np.clip((curves.location[1] - without) / spread, -FAR, FAR)[forgotten]
    own, others = away[forgotten], away[strangers]
    energy = max(float((effect**2).sum()), 1e-12)
    scores = curves.ratio(without + away * spread)
    cut = np.quantile(scores[strangers], 1 - DECIDING_FPR, method="higher")
    return Reading(
        imprint=float((effect * own).sum()) / energy,
        surprise=float(np.abs(own).mean() - np.abs(others).mean()),
        recognised=float((scores[forgotten] > cut).mean()),
        noise=float(np.sqrt((others**2).mean())),
        slope=slope,
        scores=scores,
    )


def _align(x: np.ndarray, y: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Slope and level of y on x, by weighted least squares without the records furthest off."""
    weights, slope, level = 1.0 / spread**2, 1.0, 0.0
    for _ in range(3):
        share = weights / weights.sum()
        x0, y0 = float(share @ x), float(share @ y)
        varied = float(share @ (x - x0) ** 2)
        slope = float(share @ ((x - x0) * (y - y0))) / varied if varied > 1e-12 else 1.0
        level = y0 - slope * x0
        off = np.abs(y - level - slope * x) / spread
        far = np.maximum(off / max(float(np.median(off)), 1e-9) / 3.0, 1.0)
        weights = 1.0 / (spread**2 * far)
    return slope, level


__all__ = ["DECIDING_FPR", "FPRS", "Reading", "Scale"]
