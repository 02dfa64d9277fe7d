"""Ways to reduce what is given away, with evidence from this run only."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.results import Estimate

REDUCE = (
    "Only what this run measured is listed. Each row is set beside the most exposed model trained in "
    "one place; “less” and “worse” are said only where the two intervals do not touch."
)
REDUCE_NONE = (
    "This run holds nothing to compare: it takes at least two models of the same task. What it does "
    "not measure it does not recommend."
)
REDUCE_COLUMNS = ("Model", "Trained", "Gives away (AUC)", "Usefulness (AUROC)", "Beside {name}")
ACCESS_COLUMNS = ("Attacker may", "Strongest attack", "AUC")


def reduce_caption(model: str) -> str:
    return f"Other ways of training beside {model}"


def beside(risk: int, use: int) -> str:
    """-1 less, 0 cannot be told, 1 more; of risk and of usefulness."""
    gives = {
        -1: "gives less away",
        0: "no clear change in what is given away",
        1: "gives more away",
    }
    good = {-1: "less useful", 0: "no clear change in usefulness", 1: "more useful"}
    return f"{gives[risk]}; {good[use]}"


def best_reduction(model: str, risk: Estimate, use: Estimate | None, than: str) -> str:
    useful = f", with an AUROC of {n.estimate_text(use)}" if use is not None else ""
    return (
        f"Of the models that give less away than {than}, the most useful is {model}: AUC of the "
        f"strongest attack {n.estimate_text(risk)}{useful}."
    )


def nothing_better(than: str) -> str:
    return f"No model of this run gives clearly less away than {than}."


def access_caption(model: str) -> str:
    return f"{model}: what narrower access would change, by the attacks run here"


ACCESS_NOTE = "Narrower access helps only as far as it can be enforced, and only against the attacks run here."
