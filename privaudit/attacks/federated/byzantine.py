"""Poisoning by the stronger malicious clients, each against every aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from privaudit.attacks.federated._malicious_clients import (
    Gaussian,
    InflatedCounts,
    InnerProduct,
    LittleIsEnough,
    Mimic,
    NaNUpdate,
)
from privaudit.attacks.federated._poisoning import Poisoning
from privaudit.contracts import Malicious


@dataclass(frozen=True)
class Byzantine(Poisoning):
    """How much more often patients are misranked under clients that aim at the aggregator itself.

    Inner-product manipulation (Xie et al. 2020), a little is enough (Baruch et al. 2019), Gaussian
    noise (Blanchard et al. 2017), mimicry (Karimireddy et al. 2022), updates that are no numbers,
    and claims of 10^9 records for the honest update. The gate refuses the last but one, which must
    cost what the absence of the hospital costs and no more; it caps the last, which must change
    nothing. "nothing sent": what that absence costs.
    """

    withholds: ClassVar[bool] = True

    def malicious(self) -> Mapping[str, Malicious]:
        return {
            "inner product": InnerProduct(self.clients),
            "a little is enough": LittleIsEnough(self.clients),
            "gaussian": Gaussian(self.clients),
            "mimic": Mimic(self.clients),
            "not a number": NaNUpdate(self.clients),
            "inflated counts": InflatedCounts(self.clients),
        }


__all__ = ["Byzantine"]
