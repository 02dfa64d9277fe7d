"""Poisoning by a client whose outcomes are reversed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from privaudit.attacks.federated._malicious_clients import LabelFlip as Reversed
from privaudit.attacks.federated._poisoning import Poisoning
from privaudit.contracts import Malicious


@dataclass(frozen=True)
class LabelFlip(Poisoning):
    """How much more often patients are misranked when some hospitals train on reversed outcomes.

    Such a client follows the protocol to the letter, so no gate can tell; it may even be an honest
    hospital that codes the outcome the other way round. Tolpegin et al. 2020 (arXiv 2007.08432),
    section 3.
    """

    def malicious(self) -> Mapping[str, Malicious]:
        return {"label flip": Reversed(self.clients)}


__all__ = ["LabelFlip"]
