"""Federated learning that bears malicious hospitals: the middle of the updates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pipelines.federated.aggregate import Aggregate, Median
from pipelines.methods.federated import Federated


@dataclass(frozen=True)
class FederatedRobust(Federated):
    """Federated learning by the coordinate median: fewer than half of the hospitals cannot carry it
    away.

    The median gives every hospital one voice, so small ones count as much as large ones. All other
    fields as in `federated`. Source: Yin et al. 2018 (arXiv 1803.01498).
    """

    aggregate: Aggregate = field(default_factory=Median)

    trains_as_federated: ClassVar[bool] = True


__all__ = ["FederatedRobust"]
