"""Reasons, caveats and bounds in words: one text for each code, filled with its parameters."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Param,
    Reason,
    ReasonCode,
)
from privaudit.report import numbers as n
from privaudit.report.wording.access import name_access
from privaudit.report.wording.knowledge import name_attack

REASONS: Mapping[ReasonCode, str] = {
    ReasonCode.LACKS_ACCESS: "the attack needs to {access}, which this release does not allow",
    ReasonCode.NEEDS_RETRAINING: "it needs shadow models, and this model cannot be trained again here",
    ReasonCode.REFUSED: "{what}: {because}. To do: {fix}",
    ReasonCode.MISSING_EXTRA: "the library {library} is not installed (pip install "
    "'privaudit[{extra}]')",
    ReasonCode.FAILED: "it failed with an error: {error}",
    ReasonCode.NOT_REQUESTED: "this run was not asked for it ({attacks})",
    ReasonCode.NO_SYNTHETIC_TABLE: "no synthetic table is released",
    ReasonCode.NOTHING_TRAINED: "no model was trained",
    ReasonCode.NOT_BUILT: "this version has no such attack",
    ReasonCode.NO_MEMBER: "there is no training record",
    ReasonCode.ONE_SIDE_EMPTY: "one of the two sides holds no record",
    ReasonCode.NO_ATTEMPT: "nothing could be attempted",
    ReasonCode.TOO_FEW_HELD_OUT: "{more} more held-out patients are needed: {have} give fewer than 10 "
    "expected false positives at a false positive rate of {fpr}",
    ReasonCode.NOTHING_DETECTABLE: "no effect is detectable with this many patients",
    ReasonCode.TOO_FEW_WITH_OUTCOME: "{group} has fewer than {least} patients with one of the outcomes",
    ReasonCode.ONE_OUTCOME: "only one outcome occurs ({outcomes})",
    ReasonCode.TOO_FEW_PATIENTS: "it rests on fewer than {least} patients",
    ReasonCode.TOO_FEW_ASSIGNMENTS: "{more} more patients assigned at random are needed; there are "
    "{have}",
    ReasonCode.UNBALANCED_ASSIGNMENT: "{members} of {patients} patients are members, which a fair "
    "random assignment does not explain",
    ReasonCode.NO_STABLE_FIT: "the fit does not converge",
    ReasonCode.WITHIN_BOUND: "the upper bound is within the limit",
    ReasonCode.EXCEEDS_BOUND: "the lower bound is above the limit",
    ReasonCode.REACHES_MINIMUM: "the lower bound reaches the minimum",
    ReasonCode.MISSES_MINIMUM: "the upper bound is below the minimum",
    ReasonCode.LIMIT_INSIDE_BOUNDS: "the limit lies between the two bounds",
}

CAVEATS: Mapping[CaveatCode, str] = {
    CaveatCode.NOTE: "{text}",
    CaveatCode.GENERATED_RECORDS: "The records are synthetic demo data: not results.",
    CaveatCode.CONTROL_FAILED: "The {control} control of {attack} on {subject} failed.",
    CaveatCode.PLANTED_LEAK_MISSED: "{attack} on {subject} missed a planted leak: insufficient power, "
    "so no leakage detected by it is not evidence of low risk.",
    CaveatCode.ATTACK_FAILED: "{attack} on {subject} failed with an error.",
    CaveatCode.GUARANTEE_BROKEN: "{attack} shows that {subject} has an epsilon of at least {bound} "
    "({confidence} confidence), above the {claimed} claimed: the guarantee does not hold as "
    "implemented.",
    CaveatCode.NOT_TRAINED: "{subject} was requested and not trained.",
    CaveatCode.CONTROL_DESCRIBED: "The control is {control}.",
    CaveatCode.EPSILON_ABOVE_CLAIM: "The attack shows an epsilon of at least {bound} ({confidence} "
    "confidence), above the {claimed} claimed: the guarantee does not hold as implemented.",
    CaveatCode.BOUND_OF_ANOTHER_UNIT: "The bound is for one patient added or removed and the "
    "guarantee for one {unit} ({neighbours}), so the two are not comparable.",
    CaveatCode.BOUND_NOT_COVERED: "The attack used access that the guarantee does not cover, so the "
    "bound does not test it.",
    CaveatCode.CHOSEN_ON_HALVES: "Chosen as the strongest on one half of the patients, estimated on the "
    "other half.",
    CaveatCode.CHOSEN_ON_REFITS: "Chosen as the strongest on retrained models whose training sets are "
    "known, estimated on all patients.",
    CaveatCode.CHOSEN_AS_ONLY: "The only attack that gave a result.",
    CaveatCode.PLANTED_LEAK: "the released model, made more confident of the true outcome of every "
    "training record by {lift} standard deviations of its log odds",
    CaveatCode.PLANTED_COPIES: "the released table, with the records of half of the training patients "
    "copied into it",
    CaveatCode.NULL_MODEL: "a model of the same method trained on the reference pool only, so that "
    "members and non-members are both new to it",
    CaveatCode.NULL_HALVES: "the release itself, on two random halves of the held-out patients, neither of "
    "which it was trained on",
    CaveatCode.DISTRIBUTION_SHIFT: "Training and held-out records can be told apart without the model "
    "(AUC {auc}, {confidence} interval {low} to {high}; most by {columns}). A membership number may "
    "measure this difference and not a leak.",
    CaveatCode.NO_DISTRIBUTION_SHIFT: "Training and held-out records could not be told apart without "
    "the model (AUC {auc}, {confidence} interval {low} to {high}).",
}

BOUNDS: Mapping[BoundMethod, str] = {
    BoundMethod.DELONG: "DeLong’s variance with patients as clusters (Obuchowski 1997, Biometrics 53)",
    BoundMethod.DELONG_NEWCOMBE: "DeLong’s variance with patients as clusters; Newcombe’s interval "
    "near 0 and 1 (Newcombe 2006, Statistics in Medicine 25)",
    BoundMethod.PAIRED_DELONG: "DeLong’s variance of a paired difference",
    BoundMethod.PAIRED_DELONG_SCORE: "DeLong’s variance of a paired difference, with score intervals "
    "(Newcombe 2006)",
    BoundMethod.BOOTSTRAP_WILSON: "bootstrap of members and non-members by patient, because the "
    "threshold is estimated too, joined with Wilson’s interval",
    BoundMethod.BAYES_RULE: "Bayes’ rule from the interval of the true positive rate",
    BoundMethod.POWER: "detectable with 80 % power",
    BoundMethod.WILSON: "Wilson’s score interval (Wilson 1927, J. Am. Stat. Assoc. 22)",
    BoundMethod.NEWCOMBE_PAIRED: "Newcombe’s interval of a paired difference (Newcombe 1998, "
    "Statistics in Medicine 17)",
    BoundMethod.NEWCOMBE_INDEPENDENT: "Newcombe’s interval of a difference (Newcombe 1998, Statistics "
    "in Medicine 17)",
    BoundMethod.CLUSTERED_MEAN: "paired mean over records, with patients as clusters",
    BoundMethod.STEINKE: "exact binomial tail of right guesses (Steinke et al. 2023, arXiv 2305.08846)",
    BoundMethod.MAHLOUJIFAR: "f-DP trade-off of right guesses (Mahloujifar et al. 2024, arXiv "
    "2410.22235)",
}


def word_reason(reason: Reason | None) -> str:
    """Why there is no number, attack or model: a clause without a full stop."""
    if reason is None:
        return "no reason was given"
    return REASONS[reason.code].format(**_show(reason.params)).rstrip(".")


def word_caveat(caveat: Caveat) -> str:
    """What a reader must know of a number: a sentence, or a text of other software as it is."""
    return CAVEATS[caveat.code].format(**_show(caveat.params))


def describe_bound(bound: Bound) -> str:
    """How an interval or a bound was made, with its source."""
    text = BOUNDS[bound.method]
    if bound.family:
        text += f", {bound.family} differential privacy"
    if bound.delta is not None:
        text += f", at delta {n.significant(bound.delta, 2)}"
    if bound.made:
        text += f"; {n.count(bound.right)} of {n.count(bound.made)} guesses right"
    if bound.coins:
        text += f"; {n.count(bound.coins)} patients assigned at random"
    if bound.tried > 1:
        text += f"; corrected for {n.count(bound.tried)} numbers of guesses tried"
    return text


def _show(params: Mapping[str, Param]) -> dict[str, str]:
    return {name: _word(name, value) for name, value in params.items()}


def _word(name: str, value: Param) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    if name == "access":
        return "; ".join(name_access(str(part)) for part in parts)
    if name in ("attack", "attacks"):
        return ", ".join(name_attack(str(part)) for part in parts)
    return ", ".join(_number(name, part) for part in parts)


def _number(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if name in ("fpr", "prior", "confidence"):
        return n.share(value)
    return n.count(value) if isinstance(value, int) else n.significant(value)


__all__ = ["BOUNDS", "CAVEATS", "REASONS", "describe_bound", "word_caveat", "word_reason"]
