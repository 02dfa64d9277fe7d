"""Federated learning under secure aggregation: the server reads masked updates only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pipelines.federated.protect import Protection
from pipelines.federated.secure_sum import SecureSum
from pipelines.methods.federated import Federated


@dataclass(frozen=True)
class FederatedSecure(Federated):
    """Federated learning in which pairwise masks hide each hospital's update from the server.

    The server learns the sum and nothing else, and so cannot look at, bound or compare updates. All
    other fields as in `federated`. Source: Bonawitz et al. 2017 (CCS).
    """

    protect: Protection = field(default_factory=SecureSum)

    trains_as_federated: ClassVar[bool] = True


__all__ = ["FederatedSecure"]
