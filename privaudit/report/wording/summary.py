"""Summary: what must be known first, and a paragraph for each of the most exposed models."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.facts import Metric
from privaudit.report import numbers as n
from privaudit.report.wording.metrics import name_metric
from privaudit.report.wording.nouns import Phrase, w
from privaudit.report.wording.reasons_and_caveats import word_reason
from privaudit.report.wording.releases import list_names
from privaudit.results import Data, Estimate, Untrained

GENERATED_TITLE = "Synthetic demo data: not results"


def word_generated(data: Data) -> str:
    """That no patient stands behind the numbers."""
    return (
        f"The records were generated ({data.source}) and describe no {w.person}. These numbers are "
        f"not MIMIC-III results, and do not apply to any {w.site}’s {w.people}."
    )


INVALID_TITLE = "This audit is invalid"
POWERLESS_TITLE = "Part of this audit has insufficient power"
CONTROL_ERROR_TITLE = "A control was not made"
DEFECT_TITLE = "A privacy guarantee does not hold"
UNTRAINED_TITLE = "Requested and not trained"
UNCONTROLLED_TITLE = "No controls were run"
WRONG_WAY_TITLE = Phrase("Training {people} are read the wrong way round")
DRIFT_TITLE = Phrase("Training and held-out {people} differ in how well they are predicted")
SHIFT_TITLE = Phrase("Distribution shift between training and held-out {people}")


def word_invalid(places: Iterable[str]) -> str:
    """Negative controls that failed."""
    return (
        f"A negative control failed: {', '.join(places)}. The audit itself reveals who was in the "
        "training data, so no number below is valid. Repair it and run the audit again."
    )


def word_powerless(places: Iterable[str]) -> str:
    """Positive controls that failed."""
    return (
        f"A planted leak was not detected: {', '.join(places)}. Insufficient power: no leakage "
        "detected here is not evidence of low risk."
    )


CONTROL_MEANS = {
    "negative": "Without the negative control, leakage that was detected may be the audit’s own.",
    "positive": "Without the positive control, no leakage detected is not evidence of low risk.",
}


def word_control_not_made(kind: str, places: Iterable[str], why: str) -> str:
    """Controls that were not made, of one kind and for one reason."""
    return f"{', '.join(places)}: {why}. {CONTROL_MEANS[kind]}"


def word_defect(model: str, text: str) -> str:
    """A guarantee that an attack refutes."""
    return f"{model}: {text} Do not rely on this guarantee; its implementation must be repaired."


def word_untrained(u: Untrained) -> str:
    """What was requested and not trained, and why."""
    return f"{u.name}: {word_reason(u.reason)}"


UNTRAINED_MEANS = "Nothing is known about these, which is not evidence of low risk."
UNCONTROLLED = (
    "Nothing in this audit shows that the attacks would detect a leak if there were one, nor that "
    "they read as chance where there is none. A low number below is not evidence of low risk."
)
NO_POLICY = (
    "“Leakage detected” means: above what guessing gives, by more than chance explains. “No "
    "leakage detected” means: these attacks did no better than guessing; it is no approval. What "
    "is acceptable is for your organisation to decide."
)
MEASURES_MODEL = Phrase(
    "These are research data, and it is widely known who is in them. A leak measured here is a "
    "property of the model and its training, not a new disclosure about these {people}."
)


def word_recognised(attack: str, e: Estimate, fpr: float, detected: bool) -> str:
    """The true positive rate as a natural frequency."""
    base = n.base_of(fpr)
    guess = n.frequency(Estimate(Metric("tpr", fpr=fpr), fpr), base)
    inside = not detected and (e.high is None or e.high >= fpr)
    tail = (
        f"guessing would recognise {guess}, which is within that interval"
        if inside
        else f"guessing would recognise {guess}"
    )
    return (
        f"The strongest attack ({attack}) recognises about {n.frequency(e, base)} training "
        f"{w.people} ({n.frequency_interval(e, base)}) while wrongly naming {n.one_in(fpr)} "
        f"others; {tail}."
    )


def word_ranking(
    e: Estimate, attack: str = "", fpr: float | None = None, *, in_blocks: bool = False
) -> str:
    """The AUC as a frequency. attack: named where this sentence stands first; fpr: where nothing
    was detected at this false positive rate; in_blocks: of counts in blocks."""
    who = f"the strongest attack ({attack})" if attack else "the attack"
    text = (
        f"Given one training {w.person} and one other, {who} picks the training {w.person} "
        f"{n.count_in(e.value or 0, 100, n.half_width(e))} times in 100 "
        f"({n.frequency_interval(e, 100)}); guessing would do so 50 times in 100."
    )
    if fpr is None:
        return text
    if in_blocks:
        return (
            f"{text} At a false positive rate of {n.share(fpr)} the blocks of counts leave open "
            "whether it does better than guessing."
        )
    return f"{text} At a false positive rate of {n.share(fpr)} it does no better than guessing."


def word_detectable(e: Estimate, fpr: float) -> str:
    """The smallest leak that the audit would have detected."""
    base = n.base_of(fpr)
    return (
        f"With this many {w.people}, the smallest true positive rate that the audit would detect 4 "
        f"times in 5 is {n.frequency(e, base)} at a false positive rate of {n.share(fpr)}; a "
        "smaller leak may be there."
    )


def word_too_small(e: Estimate, fpr: float, halved: bool) -> str:
    """halved: the number rests on one half of the patients, so each one missing there means two."""
    start = f"There are too few {w.people} for a rate at a false positive rate of {n.share(fpr)}"
    held_out = e.n.get("nonmember_patients", e.n.get("nonmembers"))
    need = max(0, round(10 / fpr) - held_out) if held_out is not None else 0
    if not need:
        return f"{start}: {word_reason(e.refusal)}." if e.refusal else f"{start}."
    where = " in the half that the number is estimated on" if halved else ""
    return (
        f"{start}: there are {n.count(held_out or 0)} held-out {w.people}{where}, and about "
        f"{n.count(need * (2 if halved else 1))} more are needed in all."
    )


def word_on_all(e: Estimate, fpr: float) -> str:
    """The same attack on all patients, where the half is too small."""
    base = n.base_of(fpr)
    return (
        f"On all {w.people} the same attack recognises about {n.frequency(e, base)} "
        f"({n.frequency_interval(e, base)}) while wrongly naming {n.one_in(fpr)} others. This is "
        f"biased upwards, because the attack was chosen on some of the same {w.people}."
    )


UNTESTED = (
    "No membership attack gave a result here, so this report cannot state whether it reveals who "
    "was in its training data. That is not evidence of low risk."
)
AFTERWARDS = Phrase(
    "The attack was chosen after seeing all results, on the same {people}, so this number is "
    "biased upwards."
)
UNDERPOWERED = (
    "Nothing was detected, but this attack did not detect a planted leak either: insufficient "
    "power, not evidence of low risk."
)
BORROWED = "The controls were run on another model of this audit, in the same way."


def word_utility(e: Estimate, learner: str = "") -> str:
    """learner: of the model trained on a table that is released without one."""
    lead = f"Utility on held-out {w.people}"
    if learner:
        lead = f"Utility of a model ({learner}) trained on it, on real held-out {w.people}"
    inside = n.interval_text(e)
    width = f" ({n.share(e.confidence)} interval {inside})" if inside else ""
    return f"{lead}: {name_metric(e.metric)} {n.value_text(e)}{width}."


def word_compared(lead: str, e: Estimate, beside: Iterable[tuple[str, Estimate | None]]) -> str:
    """An attack's success as a frequency, then that of what it is compared with."""
    text = f"{lead} {n.frequency(e, 100)} ({n.frequency_interval(e, 100)})"
    for when, other in beside:
        if other is not None and other.value is not None:
            text += f"; {when}, {n.frequency(other, 100)} ({n.frequency_interval(other, 100)})"
    return f"{text}."


