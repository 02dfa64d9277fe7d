"""What every format agrees on: what counts against the gate, in which order, and under which words."""

from __future__ import annotations

import re
from typing import Literal

from privaudit.verdicts import State, Verdict, Verdicts

Weight = Literal["pass", "exceeds", "undecided", "warns", "waived", "told"]

MARKS: dict[State, str] = {"WITHIN": "✓", "EXCEEDS": "✗", "INCONCLUSIVE": "?", "NOT TESTED": "–"}
"""A shape for every word, so that colour is never alone."""

ORDER: tuple[State, ...] = ("EXCEEDS", "INCONCLUSIVE", "NOT TESTED", "WITHIN")

CODES = {
    0: "within",
    1: "exceeds",
    3: "inconclusive",
    4: "the evidence does not verify",
    5: "the audit failed",
}


def weight(verdicts: Verdicts, one: Verdict) -> Weight:
    """How a verdict counts: exceeds and undecided stop the gate, the others do not."""
    if one.state == "WITHIN":
        return "pass"
    if one.waiver is not None:
        return "waived"
    if one.severity == "warn":
        return "told" if one.state == "NOT TESTED" else "warns"
    if one.state == "EXCEEDS":
        return "exceeds"
    return "told" if verdicts.policy.get("on_inconclusive") == "pass" else "undecided"


def word(one: Verdict) -> str:
    """The state as printed: with its waiver, and with "warns" where it does not block."""
    if one.waiver is not None and one.state != "WITHIN":
        return f"{one.state} (waived until {one.waiver.expires})"
    if one.severity == "warn" and one.state not in ("WITHIN", "NOT TESTED"):
        return f"{one.state} (warns)"
    return one.state


def about(one: Verdict) -> str:
    """What a verdict is about: rule, subject, group."""
    return " / ".join(part for part in (one.rule, one.subject, one.group) if part)


def ordered(verdicts: Verdicts) -> list[Verdict]:
    """Worst first; within a state those that stop the gate first, then as judged."""
    rank = {"exceeds": 0, "undecided": 1, "waived": 2, "warns": 3, "told": 4, "pass": 5}
    return sorted(
        verdicts.verdicts,
        key=lambda one: (ORDER.index(one.state), rank[weight(verdicts, one)]),
    )


def whole(verdicts: Verdicts) -> str:
    """The overall answer in one line."""
    said = CODES.get(verdicts.code, "")
    if verdicts.code == 0 and verdicts.state == "EXCEEDS":
        said = "nothing exceeds that is not waived"
    elif verdicts.code == 0 and verdicts.state != "WITHIN":
        said = "nothing exceeds, and the policy lets the rest pass"
    return f"{verdicts.state} (exit code {verdicts.code}: {said})"


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without control characters, which no format may carry."""
    return _CONTROL.sub("\ufffd", text)


__all__ = ["CODES", "MARKS", "Weight", "about", "clean", "ordered", "weight", "whole", "word"]
