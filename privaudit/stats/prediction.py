"""A model's utility: ranking, probabilities and calibration, with intervals by patient."""

from __future__ import annotations

import math

import numpy as np

from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode
from privaudit.results import Curve, Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.calibration import calibration, settings
from privaudit.stats.catalogue import UTILITY, UTILITY_OF_ORDER
from privaudit.stats.ordinal import utility_of_order
from privaudit.stats.precision import mean_precision
from privaudit.stats.rates import rate

CLIP = 1e-15
"""Probabilities are clipped here for the log loss."""

BINS = 10


def check(
    proba: np.ndarray, y: np.ndarray, patients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, k) probabilities as float64, class codes and patients of one length."""
    proba = np.asarray(proba, dtype=np.float64)
    y, ids = np.asarray(y).ravel(), np.asarray(patients).ravel()
    if proba.ndim != 2 or proba.shape[1] < 2 or not len(proba) == len(y) == len(ids):
        raise PrivauditError(
            f"probabilities of shape {proba.shape} for {len(y)} outcomes and {len(ids)} patients",
            "a model answers with one row of at least two probabilities a record",
            "pass predict_proba's (records, classes) with one outcome and patient each",
        )
    if not np.isfinite(proba).all() or (len(proba) and (proba.min() < 0 or proba.max() > 1 + 1e-6)):
        raise PrivauditError(
            "probabilities outside 0 to 1, or not a number",
            "a model's answers are shares of certainty",
            "make predict_proba return rows in [0, 1] that sum to 1",
        )
    if len(y) and (y.min() < 0 or y.max() >= proba.shape[1]):
        raise PrivauditError(
            f"outcome codes from {y.min()} to {y.max()}",
            f"the model's {proba.shape[1]} classes have codes from 0 to {proba.shape[1] - 1}",
            "use the class codes that the model was trained on",
        )
    return proba, y.astype(np.int64), ids


def utility(
    proba: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
    rng: np.random.Generator,
    classes: tuple[str, ...] = (),
    ordered: bool = False,
) -> tuple[Estimate, ...]:
    """How well the model ranks and how far its probabilities can be believed.

    proba: (n, k); y: (n,) codes; patients: (n,); classes: their names; ordered: whether their order
    means something, which with k > 2 adds what `privaudit.stats.ordinal` measures. With k > 2:
    AUROC and average precision are means of one class against the rest over the classes seen with
    at least one record on each side; calibration is stated class by class, or cut by cut
    (`privaudit.stats.calibration`). The calibration intercept is fitted with the slope held at 1
    (calibration in the large), the slope with a free intercept (Van Calster 2019, BMC Medicine
    17:230). `chance` is an answer of the prevalence for everyone; for the two calibration estimates
    it is the perfect value.
    """
    proba, y, ids = check(proba, y, patients)
    k = proba.shape[1]
    n = {"records": len(y), "patients": resample.count(ids)}
    if k == 2:
        n["events"] = int((y == 1).sum())
    if not len(y):
        reason = Reason(ReasonCode.NO_RECORD)
        asked = _metrics(k, classes, ordered)
        return tuple(refuse_estimate(metric, reason, None, n, confidence) for metric in asked)
    of_order = utility_of_order(proba, y, ids, n, confidence) if ordered and k > 2 else ()
    return (
        auroc(proba, y, ids, n, confidence, classes),
        _auprc(proba, y, ids, n, confidence, rng, classes),
        brier(proba, y, ids, n, confidence),
        _log_loss(proba, y, ids, n, confidence),
        *of_order,
        *calibration(proba, y, ids, n, confidence, classes=classes, ordered=ordered),
    )


def _metrics(k: int, classes: tuple[str, ...], ordered: bool) -> list[Metric]:
    """Every metric of `utility`."""
    whole = [name for name in UTILITY if not name.startswith("calibration")]
    whole += UTILITY_OF_ORDER if ordered and k > 2 else ()
    parts = settings(k, classes, ordered)
    apart = [Metric(name, at=at) for at in parts for name in UTILITY if name not in whole]
    return [*map(Metric, whole), *apart]


def questions(proba: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """One (scores, positive mask) a class against the rest, of those with records on both sides."""
    codes = [1] if proba.shape[1] == 2 else range(proba.shape[1])
    masks = [(proba[:, c], y == c) for c in codes]
    return [(scores, mask) for scores, mask in masks if mask.any() and not mask.all()]


def _one_outcome(classes: tuple[str, ...], k: int) -> Reason:
    return Reason(ReasonCode.ONE_OUTCOME, {"outcomes": classes if k == 2 else ()})


def _over_classes(method: BoundMethod, k: int, asked: int) -> Bound:
    return Bound(method, classes=0 if k == 2 else asked)


def auroc(
    proba: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    n: dict[str, int],
    confidence: float,
    classes: tuple[str, ...] = (),
) -> Estimate:
    """AUROC, for more than two classes their mean; see `utility`."""
    asked, k = questions(proba, y), proba.shape[1]
    if not asked:
        return refuse_estimate(Metric("auroc"), _one_outcome(classes, k), 0.5, n, confidence)
    if k == 2:
        scores, mask = asked[0]
        area = area_module.area(scores[mask], scores[~mask], ids[mask], ids[~mask])
    else:
        area = area_module.mean_area(asked, ids)
    low, high, method = area.interval(confidence)
    bound = _over_classes(method, k, len(asked))
    return Estimate(Metric("auroc"), area.value, low, high, 0.5, n, confidence, bound)


def _auprc(
    proba: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    n: dict[str, int],
    confidence: float,
    rng: np.random.Generator,
    classes: tuple[str, ...],
) -> Estimate:
    asked, k = questions(proba, y), proba.shape[1]
    if not asked:
        chance = float((y == 1).mean()) if k == 2 else 1.0
        return refuse_estimate(Metric("auprc"), _one_outcome(classes, k), chance, n, confidence)
    chance = float(np.mean([mask.mean() for _, mask in asked]))
    bound = _over_classes(BoundMethod.BOOTSTRAP, k, len(asked))
    found = mean_precision(asked, ids, confidence, rng)
    return Estimate(Metric("auprc"), *found, chance, n, confidence, bound)


def _mean(
    name: str,
    losses: np.ndarray,
    ids: np.ndarray,
    chance: float,
    top: float,
    n: dict[str, int],
    confidence: float,
) -> Estimate:
    from scipy.special import stdtrit

    (code,), clusters = resample.codes(ids)
    value = float(losses.mean())
    variance = resample.mean_variance(losses, code, clusters)
    if variance is None:
        reason = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": 2})
        return refuse_estimate(Metric(name), reason, chance, n, confidence)
    half = float(stdtrit(clusters - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    low, high = max(0.0, value - half), min(top, value + half)
    bound = Bound(BoundMethod.CLUSTERED_MEAN)
    return Estimate(Metric(name), value, low, high, chance, n, confidence, bound)


def brier(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, n: dict[str, int], confidence: float
) -> Estimate:
    """Brier score: the square of one difference for two classes, else the sum over classes."""
    k = proba.shape[1]
    hot = np.eye(k)[y]
    share = hot.mean(axis=0)
    # In [0, 1] for two classes, in [0, 2] for more.
    scale = 0.5 if k == 2 else 1.0
    losses = scale * ((proba - hot) ** 2).sum(axis=1)
    chance = scale * float(1 - (share**2).sum())
    return _mean("brier", losses, ids, chance, 2 * scale, n, confidence)


def _log_loss(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, n: dict[str, int], confidence: float
) -> Estimate:
    losses = -np.log(np.clip(proba[np.arange(len(y)), y], CLIP, 1.0))
    share = np.bincount(y, minlength=proba.shape[1]) / len(y)
    chance = float(-(share[share > 0] * np.log(share[share > 0])).sum())
    return _mean("log_loss", losses, ids, chance, -math.log(CLIP), n, confidence)


def reliability(
    proba: np.ndarray,
    y: np.ndarray,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
    bins: int = BINS,
) -> Curve:
    """What was predicted against what happened, in up to `bins` equal shares of the records.

    Two classes: the predicted against the observed rate of the second class. More: the probability
    of the answer given against how often it is right. Each bin holds at least 10 patients, or is
    joined with its neighbour, and so does each side of it that anybody is on; with fewer than 10
    patients in all, or on a side, the curve is empty.
    """
    proba, y, ids = check(proba, y, patients)
    if proba.shape[1] == 2:
        p, hit = proba[:, 1], (y == 1).astype(float)
    else:
        p, hit = proba.max(axis=1), (proba.argmax(axis=1) == y).astype(float)

    def enough(mask: np.ndarray) -> bool:
        sides = [resample.count(ids[mask & (hit == side)]) for side in (0, 1)]
        return resample.count(ids[mask]) >= MIN_CELL and not any(0 < n < MIN_CELL for n in sides)

    if not enough(np.ones(len(p), dtype=bool)):
        return Curve("reliability", Metric("observed_rate"), (), ())
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, p, "left")
    points = []
    waiting = np.zeros(len(p), dtype=bool)
    for b in range(place.max() + 1):
        waiting |= place == b
        rest = place > b
        if not enough(waiting) or (rest.any() and not enough(rest)):
            continue
        points.append((float(p[waiting].mean()), *rate(hit[waiting], ids[waiting], confidence)))
        waiting = np.zeros(len(p), dtype=bool)
    x, observed, low, high = zip(*points, strict=True)
    return Curve("reliability", Metric("observed_rate"), x, observed, low, high)
