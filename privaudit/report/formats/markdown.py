"""For people who read text with tables: the answer, a table of verdicts, then what to do."""

from __future__ import annotations

import re

from privaudit.report.formats.shared import MARKS, clean, sort_verdicts, word_outcome, word_state
from privaudit.report.numbers import beside, whole
from privaudit.report.wording.verdicts import (
    name_attack_of,
    name_group_of,
    word_finding,
    word_notes,
    word_reason,
    word_remedy,
)
from privaudit.verdicts import Verdict, Verdicts

_ACTIVE = re.compile(r"([\\`*_{}\[\]()#+!|~:@])")


def inert(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    text = re.sub(r"\s+", " ", clean(text)).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ACTIVE.sub(r"\\\1", text)


def render(verdicts: Verdicts) -> str:
    """The judgement as Markdown."""
    return (
        "\n".join([*head(verdicts), *table(verdicts), *details(verdicts), *notes(verdicts)]) + "\n"
    )


def head(verdicts: Verdicts) -> list[str]:
    """The answer, and what was judged by what."""
    policy = verdicts.policy
    lines = [
        f"# {MARKS[verdicts.state]} {word_outcome(verdicts)}",
        "",
        f"Run {inert(verdicts.run)}, policy {inert(policy.get('name', ''))} "
        f"(review by {inert(policy.get('review_by', ''))}).",
    ]
    if verdicts.baseline:
        lines.append(f"Baseline: {inert(verdicts.baseline)}.")
    return [*lines, ""]


def table(verdicts: Verdicts) -> list[str]:
    """Every verdict in a row."""
    if not verdicts.verdicts:
        return ["No rule was judged: the run has no subject.", ""]
    lines = [
        "| Verdict | Rule | Subject | Group | Attack | Value | Bounds | Limit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in sort_verdicts(verdicts):
        cells = (
            f"{MARKS[one.state]} {word_state(one)}",
            one.rule,
            one.subject,
            name_group_of(one) or "all",
            name_attack_of(one),
            "" if one.value is None else beside(one.value, one.limit),
            _bounds(one),
            _limit(one),
        )
        lines.append("| " + " | ".join(inert(cell) for cell in cells) + " |")
    return [*lines, ""]


def details(verdicts: Verdicts) -> list[str]:
    """What happened, why and what to do, for what is not within."""
    lines: list[str] = []
    for one in sort_verdicts(verdicts):
        if one.state == "WITHIN":
            continue
        about = [one.subject, name_group_of(one), name_attack_of(one)]
        place = ", ".join(inert(part) for part in about if part)
        lines.append(
            f"- **{MARKS[one.state]} {inert(word_state(one))}** {inert(one.rule)} on {place}: "
            f"{inert(word_finding(one))} {inert(word_reason(one))}"
        )
        remedy = word_remedy(one)
        if remedy:
            lines.append(f"  What to do: {inert(remedy)}")
        if one.waiver is not None:
            lines.append(f"  Waived by {inert(one.waiver.approved_by)}: {inert(one.waiver.reason)}")
    return [*lines, ""] if lines else []


def notes(verdicts: Verdicts) -> list[str]:
    shown = word_notes(verdicts)
    return ["## Notes", "", *(f"- {inert(note)}" for note in shown)] if shown else []


def _limit(one: Verdict) -> str:
    if one.kind == "coverage":
        return "tested and limited"
    return f"{'at least' if one.at_least else 'at most'} {whole(one.limit)}"


def _bounds(one: Verdict) -> str:
    if one.lower is None and one.upper is None:
        return ""
    low = "" if one.lower is None else beside(one.lower, one.limit)
    high = "" if one.upper is None else beside(one.upper, one.limit)
    return f"{low} to {high}" if low and high else (f"from {low}" if low else f"to {high}")
