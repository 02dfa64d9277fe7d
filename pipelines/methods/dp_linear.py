"""Logistic regression with differential privacy by a noisy objective (diffprivlib)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipelines._bounded import (
    ONE_STAY,
    PUBLIC,
    check_classes,
    columns_read,
    describe_noise,
    nothing_read,
    one_stay,
    seed,
)
from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import FlatModel
from pipelines.settings import COUNT, POSITIVE, check_settings, require_package
from privaudit.contracts import Method, Release
from privaudit.dp import accounting
from privaudit.dp.noise import bind_noise
from privaudit.records import Records


@dataclass(frozen=True)
class DPLinear(Method):
    """One weight a column, learnt from an objective with a random tilt, and an epsilon without a
    delta.

    The intercept is the weight of the constant column, inside the norm and under the penalty, since
    the proof needs an objective that is strongly convex in everything it learns; and rows have norm
    1 because the library's correction for curvature grows with the norm where the proof has its
    square. diffprivlib accounts for replacing a patient, whose gradient moves twice as far and
    whose curvature changes twice: it is asked for twice the epsilon, which is exactly epsilon for
    adding or removing one. Several classes: one regression a class at an equal share of epsilon. A
    fixed model, so no `learner` to compose with. The defaults were chosen on generated stays.

    Args:
        epsilon: The guarantee for one patient added or removed.
        statistics: Which summaries of a measured variable are read ("" for columns that summarise
            nothing, such as age).
        C: Inverse strength of the penalty, for rows of norm 1: smaller is stronger; the penalty is
            part of the guarantee.
        norm: Rows longer than this times the root of the number of columns are shortened to it,
            before all are scaled to norm 1 at most.
        constant: The size of the constant column beside it, in the same unit.

    Source: Chaudhuri, Monteleoni and Sarwate 2011 (JMLR 12), algorithm 2 and theorem 9;
    diffprivlib, Holohan et al. 2019 (arXiv 1907.02444).
    """

    epsilon: float = 3.0
    statistics: tuple[str, ...] = ("", "last")
    C: float = 0.3
    norm: float = 0.5
    constant: float = 0.25
    iterations: int = 2000

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        start = time.process_time()
        self.check()
        rng = bind_noise(rng, self, members.fingerprint)
        check_classes(members)
        k = len(members.classes)
        claim = accounting.stated(
            self.epsilon,
            by="closed form, objective perturbation with bounds and norm from the schema "
            f"(diffprivlib at {2 * self.epsilon:g} for replacement), one {{record}} {{a_person}}",
            noise=accounting.name_noise(rng),
        )
        records = one_stay(members, rng)
        check_classes(records)
        encoding = PublicEncoding(members.columns)
        read = columns_read(encoding, self.statistics)
        longest = self.norm * np.sqrt(len(read))
        x = encoding.encode(records)[:, read].astype(np.float64)
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True) / longest, 1.0)
        fixed = self.constant * np.sqrt(len(read))
        whole = float(np.hypot(longest, fixed))
        rows = np.column_stack([x, np.full(len(x), fixed)]) / whole
        learnt = range(1, 2) if k == 2 else range(k)
        found = [
            self._regress(rows, records.y == c, len(learnt), seed(rng)) / whole for c in learnt
        ]
        if k == 2:
            found = [-found[0] / 2, found[0] / 2]
        weights = np.zeros((k, encoding.width))
        weights[:, read] = [w[:-1] for w in found]
        flat = np.concatenate([weights.ravel(), [w[-1] * fixed for w in found]])
        return Release(
            claim=claim,
            model=FlatModel(encoding, (encoding.width, k), flat.astype(np.float32)),
            costs={"train_seconds": time.process_time() - start},
            notes=(ONE_STAY, PUBLIC, describe_noise(rng)),
        )

    def _regress(
        self, rows: np.ndarray, y: np.ndarray, share: int, state: int | np.random.RandomState
    ) -> np.ndarray:
        """(width + 1,) weights of one binary regression on rows of norm 1 at most."""
        from threadpoolctl import threadpool_limits

        with nothing_read(), threadpool_limits(1):
            from diffprivlib.accountant import BudgetAccountant
            from diffprivlib.models import LogisticRegression

            found = LogisticRegression(
                epsilon=2 * self.epsilon / share,
                data_norm=1.0,
                C=self.C,
                fit_intercept=False,
                tol=1e-8,
                max_iter=self.iterations,
                random_state=state,
                accountant=BudgetAccountant(),
            ).fit(rows, y.astype(np.int64))
        return np.asarray(found.coef_[0], dtype=np.float64)

    def check(self) -> None:
        require_package(
            "diffprivlib", "it learns the weights from an objective with a random tilt", "dp"
        )
        accounting.check(self.epsilon)
        check_settings(self, C=POSITIVE, norm=POSITIVE, constant=POSITIVE, iterations=COUNT)


__all__ = ["DPLinear"]
