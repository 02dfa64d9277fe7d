"""Discriminator AUC: can a classifier tell synthetic rows from real ones, and real from real?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from privaudit.facts import Bound, BoundMethod, Metric
from privaudit.fidelity._align import Pools
from privaudit.records import Records
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.stats import resample
from privaudit.stats.auc import Area, area

ROWS = 5000
"""Rows of each table that the detector reads, at most."""

FOLDS = 5
TREES = 60

SHARED = 1 + FOLDS / (FOLDS - 1)
"""By how much the variance of an area over folds is enlarged, for their detectors share training
rows (Nadeau and Bengio 2003, section 3: 1/J + n_test/n_train in place of 1/J)."""


def detection(
    synthetic: Records, pools: Pools, confidence: float, seeds: Seeds
) -> tuple[Estimate, Estimate]:
    """AUC of a detector of synthetic rows among non-members, and of members among non-members.

    Boosted trees, 5 folds by patient and by identical rows, out-of-fold scores; patient-clustered
    DeLong (Obuchowski 1997) on the logit scale, with the variance enlarged by `SHARED`. Non-members
    stand for the real table: of them the generator saw nothing, so that a copy of a member is no
    easier to tell than the member. The second number is what a perfect table would read.
    """
    rows = min(ROWS, len(synthetic), len(pools.nonmembers), len(pools.members))
    found = _area(synthetic, pools.nonmembers, rows, seeds, "synthetic", True)
    reference = _reference(pools, rows, seeds)
    drawn = {"synthetic_rows": rows, "nonmember_rows": rows, "patients": found.patients[1]}
    real = {"member_rows": rows, "nonmember_rows": rows, "patients": min(reference.patients)}
    return (
        _estimate("detection_auc", found, drawn, confidence),
        _estimate("detection_auc_real", reference, real, confidence),
    )


def _estimate(name: str, found: Area, n: dict[str, int], confidence: float) -> Estimate:
    low, high, _ = found.interval(confidence)
    bound = Bound(BoundMethod.DELONG_FOLDS)
    return Estimate(Metric(name), found.value, low, high, 0.5, n, confidence, bound)


@lru_cache(maxsize=8)
def _reference(pools: Pools, rows: int, seeds: Seeds) -> Area:
    return _area(pools.members, pools.nonmembers, rows, seeds, "members", False)


def _area(
    first: Records, real: Records, rows: int, seeds: Seeds, name: str, each_row: bool
) -> Area:
    """The detector's area for rows of the first table (positives) among real ones."""
    rng = seeds.rng("detection", name)
    one = first.take(rng.permutation(len(first))[:rows])
    zero = real.take(rng.permutation(len(real))[:rows])
    values = np.concatenate([_values(one), _values(zero)])
    label = np.arange(len(values)) < len(one)
    ids = _alike(one) if each_row else one.patient
    (own, others), count = resample.codes(ids, zero.patient)
    if each_row:
        own, others = resample.codes(ids)[0][0], resample.codes(zero.patient)[0][0]
        others, count = others + own.max() + 1, int(own.max() + 1 + others.max() + 1)
    cluster = np.concatenate([own, others])
    scores = _scores(values, label, _folds(cluster, label, count, rng), rng)
    found = area(scores[label], scores[~label], own, others)
    return replace(found, variance=None if found.variance is None else SHARED * found.variance)


def _values(table: Records) -> np.ndarray:
    return np.column_stack([table.X, table.y.astype(np.float32)])


def _alike(table: Records) -> np.ndarray:
    """(n,) one number for all rows of the same values: a row and its copy belong to one fold."""
    flat = np.nan_to_num(_values(table) + 0.0, nan=-1.5e38)
    rows = np.ascontiguousarray(flat).view([("", flat.dtype)] * flat.shape[1]).ravel()
    return np.unique(rows, return_inverse=True)[1].reshape(-1)


def _folds(
    cluster: np.ndarray, label: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) the fold of each row: clusters whole, and about as many of each table in every fold."""
    fold = np.empty(count, dtype=np.int64)
    for side in (True, False):
        mine = np.unique(cluster[label == side])
        fold[rng.permutation(mine)] = np.arange(len(mine)) % FOLDS
    result: np.ndarray = fold[cluster]
    return result


def _scores(
    values: np.ndarray, label: np.ndarray, fold: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    import xgboost

    scores = np.empty(len(values))
    for tested in range(FOLDS):
        out = fold == tested
        if not out.any():
            continue
        if len(np.unique(label[~out])) < 2:
            scores[out] = 0.0
            continue
        data = xgboost.QuantileDMatrix(values[~out], label=label[~out], max_bin=64, nthread=1)
        positive = float(label[~out].mean())
        parameters = {
            "objective": "binary:logistic",
            "max_depth": 4,
            "eta": 0.15,
            "min_child_weight": 3,
            "subsample": 0.8,
            "colsample_bytree": 0.4,
            "max_bin": 64,
            # Without this a fold that holds many of one table scores it low: the rest holds fewer.
            "scale_pos_weight": (1 - positive) / positive,
            "nthread": 1,
            "seed": int(rng.integers(2**31 - 1)),
            "verbosity": 0,
        }
        booster = xgboost.train(parameters, data, num_boost_round=TREES)
        scores[out] = booster.inplace_predict(values[out], predict_type="margin")
    return scores
