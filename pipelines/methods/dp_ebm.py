"""Explainable boosting with differential privacy: one noisy curve a column."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipelines._bounded import (
    ONE_STAY,
    PUBLIC,
    bounds,
    check_classes,
    columns_read,
    describe_noise,
    one_stay,
)
from pipelines.federated.encode import PublicEncoding
from pipelines.methods._boosted_curves import Boosting, boost
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
from privaudit.dp.noise import bind_noise
from privaudit.records import Records

COUNTED = (
    "How many {people} there are is read from the noisy histograms alone, so the guarantee holds "
    "for {a_person} added or removed."
)


@dataclass(frozen=True)
class DPEBM(Method):
    """A sum of curves, one a column, each learnt from noisy histograms: a model that can be read.

    All answers together are one Gaussian answer, so the claim is exactly what the accountant
    gives. Bounds and column types come from the schema, and the number of patients from the noisy
    counts: interpret's own implementation sizes its bins by the exact number, which a guarantee
    for one patient added or removed does not allow, and takes its noise from a 32-bit seed. Two
    classes only. A fixed model, so no `learner` to compose with. The defaults were chosen on
    generated stays.

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
        rng = bind_noise(rng, self, members.fingerprint)
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
        sigma = accounting.solve_gaussian(self.epsilon, delta)
        claim = accounting.gaussian(sigma, delta, n=patients, noise=accounting.name_noise(rng))
        plan = Boosting(self.bins, self.rounds, self.leaves, self.rate, self.share)
        found = boost(x, records.y, np.column_stack([low, high]), sigma, plan, rng)
        return Release(
            claim=claim,
            model=Curves(encoding, np.asarray(read), found.cuts, found.scores),
            costs={"train_seconds": time.process_time() - start},
            notes=(ONE_STAY, PUBLIC, COUNTED, describe_noise(rng)),
        )

    def check(self) -> None:
        require_package("dp_accounting", "it accounts for the noise of all steps", "dp")
        accounting.check(self.epsilon, self.delta or 0.0)
        check_settings(self, bins=at_least(4), rounds=COUNT, leaves=at_least(2))
        check_settings(self, share=FRACTION, rate=POSITIVE)


@dataclass(frozen=True, eq=False)
class Curves:
    """A sum of step functions, one a column, on the log odds; holds no record.

    Args:
        columns: (t,) encoded columns.
        cuts: Where each curve steps.
        scores: Its heights, one more than cuts.
    """

    encoding: PublicEncoding
    columns: np.ndarray
    cuts: tuple[np.ndarray, ...]
    scores: tuple[np.ndarray, ...]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, 2) float64, rows sum to 1."""
        from scipy.special import expit

        x = self.encoding.encode(records).astype(np.float64)
        logit = np.zeros(len(records))
        for j, cuts, scores in zip(self.columns, self.cuts, self.scores, strict=True):
            logit += scores[np.searchsorted(cuts, x[:, j], side="right")]
        return np.column_stack([expit(-logit), expit(logit)])


__all__ = ["DPEBM"]
