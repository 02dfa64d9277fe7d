"""For a terminal: the answer, then every verdict that is not WITHIN in full, then the others in a line."""

from __future__ import annotations

import textwrap

from privaudit.policy.formats.shared import MARKS, about, clean, ordered, whole, word
from privaudit.verdicts import State, Verdict, Verdicts

COLOURS: dict[State, str] = {
    "WITHIN": "\x1b[32m",
    "EXCEEDS": "\x1b[31m",
    "INCONCLUSIVE": "\x1b[33m",
    "NOT TESTED": "\x1b[36m",
}
PLAIN = "\x1b[0m"
WIDTH = 100


def render(verdicts: Verdicts, *, colour: bool = False) -> str:
    """The judgement as text; colour: with terminal colours beside shape and word."""
    policy = verdicts.policy
    lines = [
        _painted(f"{MARKS[verdicts.state]} {whole(verdicts)}", verdicts.state, colour),
        f"  run {clean(verdicts.run)}",
        clean(
            f"  policy {policy.get('name', '')}, to be reviewed by {policy.get('review_by', '')}"
        ),
    ]
    if verdicts.baseline:
        lines.append(f"  baseline {clean(verdicts.baseline)}")
    for one in ordered(verdicts):
        head = f"{MARKS[one.state]} {word(one)}  {about(one)}"
        lines += ["", _painted(head, one.state, colour)] if one.state != "WITHIN" else [
            _painted(head, one.state, colour)
        ]  # fmt: skip
        if one.state != "WITHIN":
            lines += _body(one)
    if verdicts.notes:
        lines += ["", "Notes"]
        for note in verdicts.notes:
            lines += textwrap.wrap(clean(note), WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines) + "\n"


def _body(one: Verdict) -> list[str]:
    parts = [("", one.sentence), ("why: ", one.reason), ("do:  ", one.remedy)]
    if one.state == "NOT TESTED" and one.severity == "warn":
        parts = parts[1:]
    if one.waiver is not None:
        parts.append(("waived by ", f"{one.waiver.approved_by}: {one.waiver.reason}"))
    return [
        line
        for start, text in parts
        if text
        for line in textwrap.wrap(
            clean(text), WIDTH, initial_indent=f"    {start}", subsequent_indent="    "
        )
    ]


def _painted(text: str, state: State, colour: bool) -> str:
    text = clean(text)
    return f"{COLOURS[state]}{text}{PLAIN}" if colour else text


__all__ = ["render"]
