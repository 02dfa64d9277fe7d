"""Typed facts: what an audit states, as data. Sentences are made of them in
`privaudit.report.wording` alone.

Nothing outside that package reads meaning out of a text: a reason, a caveat, a metric, a setting
and a bound are compared by their codes and fields. A code says which parameters it carries; any
other set is refused here, so that whoever makes a fact and whoever words it cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, get_args

Param = str | int | float | bool | tuple[str, ...]
"""Numbers, names that come from outside (columns, groups, attacks, libraries), and texts of
other software."""


class ReasonCode(StrEnum):
    """Why there is no number, no attack, no model, or why a verdict has its state."""

    # --- an attack was not run, a model not trained, a class of attack not tested
    LACKS_ACCESS = "lacks_access"
    NEEDS_RETRAINING = "needs_retraining"
    NEEDS_OTHER_OUTCOME = "needs_other_outcome"
    HOLDS_FITTED_PART = "holds_fitted_part"
    REFIT_FAILED = "refit_failed"
    REFIT_LEARNS_NOTHING = "refit_learns_nothing"
    REFIT_DIFFERS = "refit_differs"
    REFUSED = "refused"
    MISSING_EXTRA = "missing_extra"
    FAILED = "failed"
    NOT_REQUESTED = "not_requested"
    NO_SYNTHETIC_TABLE = "no_synthetic_table"
    NOTHING_TRAINED = "nothing_trained"
    NOT_BUILT = "not_built"
    NULL_NOT_TRAINED = "null_not_trained"
    NULL_OF_ONE_OUTCOME = "null_of_one_outcome"
    FILE_NOT_GIVEN = "file_not_given"
    NO_SENSITIVE_COLUMN = "no_sensitive_column"
    NO_CHANGEABLE_NUMBER = "no_changeable_number"
    SERIES_UNREAD = "series_unread"
    SCHEMA_NOT_CHECKED = "schema_not_checked"
    PEOPLE_NOT_NAMED = "people_not_named"
    NOT_FOR_PICTURES = "not_for_pictures"
    QUERY_BUDGET = "query_budget"
    SITES_STATE_NOTHING = "sites_state_nothing"

    # --- a number is not stated
    NO_MEMBER = "no_member"
    ONE_SIDE_EMPTY = "one_side_empty"
    NO_RECORD = "no_record"
    NO_ATTEMPT = "no_attempt"
    TOO_FEW_HELD_OUT = "too_few_held_out"
    NOTHING_DETECTABLE = "nothing_detectable"
    TOO_FEW_WITH_OUTCOME = "too_few_with_outcome"
    ONE_OUTCOME = "one_outcome"
    TOO_FEW_PATIENTS = "too_few_patients"
    TOO_FEW_ASSIGNMENTS = "too_few_assignments"
    UNBALANCED_ASSIGNMENT = "unbalanced_assignment"
    EQUAL_PREDICTIONS = "equal_predictions"
    SEPARATED_OUTCOMES = "separated_outcomes"
    NO_STABLE_FIT = "no_stable_fit"
    TOO_FEW_REFITS = "too_few_refits"
    REFITS_NOT_PAIRED = "refits_not_paired"
    NAMED_WITHOUT_LEAK = "named_without_leak"
    PLANTED_PATIENTS_MISSED = "planted_patients_missed"

    # --- a number of a synthetic table (privaudit.fidelity)
    SMALL_CELL = "small_cell"
    FEW_COPIES = "few_copies"
    TOO_FEW_SYNTHETIC_ROWS = "too_few_synthetic_rows"

    # --- a verdict (privaudit.policy)
    WITHIN_BOUND = "within_bound"
    EXCEEDS_BOUND = "exceeds_bound"
    REACHES_MINIMUM = "reaches_minimum"
    MISSES_MINIMUM = "misses_minimum"
    PROVED_ABOVE = "proved_above"
    NOT_PROVED_ABOVE = "not_proved_above"
    LIMIT_INSIDE_BOUNDS = "limit_inside_bounds"
    TOO_FEW_FALSE_POSITIVES = "too_few_false_positives"
    NUMBER_ABSENT = "number_absent"
    NO_INTERVAL = "no_interval"
    SUPPRESSED = "suppressed"
    NEGATIVE_CONTROL_FAILED = "negative_control_failed"
    DISTRIBUTION_SHIFTED = "distribution_shifted"
    SCORE_DRIFTED = "score_drifted"
    NULL_NOT_COMPARED = "null_not_compared"
    WRONG_WAY_ROUND = "wrong_way_round"
    LOST_TO_GUESS = "lost_to_guess"
    READING_UNCONFIRMED = "reading_unconfirmed"
    TABLE_IN_ORDER = "table_in_order"
    STATED_BY_SITES = "stated_by_sites"
    LACKS_POWER = "lacks_power"
    NO_POSITIVE_CONTROL = "no_positive_control"
    NO_NEGATIVE_CONTROL = "no_negative_control"
    SMALLER_TRAINING_SETS = "smaller_training_sets"
    NEGATIVE_CONTROL_NOT_MADE = "negative_control_not_made"
    POSITIVE_CONTROL_NOT_MADE = "positive_control_not_made"
    GROUP_ATYPICAL = "group_atypical"
    NOTHING_PROVABLE = "nothing_provable"
    LIMIT_ABOVE_CEILING = "limit_above_ceiling"
    ATTACKS_MISSING = "attacks_missing"
    SETTINGS_MISSING = "settings_missing"
    NO_ATTACK_RUN = "no_attack_run"
    NOT_APPLICABLE = "not_applicable"
    CLASS_NOT_TESTED = "class_not_tested"
    CLASS_NOT_LIMITED = "class_not_limited"
    SHADOWS_NOT_RUN = "shadows_not_run"
    FEW_SHADOWS = "few_shadows"
    FILE_NOT_OPENED = "file_not_opened"
    TREES_NOT_READ = "trees_not_read"
    SERIES_NOT_READ = "series_not_read"
    FEW_PEOPLE = "few_people"
    NO_GROUPING = "no_grouping"
    NO_GUARANTEE = "no_guarantee"
    GUARANTEE_OF_ANOTHER_UNIT = "guarantee_of_another_unit"
    GUARANTEE_NOT_COVERING = "guarantee_not_covering"
    GUARANTEE_WITHIN = "guarantee_within"
    GUARANTEE_ABOVE = "guarantee_above"
    GUARANTEES_APART = "guarantees_apart"
    NO_BASELINE = "no_baseline"
    ABSENT_FROM_BASELINE = "absent_from_baseline"
    ABSENT_FROM_CANDIDATE = "absent_from_candidate"
    TOO_FEW_BASELINE_RUNS = "too_few_baseline_runs"
    TOO_FEW_CANDIDATE_RUNS = "too_few_candidate_runs"
    CANDIDATE_RUNS_LACK_NUMBER = "candidate_runs_lack_number"
    NO_WORSE_THAN_MARGIN = "no_worse_than_margin"
    WORSE_THAN_MARGIN = "worse_than_margin"
    MARGIN_INSIDE_BOUNDS = "margin_inside_bounds"
    WEAKER_ATTACK_UNDECIDED = "weaker_attack_undecided"


LOST_REFITS = (
    ReasonCode.HOLDS_FITTED_PART,
    ReasonCode.REFIT_FAILED,
    ReasonCode.REFIT_LEARNS_NOTHING,
    ReasonCode.REFIT_DIFFERS,
)
"""Why a model whose recipe is known gives no shadow models: attacks that need them say nothing."""

_COMPARED = (
    "members",
    "members_refit",
    "members_low",
    "members_high",
    "held_out",
    "held_out_refit",
    "held_out_low",
    "held_out_high",
    "confidence",
    "patients",
    "refits",
    "apart",
    "noise",
    "scale",
)
"""Mean log loss of the model and of its refits with the interval of their difference, and mean
distances of margins: from the refits, between them, and from a refit on other patients."""

REASON_PARAMS: Mapping[ReasonCode, tuple[str, ...]] = {
    ReasonCode.LACKS_ACCESS: ("access",),
    ReasonCode.NEEDS_OTHER_OUTCOME: ("kind", "wanted"),
    ReasonCode.HOLDS_FITTED_PART: ("part",),
    ReasonCode.REFIT_FAILED: ("what", "because"),
    ReasonCode.REFIT_DIFFERS: _COMPARED,
    ReasonCode.REFUSED: ("what", "because", "fix"),
    ReasonCode.MISSING_EXTRA: ("library", "fix"),
    ReasonCode.FAILED: ("error",),
    ReasonCode.NOT_REQUESTED: ("attacks",),
    ReasonCode.SCHEMA_NOT_CHECKED: ("columns",),
    ReasonCode.QUERY_BUDGET: ("rows", "budget"),
    ReasonCode.TOO_FEW_HELD_OUT: ("more", "have", "fpr"),
    ReasonCode.TOO_FEW_WITH_OUTCOME: ("least", "group"),
    ReasonCode.ONE_OUTCOME: ("outcomes",),
    ReasonCode.TOO_FEW_PATIENTS: ("least",),
    ReasonCode.TOO_FEW_ASSIGNMENTS: ("more", "have"),
    ReasonCode.UNBALANCED_ASSIGNMENT: ("members", "patients"),
    ReasonCode.TOO_FEW_REFITS: ("wanted", "refits"),
    ReasonCode.WITHIN_BOUND: ("others", "weak"),
    ReasonCode.EXCEEDS_BOUND: ("adjusted", "others", "listed", "table"),
    ReasonCode.MISSES_MINIMUM: ("adjusted",),
    ReasonCode.PROVED_ABOVE: ("adjusted", "others", "table"),
    ReasonCode.NOT_PROVED_ABOVE: ("others", "weak"),
    ReasonCode.LIMIT_INSIDE_BOUNDS: ("more",),
    ReasonCode.TOO_FEW_FALSE_POSITIVES: ("more",),
    ReasonCode.SUPPRESSED: ("least",),
    ReasonCode.LACKS_POWER: ("weak",),
    ReasonCode.NO_POSITIVE_CONTROL: ("weak",),
    ReasonCode.NOTHING_PROVABLE: ("most",),
    ReasonCode.LIMIT_ABOVE_CEILING: ("most",),
    ReasonCode.ATTACKS_MISSING: ("attacks",),
    ReasonCode.CLASS_NOT_TESTED: ("attacks",),
    ReasonCode.CLASS_NOT_LIMITED: ("attacks",),
    ReasonCode.SETTINGS_MISSING: ("settings",),
    ReasonCode.SERIES_NOT_READ: ("attacks",),
    ReasonCode.FEW_PEOPLE: ("least",),
    ReasonCode.NO_GROUPING: ("by", "known", "near"),
    ReasonCode.GUARANTEE_OF_ANOTHER_UNIT: ("epsilon", "delta", "unit"),
    ReasonCode.GUARANTEE_NOT_COVERING: ("epsilon", "delta", "unit", "access"),
    ReasonCode.GUARANTEE_WITHIN: ("epsilon", "delta", "unit"),
    ReasonCode.GUARANTEE_ABOVE: ("epsilon", "delta", "unit"),
    ReasonCode.GUARANTEES_APART: ("kinds",),
    ReasonCode.TOO_FEW_BASELINE_RUNS: ("before", "after"),
    ReasonCode.TOO_FEW_CANDIDATE_RUNS: ("before", "after", "wanted"),
    ReasonCode.CANDIDATE_RUNS_LACK_NUMBER: ("before", "after", "lacking"),
    ReasonCode.NO_WORSE_THAN_MARGIN: ("before", "after"),
    ReasonCode.WORSE_THAN_MARGIN: ("before", "after"),
    ReasonCode.MARGIN_INSIDE_BOUNDS: ("before", "after", "spread", "more"),
    ReasonCode.WEAKER_ATTACK_UNDECIDED: ("before", "after", "strongest", "above"),
    ReasonCode.SMALL_CELL: ("least",),
    ReasonCode.FEW_COPIES: ("least",),
    ReasonCode.TOO_FEW_SYNTHETIC_ROWS: ("least",),
}
"""The parameters of each code, none where it is not listed.

