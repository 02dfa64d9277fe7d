"""Risk and utility."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.facts import Metric
from privaudit.report.wording.knowledge import TrainingKind
from privaudit.report.wording.metrics import capitalise, name_metric
from privaudit.report.wording.nouns import Phrase

INTRO = (
    "Each mark is one release. Further right is more useful; further down reveals less. The bars "
    "are confidence intervals: where the bars of two releases overlap, this audit does not tell "
    "them apart."
)
CAPTION = "Utility and risk, with intervals"
BY_GUESSING = "By guessing"
NONE = "No release has both a utility and a membership result, so there is nothing to compare."
NUMBERED = "Marks carry numbers in order of risk; colour and shape show how each was trained."

TRAINING_KINDS: dict[TrainingKind, Phrase] = {
    "pooled": Phrase("pooled"),
    "federated": Phrase("federated"),
    "split": Phrase("split learning"),
    "dp": Phrase("differential privacy"),
    "local": Phrase("{sites} alone"),
    "synthetic": Phrase("synthetic records"),
    "other": Phrase("other"),
}
"""How a release was trained, in the order of the marks."""


def title_utility_axis(metric: Metric) -> str:
    """The axis of utility."""
    return f"Utility: {name_metric(metric)} (right is better)"


def title_utility(metric: Metric) -> str:
    """A column of utility."""
    return f"Utility ({name_metric(metric)})"


def title_risk_axis(metric: Metric) -> str:
    """The axis of risk."""
    return f"{capitalise(name_metric(metric))} (down is better)"


def title_chart(least_risk: str, most_useful: str, tied: bool) -> str:
    """Which release reveals least and which is the most useful."""
    if least_risk == most_useful:
        text = f"{least_risk} both reveals least and is the most useful"
    else:
        text = f"{least_risk} reveals least; {most_useful} is the most useful"
    return (
        f"{text}, but intervals overlap, so the order may be due to chance." if tied else f"{text}."
    )


def title_single(model: str) -> str:
    """A plot of one release."""
    return f"Only one release was audited: {model}."


def word_left_out(models: Iterable[str]) -> str:
    """Releases without one of the two numbers."""
    return f"Not drawn, as one of the two numbers is missing: {', '.join(models)}."
