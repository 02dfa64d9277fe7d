"""For a terminal: the answer, every verdict that is not WITHIN in full, the others in a line
each."""

from __future__ import annotations

import textwrap

from privaudit.report.formats.shared import (
    MARKS,
    clean,
    name_verdict,
    sort_verdicts,
    word_outcome,
    word_state,
)
from privaudit.report.wording.verdicts import (
    word_finding,
    word_notes,
    word_numbers,
    word_reason,
    word_remedy,
)
from privaudit.verdicts import State, Verdict, Verdicts

COLOURS: dict[State, str] = {
    "WITHIN": "\x1b[32m",
    "EXCEEDS": "\x1b[31m",
    "INCONCLUSIVE": "\x1b[33m",
    "NOT TESTED": "\x1b[36m",
    "REFUTED": "\x1b[31m",
    "NOT REFUTED": "\x1b[36m",
}
PLAIN = "\x1b[0m"
WIDTH = 100


def render(verdicts: Verdicts, *, colour: bool = False) -> str:
    """The judgement as text; colour: with terminal colours beside shape and word."""
    policy = verdicts.policy
    lines = [
        _paint(f"{MARKS[verdicts.state]} {word_outcome(verdicts)}", verdicts.state, colour),
        f"  run {clean(verdicts.run)}",
        clean(
            f"  policy {policy.get('name', '')}, to be reviewed by {policy.get('review_by', '')}"
        ),
    ]
    if verdicts.baseline:
        lines.append(f"  baseline {clean(verdicts.baseline)}")
    for one in sort_verdicts(verdicts):
        head = f"{MARKS[one.state]} {word_state(one)}  {name_verdict(one)}  ({word_numbers(one)})"
        if one.state == "WITHIN":
            lines.append(_paint(head, one.state, colour))
        else:
            lines += ["", _paint(head, one.state, colour), *_body(one)]
    notes = word_notes(verdicts)
    lines += ["", "Notes"] if notes else []
    for note in notes:
        lines += textwrap.wrap(clean(note), WIDTH, initial_indent="- ", subsequent_indent="  ")
    return "\n".join(lines) + "\n"


def _body(one: Verdict) -> list[str]:
    parts = [("", word_finding(one)), ("why: ", word_reason(one)), ("do:  ", word_remedy(one))]
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


def _paint(text: str, state: State, colour: bool) -> str:
    text = clean(text).replace("\n", " ")
    return f"{COLOURS[state]}{text}{PLAIN}" if colour else text
