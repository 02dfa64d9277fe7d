"""Data and cohort."""

from __future__ import annotations

from privaudit.disclosure.marginals import OF_CLASS, WHOLE
from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, Phrases, w
from privaudit.results import Data, Pool

FLOW_CAPTION = "Cohort flow"
FLOW_COLUMNS = Phrases(("Step", "{Records} excluded", "{Records} remaining", "{People}"))
POOL_COLUMNS = Phrases(("Pool", "{People}", "{Records}"))
POOLS_CAPTION = Phrase("The pools of {people}; nobody is in two of them")
POOLS_RANDOM = Phrase(
    "Each {person} was assigned at random to training or held-out, so that the two differ by "
    "nothing else. A third pool serves as the attacker’s own data."
)
POOLS_SUPPLIED = Phrase(
    "The split into training and held-out {people} was supplied, not assigned at random by this "
    "audit. The two may differ in other ways, such as the year or the {site}, and an attack may "
    "exploit that difference instead of memorisation. A third pool serves as the attacker’s own "
    "data."
)
ROUNDED = (
    "Counts are rounded down to a multiple of 10, so that the difference of two can be off by up "
    "to 9; counts below 10 are not shown."
)
POOL_NAMES = {
    "members": "members (training)",
    "nonmembers": "non-members (held out)",
    "reference": "reference (the attacker’s own)",
}
OWN_TABLES = ("own", "table")
"""Tasks whose series are in steps that a schema says, not in hours."""
NOTES = "Notes on the data"
FACTS = "Further facts"


def name_fact(name: str, data: Data) -> str:
    """What a fact of the data is called: counts of people and of records by the task's words."""
    counts = {WHOLE: w.people} | {OF_CLASS.format(c): f"{w.records} ({c})" for c in data.classes}
    return counts.get(name, name.replace("_", " "))


def name_pool(pool: Pool) -> str:
    """The pool's name and what it is for."""
    return POOL_NAMES.get(pool.name, pool.name)


def word_shape(data: Data) -> str:
    """Outcome and inputs."""
    parts = [f"{n.count(data.columns)} summary values for each {w.record}"]
    if data.pictures:
        parts = [f"{n.count(data.columns)} pixel values of each picture"]
    if not data.columns and data.channels:
        parts = []
    if data.channels and data.task in OWN_TABLES:
        parts.append(f"series of {n.count(data.channels)} channels over {data.hours} steps")
    elif data.channels:
        parts.append(f"{n.count(data.channels)} hourly measurements over {data.hours} hours")
    if data.outcome_kind == "number":
        return f"The outcome is the number “{data.title}”. The inputs are {' and '.join(parts)}."
    if data.outcome_kind == "time":
        return f"The outcome is the time to “{data.title}”. The inputs are {' and '.join(parts)}."
    kind = "ordered classes" if data.ordered else "classes"
    classes = f", one of {len(data.classes)} {kind}" if len(data.classes) > 2 else ""
    return f"The outcome is “{data.positive}”{classes}. The inputs are {' and '.join(parts)}."
