"""The first screen: the verdict, and the five questions that whoever decides must be able to answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from privaudit.report import numbers as n
from privaudit.report.blocks import Badge
from privaudit.report.kinds import Kind
from privaudit.report.notes import ATTACKS, label
from privaudit.report.wording.about import noun
from privaudit.results import Estimate
from privaudit.stats.catalogue import PPV_FPR
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


def verdict_title(state: State, broken: int, rules: int) -> str:
    """broken, rules: of the rules that can stop a release, how many are broken, of how many."""
    if state != "EXCEEDS" or not broken:
        return VERDICT_TITLES[state]
    if rules == 1:
        return "The one rule that can stop a release is broken."
    be = "is" if broken == 1 else "are"
    return f"{broken} of the {rules} rules that can stop a release {be} broken."


TO_DO: dict[State, str] = {
    "WITHIN": (
        "What to do: the policy does not stand in the way. Read under 5 what was not tested, then "
        "decide, and write down who decided and until when."
    ),
    "EXCEEDS": (
        "What to do: do not release {who} as audited here. “Ways to reduce this” says what this run "
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
    few = ", ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "")
    return TO_DO[state].format(who=few or "anything")


NO_MODELS = "Nothing was audited, so nothing happened."
INVALID_SHORT = (
    "Nothing can be said: a check of this audit with nothing to find came out as a find."
)
REHEARSAL = "Rehearsal: generated records, no patients."
GENERATED_SHORT = "The records were generated and describe no patient: this is a rehearsal."


def most_exposed(model: str, text: str) -> str:
    return f"Most exposed is {model}: {text[:1].lower()}{text[1:]}"


def deciding(v: Verdict) -> str:
    told = labelled(v.sentence)
    if not v.subject or v.subject in told:
        return told
    return (
        f"{v.subject}: {told[:1].lower()}{told[1:]}"
        if told.startswith("The ")
        else f"{v.subject}: {told}"
    )


def defined(text: str, told: Sequence[Kind]) -> str:
    """A sentence with what it calls a training patient, where it does."""
    if "training patient" not in text:
        return text
    it = "it" if len(told) == 1 else noun(told, 1)
    it = it if it == "it" else f"a {it}"
    return f"{text.rstrip('.')}. Training patients are patients whose records {it} learnt from."


def labelled(text: str) -> str:
    """A judge's sentence with attacks by their labels. Machine formats keep the keys, and so does a
    command that is to be typed."""
    return _NAMED.sub(lambda found: _KEY.sub(lambda one: label(one[0]), found[0]), text)


_KEYS = "|".join(sorted(map(re.escape, ATTACKS), key=len, reverse=True))
_KEY = re.compile(rf"(?<![\w-])(?:{_KEYS})(?![\w-])")
_NAMED = re.compile(
    r"(?<=attack )(?:{0})(?![\w-])"
    r"|(?<=planted for ){1}(?= to find)"
    r"|(?:(?<=highest of )|(?<=\. Of )|(?<=: )|(?<=; )|(?<=\()){1}(?= missed|\.|:|;|,? which| shows)".format(
        _KEYS, rf"(?:{_KEYS})(?:(?:, | and )(?:{_KEYS}))*"
    )
)
"""Where a judge names attacks: only there, because a key may also be a word of the language."""


def worst_group(
    model: str, attack: str, group: str, e: Estimate, everyone: Estimate | None, sure: bool
) -> str:
    beside = "" if everyone is None else f", against {n.value_text(everyone)} for everyone"
    luck = "" if sure else " That this group differs from the rest may be luck."
    return (
        f"Most affected group ({model}, by the attack {attack}): {group}, AUC "
        f"{n.estimate_text(e)}{beside}.{luck}"
    )


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


STANDING = {
    "broken": "Break a rule that can stop a release",
    "kept": "Within every rule that can stop a release and applies to them",
    "undecided": "Could not be decided, so do not release on this evidence",
    "unjudged": "Not judged under this policy",
}
STANDING_NAMED = 8


def standing(state: str, names: Sequence[str]) -> str:
    """Which releases stand so, by count and name."""
    if not names:
        return f"{STANDING[state]}: none."
    more = len(names) - STANDING_NAMED
    told = ", ".join(names[:STANDING_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    return f"{STANDING[state]} ({len(names):,}): {told}."


RULES_CAPTION = "The policy’s rules, and how this run stands to them"
RULES_COLUMNS = ("Rule", "Allows", "Verdict", "If broken", "Decided by")
SEVERITY = {"block": "stops the release", "warn": "is a warning"}


def where(v: Verdict) -> str:
    """Which model, attack and group a verdict is about."""
    parts = [v.subject or "the run"]
    parts += [v.group] if v.group else []
    return ", ".join(parts)


MEANS_NOT = (
    "A success rate is not the chance that a given patient is found; that also depends on who asks, "
    "about whom, and why."
)


def named_rightly(e: Estimate, prior: float, on_all: bool = False) -> str:
    """on_all: measured on all patients, the half that was kept for measuring being too small."""
    base = n.base_for(e)
    half = None if e.low is None or e.high is None else (e.high - e.low) / 2
    return (
        f"If {n.one_in(prior)} of those asked about were training patients, then of {base:,} whom the "
        f"attack names at {n.one_in(PPV_FPR)} false alarms about {n.count_in(e.value or 0, base, half)} would truly be "
        f"({n.frequency_interval(e, base)}); naming at random, {n.significant(prior * base)}"
        f"{'; measured on all patients, which reads somewhat too high' if on_all else ''}."
    )


def untested_classes(classes: Mapping[str, str]) -> list[str]:
    return [f"{title}: {reason}." for title, reason in classes.items()]


ALL_TESTED = (
    "Every class of attack in this report’s list was tried on at least one model. Attacks outside "
    "the list were not."
)


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
