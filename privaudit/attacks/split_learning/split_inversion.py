"""Records rebuilt from the activations that cross a split model's cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._encoded_rows import WITHIN
from privaudit.attacks._options import check_whole
from privaudit.contracts import Access, Attack, CutTraffic, Fitted, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Records

PENALTIES = np.logspace(-3, 4, 15)
SHRINKAGES = (0.0, 0.5, 0.75, 1.0)
"""Shares of a prediction's departure from the mean that are tried."""
COPIES = 8
"""Noisy copies of each of the attacker's records, where activations come with noise."""
MOST = 8000
"""Rows that the decoder learns on: more cost memory and change nothing that can be seen."""


@dataclass(frozen=True)
class SplitInversion(Attack):
    """Learns to turn activations back into records, on records of the attacker's own.

    The attacker is a server that also holds the sites' layers: it averages them (SplitFed), was
    handed the finished joint model, or provided the software. It computes what its own records
    would look like at the cut (with noise, where the traffic spreads wider than its own records
    do), fits a ridge regression from there to the records, moved column by column to where most of
    its own records would have been hit, and applies it to the traffic of the last epoch. What a
    server without those layers can do is not measured. Success is the share of a record's measured
    cells that are hit: numbers within 0.319 standard deviations, codes exactly; columns that do not
    vary among the attacker's records do not count. The guess is the one row that hits most cells of
    those records, a better guess than their mean row. records: how many members' records are tried.
    Vepakomma et al. 2020 (arXiv 2008.09161) for the threat; Titcombe et al. 2021 (arXiv
    2104.05743), for inversion by pairs of records and activations; the tolerance as Vero et al.
    2023 (arXiv 2210.01785).
    """

    records: int = 500

    needs: ClassVar[frozenset[Access]] = frozenset({Access.CUT})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        traffic = target.release.cut
        assert traffic is not None
        check_whole(self, records=1)
        if traffic.ask is None:
            raise PrivauditError(
                "traffic at a cut without the layers below it",
                "this attack learns on pairs of records and activations, which those layers give",
                "release the layers with the traffic, or leave out split_inversion",
            )
        reference, members = target.split.reference, target.split.members
        if len(reference) > MOST // 2:
            reference = reference.take(rng.choice(len(reference), MOST // 2, replace=False))
        rows, smashed, labels = _victims(traffic, self.records, rng)
        victims = members.take(rows)
        cells = Cells.of(reference)
        own = np.asarray(traffic.ask(reference), dtype=np.float64)
        pairs, times = _as_seen(own, smashed, rng)
        codes = np.eye(len(members.classes))
        known = None if labels is None else np.tile(codes[reference.y], (times, 1))
        wanted = np.tile(cells.encode(reference), (times, 1))
        measured = np.tile(cells.measured(reference), (times, 1))
        decoder = Decoder.fit(_joined(pairs, known), wanted, times, measured)
        sent = None if labels is None else codes[labels]
        guess = np.repeat(cells.usual[None], len(rows), axis=0)
        other = cells.encode(reference.take(rng.integers(len(reference), size=len(rows))))
        return {
            Setting("attacker", "server", details=("holds the sites' layers",)): Trials(
                success=cells.hits(decoder(_joined(smashed, sent)), victims),
                control=cells.hits(other, victims),
                guess=cells.hits(guess, victims),
                control_label="a real record of another {person}, drawn at random",
                patients=victims.patient,
            )
        }


def _victims(
    traffic: CutTraffic, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows, activations and, where they were sent, outcomes of some records of the last epoch."""
    at = np.flatnonzero(traffic.epoch == traffic.epoch.max())
    _, first = np.unique(traffic.row[at], return_index=True)
    at = at[first]
    at = np.sort(rng.permutation(at)[:count])
    labels = None if traffic.labels is None else traffic.labels[at]
    return traffic.row[at], traffic.smashed[at].astype(np.float64), labels


def _as_seen(own: np.ndarray, seen: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The attacker's own activations with as much noise as the traffic seems to carry, copied.

    Activations that are never negative without noise and often are in the traffic give it away.
    """
    if own.min() < 0 or (seen < 0).mean() < 0.01:
        return own, 1
    spread = np.sqrt(max(float((seen.var(axis=0) - own.var(axis=0)).mean()), 0.0))
    copies = max(1, min(COPIES, MOST // len(own)))
    many = np.tile(own, (copies, 1))
    return many + spread * rng.standard_normal(many.shape), copies


def _joined(smashed: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    return smashed if known is None else np.concatenate([smashed, known], axis=1)


@dataclass(frozen=True, eq=False)
class Cells:
    """Columns of X as targets of a regression, and how a rebuilt row is graded.

    numbers: columns that vary; binary: (len(numbers),) bool, rounded; categories: column -> where
    its levels are among the targets. centre, spread: (len(numbers),), of the attacker's records;
    usual: (targets,), the row that hits most cells of those records.
    """

    numbers: np.ndarray
    binary: np.ndarray
    categories: dict[int, slice]
    centre: np.ndarray
    spread: np.ndarray
    usual: np.ndarray

    @classmethod
    def of(cls, reference: Records) -> Cells:
        columns, x = reference.columns, reference.X.astype(np.float64)
        there = ~np.isnan(x)
        count = np.maximum(there.sum(axis=0), 1)
        centre = np.where(there, x, 0).sum(axis=0) / count
        spread = np.sqrt((np.where(there, x - centre, 0) ** 2).sum(axis=0) / count)
        number = np.array([column.kind != "category" for column in columns], dtype=bool)
        numbers = np.flatnonzero(number & (spread > 1e-6 * np.maximum(np.abs(centre), 1e-6)))
        binary = np.array([columns[j].kind == "binary" for j in numbers], dtype=bool)
        categories, at = {}, len(numbers)
        for j, column in enumerate(columns):
            if column.kind == "category" and len(np.unique(x[there[:, j], j])) > 1:
                categories[j] = slice(at, at + len(column.levels))
                at += len(column.levels)
        empty = cls(numbers, binary, categories, centre[numbers], spread[numbers], np.empty(0))
        encoded, measured = empty.encode(reference), empty.measured(reference)
        usual = encoded.mean(axis=0)
        for k in np.flatnonzero(measured.any(axis=0)):
            usual[k], _ = densest(encoded[measured[:, k], k])
        return cls(numbers, binary, categories, centre[numbers], spread[numbers], usual)

    def encode(self, records: Records) -> np.ndarray:
        """(n, targets): standardised numbers, 0 where missing, then one-hot levels."""
        x = records.X.astype(np.float64)
        width = len(self.numbers) + sum(w.stop - w.start for w in self.categories.values())
        out = np.zeros((len(x), width))
        out[:, : len(self.numbers)] = np.nan_to_num(
            (x[:, self.numbers] - self.centre) / self.spread
        )
        for j, where in self.categories.items():
            rows = np.flatnonzero(~np.isnan(x[:, j]))
            out[rows, where.start + x[rows, j].astype(np.int64)] = 1
        return out

    def measured(self, records: Records) -> np.ndarray:
        """(n, targets) bool: the numbers that tolerance is granted to, where they were measured."""
        found = np.zeros((len(records), len(self.numbers)), dtype=bool)
        found[:, ~self.binary] = ~np.isnan(records.X[:, self.numbers[~self.binary]])
        rest = sum(w.stop - w.start for w in self.categories.values())
        return np.pad(found, ((0, 0), (0, rest)))

    def hits(self, rebuilt: np.ndarray, truth: Records) -> np.ndarray:
        """(n,), the share of each record's measured cells that the rebuilt (n, targets) hit."""
        x = truth.X.astype(np.float64)
        k = len(self.numbers)
        real, guessed = x[:, self.numbers], rebuilt[:, :k] * self.spread + self.centre
        guessed = np.where(self.binary, np.round(guessed), guessed)
        there = ~np.isnan(real)
        hit = there & (np.abs(guessed - real) <= np.where(self.binary, 0.5, WITHIN * self.spread))
        won, of = hit.sum(axis=1), there.sum(axis=1)
        for j, where in self.categories.items():
            known = ~np.isnan(x[:, j])
            won = won + (known & (rebuilt[:, where].argmax(axis=1) == x[:, j]))
            of = of + known
        result: np.ndarray = won / np.maximum(of, 1)
        return result


@dataclass(frozen=True, eq=False)
class Decoder:
    """A ridge regression on standardised activations.

    scale, shift: (targets,); a target is scale x (predicted departure from the mean) + shift. Least
    squares aim at the mean of what is possible, which for skewed values is where hardly any are.
    """

    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def fit(
        cls, given: np.ndarray, wanted: np.ndarray, times: int, measured: np.ndarray | None = None
    ) -> Decoder:
        """From (n, w) to (n, targets). times: how many copies of each record there are.

        Penalty of the least leave-one-out error; measured: (n, targets) bool, cells for which scale
        and shift are those that hit most of the left-out ones.
        """
        centre, spread = given.mean(axis=0), given.std(axis=0)
        spread = np.where(spread > 1e-9, spread, 1.0)
        z, usual = (given - centre) / spread, wanted.mean(axis=0)
        u, s, vt = np.linalg.svd(z, full_matrices=False)
        target = u.T @ (wanted - usual)
        best, chosen, predicted = np.inf, PENALTIES[-1], np.zeros_like(wanted)
        for penalty in PENALTIES:
            shrink = s**2 / (s**2 + penalty)
            hat = (u**2) @ shrink + 1 / len(z)
            fitted = u @ (shrink[:, None] * target)
            left = (wanted - usual - fitted) / np.maximum(1 - hat * times, 0.05)[:, None]
            error = float((left**2).mean())
            if error < best:
                best, chosen, predicted = error, penalty, wanted - usual - left
        weights = vt.T @ ((s / (s**2 + chosen))[:, None] * target)
        scale, shift = np.ones(len(usual)), usual.copy()
        there = np.zeros(wanted.shape, dtype=bool) if measured is None else measured
        for j in np.flatnonzero(there.any(axis=0)):
            at, most = there[:, j], -1
            for part in SHRINKAGES:
                where, count = densest(wanted[at, j] - part * predicted[at, j])
                if count > most:
                    most, scale[j], shift[j] = count, part, where
        return cls(centre, spread, weights, scale, shift)

    def __call__(self, given: np.ndarray) -> np.ndarray:
        found = ((given - self.centre) / self.spread) @ self.weights
        result: np.ndarray = self.scale * found + self.shift
        return result


def densest(values: np.ndarray) -> tuple[float, int]:
    """The number that most of these standardised values are within tolerance of, and how many."""
    ordered = np.sort(values)
    reach = 2 * WITHIN * (1 - 1e-9)
    count = np.searchsorted(ordered, ordered + reach, side="right") - np.arange(len(ordered))
    i = int(count.argmax())
    return float(ordered[i] + ordered[i + count[i] - 1]) / 2, int(count[i])


__all__ = ["SplitInversion"]
