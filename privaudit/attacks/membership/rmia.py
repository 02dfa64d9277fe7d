"""Membership by probability ratio (RMIA): is the model surer of the record than usual?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.attacks._membership import LogLikelihood, ShadowAttack, ratio
from privaudit.attacks._options import check


@dataclass(frozen=True)
class Rmia(ShadowAttack):
    """Divides the probability of the true outcome by its mean over models trained the same way.

    shadows: 4 or a multiple of 8. online: use models with and without the record, equally weighted;
    offline uses only those without it and infers the others' probability as slope * p + 1 - slope,
    the paper's correction with its usual slope. The paper then ranks the ratio among those
    of a population, which is a monotone step: it cannot change the ROC and only adds ties, so the
    plain ratio is the score. Weak where answers saturate. Where the outcome is a number, the
    probability is the density of its residual under a Laplace law of the usual error.
    Zarifzadeh et al. 2024 (arXiv 2312.03262), section 3 and appendix B.2.2.
    """

    online: bool = True
    slope: float = 0.3

    def score(
        self,
        asked: np.ndarray,
        shadows: np.ndarray,
        included: np.ndarray,
        log_likelihood: LogLikelihood | None = None,
    ) -> np.ndarray:
        slope = None if self.online else self.slope
        return ratio(asked, shadows, included, slope, log_likelihood)

    def check(self) -> None:
        super().check()
        because = "it is the slope of the offline correction, between 0 and 1"
        check(self, "slope", 0.0 <= self.slope <= 1.0, because)


__all__ = ["Rmia"]