def word_evasion(attack: str, size: str) -> str:
    """How a sentence on evasion begins."""
    by = f" by at most {size}" if size else ""
    return (
        f"When {w.a_person}’s values are changed adversarially{by} ({attack}), the share of wrong "
        "predictions is"
    )


def word_poisoning(attack: str, aggregator: str) -> str:
    """How a sentence on poisoning begins."""
    return (
        f"When a malicious {w.site} takes part ({attack}, aggregator {aggregator}), the share of "
        "wrong predictions is"
    )


def word_trial(attack: str, family: str) -> str:
    """How a sentence on another attack begins."""
    return (
        f"{attack} ({family}): the share of attempts on training {w.people} that succeed is about"
    )


def word_property(attack: str) -> str:
    """How a sentence on the make-up of the training set begins."""
    return (
        f"Whether many or few of a model’s training {w.people} are of a group ({attack}) is told "
        "right of about"
    )


def word_extraction(attack: str) -> str:
    """How a sentence on a copy of the model begins."""
    return f"A copy made of the model’s answers ({attack}) agrees with the model on about"


RANDOM_CHANGES = "with random changes of that size"
UNCHANGED = "without changes"
ALL_HONEST = Phrase("with all {sites} honest")
HOSPITAL_ABSENT = "with it absent"
ON_OTHERS = Phrase("on {people} not in the training data")
WITHOUT_RELEASE = "without the release (baseline)"
IN_CONTROL = "in the control"
OF_ONE_SHARE = "between models of one share"
BY_COIN = "by a coin"
UNASKED = "without asking the model"
ONE_ANSWER = "with one answer for all"


def word_bound(attack: str, e: Estimate, epsilon: float | None) -> str:
    """A lower bound on epsilon beside what is claimed."""
    value, claim = e.value or 0.0, 0.0 if epsilon is None else epsilon
    shown = n.beside(value, claim) if value else ""
    text = (
        f"{attack}: the attack shows an epsilon of at least {shown}"
        if shown
        else f"{attack}: the attack shows no epsilon above 0"
    )
    if epsilon is None:
        return f"{text}; no epsilon is claimed."
    return f"{text}, where {n.claimed(epsilon)} is claimed."


def word_unresolved(skipped: int, failed: int, unstated: int = 0) -> str:
    """Attacks without a result. unstated: those of which no hospital stated counts."""
    parts = [f"{skipped} did not apply"] if skipped else []
    parts += [f"no {w.site} stated counts of {unstated}"] if unstated else []
    parts += [f"{failed} failed with an error"] if failed else []
    return f"Of the attacks requested, {' and '.join(parts)}. That is not evidence of low risk."


def word_duplicates(names: list[str]) -> str:
    """Tables that hold real records."""
    return (
        "Exact duplicates of training records, more than chance explains, are in "
        f"{list_names(names)}."
    )


def word_cards(shown: int, models: int) -> str:
    """Of which models a paragraph follows."""
    if shown == models:
        return "Each release in words:"
    return (
        f"In words: the {shown} most exposed of {models}. The tables hold the same numbers for the "
        "others."
    )


GLANCE = "Every release in one row, with 95 % intervals unless stated otherwise"
GLANCE_COLUMNS = (
    "Reading",
    "True positive rate",
    "at FPR",
    "AUC of the attack",
)
NOT_MEASURED = "not measured"
