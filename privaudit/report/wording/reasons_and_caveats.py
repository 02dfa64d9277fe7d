"""Reasons, caveats and bounds in words: one text for each code, filled with its parameters."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Param,
    Reason,
    ReasonCode,
)
from privaudit.report import numbers as n
from privaudit.report.wording.access import name_access
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.nouns import fill, name_unit, say, w
from privaudit.report.wording.tables import read_table

_TEXTS = read_table("reasons_and_caveats")
REASONS = {ReasonCode(code): text for code, text in _TEXTS["reasons"].items()}
"""Every reason but those of verdicts, which `privaudit.report.wording.verdicts` words."""
CAVEATS = {CaveatCode(code): text for code, text in _TEXTS["caveats"].items()}
BOUNDS = {BoundMethod(code): text for code, text in _TEXTS["bounds"].items()}
FAMILIES = {
    "approximate": "(epsilon, delta)-DP",
    "gaussian": "Gaussian DP",
    "curve": "the claimed mechanism's own trade-off curve",
}
ASSUMES = {
    "approximate": "Nothing is assumed of the mechanism but the (epsilon, delta) that is bounded.",
    "gaussian": (
        "Assumes that the mechanism's trade-off curve is that of Gaussian noise: for one that "
        "leaks in another way, as randomised response does, the bound may lie far above its "
        "epsilon."
    ),
    "curve": (
        "Assumes the claimed mechanism with more or less noise: for one that leaks in another way "
        "the bound may lie far from its epsilon. That the claimed curve is refuted holds whatever "
        "the mechanism is."
    ),
}
"""What a family of trade-off curves assumes. None assumes that canaries are independent of each
other but in their assignment."""


def word_reason(reason: Reason | None) -> str:
    """Why there is no number, attack or model: a clause without a full stop."""
    if reason is None:
        return "no reason was given"
    text = say(REASONS[reason.code], _show(reason.params)).rstrip(".")
    return text.removesuffix("; to do: ")


def word_caveat(caveat: Caveat) -> str:
    """What a reader must know of a number: a sentence, or a text of other software as it is."""
    return say(CAVEATS[caveat.code], _show(caveat.params))


def describe_bound(bound: Bound) -> str:
    """How an interval or a bound was made, with its source."""
    text = fill(BOUNDS[bound.method])
    if bound.classes:
        text += f", mean over {bound.classes} classes, each against the rest"
    if bound.family:
        text += f", {FAMILIES[bound.family]}"
    if bound.delta is not None:
        text += f", at delta {n.significant(bound.delta, 2)}"
    if bound.made:
        text += f"; {n.count(bound.right)} of {n.count(bound.made)} guesses right"
    if bound.assigned:
        text += f"; {n.count(bound.assigned)} {w.people} assigned at random"
    if bound.tried > 1:
        text += f"; corrected for {n.count(bound.tried)} numbers of guesses tried"
    return text


def _show(params: Mapping[str, Param]) -> dict[str, str]:
    shown = {name: _word(name, value) for name, value in params.items()}
    bound, claimed = params.get("bound"), params.get("claimed")
    if isinstance(bound, int | float) and isinstance(claimed, int | float):
        # A bound above what is claimed is never printed as what is claimed.
        shown |= {"bound": n.beside(bound, claimed), "claimed": n.claimed(claimed)}
    return shown


def _word(name: str, value: Param) -> str:
    parts = value if isinstance(value, tuple) else (value,)
    if name == "access":
        return "; ".join(name_access(str(part)) for part in parts)
    if name in ("kind", "wanted"):
        return " or ".join(OUTCOMES.get(str(part), str(part)) for part in parts)
    if name in ("attack", "attacks"):
        return ", ".join(name_attack(str(part)) for part in parts)
    if name == "unit":
        return name_unit(str(value))
    if name == "group":
        return " of this group" if value else ""
    text = ", ".join(_number(name, part) for part in parts)
    if name == "against":
        return f" against {text}" if text else ""
    if name in LEFT_OUT:
        return "none" if not value else "fewer than 10" if value == 1 else f"about {text}"
    if name == "outcomes":
        return f" ({text})" if text else ""
    return text.rstrip(".") if name in ENDINGS else text


OUTCOMES = {"class": "one of several classes", "number": "a number", "time": "a time"}
"""What an outcome is, by `records.OutcomeKind`."""

LEFT_OUT = ("early", "late", "channels", "strangers", "without")
"""Counts of what a series leaves out, in tens; 1 stands for fewer than 10."""

ENDINGS = ("because", "fix", "error", "what")
"""Clauses of other places, whose full stop the sentence around them gives."""


def _number(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if name in ("fpr", "prior", "confidence", "share"):
        return n.share(value)
    return n.count(value) if isinstance(value, int) else n.significant(value)


__all__ = ["BOUNDS", "CAVEATS", "REASONS", "describe_bound", "word_caveat", "word_reason"]
