"""What every format agrees on: what counts against the gate, in which order, and under which
words."""

from __future__ import annotations

import re
from typing import Literal

from privaudit.facts import CaveatCode
from privaudit.report.wording.verdicts import name_attack_of, name_group_of
from privaudit.verdicts import BROKEN, STATES, State, Verdict, Verdicts

Weight = Literal["pass", "exceeds", "undecided", "warns", "waived", "reported"]

MARKS: dict[State, str] = {
    "WITHIN": "✓",
    "EXCEEDS": "✗",
    "INCONCLUSIVE": "?",
    "NOT TESTED": "–",
    "REFUTED": "✖",
    "NOT REFUTED": "□",
}
"""A shape for every word, so that colour is never alone."""

WEIGHTS: tuple[Weight, ...] = ("exceeds", "undecided", "waived", "warns", "reported", "pass")
"""Those that stop the gate first."""

CODES = {
    0: "within",
    1: "exceeds",
    3: "inconclusive",
    4: "the evidence does not verify",
    5: "the audit failed",
}


def weigh(verdicts: Verdicts, one: Verdict) -> Weight:
    """How a verdict counts: exceeds and undecided stop the gate, the others do not."""
    if one.state == "WITHIN":
        return "pass"
    if one.waiver is not None:
        return "waived"
    if one.severity == "warn":
        return "reported" if one.state in ("NOT TESTED", "NOT REFUTED") else "warns"
    if one.state == "NOT REFUTED" and one.subject not in verdicts.unshown:
        return "reported"
    if one.state in BROKEN:
        return "exceeds"
    return "reported" if verdicts.policy.get("on_inconclusive") == "pass" else "undecided"


def select_stopping(verdicts: Verdicts) -> list[Verdict]:
    """The verdicts that stop the gate."""
    stops = ("exceeds", "undecided")
    return [one for one in verdicts.verdicts if weigh(verdicts, one) in stops]


def word_state(one: Verdict) -> str:
    """The state as printed: with its waiver, and with "warns" where it does not block."""
    if one.waiver is not None and one.state != "WITHIN":
        return f"{one.state} (waived until {one.waiver.expires})"
    if one.severity == "warn" and one.state not in ("WITHIN", "NOT TESTED", "NOT REFUTED"):
        return f"{one.state} (warns)"
    return one.state


def name_verdict(one: Verdict) -> str:
    """What a verdict is about: rule, subject, group, and the attack where each has a verdict."""
    attack = name_attack_of(one) if one.kind == "regression" else ""
    return " / ".join(part for part in (one.rule, one.subject, name_group_of(one), attack) if part)


def sort_verdicts(verdicts: Verdicts) -> list[Verdict]:
    """Worst first; within a state those that stop the gate first, then as judged."""
    return sorted(
        verdicts.verdicts,
        key=lambda one: (STATES.index(one.state), WEIGHTS.index(weigh(verdicts, one))),
    )


def word_outcome(verdicts: Verdicts) -> str:
    """The overall answer in one line."""
    text = CODES.get(verdicts.code, "")
    if verdicts.code == 0 and verdicts.state == "EXCEEDS":
        text = "nothing exceeds that is not waived"
    elif verdicts.code == 0 and verdicts.state != "WITHIN":
        text = "nothing exceeds, and the policy lets the rest pass"
    out = (c.params["family"] for c in verdicts.notes if c.code is CaveatCode.LEFT_OUT)
    left = ", ".join(dict.fromkeys(map(str, out)))
    text += f"; not asked for by the policy: {left}" if left else ""
    return f"{verdicts.state} (exit code {verdicts.code}: {text})"


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|[\ud800-\udfff]")


def clean(text: str) -> str:
    """Without control characters, which no format may carry."""
    return _CONTROL.sub("\ufffd", text)
