"""Patients at risk."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, Phrases, w
from privaudit.results import Estimate

NOT_TESTED = Phrase(
    "Whether single {people} are at risk was not tested (attack patient_risk), so an average near "
    "guessing may hide {people} who are found almost surely."
)
UNIT = Phrase(
    "The first three columns are about the way of training and all audit {people}, trained on or "
    "not: whoever is told apart here could be told apart in a model that is trained this way on a "
    "half that has them. The last is about the released model and its training {people}. "
    "{A_person} counts once, whichever attack finds them."
)
CAPTION = Phrase("{People} at risk, each judged by themselves")
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
HALVES_NOTE = Phrase(
    "Models are compared within complementary halves of the audit {people}, where their difference "
    "varies as that of two models of separate {people} does: the attacker holds similar {people}. "
    "One who holds the candidates themselves, and knows that half of them were trained on, may be "
    "right more often."
)
X = "told apart in more than this share of pairs (0.5: guessing)"
Y = Phrase("share of {people}")
GROUPS_COLUMNS = Phrases(("Group", "Named", "{People}", "Adjusted p-value"))
GROUPS_NOTE = Phrase(
    "Bold: a larger share than among the other {people}, by Fisher’s exact test, adjusted over all "
    "groups (Holm)."
)
SUPPRESSED = "not shown"


def word_intro(limit: float) -> str:
    """What the question is."""
    return (
        f"For each {w.person}, pairs of models are trained, one with the {w.person} and one "
        f"without. A {w.person} whom the models tell apart is recognised by the model that is "
        f"surer of them. Guessing is right in half of the pairs; {w.a_person} is at risk beyond "
        f"{n.share(limit)} of them. No false positive rate of all {w.people} together enters, so "
        f"{w.a_person} who is found almost surely is not lost in an average."
    )


def title_curve(model: str, at_risk: Estimate, limit: float) -> str:
    """The take-away of one release's curve."""
    return (
        f"{model}: {n.estimate_text(at_risk)} of {w.people} are told apart in more than "
        f"{n.share(limit)} of pairs"
    )


def caption_curve(model: str) -> str:
    """The caption of the table beside it."""
    return f"{model}: share of {w.people} who are told apart more often than x"


def caption_groups(model: str) -> str:
    """The caption of the groups."""
    return f"{model}: who is named, by group"
