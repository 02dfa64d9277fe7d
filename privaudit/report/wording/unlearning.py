"""An audit of unlearning: what was found, and what it does and does not say."""

from __future__ import annotations

import math

from privaudit.forgetting.results import Answer, Caution, Number, Unlearning, Why

TITLE = "Audit of unlearning"
BADGES = {
    Answer.FOUND: "TRACE FOUND",
    Answer.NOT_FOUND: "NO TRACE FOUND",
    Answer.INCONCLUSIVE: "INCONCLUSIVE",
}
WHY = {
    Why.UNCHANGED: "The two models answer alike on the forgotten patients: nothing was unlearnt.",
    Why.STILL_KNOWN: (
        "On the forgotten patients the model after is surer than models that never saw them."
    ),
    Why.OVER_FORGOTTEN: (
        "On the forgotten patients the model after answers worse than models that never saw them. "
        "That is a trace too: whoever asks it can tell who was removed."
    ),
    Why.ODD: (
        "The model after answers more oddly on the forgotten patients than on strangers, compared "
        "with models that never saw them."
    ),
    Why.RECOGNISED: (
        "More of the forgotten patients are recognised among strangers by the model after than by "
        "models that never saw them."
    ),
    Why.UNLIKE_STRANGERS: (
        "The model after does not answer on the forgotten patients as on strangers who are as easy "
        "to predict."
    ),
    Why.WITHIN: (
        "No trace was found, and an imprint of the limit’s size or more is ruled out. That is no "
        "proof that nothing is left: smaller imprints, and imprints of single patients among many, "
        "may be, and a model may hold what its answers do not say."
    ),
    Why.NO_RECIPE: (
        "No trace was found beside strangers. How the model is trained is not known, so there is "
        "no model that never saw the forgotten patients to compare with, and nothing shows that "
        "they are forgotten. Give --estimator."
    ),
    Why.NO_POWER: (
        "No trace was found, but with these patients and refits an imprint of the limit’s size "
        "cannot be ruled out. Give more refits (--refits 64) or more strangers, or state a larger "
        "limit that you can answer for."
    ),
    Why.OTHER_KIND: (
        "No trace was found, but the model after is not of the kind, or not of the settings, of "
        "the models it is held against. A smoother model answers on nobody as one that knows them, "
        "even if it was trained on them. Give models before and after that are trained by one "
        "recipe, and that recipe."
    ),
    Why.NEVER_KNOWN: (
        "The model before shows no imprint of these patients that this audit could see, so that it "
        "could not see one go either."
    ),
    Why.USELESS: (
        "The model after answers all patients nearly alike, or no better than chance. What it "
        "knows cannot be asked, and it is of no use."
    ),
}
CAUTIONS = {
    Caution.OTHER_TRAINING: (
        "On strangers the model after is further from the refits than these are from each other: "
        "it is not the recipe’s training of the retained patients. The spread that decides was "
        "widened by as much."
    ),
    Caution.OTHER_BEFORE: (
        "The model before is far from the refits too: the recipe may not be how it was trained."
    ),
    Caution.LESS_USEFUL: "The model after ranks strangers worse than the one before.",
    Caution.FEW_FORGOTTEN: (
        "Fewer than 10 patients were to be forgotten: no share of them is stated."
    ),
    Caution.NOT_CALIBRATED: (
        "Predictions alone cannot tell patients who are known from patients who are easier to "
        "predict, so no difference from strangers is taken for a trace."
    ),
}
IMPRINT = (
    "The imprint is what training on the forgotten patients changes in a model’s answers on them: "
    "0 as in models that never saw them, 1 as in models that did, below 0 where the model answers "
    "worse on them than models that never saw them. Both kinds of model were trained for this "
    "audit, by the recipe given."
)
TABLE_CAPTION = "The model before and the model after"
COLUMNS = ("Number", "Before", "After", "Never saw them")
ROLES = {"forgotten": "Forgotten", "retained": "Retained", "strangers": "Strangers"}
FEW = "fewer than 10"
METHOD = (
    "Half of the models trained for this audit never saw a forgotten patient. Each of them is read "
    "as the model after is, and the spread of their numbers is what decides; the error level is "
    "shared among three numbers. Strangers align the models first, so that a model that is better "
    "or worse on everybody is not taken for one that remembers or shuns. Membership inference that "
    "compares the forgotten with strangers alone misjudges forgetting either way, because patients "
    "differ in how easily they are predicted (RULI, arXiv 2506.13009; IAM, arXiv 2506.06112)."
)


