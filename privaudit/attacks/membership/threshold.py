"""Membership by the model's confidence alone: overfit models are surer of what they have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._membership import ANY_OUTCOME, cut, finite
from privaudit.attacks._options import check_choice
from privaudit.contracts import Access, Attack, Fitted, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import OutcomeKind
from privaudit.signals import TINY, confidence


@dataclass(frozen=True)
class Threshold(Attack):
    """Takes records of which the model is sure for members: anybody who can query it can do this.

    signal: "loss", the true class's log loss (scored as its log odds, which has the same order and
    does not saturate); "margin", the true class against the strongest other one (the same for two
    classes); "entropy", how undecided the answer is, which needs no outcome. No shadow models.
    Where the outcome is a number, the loss is the size of the residual and the one signal.
    Yeom et al. 2018 (arXiv 1709.01604), section 3; Salem et al. 2019 (arXiv 1806.01246), section V.
    """

    signal: Literal["loss", "margin", "entropy"] = "loss"

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.RELEASE_ALONE

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        check_choice(self, "signal", "loss", "margin", "entropy")
        kind = target.split.audit.outcome_kind
        if self.signal == "loss":
            return cut(confidence(finite(target.margins, "the released model"), kind), target)
        if kind != "class":
            raise PrivauditError(
                f"signal={self.signal!r} for an outcome that is a number",
                "a predicted number has no classes to be undecided between",
                "use signal='loss', the size of the residual",
            )
        if target.release.model is None:
            raise ValueError("this release has no model to ask")
        audit = target.split.audit
        proba = np.asarray(target.release.model.predict_proba(audit), dtype=np.float64)
        logs = np.log(np.clip(finite(proba, "the released model"), TINY, 1.0))
        if self.signal == "entropy":
            return cut((np.exp(logs) * logs).sum(axis=1), target)
        rows = np.arange(len(audit))
        true = logs[rows, audit.y]
        logs[rows, audit.y] = -np.inf
        return cut(true - logs.max(axis=1), target)


__all__ = ["Threshold"]
