"""Poisoning by a client that sends the reverse of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from privaudit.attacks.federated._malicious_clients import SignFlip as Reverse
from privaudit.attacks.federated._poisoning import Poisoning
from privaudit.contracts import Malicious


@dataclass(frozen=True)
class SignFlip(Poisoning):
    """How much more often patients are misranked when some hospitals train the model backwards.

    scale: how many times larger than honest the reversed update is; the gate may scale it down.
    Success: how far the poisoned model ranks a non-member on the wrong side of patients with the
    other outcome (1 - AUROC on average, 50 % by chance); control: the same for the clean model.
    Li et al. 2019 (arXiv 1811.03761), section 6; collapse of averaging: Blanchard et al. 2017.
    """

    scale: float = 10.0

    def malicious(self) -> Mapping[str, Malicious]:
        return {f"sign flip x{self.scale:g}": Reverse(self.clients, self.scale)}


__all__ = ["SignFlip"]