def word_number(number: Number | None) -> str:
    """A value with its interval."""
    if number is None:
        return "not stated"
    if number.low is None or number.high is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f} ({number.low:.2f} to {number.high:.2f})"


def word_count(count: int | None) -> str:
    """How many patients, down to tens."""
    return FEW if count is None else f"{count:,} or more"


def word_left(found: Unlearning) -> str:
    """How many of the forgotten may still be in a model in which no trace was found."""
    shown = found.imprint_after
    if found.answer is not Answer.NOT_FOUND or shown is None or shown.high is None:
        return ""
    most = math.ceil(100 * max(shown.high, 0.0) - 1e-9)
    return (
        f"As many as {most} % of the forgotten patients may still be in the model after: an "
        "imprint of so much is not ruled out. More may be, if they are patients of whom the model "
        "keeps less than of others."
    )


def word_power(found: Unlearning) -> str:
    """What the audit could have seen."""
    if found.detectable is None:
        return ""
    return (
        f"With {found.refits} refits an imprint of {found.detectable:.2f} would be found 4 times "
        f"in 5; the limit is {found.limit:.2f}."
    )


def list_rows(found: Unlearning) -> list[tuple[str, str, str, str]]:
    """The numbers, a row each: what, before, after, and in models that never saw them."""
    rows: list[tuple[str, str, str, str]] = []
    if found.imprint_after is not None:
        before, after = found.imprint_before, found.imprint_after
        rows.append(("Imprint", word_number(before), word_number(after), "0"))
    if found.area_after is not None:
        never = "" if found.area_never is None else f"{found.area_never:.2f}"
        sides = word_number(found.area_before), word_number(found.area_after)
        rows.append(("AUC, forgotten against strangers", *sides, never))
    for one in found.recognised:
        usual = "" if one.never is None else f"{one.never:.2f}"
        sides = word_number(one.before), word_number(one.after)
        rows.append((f"Recognised at a false positive rate of {one.fpr:.0%}", *sides, usual))
    useful = word_number(found.usefulness_before), word_number(found.usefulness_after)
    rows.append(("AUROC on strangers", *useful, ""))
    return rows


def list_changes(found: Unlearning) -> list[str]:
    """Sentences on what changed between the models."""
    said = []
    if found.area_change is not None:
        said.append(f"Change of the AUC, by patient: {word_number(found.area_change)}.")
    for number, who in (
        (found.margin_change, "strangers’"),
        (found.margin_change_to_retained, "retained patients’"),
    ):
        if number is not None:
            said.append(
                f"Change of the forgotten patients’ true-class margin beyond {who}: "
                f"{word_number(number)}."
            )
    return said


def list_lines(found: Unlearning) -> list[str]:
    """The whole answer for a terminal."""
    lines = [f"{TITLE}: {BADGES[found.answer]}"]
    lines += [WHY[one] for one in found.why]
    lines += [left] if (left := word_left(found)) else []
    lines += [f"warning: {CAUTIONS[one]}" for one in found.cautions]
    people = [f"{ROLES[role].lower()} {word_count(n)}" for role, n in found.patients.items()]
    lines.append(f"Patients: {', '.join(people)}.")
    for what, before, after, never in list_rows(found):
        tail = f"; models that never saw them {never}" if never else ""
        lines.append(f"{what}: before {before}; after {after}{tail}.")
    lines += list_changes(found)
    lines += [word_power(found)] if found.detectable is not None else []
    return lines


__all__ = [
    "BADGES",
    "CAUTIONS",
    "COLUMNS",
    "IMPRINT",
    "METHOD",
    "ROLES",
    "TABLE_CAPTION",
    "TITLE",
    "WHY",
    "list_changes",
    "list_lines",
    "list_rows",
    "word_count",
    "word_left",
    "word_power",
]
