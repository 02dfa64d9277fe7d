"""What an audit of unlearning states: an answer, why, and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from privaudit.disclosure_limits import MIN_CELL


class Answer(StrEnum):
    """Whether a trace of the forgotten was found. No answer says that nothing is left."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    INCONCLUSIVE = "inconclusive"

    @property
    def code(self) -> int:
        """The exit code."""
        return {"found": 1, "not_found": 0, "inconclusive": 3}[self.value]


class Why(StrEnum):
    """What the answer rests on."""

    UNCHANGED = "unchanged"
    """both models answer alike on the forgotten"""
    STILL_KNOWN = "still_known"
    """the model after answers as one that saw them does"""
    OVER_FORGOTTEN = "over_forgotten"
    """it answers worse on them than a model that never saw them"""
    ODD = "odd"
    """its answers on them are odder than on strangers, in whichever direction"""
    RECOGNISED = "recognised"
    """more of them are recognised among strangers than of patients never seen"""
    UNLIKE_STRANGERS = "unlike_strangers"
    """without a recipe: it answers on them as on no strangers"""
    WITHIN = "within"
    """nothing found, and an imprint of the limit's size can be ruled out"""
    NO_RECIPE = "no_recipe"
    """nothing found, and no model that never saw them to compare with"""
    NO_POWER = "no_power"
    """nothing found, and an imprint of the limit's size cannot be ruled out"""
    NEVER_KNOWN = "never_known"
    """the model before shows no imprint of them either, so that none could be seen to go"""
    OTHER_KIND = "other_kind"
    """nothing found, but the model after is of another kind than those it is held against: how much
    of a patient one like it keeps is not known"""
    USELESS = "useless"
    """the model after answers all patients alike, or no better than chance where the one before
    did better: what it knows cannot be asked"""


class Caution(StrEnum):
    """What a reader must know beside the answer."""

    OTHER_TRAINING = "other_training"
    """on strangers the model after is further from the refits than these are from each other"""
    OTHER_BEFORE = "other_before"
    """so is the model before: the recipe may not be how it was trained"""
    LESS_USEFUL = "less_useful"
    """the model after ranks strangers worse than the one before"""
    FEW_FORGOTTEN = "few_forgotten"
    """fewer than 10 patients: no share of them is stated"""
    NOT_CALIBRATED = "not_calibrated"
    """predictions alone: patients who are easier to predict look known"""


@dataclass(frozen=True)
class Number:
    """A value with its interval; low and high None where none can be stated."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Recognised:
    """The forgotten against strangers at one false positive rate: the share recognised under each
    model, and under models that never saw them (`never`); None where it would rest on or leave over
    fewer than 10 patients."""

    fpr: float
    before: Number | None
    after: Number | None
    never: float | None


@dataclass(frozen=True)
class Unlearning:
    """The answer and its numbers; rounded, so that it may be shown.

    patients: role -> how many, down to tens, None for fewer than 10. imprint: 0 as in models that
    never saw the forgotten, 1 as in models that did. detectable: the smallest imprint found 4 times
    in 5. limit: the imprint that has to be ruled out for NOT_FOUND. area: AUC of the forgotten
    against strangers; area_change: after less before, paired by patient. margin_change: how the
    forgotten's true-class margin changed, less how strangers' (and the retained's) did. usefulness:
    AUROC on strangers.
    """

    answer: Answer
    why: tuple[Why, ...]
    cautions: tuple[Caution, ...]
    confidence: float
    refits: int
    limit: float
    patients: dict[str, int | None]
    imprint_before: Number | None = None
    imprint_after: Number | None = None
    detectable: float | None = None
    area_before: Number | None = None
    area_after: Number | None = None
    area_never: float | None = None
    area_change: Number | None = None
    recognised: tuple[Recognised, ...] = ()
    margin_change: Number | None = None
    margin_change_to_retained: Number | None = None
    usefulness_before: Number | None = None
    usefulness_after: Number | None = None


def count_down(patients: int) -> int | None:
    """Down to tens; None for fewer than 10."""
    return None if patients < MIN_CELL else patients // 10 * 10


__all__ = ["Answer", "Caution", "Number", "Recognised", "Unlearning", "Why", "count_down"]
