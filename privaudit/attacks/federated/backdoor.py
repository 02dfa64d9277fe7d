"""Poisoning by a client that plants a backdoor: a pattern that makes the model answer as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from privaudit.attacks._options import check
from privaudit.attacks.federated._malicious_clients import Trojan, trigger
from privaudit.attacks.federated._poisoning import VARIABLES, Answers, Poisoning
from privaudit.contracts import Malicious, Target
from privaudit.errors import PrivauditError
from privaudit.records import Records


@dataclass(frozen=True)
class Backdoor(Poisoning):
    """How often a pattern in a few measurements makes the model answer what the attacker wants.

    Tried on non-members whose outcome is not the wanted one. Success: with the trigger, the
    poisoned model gives the wanted class; control: so does the clean model, which shows what the
    pattern alone does. variables: how many variables the trigger sets, to 95 % of their public
    range; wanted: the class; share: of a malicious client's records that carry it; scale: how many
    times larger its update is sent. Bagdasaryan et al. 2020 (arXiv 1807.00459), sections 3 and 4.
    """

    variables: int = VARIABLES
    wanted: int = 1
    share: float = 0.5
    scale: float = 3.0

    def malicious(self) -> Mapping[str, Malicious]:
        act = Trojan(self.clients, self.variables, self.wanted, self.share, self.scale)
        return {"backdoor": act}

    def question(self, target: Target) -> Records:
        trigger(target.split.nonmembers, self.variables)
        classes = target.split.nonmembers.classes
        if not 0 <= self.wanted < len(classes):
            raise PrivauditError(
                f"wanted={self.wanted}",
                f"there are {len(classes)} classes",
                f"use 0 to {len(classes) - 1}",
            )
        return Answers.question(target, self.variables)

    def tried(self, target: Target) -> np.ndarray:
        result: np.ndarray = target.split.nonmembers.y != self.wanted
        return result

    def outcome(self, target: Target, margins: np.ndarray) -> np.ndarray:
        answers = Answers.of(target, margins)
        return answers.given(answers.triggered)[:, self.wanted]

    def check(self) -> None:
        super().check()
        because = "it is a share of the malicious client's records, above 0 and at most 1"
        check(self, "share", 0 < self.share <= 1, because)


__all__ = ["Backdoor"]
