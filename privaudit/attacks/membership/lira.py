"""Membership by likelihood ratio (LiRA): one Gaussian with the record, one without, per record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from privaudit.attacks._half_samples import FEWEST
from privaudit.attacks._membership import LogLikelihood, ShadowAttack, moments
from privaudit.attacks._options import check, check_choice

FLOOR = 1e-12
"""Least variance of a margin: float32 answers resolve no less."""


@dataclass(frozen=True)
class Lira(ShadowAttack):
    """Asks whether the answer fits models trained with the record better than models without it.

    The answers of shadow models are taken as Gaussian. shadows: 4 or a multiple of 8. online:
    compare both Gaussians; offline uses only models without the record and scores by how far above
    them the answer lies. variance: "record", each record its own, which needs 64 shadow models and
    more; "global", one for all records, pooled around each record's own mean, the documented choice
    for few shadow models and so the default here.
    Carlini et al. 2022 (arXiv 2112.03570), sections V (algorithm 1) and VI.C.
    """

    online: bool = True
    variance: Literal["record", "global"] = "global"

    def score(
        self,
        asked: np.ndarray,
        shadows: np.ndarray,
        included: np.ndarray,
        log_likelihood: LogLikelihood | None = None,
    ) -> np.ndarray:
        _, mean_out, var_out = moments(shadows, ~included)
        var_out = self._variance(var_out)
        away = (asked - mean_out) / np.sqrt(var_out)
        if not self.online:
            result: np.ndarray = away
            return result
        _, mean_in, var_in = moments(shadows, included)
        var_in = self._variance(var_in)
        near = (asked - mean_in) / np.sqrt(var_in)
        ratio: np.ndarray = 0.5 * (away**2 - near**2 + np.log(var_out) - np.log(var_in))
        return ratio

    def check(self) -> None:
        super().check()
        check_choice(self, "variance", "record", "global")
        enough = self.shadows != FEWEST or self.variance != "record"
        check(self, "shadows", enough, "two answers make no variance of a record's own")

    def _variance(self, variance: np.ndarray) -> np.ndarray:
        if self.variance == "global":
            variance = np.full_like(variance, variance.mean())
        result: np.ndarray = np.maximum(variance, FLOOR)
        return result


__all__ = ["Lira"]
