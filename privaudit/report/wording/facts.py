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
    ReasonCode.REFUSED: "{what}: {because}; to do: {fix}",
    ReasonCode.MISSING_EXTRA: "the library {library} is not installed; to do: {fix}",
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
    ReasonCode.TOO_FEW_WITH_OUTCOME: "fewer than {least} patients{group} have one of the outcomes",
    ReasonCode.ONE_OUTCOME: "only one outcome occurs{outcomes}",
    ReasonCode.TOO_FEW_PATIENTS: "it rests on fewer than {least} patients",
    ReasonCode.TOO_FEW_ASSIGNMENTS: "{more} more patients assigned at random are needed; there are "
    "{have}",
    ReasonCode.UNBALANCED_ASSIGNMENT: "{members} of {patients} patients are members, which a fair "
    "random assignment does not explain",
    ReasonCode.NO_STABLE_FIT: "the fit does not converge",
    ReasonCode.NULL_NOT_TRAINED: "the model of the negative control could not be trained",
    ReasonCode.NO_RECORD: "there is no record",
    ReasonCode.EQUAL_PREDICTIONS: "all predictions are equal",
    ReasonCode.SEPARATED_OUTCOMES: "the predictions separate the outcomes completely",
    ReasonCode.SMALL_CELL: "it would reveal a count of fewer than {least} patients",
    ReasonCode.FEW_COPIES: "fewer than {least} patients have one",
    ReasonCode.TOO_FEW_SYNTHETIC_ROWS: "there are fewer than {least} synthetic rows",
}
"""Every reason but those of verdicts, which `privaudit.report.wording.verdicts` words."""

