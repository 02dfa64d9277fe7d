"""Membership by likelihood ratio from similar patients alone: no candidate is ever trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks._empirical_bayes import fit_outside
from privaudit.attacks._half_samples import GROUP, check_count, halves_of
from privaudit.attacks._membership import ANY_OUTCOME, cut, finite, resolution, spread
from privaudit.contracts import Access, Attack, Fitted, Refit, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Attacker
from privaudit.records import OutcomeKind, Records
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

FEWEST = 20
"""Reference patients below which no curve over them can be learnt."""


@dataclass(frozen=True)
class ReferenceLira(Attack):
    """What somebody finds who holds records of similar patients, and not those of the candidates.

    Shadow models are trained on halves of the reference patients and asked about the audit records,
    none of which they saw. By how much an answer rises for a patient who was trained on, and how
    far answers scatter, is learnt on the reference patients themselves, with and without each, as a
    function of how sure models are of a record that they did not see. The audited model is asked
    about the reference patients too, whom it did not see, which says how its answers lie to those
    of the smaller shadow models; the attacker also knows on how many records it was trained. The
    score is the difference of two Student-t log densities.

    shadows: a multiple of 8. The offline attack of Carlini et al. 2022 (arXiv 2112.03570), section
    V.B, with the IN side learnt on other records; priors after Smyth 2004 (Stat Appl Genet Mol Biol
    3:3), section 6.2.
    """

    shadows: int = 16

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.RERUN})
    family: ClassVar[Literal["membership"]] = "membership"
    outcomes: ClassVar[frozenset[OutcomeKind]] = ANY_OUTCOME
    attacker: ClassVar[Attacker | None] = Attacker.SIMILAR_PATIENTS

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        method, own = target.method, target.split.reference
        if method is None or method.shadows or len(np.unique(own.patient)) < FEWEST:
            return ()
        check_count(self.shadows, fewest=GROUP)
        masks = halves_of(own, self.shadows, seeds.child("reference"))
        if own.outcome_kind == "class" and any(len(np.unique(own.y[m])) < 2 for m in masks):
            return ()
        asked = Records.concatenate([own, target.split.audit])
        return [
            Refit(method, own, mask, asked, f"reference half {place}")
            for place, mask in enumerate(masks)
        ]

    def run(self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator) -> Scores:
        own = target.split.reference
        if not refits:
            raise _refuse(target)
        if target.release.model is None:
            raise ValueError("this release has no model to ask")
        shadows = finite(
            np.array([one.margins for one in refits], dtype=np.float64), "a shadow model"
        )
        included = np.array([one.included for one in refits], dtype=bool)
        known = read_signal(ask(target.release.model, own), own)
        asked = finite(np.concatenate([known, target.margins]), "the released model")
        if shadows.shape != (len(refits), len(asked)) or included.shape[1] != len(own):
            raise ValueError(f"refits of shape {shadows.shape} for {len(asked)} records")
        asked, shadows = _scale(asked, shadows, included, own.outcome_kind)
        # The more records, the less one of them moves a model: not at all to in proportion.
        size = float(included.sum(axis=1).mean()) / len(target.split.members)
        curves = fit_outside(asked[: len(own)], shadows, included, min(1.0, size**0.5))
        return replace(cut(curves.ratio(asked[len(own) :]), target), combine="add")


def _scale(
    asked: np.ndarray, shadows: np.ndarray, included: np.ndarray, kind: OutcomeKind
) -> tuple[np.ndarray, np.ndarray]:
    """Saturated answers at the edge of what models resolve; residuals as in `Bank.gather`."""
    if kind != "class":
        out = shadows[:, : included.shape[1]][~included]
        unit = spread(out) * np.where(shadows.mean(axis=0) > 0.0, -1.0, 1.0)
        return asked / unit, shadows / unit
    edge = resolution(asked, shadows)
    return np.clip(asked, -edge, edge), np.clip(shadows, -edge, edge)


def _refuse(target: Target) -> PrivauditError:
    if target.method is not None and target.method.shadows:
        return PrivauditError(
            "supplied shadow models",
            "this attacker trains their own, on the reference patients alone",
            "state the unfitted estimator instead, or leave this attack out",
        )
    patients = len(np.unique(target.split.reference.patient))
    if patients < FEWEST:
        return PrivauditError(
            f"a reference pool of fewer than {FEWEST} patients",
            "shadow models are trained on halves of it, and curves learnt over its patients",
            f"give reference records of at least {FEWEST} patients",
        )
    return PrivauditError(
        "a reference pool of which a half has one outcome alone",
        "shadow models are trained on halves of it",
        "give reference records with more patients of the rare outcome",
    )


__all__ = ["ReferenceLira"]
