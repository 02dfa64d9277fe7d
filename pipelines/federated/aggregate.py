"""How a server turns the clients' updates into one, and how many malicious clients each way bears.

Every aggregate comes after the gate (`pipelines.federated.gate`): what it is handed is finite and
of one shape. Only `Mean` heeds record counts, which are claims; the robust ones give every client
one voice. Only `Mean` is linear, so only it can work on masked or encrypted updates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pipelines.settings import at_least, check_settings
from privaudit.errors import PrivauditError

ITERATIONS = 100
CLOSE = 1e-9


class Aggregate(ABC):
    """One update from many. Subclasses are frozen dataclasses whose constructor only stores."""

    linear: ClassVar[bool] = False
    """Whether it is a weighted sum, which secure and encrypted sums can compute."""

    def check(self, clients: int) -> None:
        """Refuse a federation in which more clients may be malicious than this bears."""
        if clients < self.fewest:
            raise PrivauditError(
                f"{self!r} over {clients} client(s)",
                f"it needs at least {self.fewest} clients: {self.reason}",
                f"use {self.fewest} or more clients, fewer malicious ones, or another aggregate",
            )

    @property
    def fewest(self) -> int:
        """The fewest clients it works with."""
        return 3

    @property
    def reason(self) -> str:
        """Why it needs that many."""
        return "with fewer, one client decides"

    @abstractmethod
    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """One update (p,) float64 from (c, p) finite updates and (c,) record counts."""

    def after(self, refused: int) -> Aggregate:
        """The same for the rest of a round in which the gate refused this many updates.

        A refused client is one of the f that were allowed for, so fewer can be left among the rest.
        """
        return self


@dataclass(frozen=True)
class Tolerant(Aggregate):
    """An aggregate that is given how many malicious clients, f, to allow for."""

    f: int = 1

    def check(self, clients: int) -> None:
        check_settings(self, f=at_least(0))
        super().check(clients)

    @property
    def fewest(self) -> int:
        return 2 * self.f + 1

    @property
    def reason(self) -> str:
        return f"it is asked to bear {self.f} malicious one(s), and honest ones must outvote them"

    def after(self, refused: int) -> Aggregate:
        return replace(self, f=max(0, self.f - refused))


@dataclass(frozen=True)
class Mean(Aggregate):
    """The mean of all updates, weighted by record counts: one malicious client is enough to move
    it.

    Federated averaging, McMahan et al. 2017 (arXiv 1602.05629), algorithm 1.
    """

    linear: ClassVar[bool] = True

    @property
    def fewest(self) -> int:
        return 1

    @property
    def reason(self) -> str:
        return "there is nothing to average"

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        share = np.asarray(counts, dtype=np.float64)
        return (share / share.sum()) @ np.asarray(updates, dtype=np.float64)


@dataclass(frozen=True)
class Median(Aggregate):
    """The middle value of each parameter: fewer than half of the clients cannot carry it away.

    Yin et al. 2018 (arXiv 1803.01498), definition 1.
    """

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return _median(np.asarray(updates, dtype=np.float64))


@dataclass(frozen=True)
class TrimmedMean(Tolerant):
    """The mean of each parameter without its f largest and f smallest values.

    Yin et al. 2018 (arXiv 1803.01498), definition 2.
    """

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        self.check(len(updates))
        ordered = np.sort(np.asarray(updates, dtype=np.float64), axis=0)
        return ordered[self.f : len(ordered) - self.f].mean(axis=0)


@dataclass(frozen=True)
class Krum(Tolerant):
    """The one update that lies closest to its neighbours, all others ignored.

    Its score is the sum of squared distances to its c - f - 2 nearest. Blanchard et al. 2017
    (NeurIPS, "Machine learning with adversaries"), section 3.
    """

    @property
    def fewest(self) -> int:
        return 2 * self.f + 3

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        self.check(len(updates))
        x = np.asarray(updates, dtype=np.float64)
        return x[_krum(x, self.f)[0]].copy()


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean of the c - f updates that Krum ranks best.

    Blanchard et al. 2017 (NeurIPS, "Machine learning with adversaries"), section 5, with m = c - f.
    """

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        self.check(len(updates))
        x = np.asarray(updates, dtype=np.float64)
        return x[_krum(x, self.f)[: len(x) - self.f]].mean(axis=0)


