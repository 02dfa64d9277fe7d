"""Every sentence about a table that is to be released, on the command line and in the report."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.deidentified.document import (
    ASSUMPTIONS,
    Attacker,
    Change,
    Known,
    Limits,
    Missing,
    Note,
    ReleaseAudit,
    Rule,
    Source,
    State,
)
from privaudit.report.numbers import fixed, share, significant, whole
from privaudit.report.wording.tables import read_table
from privaudit.results import Estimate

SUBTITLE = "A table of patients that is to be released"
HEADER = ("Table", "Quasi-identifiers", "Limits", "Made", "Version")
TITLES = {
    "summary": "Summary",
    "classes": "Who can be told apart",
    "sensitive": "What classes give away",
    "linkage": "An attacker with their own list",
    "changes": "What a change would do",
    "reliability": "Reliability of this audit",
    "methods": "Methods",
    "reproducibility": "Reproducibility",
}
STATES: Mapping[State, str] = {
    State.WITHIN: "● WITHIN the limits",
    State.EXCEEDS: "▲ EXCEEDS a limit",
    State.INCONCLUSIVE: "◇ INCONCLUSIVE",
    State.NO_LIMIT: "– No limit was asked for",
}
ATTACKERS: Mapping[Attacker, str] = {
    Attacker.PROSECUTOR: "Prosecutor: knows that the patient is in the table",
    Attacker.JOURNALIST: "Journalist: looks for a person who may be in the table",
    Attacker.MARKETER: "Marketer: links as many as possible, errors included",
}
KNOWN: Mapping[Known, str] = {
    Known.ONE_RECORD: "one record of the patient",
    Known.ALL_RECORDS: "all records of the patient",
}
MISSING: Mapping[Missing, str] = {
    Missing.VALUE: "a missing value is a value",
    Missing.WILDCARD: "a missing value fits all",
}
SOURCES: Mapping[Source, str] = {
    Source.TABLE: "counted",
    Source.REGISTER: "counted in the register",
    Source.ESTIMATE: "estimated",
    Source.BOUND: "bounded by the table",
}
RULES: Mapping[str, str] = {
    "max_risk": "highest risk of a patient",
    "min_k": "smallest class, in patients",
    "max_average_risk": "average risk",
    "max_unique": "patients alone in their class",
    "max_disclosed": "patients whose sensitive value is given away",
}
RISK_COLUMNS = (
    *("Attacker", "Knows", "Missing values", "How", "Alone", "In a class below 10"),
    *("Highest risk", "Average risk"),
)
RISK_CAPTION = "Risk by attacker and by what they know"
RULE_COLUMNS = ("Limit", "Asked for", "Found", "State")
RULE_CAPTION = "The limits that were given"
SENSITIVE_COLUMNS = (
    *("Column", "Given away", "Of these in classes of 10 or more", "Nearly given away"),
    *(
        "Guessed right from the class",
        "The same without the patient’s row",
        "Guessed without the table",
    ),
)
SENSITIVE_CAPTION = "Sensitive columns"
LINKAGE_COLUMNS = (
    *("List", "Errors in it", "Not known", "Best candidate is right"),
    *("Link claimed and right", "Link claimed of people not in the table"),
)
LISTS = {False: "the table’s values, disturbed", True: "the register that was supplied"}
LINKAGE_CAPTION = "Links by an attacker with a list of their own"
CHANGE_COLUMNS = (*("Change", "Alone", "Average risk", "Highest risk", "To leave out"),)
CHANGE_CAPTION = "One change at a time"
PATH_CAPTION = "Step by step, each the one that leaves the fewest patients to be left out"
CHART = "Patients in small classes"
CHART_AXIS = "Share of patients"
SMALL = {
    "unique_share": "alone",
    "below_5": "below 5",
    "below_10": "below 10",
    "below_20": "below 20",
}
DECIDED = "The risk of re-identification"


def say(name: str) -> str:
    """A text of `release.toml`."""
    return str(read_table("release")["texts"][name])


def list_texts(name: str) -> tuple[str, ...]:
    """Texts of `release.toml`."""
    return tuple(read_table("release")["texts"][name])


def percent(value: float) -> str:
    """A share as a count supports it."""
    return share(value)


def word_estimate(one: Estimate | None) -> str:
    """Value and interval; a count alone, and a range where no value is stated."""
    if one is None:
        return ""
    if one.low is not None and one.low == one.high:
        return percent(one.low)
    if one.low is None or one.high is None:
        return "" if one.value is None else percent(one.value)
    if one.value is None:
        return f"{percent(one.low)} to {percent(one.high)}"
    # A count that was rounded has an interval of its rounding alone.
    if one.bound is None:
        return f"up to {percent(one.high)}" if one.low <= 0 else percent(one.high)
    return f"{percent(one.value)} ({percent(one.low)} to {percent(one.high)})"


def word_highest(one: Estimate | None, exact: bool) -> str:
    if one is None:
        return ""
    if not exact and one.low and one.low != one.high:
        return "above 10 %"
    return word_estimate(one)


def word_limits(limits: Limits) -> str:
    """The limits in one line."""
    if not limits.any:
        return "none"
    given = [
        (RULES["max_risk"], limits.max_risk, "at most"),
        (RULES["max_average_risk"], limits.max_average_risk, "at most"),
        (RULES["max_unique"], limits.max_unique, "at most"),
        (RULES["max_disclosed"], limits.max_disclosed, "at most"),
    ]
    parts = [f"{name} {how} {percent(value)}" for name, value, how in given if value is not None]
    if limits.min_k is not None:
        parts.append(f"{RULES['min_k']} at least {limits.min_k}")
    return f"{'; '.join(parts)} ({limits.attacker.value})"


def word_rule(rule: Rule, exact: bool) -> tuple[str, str, str, str]:
    """A line of the table of limits."""
    if rule.name == "min_k":
        asked, found = f"at least {whole(rule.limit)}", _word_sizes(rule, exact)
    else:
        asked = f"at most {percent(rule.limit)}"
        low, high = percent(rule.low), percent(rule.high)
        found = low if rule.low == rule.high else f"{low} to {high}"
        if rule.name == "max_risk" and not exact and 0 < rule.low < rule.high:
            found = "above 10 %"
    source = "" if rule.source is Source.TABLE else f", {SOURCES[rule.source]}"
    return RULES[rule.name], asked, found + source, rule.state.value


def _word_sizes(rule: Rule, exact: bool) -> str:
    if not exact and rule.high > 0.1:
        return "below 10" if rule.low > 0 else "not known"
    least = significant(1 / rule.high) if rule.high else "not known"
    if rule.low == rule.high:
        return least
    return f"{least} or more"


def word_summary(audit: ReleaseAudit, alone: Estimate | None, average: Estimate | None) -> str:
    """The first sentence: how many are alone, for whom."""
    who = (
        "an attacker who knows all their records" if audit.several else "an attacker who knows them"
    )
    return (
        f"Of {audit.patients:,} patients, {word_estimate(alone)} are alone in their class for "
        f"{who}; the average risk is {word_estimate(average)}."
    )


def word_verdict(audit: ReleaseAudit) -> str:
    """What the state means."""
    if audit.state is State.NO_LIMIT:
        return say("no_limit")
    failed = [RULES[rule.name] for rule in audit.rules if rule.state is audit.state]
    if audit.state is State.EXCEEDS:
        return f"Above its limit: {', '.join(failed)}."
    if audit.state is State.WITHIN:
        rests = [word_note(note) for note in audit.notes if note.code in ASSUMPTIONS]
        return " ".join([say("within"), *rests])
    if failed:
        return f"Not decided: {', '.join(failed)}: the limit lies inside what is possible."
    return say("undecided")


def word_change(change: Change) -> str:
    """What is done to a column."""
    name = change.column
    texts = {
        "none": "as it is",
        "left_out": f"without {name}",
        "band": f"{name} in bands of {significant(change.width)}",
        "month": f"{name} to the month",
        "year": f"{name} to the year",
        "merged": f"levels of {name} of fewer than {significant(change.width)} patients merged",
        "prefix": f"first {significant(change.width)} characters of {name}",
    }
    return texts[change.step]


def word_note(note: Note) -> str:
    """A caution as a sentence."""
    params = {
        name: ", ".join(value) if isinstance(value, tuple) else value
        for name, value in note.params.items()
    }
    for name in ("share",):
        if name in params:
            params[name] = percent(float(params[name]))
    for name in ("population", "rows", "levels"):
        if name in params:
            params[name] = fixed(float(params[name]), 0)
    return str(read_table("release")["notes"][note.code.value]).format(**params)


__all__ = [
    "list_texts",
    "percent",
    "say",
    "word_change",
    "word_estimate",
    "word_highest",
    "word_limits",
    "word_note",
    "word_rule",
    "word_summary",
    "word_verdict",
]
