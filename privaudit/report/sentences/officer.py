"""The first screen: the verdict, and the five questions that whoever decides must be able to answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.results import Data, Estimate
from privaudit.verdicts import State, Verdict, Verdicts

QUESTIONS = (
    ("what-was-tested", "1. What was tested?"),
    ("what-happened", "2. What happened?"),
    ("against-which-limit", "3. Against which limit?"),
    ("for-a-patient", "4. What does it mean for a patient?"),
    ("not-tested", "5. What was not tested?"),
)

VERDICTS: dict[State, Badge] = {
    "WITHIN": Badge("○ WITHIN", "within"),
    "EXCEEDS": Badge("✕ EXCEEDS", "exceeds"),
    "INCONCLUSIVE": Badge("◇ INCONCLUSIVE", "small"),
    "NOT TESTED": Badge("– NOT TESTED", "untested"),
}
NO_VERDICT = Badge("– NO VERDICT", "untested")
NO_VERDICT_TITLE = "No policy was given, so this report compares nothing with a limit."
VERDICT_TITLES: dict[State, str] = {
    "WITHIN": "Every limit that can stop a release was tested and kept.",
    "EXCEEDS": "A limit that can stop a release is exceeded.",
    "INCONCLUSIVE": "This audit cannot tell whether a limit that can stop a release is kept.",
    "NOT TESTED": "A limit that can stop a release was not tested.",
}
TO_DO: dict[State, str] = {
    "WITHIN": (
        "What to do: the policy does not stand in the way. Read under 5 what was not tested, then "
        "decide, and write down who decided and until when."
    ),
    "EXCEEDS": (
        "What to do: do not release {who} as trained here. “Ways to reduce this” says what this run "
        "holds in evidence."
    ),
    "INCONCLUSIVE": (
        "What to do: do not release on this evidence. The audit must be repeated with what it "
        "lacked, named below."
    ),
    "NOT TESTED": (
        "What to do: do not release on this evidence. Run the missing attacks, named below, and "
        "judge again."
    ),
}
NO_POLICY_DO = (
    "What to do: write down the limits of your organisation (`privaudit init` gives a starting "
    "point) and judge this same run by them: `privaudit check RUN --policy policy.toml`. Nothing "
    "needs to be computed again."
)
REMEDY = "What would change this"


def to_do(state: State, who: Sequence[str]) -> str:
    named = "this model" if len(who) == 1 else "these models"
    few = ", ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "")
    return TO_DO[state].format(who=few or named)


def tested(
    data: Data, models: int, attacks: int, classes: Sequence[str], ways: Sequence[str]
) -> str:
    one = "1 model" if models == 1 else f"{n.whole(models)} models"
    how = f" (trained {', '.join(ways)})" if ways else ""
    text = f"{one} that predict{'s' if models == 1 else ''} “{data.title}”{how}."
    if not attacks:
        return f"{text} No attack gave a result."
    by = "1 attack" if attacks == 1 else f"{attacks} attacks"
    return f"{text} {by} gave a result, of these classes: {'; '.join(classes)}."


def cohort(data: Data) -> str:
    pools = {p.name: p.patients for p in data.pools}
    if "members" not in pools:
        return f"The data: {data.source}."
    return (
        f"They were trained on {n.whole(pools['members'])} patients ({data.source}). Another "
        f"{n.whole(pools.get('nonmembers', 0))}, picked by the toss of a coin, were kept out, so "
        "that an attack’s success can be told from luck."
    )


NO_MODELS = "No model was trained, so nothing happened."
INVALID_SHORT = (
    "Nothing can be said: a check of this audit with nothing to find came out as a find."
)
GENERATED_SHORT = "The records were generated and describe no patient: this is a rehearsal."


def tally(found: int, unseen: int, unclear: int, models: int) -> str:
    """How many models read how; counts of models, not of patients."""
    parts = []
    if found:
        parts.append(f"{found} gave away who was in their training data, beyond chance")
    if unseen:
        parts.append(f"on {unseen} the attacks did no better than guessing")
    if unclear:
        parts.append(f"on {unclear} nothing can be said (too few patients, or no working attack)")
    if models == 1:
        return {
            1: "This model gave away who was in its training data, beyond chance.",
            2: "On this model the attacks did no better than guessing.",
            3: "On this model nothing can be said: too few patients, or no working attack.",
        }[1 if found else 2 if unseen else 3]
    return f"Of {models} models, {'; '.join(parts)}."


def most_exposed(model: str, text: str) -> str:
    return f"Most exposed is {model}: {text[:1].lower()}{text[1:]}"


def deciding(v: Verdict) -> str:
    if not v.subject or v.subject in v.sentence:
        return v.sentence
    told = v.sentence
    return (
        f"{v.subject}: {told[:1].lower()}{told[1:]}"
        if told.startswith("The ")
        else f"{v.subject}: {told}"
    )


def worst_group(model: str, group: str, e: Estimate, everyone: Estimate | None, sure: bool) -> str:
    beside = "" if everyone is None else f", against {n.value_text(everyone)} for everyone"
    luck = "" if sure else " That this group differs from the rest may be luck."
    return f"Most affected group ({model}): {group}, AUC {n.estimate_text(e)}{beside}.{luck}"


def policy(v: Verdicts) -> str:
    p = v.policy
    text = f"The policy “{p.get('name', 'without a name')}”"
    if p.get("owner"):
        text += f" of {p['owner']}"
    if p.get("approved_by"):
        on = f" on {p['approved_on']}" if p.get("approved_on") else ""
        text += f", approved by {p['approved_by']}{on}"
    if p.get("review_by"):
        text += f", to be reviewed by {p['review_by']}"
    if p.get("release"):
        text += f"; written for this kind of release: {p['release']}"
    return f"{text}."


RULES_CAPTION = "The policy’s rules, and how this run stands to them"
RULES_COLUMNS = ("Rule", "Allows", "Verdict", "If broken", "Decided by")
SEVERITY = {"block": "stops the release", "warn": "is a warning"}


def where(v: Verdict) -> str:
    """Which model, attack and group a verdict is about."""
    parts = [v.subject or "the run"]
    parts += [v.group] if v.group else []
    return ", ".join(parts)


MEANS_FOUND = (
    "To be recognised means: somebody who already holds a patient’s record learns that this patient "
    "is among those the model was trained on, and with it whatever is true of all of these: that they "
    "were treated there, and for what."
)
MEANS_UNSEEN = (
    "As far as these attacks can tell, somebody who holds a patient’s record cannot tell from the "
    "model whether the patient was in its training data."
)
MEANS_UNCLEAR = (
    "This audit cannot say whether somebody who holds a patient’s record could tell that the patient "
    "was in the training data."
)
MEANS_NOT = (
    "A success rate is not the chance that a given patient is found; that also depends on who asks, "
    "about whom, and why."
)


def named_rightly(e: Estimate, prior: float) -> str:
    base = n.base_for(e)
    half = None if e.low is None or e.high is None else (e.high - e.low) / 2
    return (
        f"If {n.one_in(prior)} of those asked about were training patients, then of {base:,} whom the "
        f"attack names about {n.count_in(e.value or 0, base, half)} would truly be "
        f"({n.frequency_interval(e, base)}); naming at random, {n.significant(prior * base)}."
    )


def untested_classes(classes: Mapping[str, str]) -> list[str]:
    return [f"{title}: {reason}." for title, reason in classes.items()]


ALL_TESTED = (
    "Every class of attack in this report’s list was tried on at least one model. Attacks outside "
    "the list were not."
)


def not_everywhere(count: int) -> str:
    which = "1 attack" if count == 1 else f"{count} attacks"
    return f"{which} could not be used on some models, for the reasons under “What was found”."


def failed_attacks(names: Iterable[str]) -> str:
    return f"Broke and gave no result: {', '.join(names)}."


def missed(names: Iterable[str]) -> str:
    return f"Missed a leak planted on purpose, so silent where it counts: {', '.join(names)}."


OPEN = "What was not tested is an open question, not a low risk."
ABOUT_TITLE = "Caveats of the whole run"


def cards_of(shown: int, models: int) -> str:
    return (
        f"In words: the {shown} of {models} models that give most away. For the others the same "
        "numbers stand in the tables."
    )
