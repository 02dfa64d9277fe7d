"""Shadow models of which a user supplies the answers: the bank, what is checked of it, and how it
takes part in an audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from privaudit.contracts import Method, Release
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records, Split

MIN_MODELS = 8
"""Fewer say nothing of how one record's answers vary."""

MIN_SIDE = 2
"""So many models with each record, and as many without it, are left to an attack: a variance needs
two."""

MAX_LEFT_OUT = 0.05
"""Share of the patients who may have fewer, and are left out."""


@dataclass(frozen=True, eq=False)
class ShadowAnswers:
    """Log odds of the recorded outcome, and who was trained on, of K shadow models.

    margins: (K, n) float64; included: (K, n) bool; n records: members, then non-members, in the
    order of their tables.
    """

    margins: np.ndarray
    included: np.ndarray

    def take(self, rows: np.ndarray) -> ShadowAnswers:
        """The records given by an index array or a mask."""
        return ShadowAnswers(self.margins[:, rows], self.included[:, rows])

    @property
    def paired(self) -> ShadowAnswers:
        """The same models, those trained on complementary records beside each other.

        Attacks that put a shadow model in the model's place set aside the one beside it too.
        """
        left = list(range(len(self.included)))
        pairs: list[int] = []
        single: list[int] = []
        while left:
            first = left.pop(0)
            opposite = ~self.included[first]
            second = next((k for k in left if np.array_equal(self.included[k], opposite)), None)
            if second is None:
                single.append(first)
            else:
                left.remove(second)
                pairs += [first, second]
        places = np.array([*pairs, *single])
        return ShadowAnswers(self.margins[places], self.included[places])


@dataclass(frozen=True)
class ShadowModel(Method):
    """One supplied shadow model: nothing is trained, its answers are known.

    digest: of its answers; place: which of the models it is. Made by `of`, which holds the answers
    outside the fields, so that no description of the method can hold a row.
    """

    digest: str
    place: int

    supplied: ClassVar[bool] = True

    @classmethod
    def of(cls, margins: np.ndarray, place: int) -> ShadowModel:
        """Hand out these log odds, (n,), of the audit records."""
        import hashlib

        made = cls(hashlib.sha256(margins.tobytes()).hexdigest()[:16], place)
        object.__setattr__(made, "_margins", margins)
        return made

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """Hand out what was supplied, whatever the records."""
        return Release(model=_Recorded(self.__dict__["_margins"]))


@dataclass(frozen=True, eq=False)
class _Recorded:
    """Answers of one model for the audit records alone, in their order."""

    margins: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes); what the recorded outcome leaves is spread evenly over the others."""
        if len(records) != len(self.margins):
            raise ValueError("a supplied shadow model answers for the audit records alone")
        k = len(records.classes)
        true, rest = np.exp(-np.logaddexp(0.0, [-self.margins, self.margins]))
        p = np.repeat((rest / (k - 1))[:, None], k, axis=1)
        p[np.arange(len(p)), records.y] = true
        return p


def make_shadow_models(bank: ShadowAnswers) -> tuple[tuple[Method, np.ndarray], ...]:
    """What `Method.shadows` holds: each model with the records it was trained on."""
    return tuple(
        (ShadowModel.of(margins, place), included)
        for place, (margins, included) in enumerate(zip(bank.margins, bank.included, strict=True))
    )


def no_shadows_of_numbers() -> PrivauditError:
    """Shadow models of an outcome that is a number."""
    return PrivauditError(
        "supplied shadow models, for an outcome that is a number",
        "their answers are read as probabilities of classes",
        "give the recipe of the model, so that shadow models are trained here, or leave them out",
    )


def leave_out_sparse(
    bank: ShadowAnswers, members: Records, nonmembers: Records
) -> tuple[ShadowAnswers, Records, Records, tuple[Caveat, ...]]:
    """Without patients whom too few models were trained on, or trained without; models paired.

    Raises:
        PrivauditError: Too few models, a patient partly in a model's training set, or more than
            5 % of the patients with too few models.
    """
    patient = np.concatenate([members.patient, nonmembers.patient])
    _, first, place = np.unique(patient, return_index=True, return_inverse=True)
    models = len(bank.included)
    if models < MIN_MODELS:
        raise PrivauditError(
            f"{models} shadow models",
            f"with fewer than {MIN_MODELS} nobody can say how a record's answers vary",
            f"train at least {MIN_MODELS}, better 16 or 64, each on a random half of the patients",
        )
    torn = int((bank.included != bank.included[:, first[place]]).any(axis=0).sum())
    if torn:
        raise PrivauditError(
            f"{name_count(torn)} rows of patients of whom a shadow model was trained on some rows "
            "only",
            "the patient is the unit of privacy: a model was trained on all rows of a patient or "
            "on none",
            "draw each shadow model's training set by patient",
        )
    bank = bank.paired
    sparse = _find_sparse(bank.included[:, first])
    share = float(sparse.mean())
    if share > MAX_LEFT_OUT:
        raise PrivauditError(
            f"shadow models of which too few were trained with, or without, {share:.0%} of the "
            "patients",
            "each patient's answers are compared between models that saw them and models that did "
            "not, of which some are set aside to choose between attacks and for the controls",
            "train pairs of shadow models on a random half of all patients, members and "
            "non-members, and on the other half; or train more of them",
        )
    if not sparse.any():
        return bank, members, nonmembers, ()
    keep = ~sparse[place]
    cut = len(members)
    note = Caveat(CaveatCode.SHADOWS_LEFT_OUT, "note", {"share": MAX_LEFT_OUT})
    return bank.take(keep), members.take(keep[:cut]), nonmembers.take(keep[cut:]), (note,)


def _find_sparse(included: np.ndarray) -> np.ndarray:
    """(n,) bool: of whom too few models are left once two are set aside twice.

    The first two for the controls and to choose the headline's attack, any two beside each other to
    choose an attack's rule (`privaudit.engine.choose`, `few_shadow_lira`). Models trained on
    complementary halves take one from either side, so that 8 of them are enough.
    """
    rest = included[2:].astype(np.int64)
    models, inside = len(rest), rest.sum(axis=0)
    sparse = np.zeros(included.shape[1], dtype=bool)
    for first in range(0, models, 2):
        pair = rest[first : first + 2]
        with_it = inside - pair.sum(axis=0)
        without = models - len(pair) - with_it
        sparse |= (with_it < MIN_SIDE) | (without < MIN_SIDE)
    return sparse


def follow_split(bank: ShadowAnswers, nonmembers: Records, split: Split) -> ShadowAnswers:
    """The answers for the audit records, once the attacker's pool was drawn from the non-members.

    nonmembers: as they were before.
    """
    stay = np.isin(nonmembers.patient, split.nonmembers.patient)
    cut = len(split.members)
    followed = bank.take(np.concatenate([np.ones(cut, dtype=bool), stay]))
    y = np.concatenate([split.members.y, nonmembers.y[stay]])
    if followed.margins.shape[1] != len(split.audit) or not np.array_equal(y, split.audit.y):
        raise ValueError("the pools were not drawn from the tables that the shadow answers are of")
    return followed


__all__ = [
    "MIN_MODELS",
    "ShadowAnswers",
    "ShadowModel",
    "follow_split",
    "leave_out_sparse",
    "make_shadow_models",
    "no_shadows_of_numbers",
]
