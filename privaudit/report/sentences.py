"""Every sentence of the report, in one place: short words, natural frequencies, always an interval.

Templates and sections hold none. A sentence here never calls a model by one of the words in
`FORBIDDEN`; only `DISCLAIMER`, which is fixed, names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge, State
from privaudit.results import ClaimText, Control, Data, Estimate, GroupResult, Pool

FORBIDDEN = ("anonymous", "compliant", "safe", "private", "de-identified", "certified")

DISCLAIMER = (
    "This report does not say that a model or a data set is anonymous, compliant, safe, private, "
    "de-identified or certified. Those are legal or organisational decisions. It says what was "
    "tried, how often it worked, and how sure that number is."
)


def forbidden(text: str, names: Iterable[str] = ()) -> list[str]:
    """Forbidden words outside the fixed disclaimer; `names` are labels of the data, left aside."""
    for part in (DISCLAIMER, *sorted(names, key=len, reverse=True)):
        text = text.replace(part, " ")
    pattern = r"\b(" + "|".join(re.escape(word) for word in FORBIDDEN) + r")\b"
    return [found.lower() for found in re.findall(pattern, text, re.IGNORECASE)]


TITLE = "Privacy audit"
CONTENTS = "Contents"
SKIP = "Skip to the answer"
MODELS = "Models audited"
MARKS = {"stop": "✕", "warn": "▲", "note": "○"}
DRAWING = "Chart, described by its title and the table below it"
CUE = "Scroll this box sideways to see all of it."
TABLE_OF = "The numbers in this chart"
PRINTED = "Made from the audit document alone. The same document gives the same report."

SECTIONS = {
    "answer": "The answer first",
    "tradeoff": "Risk against usefulness",
    "promises": "Differential privacy: what was promised and what was measured",
    "federation": "Federation: who could read what",
    "poisoning": "Poisoned training",
    "splitting": "Split learning: what crosses the cut",
    "encryption": "Encryption: what is seen, and whether the key holds",
    "findings": "What was found, model by model",
    "groups": "Who is most affected",
    "coverage": "What was tested and what was not",
    "attacker": "The attacker we imagined",
    "training": "How each model was trained and what it promised",
    "certainty": "How sure we are",
    "cohort": "Data and cohort",
    "methods": "How each attack works",
    "reproduce": "Doing it again",
    "limits": "What this report does not say",
    "glossary": "Glossary",
}

BADGES: dict[State, Badge] = {
    "found": Badge("▲ Leak found", "found"),
    "unseen": Badge("○ No leak seen", "unseen"),
    "small": Badge("◇ Too small to tell", "small"),
    "weak": Badge("◇ Inconclusive", "weak"),
    "untested": Badge("– Not tested", "untested"),
    "invalid": Badge("✕ Invalid", "invalid"),
}
COVERAGE: dict[str, State] = {
    "TESTED": "unseen",
    "NOT TESTED": "small",
    "NOT APPLICABLE": "untested",
}


def subtitle(data: Data) -> str:
    return f"{data.title}, {data.source}"


# --- the answer -------------------------------------------------------------------------------


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
    "This version compares no number with an organisation’s limit. “Leak found” means: above what "
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


def ranks(e: Estimate) -> str:
    return (
        f"Shown one training patient and one other, the attack picks the training patient "
        f"{n.count_in(e.value or 0, 100, _half(e))} times in 100 ({n.frequency_interval(e, 100)}); "
        "guessing would do so 50 times in 100."
    )


def _half(e: Estimate) -> float | None:
    return None if e.low is None or e.high is None else (e.high - e.low) / 2


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
    "No membership attack gave a result for this model, so this report cannot tell whether it "
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


def useful(e: Estimate) -> str:
    return (
        f"Its usefulness on patients it never saw: AUROC {n.value_text(e)} "
        f"({n.share(e.confidence)} interval {n.interval_text(e)})."
        if n.interval_text(e)
        else f"Its usefulness on patients it never saw: AUROC {n.value_text(e)}."
    )


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


GLANCE = "The answer for each model, with 95 % intervals unless named otherwise"
GLANCE_COLUMNS = (
    "Model",
    "Reading",
    "Training patients recognised",
    "at false alarms of",
    "by guessing",
    "Usefulness (AUROC)",
)

# --- risk against usefulness ------------------------------------------------------------------

TRADEOFF = (
    "Each mark is one model. Further right is more useful; further down gives less away. The bars "
    "are intervals: where two models’ bars overlap, this audit does not tell them apart."
)
TRADEOFF_CAPTION = "Every model’s usefulness and risk, with intervals"
TRADEOFF_X = "Usefulness: AUROC (right is better)"
TRADEOFF_NONE = (
    "No model has both a usefulness and a membership result, so nothing can be compared."
)


def tradeoff_y(name: str) -> str:
    fpr = n.fpr_of(name)
    if fpr is None:
        return "AUC of the strongest attack (down is better)"
    return f"Training patients recognised at {n.one_in(fpr)} false alarms (down is better)"


def tradeoff_title(least_risk: str, most_useful: str, tied: bool) -> str:
    if least_risk == most_useful:
        text = f"{least_risk} is both the most useful and the one that gives least away"
    else:
        text = f"{least_risk} gives least away; {most_useful} is the most useful"
    return f"{text}, but intervals overlap, so the order may be luck." if tied else f"{text}."


def tradeoff_single(model: str) -> str:
    return f"Only one model was audited: {model}."


def left_out(models: Iterable[str]) -> str:
    return f"Not drawn, for want of one of the two numbers: {', '.join(models)}."


TRADEOFF_KINDS = {
    "": "other",
    "pooled": "in one place",
    "local": "hospitals alone",
    "federated": "federated",
    "split": "split",
    "dp": "with a promise",
}
NUMBERED = "Marks carry the models’ numbers; colour and shape tell how each was trained."

# --- promises -----------------------------------------------------------------------------------

PROMISES = (
    "A promise of differential privacy is a proof about the training, not a measurement. An attack "
    "can only show that epsilon is at least some value. A bound below the promise does not prove the "
    "promise; a bound above it proves it broken."
)
PROMISE_BADGES: dict[str, Badge] = {
    "broken": Badge("✕ Broken", "invalid"),
    "unbroken": Badge("○ Not broken", "unseen"),
    "apart": Badge("◇ Not comparable", "small"),
    "untested": Badge("– Not tested", "untested"),
}
PROMISE_FACTS = {
    "epsilon": "Epsilon and delta",
    "unit": "Whom it is about",
    "neighbours": "What may differ",
    "covers": "What it covers",
    "open": "What it does not cover",
    "basis": "On what ground",
    "bound": "Epsilon is at least, by attack",
    "useful": "Usefulness (AUROC)",
    "risk": "Strongest membership attack (AUC)",
}
NEIGHBOURS = {
    "add-remove": "one {unit} is added or left out",
    "replace": "one {unit} is replaced by another",
}


def promise_size(c: ClaimText) -> str:
    delta = f", delta {n.significant(c.delta, 2)}" if c.delta else ", delta 0"
    return f"{n.significant(c.epsilon or 0.0)}{delta}"


def neighbours(c: ClaimText) -> str:
    if c.neighbours not in NEIGHBOURS:
        return c.neighbours
    return NEIGHBOURS[c.neighbours].format(unit=c.unit)


def unit(c: ClaimText) -> str:
    more = {
        "record": "; a person with several records is less covered",
        "site": "; a whole hospital",
    }
    return f"one {c.unit}{more.get(c.unit, '')}"


def bound(attack: str, name: str, e: Estimate) -> str:
    how = {
        "epsilon_lower_bound": "counting right guesses",
        "epsilon_lower_bound_fdp": "by trade-off",
    }
    told = how.get(name, name.replace("_", " "))
    if e.value is None:
        return f"not stated ({told}): {e.refusal or 'no reason given'}"
    return f"{n.significant(e.value)} ({attack}, {told}, {n.share(e.confidence)} confidence)"


BOUND_NONE = "no attack of that kind was run on this model"
COVERS_NOTHING = "nothing named"
PROMISE_TABLE = "Promises and what came of them"
PROMISE_COLUMNS = (
    "Model",
    "Promised epsilon",
    "At least, by attack",
    "Usefulness (AUROC)",
    "Membership AUC",
)
UNPROMISED = "none"
PROMISE_X = "Promised epsilon (left is stronger)"
PROMISE_Y = "AUC"
PROMISE_MARKS = "Filled: usefulness (AUROC). Hollow: strongest membership attack (AUC)."


def promise_title(best: str, epsilon: float, e: Estimate, without: Estimate | None) -> str:
    text = f"With a promise, {best} at epsilon {n.significant(epsilon)} is the most useful: AUROC {n.estimate_text(e)}"
    if without is None:
        return f"{text}."
    return f"{text}; the best model without one, {n.estimate_text(without)}."


# --- federation ---------------------------------------------------------------------------------

FEDERATION = (
    "In federated training records stay in each hospital, but what a hospital sends is made of them. "
    "The first table says who could read what one hospital sent."
)
TRUST_CAPTION = "Who could read what of one hospital’s contribution"
TRUST_COLUMNS = ("Model", "Who", "What", "Could read it")
SHARING_CAPTION = "What joint training cost"
COSTS: tuple[tuple[str, str], ...] = (
    ("rounds", "Rounds"),
    ("bytes_up", "Sent by hospitals"),
    ("bytes_down", "Sent to hospitals"),
    ("bytes_between_sites", "Handed between hospitals"),
    ("simulated_seconds", "Time on a simulated network"),
    ("refused_updates", "Updates refused"),
    ("train_seconds", "Processor time"),
)
SITES_CAPTION = "Usefulness (AUROC) hospital by hospital, on held-out patients"
SITES = (
    "Whether joint training is worth it for a hospital: its own patients, under models trained alone, "
    "together, and in one place."
)
SITE_COLUMN = "Hospital"
EVERYBODY = "all patients"


def sites_title(alone: Estimate, together: Estimate, model: str) -> str:
    both = f"AUROC {n.estimate_text(together)} with {model}, {n.estimate_text(alone)} with hospitals alone"
    if (together.low or 0) > (alone.high or 1):
        return f"Training together is more useful than hospitals alone: {both}."
    if (alone.low or 0) > (together.high or 1):
        return f"Training together is less useful than hospitals alone: {both}."
    return f"Training together and alone cannot be told apart over all patients: {both}."


# --- poisoning ----------------------------------------------------------------------------------

POISONING = (
    "One or more hospitals take part in bad faith. Each row is the same training with them and "
    "without, under one rule for adding updates up (aggregator). For a backdoor, success is a "
    "patient with the mark who gets the answer that the attacker wants; for the others, a patient "
    "about whom the model is wrong."
)
POISON_COLUMNS = ("Attack", "Aggregator", "What is done", "Without it", "With it", "Difference")


def poison_caption(model: str) -> str:
    return f"{model}: before and after"


def poison_title(model: str, worst: str, against: str, e: Estimate, holds: str | None) -> str:
    text = f"{model}: the worst, {worst} against {against}, adds {n.estimate_text(e)}"
    return (
        f"{text}; no aggregator tried withstands it."
        if holds is None
        else f"{text}; {holds} withstands it best."
    )


# --- split and encryption -----------------------------------------------------------------------

SPLITTING = (
    "The server sees numbers in place of records. These attacks ask what those numbers give away: "
    "the outcomes, and the records themselves."
)
CUT_CAPTION = "What the traffic at the cut gives away"
CUT_COSTS_CAPTION = "What crosses the cut, and what it costs"
TOLD_COLUMNS = ("Model", "Attack", "Setting", "Succeeds", "Control", "Without the traffic")
ENCRYPTION = (
    "Encryption and masks hide single updates from the server, not what the sum of them gives away, "
    "and not what the finished model gives away. Whoever holds the key reads everything."
)
SEEN_CAPTION = "What is seen under masks and encryption"
KEY_CAPTION = "Attempts on the key"
OVERHEAD_CAPTION = "What protection costs beside the same training in the open"
OVERHEAD_COLUMNS = ("Model", "Sent by hospitals", "Times as much", "Processor time", "AUROC")

# --- findings ---------------------------------------------------------------------------------

FINDINGS = (
    "One table a model. Every attack that was asked for is listed, also those that did not apply "
    "or failed. A rate is stated only where at least 10 false alarms are expected."
)


def forest_title(model: str, attack: str, e: Estimate) -> str:
    if excess(e):
        return f"{model}: AUC {n.estimate_text(e)} for {attack}, the strongest attack: better than guessing."
    return f"{model}: AUC {n.estimate_text(e)} for {attack}, the strongest attack: no better than guessing, as far as can be told."


def excess(e: Estimate) -> bool:
    return e.low is not None and e.chance is not None and e.low > e.chance


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
        f"of {base:,} patients named, {n.count_in(e.value or 0, base, _half(e))} "
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

# --- groups -----------------------------------------------------------------------------------

GROUPS = (
    "An average can hide a group that is recognised far more often. Groups with fewer than 10 "
    "patients are not shown. Whether a group differs from the rest is judged by an adjusted "
    "p-value, which takes into account how many groups were looked at; those that do are set bold."
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

# --- coverage and attacker --------------------------------------------------------------------

COVERAGE_INTRO = (
    "A low number speaks only about the attacks that were run. Everything marked “not tested” is an "
    "open question, not a low risk."
)
COVERAGE_CAPTION = "Classes of attack"
COVERAGE_COLUMNS = ("Class of attack", "State", "Attacks run", "Why, or what it means")
ATTACKER = (
    "What an attacker can do depends on what leaves the hospital. The attacks above were given "
    "exactly the following, and an attacker with more could do more."
)
ATTACKER_CAPTION = "What the attacker was allowed to do, model by model"
ATTACKER_COLUMNS = ("What the attacker can do", "Who could do that")
POWERS_CAPTION = "What an attacker might do, and who could"
POWERS = {
    "ANSWERS": "Ask",
    "WEIGHTS": "Read parameters",
    "UPDATES": "Read updates",
    "CUT": "Read the cut",
    "CIPHER": "Hold ciphertexts",
    "TABLE": "Read synthetic records",
    "SEAT": "Take part",
    "RERUN": "Train again",
}
KNOWS = (
    "The attacker already holds the full record of the patient asked about, and only wants to know "
    "whether it was used for training. That is a strong attacker, on purpose: one who knows less "
    "does no better."
)
NO_ACCESS = "Nothing was released that an attacker could use."

# --- training ---------------------------------------------------------------------------------

NO_CLAIM = (
    "Nothing was promised about privacy. No rule of the training limits what an attacker can learn; "
    "this audit shows only what the attacks above achieved."
)


def claim(c: ClaimText) -> str:
    if c.epsilon is None:
        return NO_CLAIM
    size = n.significant(c.epsilon)
    delta = f" and delta {n.significant(c.delta, 2)}" if c.delta else ""
    covers = ", ".join(c.covers) or "nothing named"
    return (
        f"Differential privacy was promised: epsilon {size}{delta}, for one {c.unit} "
        f"({c.neighbours}). It covers an attacker who can: {covers}. Basis: {c.basis}."
    )


def utility_caption(model: str) -> str:
    return f"{model}: usefulness on patients it never saw and on its training patients"


UTILITY_COLUMNS = ("Measure", "Patients it never saw", "Its training patients", "How to read it")


def contrast(model: str, inside: Estimate, outside: Estimate) -> str:
    apart = None not in (inside.low, outside.high) and (inside.low or 0) > (outside.high or 0)
    both = f"{n.value_text(inside)} on training patients and {n.value_text(outside)} on others"
    if apart:
        return (
            f"{model} does better on the patients it was trained on (AUROC {both}), by more than "
            "chance explains. It has learnt things about them that do not hold for others, which is "
            "what attacks feed on."
        )
    return f"{model} does about equally well on both: AUROC {both}, with overlapping intervals."


def reliability_title(model: str, slope: Estimate | None, intercept: Estimate | None) -> str:
    if slope is None or slope.value is None:
        return f"{model}: predicted against observed risk; on the dashed line both agree."
    known = [e for e in (slope, intercept) if e is not None and e.value is not None]
    off = any(_misses(e, 1.0 if e is slope else 0.0) for e in known)
    verdict = "predicted risks are off" if off else "predicted risks agree with what happened"
    told = ", ".join(f"{measure(e.name)} {n.estimate_text(e)}" for e in known)
    return f"{model}: {verdict}; {told}."


def _misses(e: Estimate, ideal: float) -> bool:
    return (e.low is not None and e.low > ideal) or (e.high is not None and e.high < ideal)


def reliability_caption(model: str) -> str:
    return f"{model}: predicted and observed risk"


RELIABILITY_X = "Predicted risk"
RELIABILITY_Y = "Observed"
COST_CAPTION = "Cost of training"
LEARNER, METHOD, SETTINGS, PROMISE = "Model family", "Way of training", "Settings", "Promise"

# --- certainty --------------------------------------------------------------------------------

CERTAINTY = (
    "Three things limit what an audit can tell: whether the attacks work at all (controls), how "
    "many patients there are (the smallest leak it could see), and luck (the intervals)."
)
CONTROLS_CAPTION = "Controls: tests of the test, by the AUC that came out"
CONTROLS_COLUMNS = (
    "Model",
    "Attack",
    "Planted leak: must be found",
    "Nothing to find: must hold 0.5",
)
CONTROL_KINDS = {"positive": "Planted leak", "negative": "Nothing to find"}
CONTROL_NONE = "not run"
CONTROL_BROKEN = Badge("– could not be run", "untested")


def control_note(kind: str, what: str, levels: Iterable[float]) -> str:
    sure = " and ".join(n.share(level) for level in levels)
    return f"{CONTROL_KINDS.get(kind, kind)}: {what}. Intervals at {sure} confidence."


def control_result(c: Control) -> Badge:
    if c.passed:
        return Badge("○ as it must", "unseen")
    return Badge("✕ not found" if c.kind == "positive" else "✕ a find", "invalid")


LEAST_CAPTION = "The smallest leak this audit could have seen, 4 times in 5"
LEAST_COLUMNS = ("Model", "AUC", "at 1 in 10 false alarms", "at 1 in 100", "at 1 in 1,000")
RESOLUTION_COLUMNS = ("False alarms", "Held-out patients needed", "There are", "Stated")
RESOLUTION_CAPTION = "Resolution: how fine a rate this many held-out patients allow"
INTERVALS = "How the intervals were made"
SEEDS = (
    "Who is trained on was decided by a fair coin for each patient. Every random step has its own "
    "named stream, all from the one number printed under “Doing it again”. The intervals describe "
    "which patients happened to be drawn. They do not describe how the numbers would move if the "
    "model were trained again, because each model was trained once."
)


# --- cohort -----------------------------------------------------------------------------------

FLOW_CAPTION = "From all stays to those used"
FLOW_COLUMNS = ("Step", "Stays left out", "Stays that remain", "Patients")
POOLS_CAPTION = "The three pools of patients; nobody is in two of them"
POOLS_INTRO = (
    "A fair coin decided, patient by patient, who was trained on and who was held out, so that the "
    "two differ by nothing else. A third pool plays the attacker’s own data."
)
POOL_NAMES = {
    "members": "members (trained on)",
    "nonmembers": "non-members (held out)",
    "reference": "reference (the attacker’s own)",
}
NOTES = "Notes on the data"
FACTS = "Further facts"


def pool_name(pool: Pool) -> str:
    return POOL_NAMES.get(pool.name, pool.name)


def shape(data: Data) -> str:
    parts = [f"{n.whole(data.columns)} summary values a stay"]
    if data.channels:
        parts.append(f"{n.whole(data.channels)} measurements hour by hour over {data.hours} hours")
    outcome = f"The outcome is “{data.positive}”" + (
        f", one of {len(data.classes)} classes" if len(data.classes) > 2 else ""
    )
    return f"{outcome}. Each model was given {' and '.join(parts)}."


# --- methods, reproduction, limits --------------------------------------------------------------

METHODS = "What each attack does, where it was published, and the settings used here."
METHOD_UNKNOWN = "This attack is not in this report’s catalogue; see its own documentation."
SOURCES, ACCESS, SETTINGS_USED, TIME = "Source", "Needs", "Settings here", "Time taken"
INTERVAL_SOURCES = (
    "AUC: DeLong et al. 1988, Biometrics 44, by patient; Newcombe 2006, Statistics in Medicine 25.",
    "Shares: Wilson 1927, J. Am. Stat. Assoc. 22; differences: Newcombe 1998, Statistics in Medicine 17.",
    "Rates at few false alarms: bootstrap of both pools by patient, because the threshold is estimated too.",
)
REPRODUCE = (
    "With the same code, the same data and the same random number, the same numbers come out."
)
PACKAGES = "Versions of libraries"
PACKAGES_COLUMNS = ("Library", "Version")
MANIFEST = {
    "run": "Run",
    "created": "Made at",
    "version": "privaudit version",
    "python": "Python",
    "platform": "Computer",
    "profile": "Profile",
    "command": "Command",
    "entropy": "Random number",
    "fingerprint": "Fingerprint of the records",
    "confidence": "Confidence level",
    "wall": "Time taken",
    "cpu": "Processor time",
    "memory": "Peak memory",
    "refits": "Models trained for attacks",
}
LIMITS = (
    "It does not speak about attacks that were not run, nor about attackers who can do more than "
    "described under “The attacker we imagined”.",
    "It does not say how the model behaves on patients of another hospital or another year.",
    "It does not describe what happens when several models trained on the same patients are "
    "released together.",
    "An attack’s success rate is not the probability that a given patient is found; that also "
    "depends on who asks, about whom, and why.",
    "It gives no legal opinion, and does not replace a data protection impact assessment.",
    "Its numbers grow old: better attacks appear. Review it when the model, its data or its "
    "audience change.",
)


def measure(name: str) -> str:
    """An estimate's name in words; an unknown name is printed as it came, without underscores."""
    bare, size, fpr = n.stem(name), n.budget(name), n.fpr_of(name)
    if fpr is not None and bare.startswith("tpr_"):
        text = f"recognised at {n.one_in(fpr)} false alarms"
    elif fpr is not None and bare.startswith("detectable_tpr_"):
        text = f"smallest share to be seen at {n.one_in(fpr)} false alarms"
    elif fpr is not None and bare.startswith("ppv_"):
        text = f"share of right namings if {n.share(fpr)} are members"
    else:
        text = _MEASURES.get(bare, bare.replace("_", " "))
    return f"{text} at {size}" if size else text


_MEASURES = {
    "auc": "AUC",
    "epsilon_lower_bound": "epsilon at least (right guesses)",
    "epsilon_lower_bound_fdp": "epsilon at least (trade-off)",
    "detectable_auc": "smallest AUC to be seen",
    "attack_rate": "attack succeeds",
    "control_rate": "control succeeds",
    "attack_minus_control": "attack minus control",
    "guess_rate": "guess succeeds",
    "attack_minus_guess": "attack minus guess",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}


def capital(text: str) -> str:
    """The first letter large."""
    return text[:1].upper() + text[1:]
