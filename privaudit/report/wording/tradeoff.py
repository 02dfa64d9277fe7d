"""Risk against usefulness."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report import numbers as n

TRADEOFF = (
    "Each mark is one model or table. Further right is more useful; further down gives less away. The bars "
    "are intervals: where the bars of two overlap, this audit does not tell them apart."
)
TRADEOFF_CAPTION = "Usefulness and risk, with intervals"
TRADEOFF_X = "Usefulness: AUROC (right is better)"
TRADEOFF_NONE = (
    "Nothing has both a usefulness and a membership result, so there is nothing to compare."
)


def tradeoff_y(name: str) -> str:
    fpr = n.fpr_of(name)
    if fpr is None:
        return "AUC of the strongest attack (down is better)"
    return f"Training patients recognised at {n.one_in(fpr)} false alarms (down is better)"


def tradeoff_title(least_risk: str, most_useful: str, tied: bool) -> str:
    if least_risk == most_useful:
        text = f"{least_risk} is both the most useful and the one that gives least away"
    else:
        text = f"{least_risk} gives least away; {most_useful} is the most useful"
    return f"{text}, but intervals overlap, so the order may be luck." if tied else f"{text}."


def tradeoff_single(model: str) -> str:
    return f"Only one was audited: {model}."


def left_out(models: Iterable[str]) -> str:
    return f"Not drawn, for want of one of the two numbers: {', '.join(models)}."


TRADEOFF_KINDS = {
    "": "other",
    "pooled": "in one place",
    "local": "hospitals alone",
    "federated": "federated",
    "split": "split",
    "dp": "with a promise",
    "synthetic": "on synthetic records",
}
NUMBERED = "Marks carry the models’ numbers; colour and shape tell how each was trained."
