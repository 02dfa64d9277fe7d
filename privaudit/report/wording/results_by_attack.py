"""Results by attack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from privaudit.facts import Metric
from privaudit.report import numbers as n
from privaudit.report.wording.metrics import capitalise, name_metric
from privaudit.report.wording.nouns import Phrase, Phrases
from privaudit.report.wording.reasons_and_caveats import word_reason
from privaudit.report.wording.releases import name_subset
from privaudit.results import Estimate

INTRO = (
    "One table for each kind of result, a row for each release or attempt. Attacks that did not "
    "apply or failed with an error are listed at the end, with the reason. A rate is stated only "
    "where at least 10 false positives are expected. Every number also stands in audit.json, every "
    "curve in curves.csv."
)
NO_FINDINGS = "No attack gave a result."
HEADLINES_CAPTION = "Headlines: the strongest membership attack on every release"
HEADLINES_COLUMNS = ("Attack", "AUC", "True positive rate at 1 % FPR")
AFTERWARDS = "chosen after seeing all results, so it is biased upwards"
TOO_FEW = Phrase("too few {people}")
BOLD_ABOVE_CHANCE = (
    "Bold: above guessing by more than chance explains. Empty: not run, or not stated."
)
ROC_X = "False positive rate"
ROC_Y = "True positive rate"
BY_RECORD_CAPTION = Phrase("Membership where {people} have several records")
BY_RECORD_COLUMNS = (
    "Attack",
    "AUC, evened out",
    "True positive rate at 1 % FPR, evened out",
    "AUC, every record for itself",
    "True positive rate at 1 % FPR, every record for itself",
)
BY_RECORD_NOTES = Phrases(
    (
        "All other tables count {people}, with the scores of {a_person}’s records made one. "
        "{People} with many records can then set the threshold for the rest. Evened out: each "
        "{person}’s score is compared with what chance gives for as many records; a limit is kept "
        "only where this number keeps to it too.",
        "Every record for itself: a second line, which no verdict reads.",
    )
)
PPV_CAPTION = Phrase(
    "Positive predictive value of the strongest attack, by the share of training {people}"
)
PPV_NOTE = Phrase(
    "Read at a false positive rate of 1 %. The columns name the share of training {people} among "
    "those asked about; naming at random would be right in that share."
)
TRIAL_COLUMNS = ("Attack", "Setting", "Attack success", "Control", "Difference")
BASELINE_COLUMNS = ("Baseline", "Difference from it")
TRIAL_NOTE = Phrase(
    "The control is the same attempt without the attacker’s advantage, such as on held-out "
    "{people}; the baseline is a guess without the release. Only the differences are evidence of "
    "leakage."
)
TRIALS_BY_RECORD_NOTE = Phrase(
    "A second line, which no verdict reads: some {people} have several records, and one that "
    "betrays the {person} is enough. The table above counts {people}, and its control is read at "
    "as many records {a_person}."
)
COUNTERFACTUAL_NOTE = "In brackets: a setting other than that of this release."
EVASION_COLUMNS = ("Attack", "Largest change", "Wrong predictions", "Random changes", "Difference")
UNCHANGED_COLUMNS = ("Without changes", "Difference from it")
EVASION_NOTE = Phrase(
    "Changes are counted in standard deviations (sd) of each value. Values that {a_person} cannot "
    "change, such as age, codes, counts and gaps are left unchanged. The result must still "
    "describe a possible {person}, by these rules: every value stays in the range of its scale; "
    "scores and other whole numbers change in whole steps; the first, last and mean value of a "
    "variable lie between its least and greatest; one value is its own mean, two values are the "
    "least and the greatest with their mean halfway, and the mean of n values lies at least an "
    "n-th of the range inside it; a column that never exceeds another still does not. Not kept: "
    "how different variables, or an hourly series and its summaries, depend on each other. Random "
    "changes go as far as these rules and the budget allow, as the attack does; only the "
    "difference is evidence for the attack."
)
EVASION_NOTE_PICTURES = Phrase(
    "Changes are counted in 255ths of the range of a pixel: 1/255 is one shade of a picture of 8 "
    "bits. Every pixel may change by as much, in whole shades where the pixels are whole numbers, "
    "and remains between black and white. Random changes go as far; only the difference is "
    "evidence for the attack."
)
RANKING_CAPTION = "How well the model still ranks changed records (AUROC)"
RANKING_COLUMNS = (
    "Attack",
    "Largest change",
    "Under attack",
    "Random changes",
    "Without changes",
    "Lost to the attack",
)
RANKING_NOTE = (
    "All records are changed at once, those with the outcome so that they look safer and the "
    "others so that they look at risk. Lost to the attack: beyond random changes of the same "
    "budget. The search by answers rests where a prediction is wrong, so it could take off more."
)
RANKING_Y = "AUROC"
EVASION_X = "Largest change of a value (in standard deviations)"
EVASION_X_PICTURES = "Largest change of a pixel (in 255ths of its range)"
EVASION_Y = "Share of wrong predictions"
UNCHANGED = "without changes"
LARGEST_CHANGE = "Largest change"
UNRESOLVED_CAPTION = "Attacks without a result"
UNRESOLVED_COLUMNS = ("Attack", "Outcome", "Reason", "Releases")
SKIPPED, FAILED = "did not apply", "failed with an error"
UNSTATED = "no counts were stated"
OTHERS_CAPTION = "Further numbers"
OTHERS_COLUMNS = ("Attack", "Number", "Value", "By guessing")
CAVEATS = "Caveats"


def title_headlines(detected: int, models: int) -> str:
    """On how many releases the headline attack does better than guessing."""
    which = "none" if not detected else str(detected)
    mark = " (orange)" if detected else ""
    noun = "release" if models == 1 else "releases"
    return f"On {which} of {models} {noun} the headline attack does better than guessing{mark}."


def word_chosen(how: str, names: Sequence[str], models: int) -> str:
    """How the headline was chosen, and for which releases."""
    return f"{capitalise(name_subset(names, models))}: {how[:1].lower()}{how[1:].rstrip('.')}."


def caption_matrix(metric: Metric) -> str:
    """One measure by release and attack."""
    return f"{capitalise(name_metric(metric))}, by release and attack"


def word_refusal(reason: str) -> str:
    """Why numbers of a table are missing."""
    return f"Not stated: {reason}."


def title_roc(model: str, attack: str, banded: bool) -> str:
    """What a ROC chart shows."""
    band = f", with its interval for {attack}" if banded else ""
    return (
        f"{model}: true positive rate at every false positive rate{band}; above the dashed line is "
        "better than guessing."
    )


def caption_roc(model: str) -> str:
    """The caption of a ROC table."""
    return f"{model}: ROC curves in numbers"


def word_not_drawn(attacks: Iterable[str]) -> str:
    """Curves that are left out of a drawing."""
    return f"Not drawn, to keep the lines apart: {', '.join(attacks)}. See the tables above."


def name_random(attack: str) -> str:
    """Random changes beside an attack."""
    return f"random ({attack})"


def title_evasion(model: str, attack: str, size: str, e: Estimate, control: Estimate | None) -> str:
    """The largest change tried."""
    beside = "" if control is None else f"; with random changes, {n.value_text(control)}"
    return (
        f"{model}: with changes of at most {size} ({attack}), {n.value_text(e)} of predictions are "
        f"wrong{beside}."
    )


def title_ranking(model: str, attack: str, size: str, e: Estimate, control: Estimate) -> str:
    """The AUROC at the largest change tried."""
    return (
        f"{model}: with changes of at most {size} ({attack}), the AUROC is {n.value_text(e)}; with "
        f"random changes, {n.value_text(control)}."
    )


def caption_ranking(model: str) -> str:
    """The caption of the table beside the AUROC by the size of a change."""
    return f"{model}: AUROC by the largest change of a value"


def caption_evasion(model: str) -> str:
    """The caption of an evasion chart's table."""
    return f"{model}: share of wrong predictions by the largest change of a value"