@dataclass(frozen=True)
class GeometricMedian(Aggregate):
    """The point with the least sum of distances to all updates.

    Smoothed Weiszfeld iterations from the coordinate median, to a relative change of 1e-9, at most
    100. Pillutla et al. 2022 (arXiv 1912.13445), algorithm 2, without weights.
    """

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = np.asarray(updates, dtype=np.float64)
        centre = _median(x)
        x = x - centre
        found = np.zeros_like(centre)
        far = np.sqrt(np.einsum("cp,cp->c", x, x))
        # Half of the clients are honest, so the median distance is a scale that outliers cannot
        # set.
        scale = float(np.median(far))
        for _ in range(ITERATIONS):
            weight = 1 / np.maximum(far, max(1e-6 * scale, 1e-300))
            new = (weight / weight.sum()) @ x
            moved = float(np.linalg.norm(new - found))
            found = new
            if moved <= CLOSE * scale:
                break
            away = x - found
            far = np.sqrt(np.einsum("cp,cp->c", away, away))
        return centre + found


@dataclass(frozen=True)
class NearestNeighbourMixing(Tolerant):
    """Each update becomes the mean of its c - f nearest, then another aggregate combines them.

    It takes away the advantage that malicious clients have where honest hospitals differ. Allouah
    et al. 2023 (arXiv 2302.01772), algorithm 2.

    Args:
        inner: The aggregate after mixing; None is the trimmed mean for the same f.
    """

    inner: Aggregate | None = None

    def check(self, clients: int) -> None:
        super().check(clients)
        self._inner.check(clients)

    def combine(self, updates: np.ndarray, counts: np.ndarray) -> np.ndarray:
        self.check(len(updates))
        x = np.asarray(updates, dtype=np.float64)
        near = np.argsort(_distances(x), axis=1, kind="stable")[:, : len(x) - self.f]
        mixing = np.zeros((len(x), len(x)))
        np.put_along_axis(mixing, near, 1 / near.shape[1], axis=1)
        # 0 times a huge outlier is 0 in float64, so what is not mixed in leaves no trace.
        return self._inner.combine(mixing @ x, counts)

    def after(self, refused: int) -> Aggregate:
        inner = None if self.inner is None else self.inner.after(refused)
        return NearestNeighbourMixing(max(0, self.f - refused), inner)

    @property
    def _inner(self) -> Aggregate:
        return TrimmedMean(self.f) if self.inner is None else self.inner


def _median(x: np.ndarray) -> np.ndarray:
    """(p,) coordinate medians; the two middle values are halved first, so that no sum overflows."""
    ordered = np.sort(x, axis=0)
    low, high = ordered[(len(x) - 1) // 2], ordered[len(x) // 2]
    return low + (high - low) / 2


def _distances(x: np.ndarray) -> np.ndarray:
    """(c, c) squared distances, 0 on the diagonal and symmetric to the last bit."""
    x = x - _median(x)
    gram = x @ x.T
    size = np.diag(gram)
    found = np.maximum(size[:, None] + size[None, :] - gram - gram.T, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def _krum(x: np.ndarray, f: int) -> np.ndarray:
    """(c,) clients by Krum's score, best first; equal scores by distance to the coordinate median,
    then by a fixed projection, so that no order of the clients decides."""
    others = np.sort(_distances(x), axis=1)[:, 1 : len(x) - f - 1].sum(axis=1)
    away = x - _median(x)
    aside = x @ np.cos(np.arange(1.0, x.shape[1] + 1))
    return np.lexsort((aside, _coarse(np.einsum("cp,cp->c", away, away)), _coarse(others)))


def _coarse(scores: np.ndarray) -> np.ndarray:
    """Scores that differ by rounding alone, made equal: means of the same updates in another order
    do."""
    top = float(np.max(np.abs(scores), initial=0.0))
    return scores if top == 0.0 else np.round(scores / top, 9)


__all__ = [
    "Aggregate",
    "GeometricMedian",
    "Krum",
    "Mean",
    "Median",
    "MultiKrum",
    "NearestNeighbourMixing",
    "Tolerant",
    "TrimmedMean",
]
