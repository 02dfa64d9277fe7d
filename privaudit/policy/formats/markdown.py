"""For people who read text with tables: the answer, a table of verdicts, then what to do."""

from __future__ import annotations

import re

from privaudit.policy.formats.shared import MARKS, clean, ordered, whole, word
from privaudit.policy.sentences import plain
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
        f"# {MARKS[verdicts.state]} {whole(verdicts)}",
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
    for one in ordered(verdicts):
        cells = (
            f"{MARKS[one.state]} {word(one)}",
            one.rule,
            one.subject,
            one.group or "all",
            " ".join(part for part in (one.attack, one.setting) if part),
            "" if one.value is None else plain(one.value),
            _bounds(one),
            ("at least " if one.kind == "guard" and _least(one) else "") + plain(one.limit),
        )
        lines.append("| " + " | ".join(inert(cell) for cell in cells) + " |")
    return [*lines, ""]


def details(verdicts: Verdicts) -> list[str]:
    """What happened, why and what to do, for what is not within."""
    lines: list[str] = []
    for one in ordered(verdicts):
        if one.state == "WITHIN":
            continue
        group = f", {inert(one.group)}" if one.group else ""
        told = " ".join(inert(part) for part in (one.sentence, one.reason) if part)
        lines.append(
            f"- **{MARKS[one.state]} {inert(word(one))}** {inert(one.rule)} on {inert(one.subject)}{group}: {told}"
        )
        if one.remedy:
            lines.append(f"  What to do: {inert(one.remedy)}")
        if one.waiver is not None:
            lines.append(f"  Waived by {inert(one.waiver.approved_by)}: {inert(one.waiver.reason)}")
    return [*lines, ""] if lines else []


def notes(verdicts: Verdicts) -> list[str]:
    if not verdicts.notes:
        return []
    return ["## Notes", "", *(f"- {inert(note)}" for note in verdicts.notes)]


def _least(one: Verdict) -> bool:
    return "at least" in one.sentence


def _bounds(one: Verdict) -> str:
    if one.lower is None and one.upper is None:
        return ""
    low = "" if one.lower is None else plain(one.lower)
    high = "" if one.upper is None else plain(one.upper)
    return f"{low} to {high}" if low and high else (f"from {low}" if low else f"to {high}")


__all__ = ["details", "head", "inert", "notes", "render", "table"]
