"""Noisy counts of every column with the outcome and of chosen pairs of columns, with an epsilon
(MST-like)."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipelines._bounded import ONE_STAY, describe_noise, one_stay
from pipelines.generators._cells import COVERS, ROWS, Cells, CellSampler, counts, order, totals
from pipelines.generators._margins import check
from pipelines.generators._valid import Shape
from pipelines.generators.dp_histogram import CUTS, chances, chosen, pair_with_outcome
from pipelines.settings import COUNT, check_settings, require_package, settle_delta
from privaudit.contracts import FocalPoints, Generator, Progress, Sampler
from privaudit.dp import accounting
from privaudit.dp.noise import add_gaussian, bind_noise
from privaudit.errors import PrivauditError
from privaudit.records import Records

OUTCOME = "outcome"
CLEAR = 2.0
"""A pair is worth counting where its dependence stands out of the noise by so many standard
deviations."""
FLOOR = 1e-12
FLAGS = (
    "--xla_cpu_multi_thread_eigen=false",
    "intra_op_parallelism_threads=1",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
)
"""One thread; and the compiler's best effort costs five times what it saves: each model is fitted
once."""


@dataclass(frozen=True)
class DPMarginals(Generator):
    """Every pair with the outcome, and a tree of the pairs that depend most, counted with noise and
    fitted together.

    What one column says about another beyond the outcome is kept along the tree. A graphical model
    (private-pgm) finds the table of most entropy that agrees with all noisy counts; columns are
    drawn from it exactly, each given the outcome and one other column, so that no joint share is
    off.

    One stay of each patient is counted. Three Gaussian answers: m tables with the outcome (L2
    sensitivity sqrt(m)); for every pair of columns the product of two signs, within each outcome
    (sqrt(m (m - 1) / 2)), from which the tree is chosen; and the tables of the tree's pairs. What
    each is asked depends on the noisy answers before it alone.

    Args:
        epsilon, delta, statistics: As in `dp_histogram`.
        bins: Cells of a number (fewer, since pairs of columns are counted).
        budget: Shares of the noise budget spent on pairs with the outcome, on finding the tree, and
            on the tree's pairs.
        iterations: Steps of the fit at most.

    Source: McKenna, Miklau and Sheldon 2021 (arXiv 2108.04978, MST), with the outcome in every
    clique and the tree found by noisy correlations; McKenna et al. 2019 (arXiv 1901.09136),
    inference.
    """

    costly: ClassVar[bool] = True

    epsilon: float = 3.0
    delta: float | None = None
    statistics: tuple[str, ...] = ("", "last")
    bins: int = 10
    budget: tuple[float, float, float] = (0.5, 0.1, 0.4)
    iterations: int = 1000

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        check(records)
        self.check()
        rng = bind_noise(rng, self, records.fingerprint)
        cells = Cells.of(records.columns, self.statistics, self.bins)
        patients = len(np.unique(records.patient))
        delta = settle_delta(self, patients)
        sigma = accounting.solve_gaussian(self.epsilon, delta)
        # Answers of noise s_i / sqrt(share_i) over their sensitivity are together one of noise s.
        claim = accounting.gaussian(
            sigma, delta, covers=COVERS, n=patients, noise=accounting.name_noise(rng)
        )
        m, k = len(cells.released), len(records.classes)
        stays = one_stay(records, rng)
        code, sizes = cells.code(stays), cells.sizes
        pair_noise = sigma * math.sqrt(m / self.budget[0])
        with_outcome = [
            add_gaussian(table, pair_noise, 1.0, rng) for table in counts(code, stays.y, sizes, k)
        ]
        edges = self._tree(with_outcome, code, stays.y, sigma, rng)
        edge_noise = sigma * math.sqrt(max(len(edges), 1) / self.budget[2])
        between = []
        for i, j in edges:
            (table,) = counts(code[:, [j]], code[:, i], sizes[[j]], int(sizes[i]))
            between.append(add_gaussian(table, edge_noise, 1.0, rng))
        if progress is not None:
            progress("fit noisy counts together", 0.3)
        prior, parent, tables = self._fit(
            with_outcome, pair_noise, edges, between, edge_noise, sizes
        )
        if progress is not None:
            progress("fit noisy counts together", 1.0)
        return CellSampler(
            "dp_marginals",
            Shape.of(records),
            cells,
            prior,
            parent,
            tables,
            cells.noisy(with_outcome),
            claim,
            (
                ONE_STAY,
                CUTS,
                _split(self.budget, m, len(edges)),
                ROWS,
                chosen(cells),
                describe_noise(rng),
            ),
            total=float(totals(with_outcome).sum()),
        )

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints:
        """Every column that is counted, with the outcome, and the pairs of a tree chosen anew."""
        cells = Cells.of(records.columns, self.statistics, self.bins)
        delta = settle_delta(self, len(np.unique(records.patient)))
        sigma = accounting.solve_gaussian(self.epsilon, delta)
        stays = one_stay(records, rng)
        code, k = cells.code(stays), len(records.classes)
        noise = sigma * math.sqrt(len(cells.released) / self.budget[0])
        noisy = [
            add_gaussian(table, noise, 1.0, rng) for table in counts(code, stays.y, cells.sizes, k)
        ]
        names = [records.columns[j].name for j in cells.released]
        edges = self._tree(noisy, code, stays.y, sigma, rng)
        pairs = tuple((names[i], names[j]) for i, j in edges)
        return FocalPoints((*pair_with_outcome(cells, records), *pairs), cuts=cells.cuts)

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return CellSampler.load(file, "dp_marginals")

    def _tree(
        self,
        tables: Sequence[np.ndarray],
        code: np.ndarray,
        y: np.ndarray,
        sigma: float,
        rng: np.random.Generator,
    ) -> list[tuple[int, int]]:
        """Pairs of columns to count: the spanning tree of the strongest dependence within outcomes.

        Each column is cut in two by its noisy counts; patients' signs are multiplied pair by pair
        and summed within each outcome: one patient moves m (m - 1) / 2 sums of one outcome by 1 at
        most.
        """
        from scipy.sparse.csgraph import minimum_spanning_tree

        m, k = code.shape[1], len(tables[0])
        if m < 2:
            return []
        halves = [_halves(table.sum(axis=0)) for table in tables]
        signs = np.stack([half[code[:, i]] for i, half in enumerate(halves)], axis=1)
        noise = sigma * math.sqrt(m * (m - 1) / 2 / self.budget[1])
        size = totals(tables)
        upper = np.triu_indices(m, 1)
        score = np.zeros(len(upper[0]))
        for c in range(k):
            mine = signs[y == c]
            products = add_gaussian((mine.T @ mine)[upper], noise, math.sqrt(m * (m - 1) / 2), rng)
            mean = np.array(
                [chances(np.maximum(t[c], FLOOR)) @ h for t, h in zip(tables, halves, strict=True)]
            )
            spread = np.sqrt(np.maximum(1 - mean**2, 0.05))
            covary = products / size[c] - mean[upper[0]] * mean[upper[1]]
            r = covary / (spread[upper[0]] * spread[upper[1]])
            error = noise / size[c] / (spread[upper[0]] * spread[upper[1]])
            # Patients' worth of dependence: a class weighs as much as it has patients, less what
            # is noise.
            score += size[c] * np.where(np.abs(r) > CLEAR * error, r**2 - error**2, 0.0)
        weight = np.zeros((m, m))
        weight[upper] = np.where(score > 0, -score, 0.0)
        tree = minimum_spanning_tree(weight).tocoo()
        return sorted(zip(tree.row.tolist(), tree.col.tolist(), strict=True))

    def _fit(
        self,
        with_outcome: Sequence[np.ndarray],
        pair_noise: float,
        edges: Sequence[tuple[int, int]],
        between: Sequence[np.ndarray],
        edge_noise: float,
        sizes: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
        """(prior, parent, tables) of a `CellSampler`: the model of most entropy that fits the noisy
        counts."""
        k, m = len(with_outcome[0]), len(sizes)
        names = [f"c{i}" for i in range(m)]
        parent = _parents(m, edges)
        with _library() as mbi:
            domain = mbi.Domain([OUTCOME, *names], [k, *sizes.tolist()])
            measured = [
                mbi.LinearMeasurement(table.ravel(), (OUTCOME, names[i]), pair_noise)
                for i, table in enumerate(with_outcome)
            ]
            measured += [
                mbi.LinearMeasurement(table.ravel(), (names[i], names[j]), edge_noise)
                for (i, j), table in zip(edges, between, strict=True)
            ]
            model = mbi.estimation.MirrorDescent().estimate(
                domain,
                measured,
                known_total=float(totals(with_outcome).sum()),
                iters=self.iterations,
                tol=1e-5,
            )

            def joint(*attributes: str) -> np.ndarray:
                found = np.asarray(model.project(attributes).datavector(flatten=False), float)
                return np.maximum(found, 0.0)

            prior = joint(OUTCOME)
            tables: list[np.ndarray] = [np.empty(0)] * m
            for i in order(parent):
                above = parent[i]
                if above < 0:
                    found = joint(OUTCOME, names[i])[:, None, :]
                else:
                    found = joint(OUTCOME, names[above], names[i])
                # A row without any chance is never drawn from: it may hold any.
                tables[i] = chances(found + FLOOR)
        return prior / prior.sum(), parent, tuple(tables)

    def check(self) -> None:
        require_package("mbi", "it fits the noisy counts together", "synthetic")
        accounting.check(self.epsilon, self.delta or 0.0)
        if len(self.budget) != 3 or min(self.budget) <= 0 or abs(sum(self.budget) - 1) > 1e-9:
            raise PrivauditError(
                f"budget {self.budget}",
                "three shares above 0 that sum to 1: pairs with the outcome, the tree, the tree's "
                "pairs",
                "use 0.5,0.1,0.4",
            )
        check_settings(self, iterations=COUNT)


def _halves(noisy: np.ndarray) -> np.ndarray:
    """(cells,) -1 or 1: the column's cells cut in two as evenly as its noisy counts allow."""
    shares = np.maximum(noisy, 0.0)
    whole = max(shares.sum(), FLOOR)
    below = np.cumsum(shares)[:-1] / whole
    cut = int(np.argmin(np.abs(below - 0.5))) + 1
    return np.where(np.arange(len(noisy)) < cut, -1.0, 1.0)


