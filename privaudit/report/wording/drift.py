"""Drift between supplied pools, and how much of an attack it explains."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, w
from privaudit.results import Estimate

TITLE = "Drift and attack, side by side"
CAPTION = Phrase("AUC of distinguishing training from held-out {people}, with intervals")
COLUMNS = (
    "Attack",
    "On the release",
    "On models that never saw whom they are asked about",
    "What is left",
)
INTRO = Phrase(
    "Nobody assigned these {people} at random to the two sides, so an attack may read a "
    "difference between the sides that is no leak. Two things measure that difference. Without any "
    "model: can records and outcomes be distinguished? With models of the same kind, asked only "
    "about {people} they never saw: what does the very same attack read of them? The second is "
    "what counts. “What is left” is 0.5 plus the difference between the attack on the release and "
    "on those models, paired on the same {people}; a limit is exceeded only by what is left. "
    "Nothing is within a limit unless the attack as it is keeps to it too, and no difference was "
    "found."
)
LEFT = "of it beyond models that never saw whom they are asked about; 0.5 is chance"
WITHOUT_MODEL = "Without any model, records and outcomes are distinguished with an AUC of {auc}."
WITHOUT_MODEL_ALIKE = (
    "Without any model, records and outcomes could not be distinguished: AUC {auc}."
)
LOWER_BOUND = (
    "That is a lower bound: a better classifier might distinguish them further. So it cannot show "
    "that there is no drift."
)
NOT_COMPARED = Phrase(
    "No model could be asked about {people} it never saw, so a leak cannot be distinguished from a "
    "difference between the two sides."
)


def word_left(attack: Estimate, null: Estimate, left: Estimate) -> str:
    """What drift explains of an attack, and what it does not.

    attack, null, left: AUC on the release, on the null, and what is left.
    """
    start = (
        f"On models asked only about {w.people} they never saw, the same attack reads an AUC of "
        f"{n.estimate_text(null)}"
    )
    rest = f"what is left of {n.value_text(attack)} is {n.estimate_text(left)}"
    low = left.low if left.low is not None else 0.0
    if low > 0.5:
        return f"{start}; {rest}: a difference between the {w.people} cannot explain it."
    return f"{start}; {rest}: a difference between the {w.people} may explain all of it."


__all__ = [
    "CAPTION",
    "COLUMNS",
    "INTRO",
    "LOWER_BOUND",
    "NOT_COMPARED",
    "TITLE",
    "WITHOUT_MODEL",
    "WITHOUT_MODEL_ALIKE",
    "word_left",
]
