"""The answer first."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report import numbers as n
from privaudit.report.wording.words import half
from privaudit.results import Data, Estimate

GENERATED_TITLE = "Generated data"


def generated(data: Data) -> str:
    return (
        f"The records come from a generator ({data.source}) and describe no patient. These numbers "
        "are not MIMIC-III results, and say nothing about any hospital’s patients."
    )


INVALID_TITLE = "This audit is invalid"
POWERLESS_TITLE = "Part of this audit lacks power"


def invalid(places: Iterable[str]) -> str:
    return (
        f"A check with nothing to find came out as a find: {', '.join(places)}. The test bench "
        "itself gives away who was in the training data, so no number below can be relied on. "
        "Repair it and run the audit again."
    )


def powerless(places: Iterable[str]) -> str:
    return (
        f"A leak was planted on purpose, and was not found: {', '.join(places)}. Where these find "
        "nothing, that means nothing."
    )


BROKEN_TITLE = "A control could not be run"


def broken(places: Iterable[str], what: str) -> str:
    return f"{', '.join(places)}: {what}. Where these find nothing, that means little."


def place(attack: str, model: str) -> str:
    return f"{attack} on {model}"


DEFECT_TITLE = "A promise does not hold"
UNTRAINED_TITLE = "Asked for, and not trained"


def defect(model: str, told: str) -> str:
    return f"{model}: {told}. Do not rely on this promise; its implementation must be repaired."


def untrained(model: str, reason: str, broke: bool) -> str:
    return f"{model}: {'it broke, ' if broke else ''}{reason}"


UNTRAINED_MEANS = "Nothing is known about these, which is no sign of a low risk."
UNCONTROLLED_TITLE = "No controls were run"
UNCONTROLLED = (
    "Nothing in this audit shows that the attacks would find a leak if there were one, nor that "
    "they stay silent where there is none. A low number below is therefore no sign of a low risk."
)
NO_POLICY_TITLE = "No verdict against a policy"
NO_POLICY = (
    "“Leak found” means: above what "
    "guessing gives, by more than chance explains. “No leak seen” means: these attacks did no "
    "better than guessing; it is no approval. What is acceptable is for your organisation to decide."
)
MEASURES_MODEL = (
    "These are research data, and who is in them is known to many. A find here measures the model "
    "and the way it was trained; it is not a new disclosure about these patients."
)


def recognises(attack: str, e: Estimate, fpr: float, found: bool) -> str:
    base = n.base_of(fpr)
    guess = n.frequency(Estimate("", fpr), base)
    tail = (
        f"guessing would recognise {guess}"
        if found
        else f"guessing gives {guess}, within that interval"
    )
    if not found and e.high is not None and e.high < fpr:
        tail = f"guessing would recognise {guess}"
    return (
        f"The strongest attack ({attack}) recognises about {n.frequency(e, base)} training patients "
        f"({n.frequency_interval(e, base)}) while wrongly naming {n.one_in(fpr)} others; {tail}."
    )


def ranks(e: Estimate, attack: str = "", fpr: float | None = None) -> str:
    """attack: named where this sentence stands first; fpr: the false alarms at which nothing was seen."""
    who = f"the strongest attack ({attack})" if attack else "the attack"
    text = (
        f"Shown one training patient and one other, {who} picks the training patient "
        f"{n.count_in(e.value or 0, 100, half(e))} times in 100 ({n.frequency_interval(e, 100)}); "
        "guessing would do so 50 times in 100."
    )
    if fpr is None:
        return text
    return f"{text} At {n.one_in(fpr)} false alarms it does no better than guessing."


def least(e: Estimate, fpr: float) -> str:
    base = n.base_of(fpr)
    return (
        f"The smallest rate that this many patients would have revealed, 4 times in 5, is "
        f"{n.frequency(e, base)} at {n.one_in(fpr)} false alarms; a smaller leak may have gone unseen."
    )


def too_small(e: Estimate, fpr: float, halved: bool) -> str:
    """halved: the number rests on one half of the patients, so each one missing there means two."""
    start = f"The cohort is too small for a verdict at {n.one_in(fpr)} false alarms"
    held_out = e.n.get("nonmember_patients", e.n.get("nonmembers"))
    need = max(0, round(10 / fpr) - held_out) if held_out is not None else 0
    if not need:
        return f"{start}: {e.refusal}." if e.refusal else f"{start}."
    where = " in the half that the number is measured on" if halved else ""
    return (
        f"{start}: there are {n.whole(held_out or 0)} held-out patients{where}, and about "
        f"{n.whole(need * (2 if halved else 1))} more held-out patients are needed in all."
    )


def on_all(e: Estimate, fpr: float) -> str:
    base = n.base_of(fpr)
    return (
        f"On all patients the same attack recognises about {n.frequency(e, base)} "
        f"({n.frequency_interval(e, base)}) while wrongly naming {n.one_in(fpr)} others. That reads "
        "somewhat too high, because the attack was picked on some of the same patients."
    )


UNTESTED = (
    "No membership attack gave a result here, so this report cannot tell whether it "
    "gives away who was in its training data. That is not a sign of a low risk."
)
AFTERWARDS = (
    "The attack was picked after seeing all results, on the same patients, so this number reads "
    "somewhat too high."
)
WEAK = (
    "Nothing was seen, but no planted leak was found by this attack either, so its silence carries "
    "no weight."
)
BORROWED = "The controls were run on another model of this audit, in the same way."


def useful(e: Estimate, learner: str = "") -> str:
    """learner: of the model that learnt from a table released without one."""
    lead = "Its usefulness on patients it never saw"
    if learner:
        lead = (
            f"Usefulness of a model ({learner}) that learns from it, on real patients it never saw"
        )
    width = (
        f" ({n.share(e.confidence)} interval {n.interval_text(e)})" if n.interval_text(e) else ""
    )
    return f"{lead}: AUROC {n.value_text(e)}{width}."


def evaded(
    attack: str, size: str, e: Estimate, control: Estimate | None, before: Estimate | None
) -> str:
    how = f" by at most {size.replace(' sd', ' standard deviations')}" if size else ""
    text = (
        f"When a patient’s values are changed on purpose{how} ({attack}), the model is wrong about "
        f"{n.frequency(e, 100)} patients ({n.frequency_interval(e, 100)})"
    )
    for beside, when in ((control, "with random changes of that size"), (before, "with none")):
        if beside is not None and beside.value is not None:
            text += f"; {when}, {n.frequency(beside, 100)} ({n.frequency_interval(beside, 100)})"
    return f"{text}."


def on_others(
    attack: str, family: str, e: Estimate, control: Estimate | None, guess: Estimate | None
) -> str:
    """An attack on a table, beside the same attack on patients whom the table never saw."""
    text = (
        f"{attack} ({family}) succeeds in about {n.frequency(e, 100)} attempts on training patients "
        f"({n.frequency_interval(e, 100)})"
    )
    for beside, whom in ((control, "on patients whom the table never saw"), (guess, "blindly")):
        if beside is not None and beside.value is not None:
            text += f"; {whom}, {n.frequency(beside, 100)} ({n.frequency_interval(beside, 100)})"
    return f"{text}."


def trial(attack: str, family: str, e: Estimate, guess: Estimate | None) -> str:
    text = (
        f"{attack} ({family}) succeeds in about {n.frequency(e, 100)} attempts "
        f"({n.frequency_interval(e, 100)})"
    )
    if guess is None or guess.value is None:
        return text + "; nothing stands beside it for comparison."
    return (
        f"{text}; without the model it would be {n.frequency(guess, 100)} "
        f"({n.frequency_interval(guess, 100)})."
    )


def poisoned(attack: str, against: str, after: Estimate, before: Estimate | None) -> str:
    text = (
        f"When a malicious hospital takes part ({attack}, against {against}), the model is wrong "
        f"about {n.frequency(after, 100)} patients ({n.frequency_interval(after, 100)})"
    )
    if before is None or before.value is None:
        return f"{text}."
    return f"{text}; without it, about {n.frequency(before, 100)} ({n.frequency_interval(before, 100)})."


def bounded(attack: str, e: Estimate, epsilon: float | None) -> str:
    shown = n.significant(e.value) if e.value else ""
    text = (
        f"{attack}: what was seen shows an epsilon of at least {shown}"
        if shown
        else f"{attack}: what was seen shows no epsilon above 0"
    )
    if epsilon is None:
        return f"{text}; no epsilon was promised."
    return f"{text}, where {n.significant(epsilon)} was promised."


def unfinished(skipped: int, failed: int) -> str:
    parts = []
    if skipped:
        parts.append(f"{skipped} did not apply")
    if failed:
        parts.append(f"{failed} failed")
    return f"Of the attacks asked for, {' and '.join(parts)}. That is never a sign of “no risk”."


GLANCE = "The answer in one row each, with 95 % intervals unless named otherwise"
GLANCE_COLUMNS = (
    "Reading",
    "Training patients recognised",
    "at false alarms of",
    "by guessing",
    "Usefulness (AUROC)",
)
