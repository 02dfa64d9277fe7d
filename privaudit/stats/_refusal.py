"""A number that is not stated."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.facts import Metric, Reason
from privaudit.results import Estimate


def refuse_estimate(
    metric: Metric, reason: Reason, chance: float | None, n: Mapping[str, int], confidence: float
) -> Estimate:
    """The estimate without a value, with the reason."""
    return Estimate(metric, None, None, None, chance, n, confidence, None, reason)
