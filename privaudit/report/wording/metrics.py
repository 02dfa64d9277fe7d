"""Names of numbers, and how to read them."""

from __future__ import annotations

from dataclasses import replace

from privaudit.facts import Group, Metric, Setting
from privaudit.report import numbers as n
from privaudit.report.wording.nouns import fill
from privaudit.report.wording.tables import read_table
from privaudit.results import GroupResult
from privaudit.words import USUAL

MEANINGS: dict[str, str] = {
    name: entry["meaning"] for name, entry in read_table("metrics").items() if "meaning" in entry
}
"""What every number of the catalogue means, in one line with places for nouns."""


def name_metric(metric: Metric) -> str:
    """The number's name; one that is not known here is printed as it came, without underscores."""
    text = _look_up(metric, "name") or metric.name.replace("_", " ")
    if metric.fpr is not None and metric.name != "ppv":
        text = f"{text} at {n.share(metric.fpr)} FPR"
    if metric.prior is not None:
        text = f"{text} if {n.share(metric.prior)} are members"
    return text if metric.at is None else f"{text}, {name_setting(metric.at)}"


def explain_reading(metric: Metric) -> str:
    """Which way is good; nothing for a number that needs no word."""
    return _look_up(metric, "reading")


def explain_metric(metric: Metric) -> str:
    """What a number means, in one line, at its false positive rate or prior; its series is left
    out.

    Args: metric: any metric whose name is in `privaudit.stats.catalogue.CATALOGUE`.

    Returns: One line without a full stop.
    """
    fpr = "" if metric.fpr is None else f" at a false positive rate of {metric.fpr:.1%}"
    prior = "" if metric.prior is None else f" when {metric.prior:.1%} of those asked about are"
    return fill(MEANINGS[metric.name]).replace("{fpr}", fpr).replace("{prior}", prior)


def _look_up(metric: Metric, what: str) -> str:
    entry: dict[str, str] = read_table("metrics").get(metric.name, {})
    return fill(entry.get(what, ""))


_OF_PEOPLE = {
    USUAL.fill(text): text
    for text in (
        "another {site}",
        "few training {people} with the same answer",
        "{site} absent",
        "values held by fewer than 10 {people}",
    )
}
"""Settings that are called by a noun -> the same with a place for it."""


def name_setting(setting: Setting | None) -> str:
    """Which series of an attack, or part of a measure; nothing for none."""
    if setting is None:
        return ""
    if setting.kind == "neighbours":
        return f"{setting} records"
    if setting.kind == "cut":
        return f"at or above “{setting}”"
    value = _say(setting.value) if isinstance(setting.value, str) else setting.value
    return str(replace(setting, value=value, details=tuple(map(_say, setting.details))))


def _say(text: str) -> str:
    """The text with the noun of the task; names of the data stay as they are."""
    return fill(_OF_PEOPLE[text]) if text in _OF_PEOPLE else text


def name_group(group: Group | GroupResult) -> str:
    """A subgroup: what patients are split on, and the value."""
    return f"{group.by.replace('_', ' ')}: {group.level}"


def capitalise(text: str) -> str:
    """The first letter as a capital, the others as they are."""
    return text[:1].upper() + text[1:]
