"""What was found, model by model, and group by group."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report import numbers as n
from privaudit.report.wording.words import capital, excess, half, measure
from privaudit.results import Estimate, GroupResult

FINDINGS = (
    "One table a model. Every attack that was asked for is listed, also those that did not apply "
    "or failed. A rate is stated only where at least 10 false alarms are expected."
)


def forest_title(model: str, attack: str, e: Estimate) -> str:
    if excess(e):
        return f"{model}: AUC {n.estimate_text(e)} for {attack}, the strongest attack: better than guessing."
    return f"{model}: AUC {n.estimate_text(e)} for {attack}, the strongest attack: no better than guessing, as far as can be told."


def roc_title(model: str, attack: str, banded: bool) -> str:
    band = f", with its interval for {attack}" if banded else ""
    return f"{model}: share recognised at every level of false alarms{band}; above the dashed line is better than guessing."


def roc_caption(model: str) -> str:
    return f"{model}: ROC curves in numbers"


ROC_X = "False alarms (others wrongly named)"
ROC_Y = "Training patients recognised"


def roc_more(attacks: Iterable[str]) -> str:
    return f"Not drawn, to keep the lines apart: {', '.join(attacks)}. See the table above."


def membership_caption(model: str) -> str:
    return f"{model}: membership attacks, with intervals"


MEMBERSHIP_COLUMNS = ("Attack", "AUC")


def at_column(fpr: float) -> str:
    return f"Recognised at {n.one_in(fpr)} false alarms"


HEADLINE_ROW = "Headline"


def headline_note(attack: str, how: str) -> str:
    return f"Headline: {attack}, {how}. It is the number to quote."


def refusal_note(what: str, attacks: Iterable[str], reason: str) -> str:
    return f"{what}: not stated for {', '.join(attacks)}; {reason}."


def ppv_caption(model: str) -> str:
    return f"{model}: when the strongest attack names a patient, how often is it right?"


PPV_COLUMNS = (
    "If training patients make up",
    "a guess is right",
    "the attack is right",
    "in words",
)
PPV_INTRO = (
    "How much a naming is worth depends on whom the attacker asks about. The table takes the "
    "threshold at which 1 in 100 others is wrongly named."
)


def ppv_words(e: Estimate) -> str:
    base = n.base_for(e)
    return (
        f"of {base:,} patients named, {n.count_in(e.value or 0, base, half(e))} "
        f"({n.frequency_interval(e, base)}) were in the training data"
    )


def trials_caption(model: str, family: str) -> str:
    return f"{model}: {family}"


TRIAL_COLUMNS = ("Attack", "Setting", "Succeeds", "Control", "Difference")
GUESS_COLUMNS = ("Without the model", "Difference to that")
TRIAL_NOTE = (
    "The control is what happens without the attacker’s skill, such as the same question about "
    "other patients. Only the difference speaks for the attack."
)
EVASION_COLUMNS = (
    "Attack",
    "Largest change",
    "Model wrong after it",
    "Wrong after random changes",
    "Difference",
)
BEFORE_COLUMNS = ("Wrong with no change", "Difference to that")
EVASION_NOTE = (
    "Changes are counted in standard deviations (sd) of each value. Values that a patient cannot "
    "change, such as age, stay as they are, and the result must still describe a possible patient. "
    "The random changes are as large as those of the attack; only the difference between the two "
    "speaks for the attack."
)
EVASION_X = "Largest change of a value (in standard deviations)"
EVASION_Y = "Share of patients about whom the model is wrong"


def evasion_title(model: str, attack: str, size: str, e: Estimate, control: Estimate | None) -> str:
    beside = "" if control is None else f"; random changes of that size, {n.value_text(control)}"
    return (
        f"{model}: with changes of at most {size} ({attack}), the model is wrong about "
        f"{n.value_text(e)} of patients{beside}."
    )


def noise(attack: str) -> str:
    return f"random ({attack})"


UNCHANGED = "no change"


def blanks_caption(model: str) -> str:
    return f"{model}: attacks without a result"


def control_is(attack: str, what: str) -> str:
    return f"{attack}: the control is {what}."


def guess_is(attack: str, what: str) -> str:
    return f"{attack}: without the model means {what}."


BLANKS_COLUMNS = ("Attack", "What happened", "Why")
SKIPPED, FAILED = "did not apply", "failed"
NO_FINDINGS = "No attack gave a result for this model."


def others_caption(model: str) -> str:
    return f"{model}: further numbers"


OTHERS_COLUMNS = ("Attack", "Number", "Value", "By guessing")
CAVEATS = "To be borne in mind"


# --- groups -------------------------------------------------------------------------------------


GROUPS = (
    "An average can hide a group that is recognised far more often. Groups with fewer than 10 "
    "patients are not shown. Whether a group differs from the rest is judged by an adjusted "
    "p-value, which takes into account how many groups were looked at; those that do are set bold."
)
GROUPS_ACROSS = "The most affected group of every model, by the headline’s attack on all patients"
GROUPS_ACROSS_COLUMNS = (
    "Model",
    "Everyone (AUC)",
    "Most affected",
    "its AUC",
    "Groups that differ",
    "Least useful for (AUROC)",
)
GROUPS_NONE = "This audit holds no results by group, so the average may hide a worse one."


def groups_title(model: str, worst: str, e: Estimate, sure: bool) -> str:
    text = f"{model}: highest for {worst}, {measure(e.name)} {n.estimate_text(e)}"
    return f"{text}; it differs from the rest." if sure else f"{text}; the difference may be luck."


def groups_caption(model: str, attack: str) -> str:
    return f"{model}: {attack}, group by group"


def panel(name: str) -> str:
    """The heading of a scale in a drawing."""
    fpr = n.fpr_of(name)
    return capital(measure(name)) if fpr is None else f"Recognised at {n.one_in(fpr)}"


GUESSED = "by guessing, in this group"
P_COLUMN = "Adjusted p-value"
GROUP_TICK = "The short mark on each row is what guessing gives in that group."
SUPPRESSED = "not shown"


def hidden_groups(count: int) -> str:
    who = "1 group is" if count == 1 else f"{count} groups are"
    return (
        f"{who} not shown: fewer than 10 patients, or left out so that such a group cannot be "
        "worked out by subtraction."
    )


def groups_how(how: str) -> str:
    return f"p-values: {how}."


def group_name(group: GroupResult) -> str:
    return f"{group.by.replace('_', ' ')}: {group.level}"


def utility_groups_caption(model: str) -> str:
    return f"{model}: usefulness group by group, on held-out patients"


UTILITY_GROUPS = "Is the model equally useful for every group?"


# --- many models ------------------------------------------------------------------------------

FINDINGS_ACROSS = (
    "One table a topic, a row a model. What did not apply or failed is listed at the end, with the "
    "reason. A rate is stated only where at least 10 false alarms are expected. Every number, at "
    "every setting, also stands in audit.json, and every curve in curves.csv."
)
HEADLINES_CAPTION = "The headline of every model: its strongest attack, chosen without favour"
HEADLINES_COLUMNS = ("Model", "Attack", "AUC", "Recognised at 1 in 100 false alarms")
BOLD_ABOVE = "Bold: above guessing by more than chance explains. Empty: not run, or not stated."
AFTER = "picked after seeing all results, so it reads somewhat too high"
BLANKS_ACROSS = "Attacks without a result"
BLANKS_ACROSS_COLUMNS = ("Attack", "What happened", "Why", "Models")
TRIED_COLUMNS = ("Model", "Attack", "Setting", "Succeeds", "More than the control")
OVER_GUESS = "More than without the model"
OTHERS_ACROSS = "Further numbers"


def forest_across(found: int, models: int) -> str:
    if not found:
        return f"On none of {models} models does the headline attack do better than guessing."
    return f"On {found} of {models} models the headline attack does better than guessing (orange)."


def chosen(how: str, names: Iterable[str], models: int) -> str:
    told = list(names)
    whom = "All models" if len(told) == models else ", ".join(told)
    return f"{whom}: {how}."


def matrix_caption(name: str) -> str:
    return f"{capital(measure(name))}, by model and attack"


def across_caption(title: str) -> str:
    return f"{title} By model"


def one_budget(size: str) -> str:
    return (
        f"The table shows changes of at most {size}, the middle of the sizes tried." if size else ""
    )


def best_settings(shown: int, of: int) -> str:
    return (
        f"Of each attack the setting where it did best (of evasion, the best attack), {shown} of {of} results; seen afterwards, so "
        "these read somewhat too high. All stand in audit.json."
    )


def not_stated(reason: str) -> str:
    return f"Not stated: {reason}."


def models(names: tuple[str, ...], of: int) -> str:
    """Which models, without listing all of them."""
    if len(names) == of:
        return "all"
    return ", ".join(names)
