"""Poisoning by a client that sends the reverse of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from privaudit.attacks._poison import SignFlip as Reverse
from privaudit.attacks._poison_trials import Poisoning
from privaudit.contracts import Malicious


@dataclass(frozen=True)
class SignFlip(Poisoning):
    """How many more patients are misjudged when some hospitals train the shared model backwards.

    scale: how many times larger than honest the reversed update is; the gate may scale it down.
    Success is a non-member misjudged by the poisoned model, the control the same by the clean one.
    Li et al. 2019 (arXiv 1811.03761), section 6; collapse of averaging: Blanchard et al. 2017.
    """

    scale: float = 10.0

    def malicious(self) -> Mapping[str, Malicious]:
        return {f"sign flip x{self.scale:g}": Reverse(self.clients, self.scale)}


__all__ = ["SignFlip"]
