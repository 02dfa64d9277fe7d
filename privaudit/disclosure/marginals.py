"""The declared table: every place of an audit document that states or implies a count, and of whom.

Disclosure control reads this and nothing else, so a number that is not declared here is withheld
from real data, and a test that walks the whole document type asks for its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from privaudit.facts import CaveatCode, ReasonCode
from privaudit.stats.catalogue import (
    CURVES,
    EPSILON,
    FIDELITY,
    MEMBERSHIP,
    PATIENTS,
    PICTURES,
    RANKED,
    SURVIVAL,
    TRIALS,
    UTILITY,
    UTILITY_OF_NUMBERS,
    UTILITY_OF_ORDER,
    UTILITY_OF_TIMES,
)


class States(Enum):
    """What a number says of the cells, to a reader who knows every digit of it."""

    NOTHING = auto()
    """No count of patients: a setting, a machine's, a name, a released table's length."""
    SIZE = auto()
    """How many are in a pool, or in a level of a grouping of it."""
    OUTCOMES = auto()
    """How many of the pool, or of the level, have each outcome. An AUROC is a share of the pairs of
    both classes; a Brier score or a rate of errors is a sum over the outcomes, which whoever has
    the model's answers solves for them."""
    SUCCESSES = auto()
    """How often an attack succeeded: a property of the attack, not of the patients. Its n is a
    size."""
    COHORT = auto()
    """A count over the whole cohort, or a part of it."""


PLACES: Mapping[str, States] = {
    "Audit.schema": States.NOTHING,
    "Attempts.started": States.NOTHING,
    "Attempts.finished": States.NOTHING,
    "Attempts.requests": States.NOTHING,
    "Attempts.outcomes": States.NOTHING,
    "Bound.classes": States.NOTHING,
    "Bound.delta": States.NOTHING,
    "Bound.tried": States.NOTHING,
    "Bound.made": States.SUCCESSES,
    "Bound.right": States.SUCCESSES,
    "Bound.assigned": States.SIZE,
    "Bound.levels": States.SUCCESSES,
    "Bound.below": States.SUCCESSES,
    "Caveat.params": States.SIZE,
    "ClaimText.epsilon": States.NOTHING,
    "ClaimText.delta": States.NOTHING,
    "ComposedClaim.epsilon": States.NOTHING,
    "ComposedClaim.delta": States.NOTHING,
    "ColumnFit.real": States.SIZE,
    "ColumnFit.synthetic": States.NOTHING,
    "ColumnFit.noisy": States.NOTHING,
    "ColumnFit.distance": States.NOTHING,
    "ColumnFit.reference": States.NOTHING,
    "Curve.x": States.OUTCOMES,
    "Curve.y": States.OUTCOMES,
    "Curve.low": States.OUTCOMES,
    "Curve.high": States.OUTCOMES,
    "Data.columns": States.NOTHING,
    "Data.channels": States.NOTHING,
    "Data.hours": States.NOTHING,
    "Data.facts": States.COHORT,
    "Estimate.value": States.OUTCOMES,
    "Estimate.low": States.OUTCOMES,
    "Estimate.high": States.OUTCOMES,
    "Estimate.chance": States.OUTCOMES,
    "Estimate.n": States.SIZE,
    "Estimate.confidence": States.NOTHING,
    "Federation.rounds": States.NOTHING,
    "Federation.idle": States.NOTHING,
    "Federation.recovered": States.NOTHING,
    "Federation.quorum": States.NOTHING,
    "Fidelity.rows": States.NOTHING,
    "Finding.params": States.NOTHING,
    "Finding.seconds": States.NOTHING,
    "FlowRow.excluded": States.COHORT,
    "FlowRow.stays": States.COHORT,
    "FlowRow.patients": States.COHORT,
    "GroupResult.p_adjusted": States.NOTHING,
    "Manifest.seconds": States.NOTHING,
    "Manifest.cpu_seconds": States.NOTHING,
    "Manifest.confidence": States.NOTHING,
    "Manifest.peak_memory_bytes": States.NOTHING,
    "Manifest.refits": States.NOTHING,
    "Manifest.seed": States.NOTHING,
    "Manifest.steps": States.NOTHING,
    "Manifest.entropy": States.NOTHING,
    "Metric.fpr": States.NOTHING,
    "Metric.prior": States.NOTHING,
    "Pool.patients": States.SIZE,
    "Pool.stays": States.SIZE,
    "Pool.rates": States.OUTCOMES,
    "Cell.patients": States.OUTCOMES,
    "Cell.records": States.OUTCOMES,
    "Reason.params": States.SIZE,
    "Setting.value": States.NOTHING,
    "SiteRecord.rounds": States.NOTHING,
    "SiteRecord.missed": States.NOTHING,
    "SiteRecord.late": States.NOTHING,
    "SiteRecord.refused": States.NOTHING,
    "Subject.costs": States.NOTHING,
    "Traffic.messages": States.NOTHING,
    "Traffic.received": States.NOTHING,
    "Traffic.sent": States.NOTHING,
}
"""Type and field -> what its numbers state at most; estimates by their metric, n and parameters by
their name, in the tables below."""