def _parents(m: int, edges: Sequence[tuple[int, int]]) -> np.ndarray:
    """(m,) which column each is drawn given, when every tree hangs from its column of most
    pairs."""
    near: dict[int, list[int]] = {i: [] for i in range(m)}
    for i, j in edges:
        near[i].append(j)
        near[j].append(i)
    parent = np.full(m, -1)
    seen: set[int] = set()
    for root in sorted(range(m), key=lambda i: -len(near[i])):
        waiting = [] if root in seen else [root]
        seen.update(waiting)
        while waiting:
            i = waiting.pop()
            for j in near[i]:
                if j not in seen:
                    seen.add(j)
                    parent[j] = i
                    waiting.append(j)
    return parent


def _split(budget: tuple[float, float, float], m: int, pairs: int) -> str:
    return (
        f"The noise budget went to {m} pairs with the outcome ({budget[0]:.0%}), to finding which "
        "columns depend on "
        f"each other ({budget[1]:.0%}) and to {pairs} pairs of columns ({budget[2]:.0%})."
    )


@contextmanager
def _library() -> Iterator[Any]:
    """The package mbi on one thread, its warnings about the machine's set-up silenced."""
    flags = os.environ.get("XLA_FLAGS")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["XLA_FLAGS"] = " ".join([*([flags] if flags else []), *FLAGS])
        try:
            import jax
            import mbi
            import mbi.estimation

            jax.devices("cpu")
            with jax.default_device(jax.devices("cpu")[0]):
                yield mbi
        except ImportError as error:
            raise PrivauditError(
                "the package mbi is not installed",
                "it fits the noisy counts together",
                "pip install 'privaudit[synthetic]'",
            ) from error
        finally:
            if flags is None:
                os.environ.pop("XLA_FLAGS", None)
            else:
                os.environ["XLA_FLAGS"] = flags


__all__ = ["DPMarginals"]
