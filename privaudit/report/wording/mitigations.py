"""Mitigations, with evidence from this run only."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report.wording.metrics import name_metric
from privaudit.results import Estimate

INTRO = (
    "Only what this run measured is listed. Each row is compared with the most exposed release "
    "that was trained in one place; “less” and “more” are stated only where the two intervals do "
    "not overlap."
)
NOTHING_TO_COMPARE = (
    "This run holds nothing to compare: that takes at least two releases of the same task. What a "
    "run does not measure, its report does not recommend."
)
COLUMNS = ("Trained", "Risk (AUC)", "Compared with {name}")
ACCESS_COLUMNS = ("Attacker may", "Strongest attack", "AUC")
ACCESS_NOTE = (
    "Narrower access helps only as far as it is enforced, and only against the attacks run here."
)


def caption_comparison(model: str) -> str:
    """The caption of the comparison."""
    return f"Other releases compared with {model}"


def word_comparison(risk: int, utility: int) -> str:
    """-1 less, 0 not distinguishable, 1 more; of risk and of utility."""
    risks = {-1: "reveals less", 0: "no clear change in risk", 1: "reveals more"}
    uses = {-1: "less useful", 0: "no clear change in utility", 1: "more useful"}
    return f"{risks[risk]}; {uses[utility]}"


def word_best(model: str, risk: Estimate, utility: Estimate | None, than: str) -> str:
    """The most useful of those that reveal less."""
    useful = ""
    if utility is not None:
        article = "an" if utility.metric.name in ("auroc", "r2") else "a"
        measure = name_metric(utility.metric)
        useful = f", with {article} {measure} of {n.estimate_text(utility)}"
    return (
        f"Of the releases that reveal less than {than}, the most useful is {model}: AUC of the "
        f"strongest attack {n.estimate_text(risk)}{useful}. Whether it may be released is for the "
        "policy to decide."
    )


def word_none_better(than: str) -> str:
    """Where none reveals less."""
    return f"No release of this run clearly reveals less than {than}."


def caption_access(model: str) -> str:
    """The caption of the table of access."""
    return f"{model}: the strongest membership attack by the access it needs"