def name_size(size: float, unit: str) -> str:
    """The size of a change; a unit that is a divisor stands at the number."""
    return f"{n.significant(size)}{'' if unit.startswith('/') else ' '}{unit}"


def label_sizes(unit: str) -> str:
    """The axis of sizes."""
    return EVASION_X if unit == "sd" else EVASION_X_PICTURES


def caption_trials(family: str) -> str:
    """The caption of a family's attempts."""
    return f"{family}: attempts, by release"


def caption_trials_by_record(family: str) -> str:
    """The caption of the same with every record for itself."""
    return f"{family}: attempts with every record for itself"


def word_best_settings(shown: int, of: int) -> str:
    """That a table holds a selection."""
    return (
        f"Of each attack the setting with the largest difference ({shown} of {of} results); "
        "selected afterwards, so these are biased upwards. All are in audit.json."
    )


def word_control(attack: str, text: str) -> str:
    """What an attack's control was."""
    return f"{attack}: {text[:1].lower()}{text[1:]}"


def word_baseline(attack: str, text: str) -> str:
    """What an attack's baseline was."""
    return f"{attack}: the baseline is {text}."


def word_value(e: Estimate) -> str:
    """The value, or why there is none."""
    if e.value is None:
        return f"not stated: {word_reason(e.refusal)}"
    return n.estimate_text(e)


def word_caveats(attack: str, text: str, names: Sequence[str], of: int) -> str:
    """A caveat of an attack, with the releases it is about."""
    return f"{attack}: {text} ({name_subset(names, of)})"