access, attacks: names of `contracts.Access` and of attacks; kind, wanted: of `records.OutcomeKind`,
what the outcome is and what the attack is made for; fix: what to do, "" where nothing is
known; error: a text of other software or the kind and place of an error; fpr, least, more, have,
members, patients: numbers (least: so many are asked for; more: so many are lacking; have: so many
there are); group: whether it is about one subgroup; outcomes: names of the classes, none where
there are more than two.

Of verdicts: others, weak: attacks that were looked at, and those that lack power; adjusted: whether
the bound is adjusted over several rules; listed: whether the policy names the group; table: whether
a synthetic table is released; more: patients (or runs) that would decide it, 0 where no realistic
number would; near: what may have been meant, "" for nothing; before, after: means over runs;
rows, budget: rows of a deployed model that an attack asks about, and that may be asked about;
lacking: runs without the number; strongest, above: the attack that read highest in the baseline,
and how far above it the candidate may lie by this one.
"""


class CaveatCode(StrEnum):
    """What a reader must know of a number, a release or the whole audit."""

    NOTE = "note"
    """A text of a task, a method or other software, printed as it is."""

    # --- the whole audit
    GENERATED_RECORDS = "generated_records"
    CONTROL_FAILED = "control_failed"
    CONTROL_NOT_MADE = "control_not_made"
    PLANTED_LEAK_MISSED = "planted_leak_missed"
    ATTACK_FAILED = "attack_failed"
    GUARANTEE_BROKEN = "guarantee_broken"
    NOT_TRAINED = "not_trained"
    AUC_BELOW_HALF = "auc_below_half"
    SHADOW_ATTACKS_LOST = "shadow_attacks_lost"
    SCORE_DRIFT = "score_drift"
    NEAR_COHORT = "near_cohort"
    NEAR_GROUPS = "near_groups"
    COUNTS_OF_SITES = "counts_of_sites"
    SITES_NOT_COUNTED = "sites_not_counted"

    # --- one finding
    CONTROL_DESCRIBED = "control_described"
    PATIENTS_DRAWN = "patients_drawn"
    EPSILON_ABOVE_CLAIM = "epsilon_above_claim"
    BOUND_OF_ANOTHER_UNIT = "bound_of_another_unit"
    BOUND_NOT_COVERED = "bound_not_covered"
    COUNTS_UNKNOWN = "counts_unknown"
    CHOSEN_ON_HALVES = "chosen_on_halves"
    CHOSEN_ON_REFITS = "chosen_on_refits"
    CHOSEN_AS_ONLY = "chosen_as_only"

    # --- a release
    SITES_TRAIN_ALONE = "sites_train_alone"
    RARE_SITES_JOINED = "rare_sites_joined"

    # --- a control
    PLANTED_LEAK = "planted_leak"
    PLANTED_RESIDUAL = "planted_residual"
    PLANTED_COPIES = "planted_copies"
    NULL_MODEL = "null_model"
    NULL_HALVES = "null_halves"
    NULL_SHADOW = "null_shadow"
    NULL_FOLDS = "null_folds"
    NULL_STAND_IN = "null_stand_in"

    # --- what was handed in (privaudit.inputs)
    DISTRIBUTION_SHIFT = "distribution_shift"
    NO_DISTRIBUTION_SHIFT = "no_distribution_shift"
    DISTRIBUTION_SHIFT_NOT_TESTED = "distribution_shift_not_tested"
    OUTCOME_IN_COLUMN = "outcome_in_column"
    IDENTIFYING_COLUMNS = "identifying_columns"
    DUPLICATES_ACROSS_SPLIT = "duplicates_across_split"
    FEW_HELD_OUT = "few_held_out"
    EQUAL_PICTURES = "equal_pictures"
    FEW_EQUAL_PICTURES = "few_equal_pictures"
    PEOPLE_NOT_NAMED = "people_not_named"
    ANSWERS_ARE_CLASSES = "answers_are_classes"
    CONSTANT_ANSWERS = "constant_answers"
    ANSWERS_REFUSED = "answers_refused"
    BETTER_ON_HELD_OUT = "better_on_held_out"
    NO_BETTER_THAN_CHANCE = "no_better_than_chance"
    ANSWERS_BEYOND_RATES = "answers_beyond_rates"
    SMALLER_ERRORS_ON_HELD_OUT = "smaller_errors_on_held_out"
    NO_BETTER_THAN_A_CONSTANT = "no_better_than_a_constant"
    OUTCOMES_WRONG_WAY = "outcomes_wrong_way"
    RANKED_BETTER_ON_HELD_OUT = "ranked_better_on_held_out"
    RANKED_BY_CHANCE = "ranked_by_chance"
    SEVERAL_RECORDS_A_PATIENT = "several_records_a_patient"
    NOT_RETRAINED = "not_retrained"
    CODED_LEVELS = "coded_levels"
    COLUMN_ORDER_UNCONFIRMED = "column_order_unconfirmed"
    READING_NOT_TRIED = "reading_not_tried"
    EXPECTED_ANSWERS = "expected_answers"
    REFIT_COMPARED = "refit_compared"
    SHADOWS_SUPPLIED = "shadows_supplied"
    SHADOWS_LEFT_OUT = "shadows_left_out"
    SERIES_LEFT_OUT = "series_left_out"
    SERIES_NOT_READ = "series_not_read"
    FEW_PEOPLE = "few_people"

    # --- a synthetic table (privaudit.fidelity)
    COLUMNS_MISSING = "columns_missing"
    ROWS_IN_ORDER = "rows_in_order"
    MORE_SYNTHETIC_ROWS = "more_synthetic_rows"
    NEAR_DUPLICATES_DEFINED = "near_duplicates_defined"
    FEW_COPIES = "few_copies"
    FEW_COPIES_HELD_OUT = "few_copies_held_out"
    UTILITY_NOT_MEASURED = "utility_not_measured"
    UTILITY_ON_FEWER_ROWS = "utility_on_fewer_rows"
    ONE_SYNTHETIC_OUTCOME = "one_synthetic_outcome"
    LEARNER_READS_SERIES = "learner_reads_series"
    LEARNER_REFUSED = "learner_refused"

    # --- verdicts (privaudit.policy)
    HARNESS_LEAKS = "harness_leaks"
    UNAPPROVED = "unapproved"
    NOT_JUDGED = "not_judged"
    WAIVER_EXPIRED = "waiver_expired"
    WAIVER_IDLE = "waiver_idle"
    LEFT_OUT = "left_out"
    LIMIT_BELOW_RESOLUTION = "limit_below_resolution"
    NO_GUARANTEE_REQUIRED = "no_guarantee_required"


CAVEAT_PARAMS: Mapping[CaveatCode, tuple[str, ...]] = {
    CaveatCode.NOTE: ("text",),
    CaveatCode.CONTROL_FAILED: ("attack", "subject", "control"),
    CaveatCode.CONTROL_NOT_MADE: ("attack", "subject", "control"),
    CaveatCode.PLANTED_LEAK_MISSED: ("attack", "subject"),
    CaveatCode.ATTACK_FAILED: ("attack", "subject", "error"),
    CaveatCode.GUARANTEE_BROKEN: ("attack", "subject", "bound", "confidence", "claimed"),
    CaveatCode.NOT_TRAINED: ("subject",),
    CaveatCode.AUC_BELOW_HALF: ("attack", "subject", "auc", "upper", "confidence"),
    CaveatCode.SHADOW_ATTACKS_LOST: ("attacks", "subject"),
    CaveatCode.SCORE_DRIFT: ("attack", "subject", "auc", "low", "high", "confidence"),
    CaveatCode.NEAR_COHORT: ("run", "least"),
    CaveatCode.NEAR_GROUPS: ("columns", "least"),
    CaveatCode.COUNTS_OF_SITES: ("least",),
    CaveatCode.SITES_NOT_COUNTED: ("names",),
    CaveatCode.CONTROL_DESCRIBED: ("control",),
    CaveatCode.PATIENTS_DRAWN: ("patients",),
    CaveatCode.EPSILON_ABOVE_CLAIM: ("bound", "confidence", "claimed"),
    CaveatCode.BOUND_OF_ANOTHER_UNIT: ("unit", "neighbours"),
    CaveatCode.SITES_TRAIN_ALONE: ("least",),
    CaveatCode.RARE_SITES_JOINED: ("least",),
    CaveatCode.PLANTED_LEAK: ("lift",),
    CaveatCode.PLANTED_RESIDUAL: ("lift",),
    CaveatCode.DISTRIBUTION_SHIFT: ("auc", "low", "high", "confidence", "columns"),
    CaveatCode.NO_DISTRIBUTION_SHIFT: ("auc", "low", "high", "confidence"),
    CaveatCode.HARNESS_LEAKS: ("attack", "subject"),
    CaveatCode.NOT_JUDGED: ("subjects",),
    CaveatCode.WAIVER_EXPIRED: ("rule", "by", "level", "approved_by", "expires"),
    CaveatCode.WAIVER_IDLE: ("rule",),
    CaveatCode.LEFT_OUT: ("family", "attacks", "subjects", "measured", "why", "approved_by"),
    CaveatCode.LIMIT_BELOW_RESOLUTION: ("rule", "limit", "least", "patients"),
    CaveatCode.COLUMNS_MISSING: ("count", "columns"),
    CaveatCode.MORE_SYNTHETIC_ROWS: ("synthetic_rows", "held_out_rows"),
    CaveatCode.NEAR_DUPLICATES_DEFINED: ("differing", "rounding"),
    CaveatCode.FEW_COPIES: ("metric", "least"),
    CaveatCode.FEW_COPIES_HELD_OUT: ("metric", "least"),
    CaveatCode.UTILITY_NOT_MEASURED: ("what",),
    CaveatCode.UTILITY_ON_FEWER_ROWS: ("rows", "synthetic_rows"),
    CaveatCode.ONE_SYNTHETIC_OUTCOME: ("outcome",),
    CaveatCode.LEARNER_READS_SERIES: ("learner",),
    CaveatCode.LEARNER_REFUSED: ("learner", "what", "because"),
    CaveatCode.OUTCOME_IN_COLUMN: ("column", "auc"),
    CaveatCode.IDENTIFYING_COLUMNS: ("columns", "identifier"),
    CaveatCode.DUPLICATES_ACROSS_SPLIT: ("share",),
    CaveatCode.FEW_HELD_OUT: ("patients", "wanted", "fpr"),
    CaveatCode.EQUAL_PICTURES: ("merged",),
    CaveatCode.FEW_EQUAL_PICTURES: ("least",),
    CaveatCode.BETTER_ON_HELD_OUT: ("held_out", "members"),
    CaveatCode.NO_BETTER_THAN_CHANCE: ("members",),
    CaveatCode.ANSWERS_BEYOND_RATES: ("outcome", "mean", "share", "auroc"),
    CaveatCode.SMALLER_ERRORS_ON_HELD_OUT: ("held_out", "members"),
    CaveatCode.NO_BETTER_THAN_A_CONSTANT: ("members", "constant"),
    CaveatCode.OUTCOMES_WRONG_WAY: ("outcome", "auroc", "low", "high", "confidence"),
    CaveatCode.OUTCOMES_WRONG_WAY: ("outcome", "against", "auroc", "low", "high", "confidence"),
    CaveatCode.RANKED_BETTER_ON_HELD_OUT: ("held_out", "members"),
    CaveatCode.RANKED_BY_CHANCE: ("members",),
    CaveatCode.SEVERAL_RECORDS_A_PATIENT: (
        "records",
        "patients",
        "confidence",
        "record_auc",
        "record_low",
        "record_high",
        "patient_auc",
        "patient_low",
        "patient_high",
    ),
    CaveatCode.NOT_RETRAINED: ("what", "because"),
    CaveatCode.CODED_LEVELS: ("column", "levels", "codes", "hidden", "least"),
    CaveatCode.COLUMN_ORDER_UNCONFIRMED: ("auroc",),
    CaveatCode.EXPECTED_ANSWERS: ("rows", "greatest", "tolerance"),
    CaveatCode.REFIT_COMPARED: _COMPARED,
    CaveatCode.SHADOWS_SUPPLIED: ("models", "least", "included", "gap", "agreement"),
    CaveatCode.SHADOWS_LEFT_OUT: ("share",),
    CaveatCode.SERIES_LEFT_OUT: ("early", "late", "channels", "strangers", "without"),
    CaveatCode.FEW_PEOPLE: ("least",),
}
"""The parameters of each code, none where it is not listed."""

Severity = Literal["note", "warning", "defect"]
"""defect: the audit or a guarantee is broken, whatever the numbers (exit code 5)."""


@dataclass(frozen=True)
class Reason:
    """Why something is absent or decided as it is. params: as `REASON_PARAMS` asks for this
    code."""

    code: ReasonCode
    params: Mapping[str, Param] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.code, self.params, REASON_PARAMS.get(self.code, ()))


@dataclass(frozen=True)
class Caveat:
    """What a reader must know. params: as `CAVEAT_PARAMS` asks for this code."""

    code: CaveatCode
    severity: Severity = "warning"
    params: Mapping[str, Param] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.code, self.params, CAVEAT_PARAMS.get(self.code, ()))


COMPARED_NULLS = (CaveatCode.NULL_FOLDS, CaveatCode.NULL_STAND_IN, CaveatCode.NULL_SHADOW)
"""Nulls that answer for the very records of the game: what they read is the drift between two pools
that nobody assigned at random, and no fault of the audit."""

UNCONFIRMED = (
    CaveatCode.COLUMN_ORDER_UNCONFIRMED,
    CaveatCode.READING_NOT_TRIED,
    CaveatCode.NO_BETTER_THAN_CHANCE,
    CaveatCode.ANSWERS_BEYOND_RATES,
    CaveatCode.RANKED_BY_CHANCE,
    CaveatCode.CONSTANT_ANSWERS,
    CaveatCode.ANSWERS_REFUSED,
)
"""Caveats under which nothing shows that a supplied model was asked as in training, so that no low
number is evidence of a low risk."""


def note(text: str) -> Caveat:
    """A text of a task, a method or other software, printed as it is."""
    return Caveat(CaveatCode.NOTE, "note", {"text": text})


def as_caveat(part: str | Caveat) -> Caveat:
    """A caveat as it is, a text as the note that prints it."""
    return note(part) if isinstance(part, str) else part


class Attacker(StrEnum):
    """Who makes a membership attack: what they hold beside the release."""

    RELEASE_ALONE = "release_alone"
    """the patient's record, and the release that they ask about it"""
    SIMILAR_PATIENTS = "similar_patients"
    """also records of other, similar patients, and how the model was trained"""
    KNOWN_OUTSIDERS = "known_outsiders"
    """also records of patients known not to have been trained on; not how the model was trained"""
    KNOWN_MEMBERS = "known_members"
    """also records of patients, of whom some were trained on; not how the model was trained"""
    CANDIDATES = "candidates"
    """the records of all candidates, of whom some were trained on, and how the model was trained"""


