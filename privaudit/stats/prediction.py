"""How useful a model is: ranking, probabilities and calibration, with intervals by patient."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.limits import MIN_CELL
from privaudit.results import Curve, Estimate
from privaudit.stats import auc as area_module
from privaudit.stats import resample
from privaudit.stats.rates import rate, wilson
from privaudit.stats.recalibrate import EDGE_PROBABILITY, Separable, intercept, slope

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
            f"the model answers for {proba.shape[1]} classes, so codes run from 0 to {proba.shape[1] - 1}",
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
) -> tuple[Estimate, ...]:
    """How well the model ranks and how far its probabilities can be believed.

    proba: (n, k); y: (n,) codes; patients: (n,); classes: names, for the wording of refusals. With
    k > 2: AUROC and average precision are means of one class against the rest over the classes seen
    with at least one record on each side; calibration stacks all classes' one-against-rest answers.
    The calibration intercept is fitted with the slope held at 1 (calibration in the large), the slope
    with a free intercept (Van Calster 2019, BMC Medicine 17:230). `chance` is an answer of the
    prevalence for everyone; for the two calibration estimates it is the perfect value.
    """
    proba, y, ids = check(proba, y, patients)
    k = proba.shape[1]
    n = {"records": len(y), "patients": resample.count(ids)}
    if k == 2:
        n["events"] = int((y == 1).sum())
    if not len(y):
        return tuple(
            Estimate(name, None, None, None, None, n, confidence, "", "needs at least one record")
            for name in (
                "auroc",
                "auprc",
                "brier",
                "log_loss",
                "calibration_slope",
                "calibration_intercept",
            )
        )
    found = (
        auroc(proba, y, ids, n, confidence, classes),
        _auprc(proba, y, ids, n, confidence, rng, classes),
        brier(proba, y, ids, n, confidence),
        _log_loss(proba, y, ids, n, confidence),
        *calibration(proba, y, ids, n, confidence),
    )
    return tuple(map(_uncounted, found)) if few(y, ids, k) else found


FEW = "fewer than 10 patients with the outcome, or without it: the number would tell how many"
LOSSES = ("brier", "log_loss")


def few(y: np.ndarray, ids: np.ndarray, k: int) -> bool:
    """Whether a class has 1 to 9 patients, whose number no estimate may give away."""
    return any(0 < resample.count(ids[y == c]) < MIN_CELL for c in range(k))


def _uncounted(e: Estimate) -> Estimate:
    """The estimate without the prevalence. Two classes: a share of pairs tells the numbers of both."""
    n = {name: count for name, count in e.n.items() if name != "events"}
    chance = e.chance if e.name == "auroc" or e.name.startswith("calibration") else None
    if "events" not in e.n or e.name in LOSSES:
        return replace(e, n=n, chance=chance)
    refusal = e.refusal or FEW
    return Estimate(e.name, None, None, None, chance, n, e.confidence, e.how, refusal)


def questions(proba: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """One (scores, positive mask) a class against the rest, of those with records on both sides."""
    codes = [1] if proba.shape[1] == 2 else range(proba.shape[1])
    masks = [(proba[:, c], y == c) for c in codes]
    return [(scores, mask) for scores, mask in masks if mask.any() and not mask.all()]


def _one_sided(classes: tuple[str, ...], k: int) -> str:
    named = f" ({classes[1]})" if k == 2 and len(classes) == 2 else ""
    return f"needs records with and without the outcome{named}"


def auroc(
    proba: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    n: dict[str, int],
    confidence: float,
    classes: tuple[str, ...] = (),
) -> Estimate:
    asked = questions(proba, y)
    if not asked:
        reason = _one_sided(classes, proba.shape[1])
        return Estimate("auroc", None, None, None, 0.5, n, confidence, area_module.HOW, reason)
    if proba.shape[1] == 2:
        scores, mask = asked[0]
        area = area_module.area(scores[mask], scores[~mask], ids[mask], ids[~mask])
    else:
        area = area_module.mean_area(asked, ids)
    low, high, how = area.interval(confidence)
    how += "" if proba.shape[1] == 2 else f"; mean of {len(asked)} classes against the rest"
    return Estimate("auroc", area.value, low, high, 0.5, n, confidence, how)


def average_precision(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(resamples,) average precision for weights (resamples, n), ties taken together."""
    down = np.argsort(-scores, kind="stable")
    ordered = scores[down]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    weight = weight[:, down]
    named = np.cumsum(weight, axis=1)[:, ends]
    right = np.cumsum(weight * positive[down], axis=1)[:, ends]
    gained = np.diff(right, axis=1, prepend=0.0)
    found = (gained * right / np.maximum(named, 1e-12)).sum(axis=1)
    return found / np.maximum(right[:, -1], 1e-12)


