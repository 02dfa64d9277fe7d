"""What an attack on predictions does to how well the model ranks patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.contracts import Ranked
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Metric, Setting
from privaudit.results import Estimate
from privaudit.stats import prediction, resample
from privaudit.stats._refusal import refuse_estimate
from privaudit.stats.calibration import too_few_with_outcome
from privaudit.stats.catalogue import RANKED
from privaudit.stats.paired import auroc_loss


def ranking(
    evidence: Ranked,
    *,
    patients: np.ndarray,
    confidence: float = 0.95,
    at: Setting | None = None,
) -> tuple[Estimate, ...]:
    """AUROC under the attack, under random changes and without any, and what the attack takes off
    beyond random changes, in the order of `catalogue.RANKED`; patients as clusters.

    Not stated where fewer than 10 of the patients tried have, or lack, one of the outcomes.

    Args:
        evidence: The answers after the attack, after its control and before any change.
        patients: (n,) whose records were tried.
    """
    attacked, y, ids = prediction.check(evidence.attacked, evidence.y, patients)
    shaken, _, _ = prediction.check(evidence.control, y, ids)
    unchanged, _, _ = prediction.check(evidence.unchanged, y, ids)
    if not attacked.shape == shaken.shape == unchanged.shape:
        raise PrivauditError(
            "answers about changed records for other records or classes than the unchanged ones",
            "a ranking is compared on the same patients",
            "return one answer for every record tried",
        )
    n = {"attempts": len(y), "patients": resample.count(ids)}
    asked = prediction.questions(attacked, y)
    sides = [resample.count(ids[mask]) for _, m in asked for mask in (m, ~m)]
    if min(sides, default=0) < MIN_CELL:
        reason = too_few_with_outcome(MIN_CELL)
        chances = (0.5, 0.5, 0.5, 0.0)
        return tuple(
            refuse_estimate(Metric(name, at=at), reason, chance, n, confidence)
            for name, chance in zip(RANKED, chances, strict=True)
        )
    found = [
        prediction.auroc(proba, y, ids, n, confidence) for proba in (attacked, shaken, unchanged)
    ]
    found.append(auroc_loss(shaken, attacked, y, patients=ids, confidence=confidence))
    return tuple(
        replace(estimate, metric=Metric(name, at=at), n=n)
        for name, estimate in zip(RANKED, found, strict=True)
    )


__all__ = ["ranking"]
