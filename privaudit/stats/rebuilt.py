"""How like the originals rebuilt pictures are, in decibels."""

from __future__ import annotations

import numpy as np

from privaudit.contracts import Rebuilt
from privaudit.errors import PrivauditError
from privaudit.facts import Bound, BoundMethod, Metric, Reason, ReasonCode, Setting
from privaudit.results import Estimate
from privaudit.stats import differences, resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.catalogue import PICTURES


def rebuilt(
    evidence: Rebuilt,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
    at: Setting | None = None,
) -> tuple[Estimate, ...]:
    """Mean peak signal-to-noise ratio of the attack and of its control, and what the attack gains,
    in the order of `catalogue.PICTURES`; patients as clusters.

    Args:
        patients: (n,) whose pictures were rebuilt.
    """
    attack, control = (
        np.asarray(part, dtype=np.float64).ravel() for part in (evidence.attack, evidence.control)
    )
    ids = np.asarray(patients).ravel()
    if not len(attack) == len(control) == len(ids) or not np.isfinite([attack, control]).all():
        raise PrivauditError(
            f"{len(attack)} decibels of an attack and {len(control)} of its control for "
            f"{len(ids)} pictures",
            "every picture has one finite number of either",
            "return the decibels of every picture that was tried",
        )
    n = {"attempts": len(ids), "patients": resample.count(ids)}
    zero = np.zeros(len(ids))
    sides = ((attack, zero), (control, zero), (attack, control))
    chance = float(control.mean()) if len(control) else 0.0
    found = []
    for name, (first, second) in zip(PICTURES, sides, strict=True):
        metric, least = Metric(name, at=at), 0.0 if name == "psnr_gain" else chance
        bounds = differences.mean(second, first, ids, confidence) if len(ids) else None
        if bounds is None:
            reason = Reason(ReasonCode.TOO_FEW_PATIENTS, {"least": 2})
            found.append(refuse_estimate(metric, reason, least, n, confidence))
            continue
        bound = Bound(BoundMethod.PAIRED_MEAN if second is control else BoundMethod.CLUSTERED_MEAN)
        found.append(Estimate(metric, *bounds, least, n, confidence, bound))
    return tuple(found)


__all__ = ["rebuilt"]