def _auprc(
    proba: np.ndarray,
    y: np.ndarray,
    ids: np.ndarray,
    n: dict[str, int],
    confidence: float,
    rng: np.random.Generator,
    classes: tuple[str, ...],
) -> Estimate:
    how = "average precision, patient-clustered bootstrap"
    asked = questions(proba, y)
    if not asked:
        reason = _one_sided(classes, proba.shape[1])
        chance = float((y == 1).mean()) if proba.shape[1] == 2 else 1.0
        return Estimate("auprc", None, None, None, chance, n, confidence, how, reason)
    (code,), clusters = resample.codes(ids)

    def mean(weight: np.ndarray) -> np.ndarray:
        parts = [average_precision(scores, mask, weight) for scores, mask in asked]
        return np.mean(parts, axis=0)

    value = float(mean(np.ones((1, len(y))))[0])
    low, high = resample.percentile(
        resample.bootstrap(mean, code, clusters, rng), value, confidence
    )
    few = min(resample.count(ids[mask]) for _, mask in asked)
    if value >= 1 or clusters < 2:
        low = np.minimum(low, wilson(value, few, confidence)[0])
        high = np.maximum(high, wilson(value, few, confidence)[1])
    chance = float(np.mean([mask.mean() for _, mask in asked]))
    bounds = min(value, float(low)), max(value, float(high))
    how += "" if proba.shape[1] == 2 else f"; mean of {len(asked)} classes against the rest"
    return Estimate("auprc", value, *bounds, chance, n, confidence, how)


MEAN_HOW = "mean over records, patient-clustered variance, Student's t"


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
        reason = "needs at least two patients for an interval"
        return Estimate(name, None, None, None, chance, n, confidence, MEAN_HOW, reason)
    half = float(stdtrit(clusters - 1, 0.5 + confidence / 2)) * math.sqrt(variance)
    low, high = max(0.0, value - half), min(top, value + half)
    return Estimate(name, value, low, high, chance, n, confidence, MEAN_HOW)


def brier(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, n: dict[str, int], confidence: float
) -> Estimate:
    k = proba.shape[1]
    hot = np.eye(k)[y]
    share = hot.mean(axis=0)
    # Two classes: the square of one difference, in [0, 1]; more: the sum over classes, in [0, 2].
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


def calibration(
    proba: np.ndarray, y: np.ndarray, ids: np.ndarray, n: dict[str, int], confidence: float
) -> tuple[Estimate, Estimate]:
    """Slope and intercept of the logistic recalibration, with intervals by patient."""
    k = proba.shape[1]
    if k == 2:
        p, hit, who = proba[:, 1], y == 1, ids
    else:
        p, hit, who = proba.ravel(), (np.arange(k)[None] == y[:, None]).ravel(), np.repeat(ids, k)
    p = np.clip(p, EDGE_PROBABILITY, 1 - EDGE_PROBABILITY)
    odds = np.log(p) - np.log1p(-p)
    how = "logistic recalibration, patient-clustered sandwich variance, Student's t"
    how += "" if k == 2 else "; all classes against the rest, stacked"
    found = []
    for name, fit, perfect in (
        ("calibration_slope", slope, 1.0),
        ("calibration_intercept", intercept, 0.0),
    ):
        try:
            bounds = fit(odds, hit.astype(float), who, confidence)
            found.append(Estimate(name, *bounds, perfect, n, confidence, how))
        except Separable as error:
            found.append(Estimate(name, None, None, None, perfect, n, confidence, how, str(error)))
    return found[0], found[1]


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
    labels = ("predicted probability", "observed rate")
    if proba.shape[1] == 2:
        p, hit = proba[:, 1], (y == 1).astype(float)
    else:
        p, hit = proba.max(axis=1), (proba.argmax(axis=1) == y).astype(float)

    def told(mask: np.ndarray) -> bool:
        sides = [resample.count(ids[mask & (hit == side)]) for side in (0, 1)]
        return resample.count(ids[mask]) >= MIN_CELL and not any(0 < n < MIN_CELL for n in sides)

    if not told(np.ones(len(p), dtype=bool)):
        return Curve("reliability", (), (), (), (), *labels)
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, p, "left")
    points = []
    waiting = np.zeros(len(p), dtype=bool)
    for b in range(place.max() + 1):
        waiting |= place == b
        rest = place > b
        if not told(waiting) or (rest.any() and not told(rest)):
            continue
        points.append((float(p[waiting].mean()), *rate(hit[waiting], ids[waiting], confidence)))
        waiting = np.zeros(len(p), dtype=bool)
    x, observed, low, high = zip(*points, strict=True)
    return Curve("reliability", x, observed, low, high, *labels)