N: Mapping[str, States] = {
    "members": States.SIZE,
    "nonmembers": States.SIZE,
    "member_patients": States.SIZE,
    "nonmember_patients": States.SIZE,
    "patients": States.SIZE,
    "records": States.SIZE,
    "attempts": States.SIZE,
    "controls": States.SIZE,
    "events": States.OUTCOMES,
    "synthetic_rows": States.NOTHING,
    "nonmember_rows": States.SIZE,
    "member_rows": States.SIZE,
}
"""Key of `Estimate.n` -> what it states."""

PEOPLE = ("patients", "member_patients", "nonmember_patients", "members", "nonmembers", "records")
"""Keys of `Estimate.n` on so few of which no number may rest."""

METRICS: Mapping[str, States] = {
    **dict.fromkeys(MEMBERSHIP, States.SUCCESSES),
    **dict.fromkeys((*PATIENTS, *SURVIVAL), States.SUCCESSES),
    **dict.fromkeys(EPSILON, States.SUCCESSES),
    **dict.fromkeys(TRIALS, States.SUCCESSES),
    **dict.fromkeys(RANKED, States.OUTCOMES),
    **dict.fromkeys(PICTURES, States.SUCCESSES),
    **dict.fromkeys(UTILITY, States.OUTCOMES),
    **dict.fromkeys(UTILITY_OF_ORDER, States.OUTCOMES),
    **dict.fromkeys(UTILITY_OF_NUMBERS, States.NOTHING),
    **dict.fromkeys(UTILITY_OF_TIMES, States.OUTCOMES),
    **dict.fromkeys(CURVES, States.OUTCOMES),
    **dict.fromkeys(FIDELITY, States.SIZE),
    **dict.fromkeys(
        (
            "prevalence_real",
            "prevalence_gap",
            "association_error_outcome",
            "auroc_loss",
            "auroc_synthetic",
            "auroc_real",
        ),
        States.OUTCOMES,
    ),
    "prevalence_synthetic": States.NOTHING,
}
"""Metric -> what its value states of those it was measured on."""

CONSTANT_CHANCE = (
    "auroc",
    "calibration_slope",
    "calibration_intercept",
    "kappa_linear",
    "concordance",
    "auroc_loss",
    "auroc_synthetic",
    "auroc_real",
    "auroc_attacked",
    "auroc_shaken",
    "auroc_unchanged",
    "auroc_fall",
    "c_index",
    "prevalence_gap",
)
"""Metrics whose chance level is the same whoever was measured: it may stand where the value may
not."""

CHANCE_OF_OUTCOMES = ("prevalence_synthetic",)
"""Metrics whose chance level states the outcomes of the members though the value does not."""

FAMILIES: Mapping[str, States] = {
    "membership": States.SUCCESSES,
    "epsilon": States.SUCCESSES,
    "attribute": States.SUCCESSES,
    "synthetic": States.SUCCESSES,
    "reconstruction": States.OUTCOMES,
    "inversion": States.OUTCOMES,
    "property": States.SUCCESSES,
    "extraction": States.OUTCOMES,
    "evasion": States.OUTCOMES,
    "poisoning": States.OUTCOMES,
}
"""Family of attacks -> what its rates state of the two pools. A rate of wrong predictions, or of
outcomes read off, is a sum over the outcomes."""

WITHOUT_OUTCOMES = ("stored_records", "split_inversion", "key_recovery")
"""Attacks on records, or keys, of families whose others are about outcomes."""

COPIES = ("copies",)
"""Attacks whose success is a patient whose record was copied: so many are a count of patients."""

PATIENTS_FOUND = ("stored_records", "leaf_facts")
"""Attacks whose successes are patients that a file states something of, such as the one who holds a
rare value or is alone in a leaf: their rates are rounded to tens of patients."""

HOSPITALS = ("key_recovery", "property_inference")
"""Attacks whose attempts are hospitals, or models trained for the attack, not patients."""

WHOLE, OF_CLASS = "patients", "stays ({})"
"""Facts that are counts of the cohort, and of one outcome of it."""

SETTINGS = frozenset(
    {
        "window_hours",
        "minimum_icu_hours",
        "picture_pixels",
        "picture_channels",
        "distribution shift, AUC without the model",
    }
)
"""Facts that are no counts."""

