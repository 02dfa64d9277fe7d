"""One hospital that trains by the recipe of a federation, alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.federated.sites import Parts, Sites
from privaudit.records import Records


@dataclass(frozen=True)
class OneSite(Sites):
    """All records at one client: shadow models of a hospital that has no others' records."""

    def divide(self, records: Records, rng: np.random.Generator) -> Parts:
        return Parts((np.arange(len(records)),), np.zeros(1, dtype=np.int64), ("site",))


__all__ = ["OneSite"]
