"""Explainable boosting with differential privacy: one noisy curve a column (interpret)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines._bounded import (
    ONE_STAY,
    PUBLIC,
    bounds,
    check_classes,
    columns_read,
    nothing_read,
    one_stay,
    seed,
)
from pipelines.federated.encode import PublicEncoding
from pipelines.settings import (
    COUNT,
    FRACTION,
    POSITIVE,
    at_least,
    check_settings,
    require_package,
    settle_delta,
)
from privaudit.contracts import Method, Release
from privaudit.dp import accounting
from privaudit.records import Records
from privaudit.stats.epsilon_bounds import epsilon_of

COUNTED = "The number of patients trained on is public: the library sets the size of bins by it."

TAIL = 1e-10
"""The delta in which the library is given its budget; only the noise that follows is used."""


@dataclass(frozen=True)
class DPEBM(Method):
    """A sum of curves, one a column, each learnt from noisy histograms: a model that can be read.

    interpret's own split of the budget is not tight, so its noise is set to what the accountant
    asks for, and the claim is made from the noise that was used. Bounds and column types come from
    the schema. Two classes only. A fixed model, so no `learner` to compose with. The defaults were
    chosen on generated stays.

    Args: epsilon, delta: The guarantee for one patient added or removed; delta None for the largest
        power of ten at most 1/(10 x patients). statistics: Which summaries of a measured variable
        are read ("" for columns that summarise nothing, such as age): every further column costs
        noise in all, so the choice is made beforehand and not by the records. bins, rounds, leaves,
        rate: Settings of the boosting. share: The share of the budget (in squared Gaussian mu) that
        goes into the histograms of the columns.

    Source: Nori, Caruana, Bu, Shen and Kulkarni 2021 (arXiv 2106.09680), algorithm 2.
    """

    epsilon: float = 3.0
    delta: float | None = None
    statistics: tuple[str, ...] = ("", "last")
    bins: int = 16
    rounds: int = 20
    leaves: int = 3
    rate: float = 0.5
    share: float = 0.1

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        start = time.process_time()
        self.check()
        patients = len(np.unique(members.patient))
        delta = settle_delta(self, patients)
        check_classes(members, 2)
        records = one_stay(members, rng)
        check_classes(records, 2)
        encoding = PublicEncoding(members.columns)
        read = columns_read(encoding, self.statistics)
        low, high = (part[read] for part in bounds(encoding))
        # The library's curves are steps between cuts; values go in as the model will see them.
        x = encoding.encode(records)[:, read].astype(np.float64)
        found = self._boost(x, records.y, np.column_stack([low, high]), delta, seed(rng))
        steps = (
            (found.noise_scale_binning_, x.shape[1]),
            (found.noise_scale_boosting_ / self.rate, x.shape[1] * self.rounds),
        )
        claim = accounting.compose(
            [accounting.gaussian(sigma, delta, times=times, n=patients) for sigma, times in steps]
        )
        order = [int(term[0]) for term in found.term_features_]
        return Release(
            claim=claim,
            model=Curves(
                encoding,
                np.asarray(read)[order],
                tuple(np.asarray(found.bins_[j][0], dtype=np.float64) for j in order),
                tuple(np.asarray(scores, dtype=np.float64) for scores in found.term_scores_),
                float(np.ravel(found.intercept_)[0]),
            ),
            costs={"train_seconds": time.process_time() - start},
            notes=(ONE_STAY, PUBLIC, COUNTED),
        )

    def check(self) -> None:
        require_package("interpret", "it boosts the curves and adds the noise", "dp")
        accounting.check(self.epsilon, self.delta or 0.0)
        check_settings(self, bins=at_least(4), rounds=COUNT, leaves=at_least(2))
        check_settings(self, share=FRACTION, rate=POSITIVE)

    def _boost(
        self, x: np.ndarray, y: np.ndarray, limits: np.ndarray, delta: float, state: int
    ) -> Any:
        """interpret's model, with the noise that the accountant asks for.

        The library takes an epsilon and a delta for each of two stages and turns them into noise;
        both are chosen here so that its noise becomes what the whole budget allows.
        """
        from threadpoolctl import threadpool_limits

        mu = 1 / accounting.solve_gaussian(self.epsilon, delta)
        stages = [epsilon_of(mu * np.sqrt(part), TAIL / 2) for part in (self.share, 1 - self.share)]
        with nothing_read("Privacy violation: using a fixed random_state"), threadpool_limits(1):
            from interpret.privacy import DPExplainableBoostingClassifier

            return DPExplainableBoostingClassifier(
                feature_names=[f"c{j}" for j in range(x.shape[1])],
                feature_types=["continuous"] * x.shape[1],
                max_bins=self.bins,
                max_rounds=self.rounds,
                max_leaves=self.leaves,
                learning_rate=self.rate,
                outer_bags=1,
                validation_size=0,
                n_jobs=1,
                random_state=state,
                epsilon=sum(stages),
                delta=TAIL,
                bin_budget_frac=stages[0] / sum(stages),
                composition="gdp",
                privacy_bounds=limits,
            ).fit(x, y)


@dataclass(frozen=True, eq=False)
class Curves:
    """A sum of step functions, one a column, on the log odds; holds no record.

    Args:
        columns: (t,) encoded columns.
        cuts: Where each curve steps.
        scores: Its heights, after one for missing and before one for unknown values, which the
            public encoding never yields.
    """

    encoding: PublicEncoding
    columns: np.ndarray
    cuts: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]
    base: float

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, 2) float64, rows sum to 1."""
        from scipy.special import expit

        x = self.encoding.encode(records).astype(np.float64)
        logit = np.full(len(records), self.base)
        for j, cuts, scores in zip(self.columns, self.cuts, self.scores, strict=True):
            logit += scores[np.searchsorted(cuts, x[:, j], side="right") + 1]
        return np.column_stack([expit(-logit), expit(logit)])


__all__ = ["DPEBM"]