SOURCE = frozenset(
    {
        "rows of the tables",
        *(
            f"rows_{table}"
            for table in (
                "PATIENTS",
                "ADMISSIONS",
                "ICUSTAYS",
                "CHARTEVENTS",
                "LABEVENTS",
                "OUTPUTEVENTS",
            )
        ),
        *(
            f"values_{what}_in_all_adult_stays"
            for what in (
                "censored",
                "no_number",
                "no_unit",
                "unknown_unit",
                "out_of_range",
                "duplicates",
                "stored_after_the_window",
            )
        ),
        "events",
        "other_files",
        "unnamed_values",
        "rescaled_values",
        "implausible_values",
        "duplicates",
    }
)
"""Facts that count a source's rows, values or files, in all of it."""

PARTS = frozenset(
    {
        "stays_without_events",
        "stays_without_measurements",
        "died_without_deathtime",
        "died_with_deathtime_outside_admission",
        "survived_with_deathtime_inside_admission",
        "dead_30_days_after_discharge_not_readmitted",
        "ages_over_89",
    }
)
"""Facts that count a part of the cohort: what they leave over of it is a count too."""

PARAMS: Mapping[str, States] = {
    **dict.fromkeys(
        (
            "approved_by",
            "adjusted",
            "lift",
            "agreement",
            "bound",
            "claimed",
            "column",
            "columns",
            "control",
            "differing",
            "epsilon",
            "delta",
            "error",
            "expires",
            "family",
            "fix",
            "fpr",
            "gap",
            "greatest",
            "group",
            "hidden",
            "identifier",
            "included",
            "kind",
            "kinds",
            "known",
            "lacking",
            "learner",
            "least",
            "level",
            "levels",
            "library",
            "limit",
            "listed",
            "measured",
            "metric",
            "models",
            "most",
            "names",
            "near",
            "neighbours",
            "others",
            "outcome",
            "outcomes",
            "part",
            "refits",
            "rounding",
            "rule",
            "run",
            "settings",
            "spread",
            "strongest",
            "subject",
            "subjects",
            "synthetic_rows",
            "table",
            "text",
            "tolerance",
            "unit",
            "wanted",
            "weak",
            "what",
            "why",
            "above",
            "access",
            "after",
            "against",
            "attack",
            "attacks",
            "because",
            "before",
            "budget",
            "by",
            "codes",
            "confidence",
            "count",
            "strongest",
        ),
        States.NOTHING,
    ),
    **dict.fromkeys(
        (
            *("have", "held_out_rows", "merged", "more", "patients", "records", "rows"),
            *("early", "late", "channels", "strangers", "without"),
        ),
        States.SIZE,
    ),
    **dict.fromkeys(
        (
            "apart",
            "auc",
            "auroc",
            "high",
            "low",
            "mean",
            "noise",
            "scale",
            "upper",
            "constant",
            "held_out",
            "held_out_refit",
            "held_out_low",
            "held_out_high",
            "members_refit",
            "members_low",
            "members_high",
            "patient_auc",
            "patient_high",
            "patient_low",
            "record_auc",
            "record_high",
            "record_low",
            "share",
            "members",
        ),
        States.OUTCOMES,
    ),
}
"""Parameter of a reason or a caveat -> what it states at most. A whole number among the last is a
size."""

OF_MEMBERSHIP = frozenset[CaveatCode | ReasonCode](
    {
        CaveatCode.AUC_BELOW_HALF,
        CaveatCode.DISTRIBUTION_SHIFT,
        CaveatCode.SCORE_DRIFT,
        CaveatCode.NO_DISTRIBUTION_SHIFT,
        CaveatCode.SEVERAL_RECORDS_A_PATIENT,
        CaveatCode.DUPLICATES_ACROSS_SPLIT,
        CaveatCode.SHADOWS_LEFT_OUT,
        CaveatCode.GUARANTEE_BROKEN,
        CaveatCode.EPSILON_ABOVE_CLAIM,
    }
)
"""Caveats whose numbers compare members with non-members, whatever their outcomes."""

__all__ = [
    "CHANCE_OF_OUTCOMES",
    "CONSTANT_CHANCE",
    "COPIES",
    "FAMILIES",
    "HOSPITALS",
    "METRICS",
    "OF_CLASS",
    "OF_MEMBERSHIP",
    "PARAMS",
    "PARTS",
    "PATIENTS_FOUND",
    "PEOPLE",
    "PLACES",
    "SETTINGS",
    "SOURCE",
    "WHOLE",
    "WITHOUT_OUTCOMES",
    "N",
    "States",
]
