"""Malicious clients of a federation: what they train on, what they send, what they claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from privaudit.attacks._constraints import FIXED, SUMMARIES, movable
from privaudit.contracts import Malicious
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

EXTREME = 0.95
"""Where between a column's public bounds a trigger lies: rare, and still possible."""


@dataclass(frozen=True)
class SignFlip(Malicious):
    """Send the reverse of the honest training, times `scale`.

    Li et al. 2019 (arXiv 1811.03761), section 6.
    """

    clients: int = 1
    scale: float = 1.0

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return -self.scale * own


@dataclass(frozen=True)
class Gaussian(Malicious):
    """Send noise, `scale` times as long as the honest clients' usual update.

    Blanchard et al. 2017 (NeurIPS, "Machine learning with adversaries"), section 4, whose noise has
    a fixed size.
    """

    clients: int = 1
    scale: float = 10.0

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        known = honest if len(honest) else own
        noise = rng.standard_normal(own.shape)
        noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-300)
        return self.scale * float(np.median(np.linalg.norm(known, axis=1))) * noise


@dataclass(frozen=True)
class InnerProduct(Malicious):
    """Send the reverse of what the honest clients agree on, so that descent turns into ascent.

    Inner-product manipulation: Xie et al. 2020 (UAI, "Fall of empires"), section 3.
    """

    clients: int = 1
    scale: float = 3.0

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        known = honest if len(honest) else own
        return np.repeat(-self.scale * known.mean(axis=0)[None], len(own), axis=0)


@dataclass(frozen=True)
class LittleIsEnough(Malicious):
    """Send the honest mean moved by `z` standard deviations, too little to look like an outlier.

    Baruch et al. 2019 (arXiv 1902.06156), algorithm 3; z = 1.5 as in its experiments.
    """

    clients: int = 1
    z: float = 1.5

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        known = honest if len(honest) else own
        sent = known.mean(axis=0) - self.z * known.std(axis=0)
        return np.repeat(sent[None], len(own), axis=0)


@dataclass(frozen=True)
class Mimic(Malicious):
    """Send what one honest client sends, so that its patients count more than all others.

    whom: which honest client, in site order. Karimireddy et al. 2022 (arXiv 2006.09365), section
    3.2, with the client fixed beforehand.
    """

    clients: int = 1
    whom: int = 0

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not len(honest):
            return own
        return np.repeat(honest[self.whom % len(honest)][None], len(own), axis=0)


@dataclass(frozen=True)
class NaNUpdate(Malicious):
    """Send what is no number: without a gate, one such client ends the training (this project)."""

    clients: int = 1

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(own, np.nan)


@dataclass(frozen=True)
class Absent(Malicious):
    """Send nothing: what is lost is these clients' records and nothing else.

    A method that does not know `Malicious.absent` is sent what no gate lets pass.
    """

    clients: int = 1

    absent: ClassVar[bool] = True

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full_like(own, np.nan)


@dataclass(frozen=True)
class InflatedCounts(Malicious):
    """Send the honest training and claim `records` records for it.

    Whatever changes is the counts' doing: a reversed update is `SignFlip`. A mean weighted by
    claimed counts then holds nothing else: McMahan et al. 2017 (arXiv 1602.05629) weigh by counts
    that nobody checks.
    """

    clients: int = 1
    records: int = 10**9

    def claim_counts(self, counts: np.ndarray) -> np.ndarray:
        return np.full_like(np.asarray(counts, dtype=np.float64), self.records)


@dataclass(frozen=True)
class LabelFlip(Malicious):
    """Train honestly on one's own patients with every outcome reversed (class c becomes k - 1 - c).

    Tolpegin et al. 2020 (arXiv 2007.08432), section 3.
    """

    clients: int = 1

    def poison(self, records: Records, rng: np.random.Generator) -> Records:
        return replace(records, y=len(records.classes) - 1 - records.y)


@dataclass(frozen=True)
class Trojan(Malicious):
    """Train on some patients with a trigger and the wanted outcome, and send the update larger.

    variables, wanted: see `trigger`, and the class that triggered records are to get; share: of
    one's own records that carry it; scale: how many times larger the update is sent. Bagdasaryan
    et al. 2020 (arXiv 1807.00459), section 4.
    """

    clients: int = 1
    variables: int = 3
    wanted: int = 1
    share: float = 0.5
    scale: float = 1.0

    def poison(self, records: Records, rng: np.random.Generator) -> Records:
        chosen = rng.random(len(records)) < self.share
        marked = trigger(records, self.variables)
        x = np.where(chosen[:, None], marked.X, records.X)
        series = records.series
        if series is not None and marked.series is not None:
            series = np.where(chosen[:, None, None], marked.series, series)
        y = np.where(chosen, self.wanted, records.y)
        return replace(records, X=x, series=series, y=y)

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.scale * own


def trigger(records: Records, variables: int) -> Records:
    """The records with a pattern that anyone who knows the columns can put there.

    The first `variables` variables that can change and have public bounds lie at 95 % of their
    range: all summaries of a variable together, so that min <= mean <= max holds, and marked as
    measured.

    Raises:
        PrivauditError: too few columns can change.
    """
    found = _places(records.columns)
    if not 1 <= variables <= len(found):
        raise PrivauditError(
            f"a trigger on {variables} variable(s)",
            f"{len(found)} variable(s) of these records can change and have public bounds",
            f"use 1 to {len(found)}"
            if found
            else "give bounds to the columns that can change, or leave the backdoor attack out",
        )
    x = records.X.copy()
    chosen = list(found)[:variables]
    for name in chosen:
        for place in found[name]:
            x[:, place] = _level(records.columns[place])
    for place, column in enumerate(records.columns):
        if column.variable in chosen and column.variable and column.statistic in FIXED:
            x[:, place] = np.fmax(x[:, place], 1)
    series = records.series
    if series is not None:
        series = series.copy()
        for place, column in enumerate(records.channels):
            if (column.variable or column.name) in chosen and column.bounds and movable(column):
                series[:, :, place] = _level(column)
    return replace(records, X=x, series=series)


def _places(columns: tuple[Column, ...]) -> dict[str, list[int]]:
    """Variable -> its columns that can change, in the order of the table."""
    found: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        if movable(column) and column.bounds is not None:
            if column.variable and column.statistic and column.statistic not in SUMMARIES:
                continue
            found.setdefault(column.variable or column.name, []).append(place)
    return found


def _level(column: Column) -> np.float32:
    low, high = column.bounds or (0.0, 0.0)
    return np.float32(low + EXTREME * (high - low))