Family = Literal[
    "membership",
    "attribute",
    "reconstruction",
    "inversion",
    "property",
    "extraction",
    "evasion",
    "poisoning",
    "synthetic",
    "epsilon",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""The families of attacks, in the order in which every document lists them."""

SERIES_BLIND_ATTACKS = (
    *("stored_records", "gradient_inversion", "split_inversion", "model_inversion"),
    *("structural", "tree_reconstruction", "leaf_facts", "attribute", "property_inference"),
    *("model_extraction",),
)
"""Attacks that look for, or change, columns alone: of a model that reads series, what they do not
find says nothing of the series."""

PARTIAL_ATTACKS = ("structural",)
"""Attacks that measure something of their family and do not try what it is about: where no other
gave a number, the class of attack was not tested."""


SettingKind = Literal[
    "column",
    "budget",
    "neighbours",
    "attacker",
    "informed",
    "aggregator",
    "absent",
    "variant",
    "outcome",
    "cut",
    "level",
    "unit",
]


@dataclass(frozen=True)
class Setting:
    """Which series of one attack, or part of one measure, a number belongs to.

    kind: what is varied ("cut": an outcome of this class or a higher one; "unit": how a patient's
    records are made one; "informed": an attacker who also knows some of what is asked, as
    "attacker" does not; "absent": an aggregator, where the control is the training without the
    malicious clients' records); value: which of it (a
    column's name, a budget's size); unit: of a size; details: what else tells this series from
    others of the same value. counterfactual: the series speaks of another release than this one
    (another aggregator, more given away), so that a policy judges it only where it names it.
    `str(setting)` is how it is shown and what the patterns of a policy's `at` are matched with.
    """

    kind: SettingKind
    value: str | float
    unit: str = ""
    details: tuple[str, ...] = ()
    counterfactual: bool = False

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, str) else f"{self.value:g}"
        gap = "" if self.unit.startswith("/") else " "
        value = f"{value}{gap}{self.unit}" if self.unit else value
        return ", ".join((value, *self.details))


@dataclass(frozen=True)
class Metric:
    """Which number: a name of `privaudit.stats.catalogue`, and at what it is read.

    fpr: false positive rate; prior: share of members among those asked about; at: the series.
    """

    name: str
    fpr: float | None = None
    prior: float | None = None
    at: Setting | None = None

    def __str__(self) -> str:
        """A key for files and messages, such as `tpr_at_fpr_0.01` or `attack_rate@0.1 sd`."""
        text = self.name
        if self.prior is not None:
            text += f"_at_prior_{self.prior:g}"
        elif self.fpr is not None:
            text += f"_at_fpr_{self.fpr:g}"
        return text if self.at is None else f"{text}@{self.at}"


@dataclass(frozen=True)
class Group:
    """One subgroup of patients: `by` is what they are split on (a column), `level` the value."""

    by: str
    level: str


class BoundMethod(StrEnum):
    """How an interval or a bound was made; `report.wording.methods` names the sources."""

    # --- privaudit.stats
    DELONG = "delong"
    DELONG_NEWCOMBE = "delong_newcombe"
    NEWCOMBE_AUC = "newcombe_auc"
    PAIRED_DELONG = "paired_delong"
    PAIRED_DELONG_SCORE = "paired_delong_score"
    BOOTSTRAP = "bootstrap"
    BOOTSTRAP_WILSON = "bootstrap_wilson"
    GROUP_BOOTSTRAP_WILSON = "group_bootstrap_wilson"
    BAYES_RULE = "bayes_rule"
    POWER = "power"
    POWER_THRESHOLD = "power_threshold"
    WILSON = "wilson"
    NEWCOMBE_PAIRED = "newcombe_paired"
    NEWCOMBE_INDEPENDENT = "newcombe_independent"
    CLUSTERED_MEAN = "clustered_mean"
    RECALIBRATION = "recalibration"
    STEINKE = "steinke"
    MAHLOUJIFAR = "mahloujifar"
    PAIRED_BOOTSTRAP = "paired_bootstrap"
    PAIRED_BOOTSTRAP_NEWCOMBE = "paired_bootstrap_newcombe"
    PAIRED_MEAN = "paired_mean"
    MOVER = "mover"
    COMPLEMENTARY_PAIRS = "complementary_pairs"
    FALSE_DISCOVERY = "false_discovery"

    # --- counts that hospitals share in blocks (pipelines.deploy)
    BLOCKS = "blocks"

    # --- a synthetic table (privaudit.fidelity)
    LINEARISED = "linearised"
    DELONG_FOLDS = "delong_folds"
    ORDER_STATISTIC = "order_statistic"

    # --- a de-identified table (privaudit.deidentified)
    CLASS_SIZES = "class_sizes"


@dataclass(frozen=True)
class Bound:
    """How a number's interval or bound was made.

    classes: over so many classes, each against the rest, 0 where there are two. The rest is of
    lower bounds on epsilon alone. family: of the trade-off curve; delta: at which epsilon is
    stated; tried: how many numbers of guesses were tried (whose levels add up to the stated one);
    made, right: guesses of the one that is stated, 0 where none proves anything; assigned: patients
    whose membership was assigned at random. levels: (level, bound) pairs, the largest level first,
    in a document that does not state the guesses; of a share of patients at risk, its upper
    bounds, and below its lower ones, smaller levels last. No other bound of that share is known.
    """

    method: BoundMethod
    classes: int = 0
    family: Literal["", "approximate", "gaussian", "curve"] = ""
    delta: float | None = None
    tried: int = 0
    made: int = 0
    right: int = 0
    assigned: int = 0
    levels: tuple[tuple[float, float], ...] = ()
    below: tuple[tuple[float, float], ...] = ()


def _check(code: StrEnum, params: Mapping[str, Param], wanted: tuple[str, ...]) -> None:
    if set(params) != set(wanted):
        raise ValueError(f"{code!r} carries {sorted(wanted)}, not {sorted(params)}")


__all__ = [
    "CAVEAT_PARAMS",
    "COMPARED_NULLS",
    "FAMILIES",
    "LOST_REFITS",
    "REASON_PARAMS",
    "UNCONFIRMED",
    "Attacker",
    "Bound",
    "BoundMethod",
    "Caveat",
    "CaveatCode",
    "Family",
    "Group",
    "Metric",
    "Param",
    "Reason",
    "ReasonCode",
    "Setting",
    "SettingKind",
    "Severity",
    "as_caveat",
    "note",
]
