"""Patients at risk."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Estimate

NOT_TESTED = (
    "Whether single patients are at risk was not tested (attack patient_risk), so an average near "
    "guessing may hide patients who are found almost surely."
)
UNIT = (
    "The first three columns are about the way of training and all audit patients, trained on or "
    "not: whoever is told apart here could be told apart in a model that is trained this way on a "
    "half that has them. The last is about the released model and its training patients. A patient "
    "counts once, whichever attack finds them."
)
CAPTION = "Patients at risk, each judged by themselves"
COLUMNS = (
    "At risk beyond the limit",
    "Named beyond the limit",
    "Named beyond guessing",
    "Members named by the released model",
)
FALSE_NOTE = (
    "Named: at most 5 % of those named are expected to be wrong (Benjamini and Hochberg 1995). The "
    "list of names stays in restricted/patients/. A count of fewer than 10 is not shown."
)
HALVES_NOTE = (
    "Models are compared within complementary halves of the audit patients, where their difference "
    "varies as that of two models of separate patients does: the attacker holds similar patients. "
    "One who holds the candidates themselves, and knows that half of them were trained on, may be "
    "right more often."
)
X, Y = "told apart in more than this share of pairs (0.5: guessing)", "share of patients"
GROUPS_COLUMNS = ("Group", "Named", "Patients", "Adjusted p-value")
GROUPS_NOTE = (
    "Bold: a larger share than among the other patients, by Fisher’s exact test, adjusted over all "
    "groups (Holm)."
)
SUPPRESSED = "not shown"


def word_intro(limit: float) -> str:
    """What the question is."""
    return (
        "For each patient, pairs of models are trained, one with the patient and one without. A "
        "patient whom the models tell apart is recognised by the model that is surer of them. "
        f"Guessing is right in half of the pairs; a patient is at risk beyond {n.share(limit)} of "
        "them. No false positive rate of all patients together enters, so a patient who is found "
        "almost surely is not lost in an average."
    )


def title_curve(model: str, at_risk: Estimate, limit: float) -> str:
    """The take-away of one release's curve."""
    return (
        f"{model}: {n.estimate_text(at_risk)} of patients are told apart in more than "
        f"{n.share(limit)} of pairs"
    )


def caption_curve(model: str) -> str:
    """The caption of the table beside it."""
    return f"{model}: share of patients who are told apart more often than x"


def caption_groups(model: str) -> str:
    """The caption of the groups."""
    return f"{model}: who is named, by group"