CAVEATS: Mapping[CaveatCode, str] = {
    CaveatCode.NOTE: "{text}",
    CaveatCode.GENERATED_RECORDS: "The records are synthetic demo data: not results.",
    CaveatCode.CONTROL_FAILED: "The {control} control of {attack} on {subject} failed.",
    CaveatCode.PLANTED_LEAK_MISSED: "{attack} on {subject} missed a planted leak: insufficient power, "
    "so no leakage detected by it is not evidence of low risk.",
    CaveatCode.ATTACK_FAILED: "{attack} on {subject} failed with an error: {error}.",
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
    CaveatCode.DISTRIBUTION_SHIFT_NOT_TESTED: "Whether training and held-out records can be told apart "
    "without the model was not tested.",
    CaveatCode.OUTCOME_IN_COLUMN: "The column {column} alone predicts the outcome with an AUC of {auc}: "
    "it may hold the outcome itself.",
    CaveatCode.IDENTIFYING_COLUMNS: "These columns have almost as many values as there are {identifier}: "
    "{columns}. A model may identify patients by them.",
    CaveatCode.DUPLICATES_ACROSS_SPLIT: "{share} of the held-out records are exact duplicates of a "
    "training record, so they count as held out although the model saw the same values.",
    CaveatCode.FEW_HELD_OUT: "There are {patients} held-out patients; a rate at a false positive rate of "
    "{fpr} needs {wanted}.",
    CaveatCode.ANSWERS_ARE_CLASSES: "The answers are classes, not probabilities: attacks that use the "
    "model’s confidence see little, so their results are a lower estimate of the risk.",
    CaveatCode.CONSTANT_ANSWERS: "The model gives every record the same answer.",
    CaveatCode.BETTER_ON_HELD_OUT: "The model performs better on the held-out records (AUROC {held_out}) "
    "than on the training records ({members}): check that the two were not swapped.",
    CaveatCode.NO_BETTER_THAN_CHANCE: "The model does no better than chance on its training records "
    "(AUROC {members}): check that outcomes and records belong together.",
    CaveatCode.SEVERAL_RECORDS_A_PATIENT: "There are {records} records of {patients} patients. Attack AUC "
    "({confidence} intervals): {record_auc} for single records ({record_low} to {record_high} with records "
    "as independent, {patient_low} to {patient_high} with patients as clusters), {mean_auc} for patients "
    "({mean_low} to {mean_high}).",
    CaveatCode.NOT_RETRAINED: "The model was not trained again: {what}; {because}.",
    CaveatCode.COLUMNS_MISSING: "{count} columns of the real table are missing in the synthetic one and "
    "left out of the comparison: {columns}.",
    CaveatCode.MORE_SYNTHETIC_ROWS: "There are {synthetic_rows} synthetic rows and {held_out_rows} "
    "held-out ones; the comparison uses as many of each.",
    CaveatCode.NEAR_DUPLICATES_DEFINED: "A near-duplicate differs from a real record in at most {differing} "
    "of the cells; numbers count as equal within {rounding}.",
    CaveatCode.FEW_COPIES: "{metric}: not stated, because fewer than {least} training patients have one.",
    CaveatCode.FEW_COPIES_HELD_OUT: "{metric}: not stated, because fewer than {least} held-out patients "
    "have one.",
    CaveatCode.UTILITY_NOT_MEASURED: "Utility was not measured: {what}.",
    CaveatCode.UTILITY_ON_FEWER_ROWS: "Utility was measured with {rows} of the {synthetic_rows} synthetic "
    "rows, as many as there are training records.",
    CaveatCode.ONE_SYNTHETIC_OUTCOME: "All synthetic rows have the outcome {outcome}, so no model can be "
    "trained on them.",
    CaveatCode.LEARNER_READS_SERIES: "{learner} reads series, which a synthetic table does not hold.",
    CaveatCode.LEARNER_REFUSED: "{learner} could not be trained: {what}; {because}.",
    CaveatCode.HARNESS_LEAKS: "{attack} recognises patients in a model that was not trained on them "
    "({subject}): the negative control failed.",
    CaveatCode.CONTROL_ERROR: "The {control} control of {attack} on {subject} failed with an error: "
    "{error}.",
    CaveatCode.UNAPPROVED: "The policy names nobody who approved it.",
    CaveatCode.NOT_JUDGED: "Not checked, because the policy does not name them as to be released: "
    "{subjects}.",
    CaveatCode.WAIVER_EXPIRED: "The waiver of {rule} by {approved_by} expired on {expires} and waives "
    "nothing.",
    CaveatCode.WAIVER_IDLE: "The waiver of {rule} covers nothing in this run.",
    CaveatCode.LIMIT_BELOW_RESOLUTION: "The limit {rule} ({limit}) is below what {patients} held-out "
    "patients can show ({least}).",
    CaveatCode.NO_GUARANTEE_REQUIRED: "A released model file cannot be taken back, and no limit of this "
    "policy asks for a privacy guarantee.",
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
    BoundMethod.NEWCOMBE_AUC: "Newcombe’s score interval (Newcombe 2006, Statistics in Medicine 25)",
    BoundMethod.BOOTSTRAP: "bootstrap by patient",
    BoundMethod.GROUP_BOOTSTRAP_WILSON: "bootstrap by patient at everyone’s threshold, joined with "
    "Wilson’s interval",
    BoundMethod.POWER_THRESHOLD: "detectable with 80 % power, with the threshold estimated",
    BoundMethod.RECALIBRATION: "logistic recalibration, with patients as clusters",
    BoundMethod.PAIRED_BOOTSTRAP: "paired bootstrap by patient",
    BoundMethod.PAIRED_BOOTSTRAP_NEWCOMBE: "paired bootstrap by patient, joined with Newcombe’s interval",
    BoundMethod.PAIRED_MEAN: "mean over records, with patients as clusters",
    BoundMethod.MOVER: "from the two intervals as if independent (MOVER; Zou and Donner 2008)",
    BoundMethod.LINEARISED: "linearised variance over patients",
    BoundMethod.DELONG_FOLDS: "DeLong’s variance over cross-validation folds",
    BoundMethod.ORDER_STATISTIC: "order statistics of the median",
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
    text = REASONS[reason.code].format(**_show(reason.params)).rstrip(".")
    return text.removesuffix("; to do: ")


def word_caveat(caveat: Caveat) -> str:
    """What a reader must know of a number: a sentence, or a text of other software as it is."""
    return CAVEATS[caveat.code].format(**_show(caveat.params))


def describe_bound(bound: Bound) -> str:
    """How an interval or a bound was made, with its source."""
    text = BOUNDS[bound.method]
    if bound.classes:
        text += f", mean over {bound.classes} classes, each against the rest"
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
    if name == "group":
        return " of this group" if value else ""
    text = ", ".join(_number(name, part) for part in parts)
    if name == "outcomes":
        return f" ({text})" if text else ""
    return text.rstrip(".") if name in ENDINGS else text


ENDINGS = ("because", "fix", "error", "what")
"""Clauses of other places, whose full stop the sentence around them gives."""


def _number(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if name in ("fpr", "prior", "confidence", "share"):
        return n.share(value)
    return n.count(value) if isinstance(value, int) else n.significant(value)


__all__ = ["BOUNDS", "CAVEATS", "REASONS", "describe_bound", "word_caveat", "word_reason"]
