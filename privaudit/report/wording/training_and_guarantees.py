"""Training and guarantees."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.facts import Metric
from privaudit.report import numbers as n
from privaudit.report.wording.metrics import name_metric
from privaudit.report.wording.nouns import Phrase, name_unit, w
from privaudit.report.wording.releases import list_names, name_subset
from privaudit.results import ClaimText, ComposedClaim, Estimate

WAYS_CAPTION = "How each release was trained, and what guarantee is claimed"
WAYS_COLUMNS = ("Learner", "Method", "Guarantee")
UTILITY_CAPTION = Phrase("Utility on held-out {people}, with intervals")
PARTS_CAPTION = Phrase("Calibration on held-out {people}, outcome by outcome")
PART = "Outcome or cut"
SETTINGS_CAPTION = "Settings and cost of training"
SETTINGS_COLUMNS = ("Settings", "Cost")
NOTES = "Notes on the training"
CALIBRATION = "Calibration"
NOT_KNOWN = "not known"
NO_GUARANTEE = "no guarantee"
PREDICTED = "Predicted risk"
OBSERVED = "Observed"
LEARNERS = {
    "logreg": Phrase("logistic regression on summary values"),
    "mlp": Phrase("neural network on summary values"),
    "lstm": Phrase("recurrent neural network that reads the {record} hour by hour"),
    "boosted": Phrase("gradient-boosted decision trees"),
}
NO_CLAIM = (
    "Where no guarantee is claimed, nothing in the training limits what an attacker can learn. "
    "This audit shows only what these attacks achieved."
)


def title_training(metric: Metric) -> str:
    """The column of utility on training patients."""
    return f"{name_metric(metric)} on training {w.people}"


def word_guarantee(c: ClaimText) -> str:
    """What is claimed, in a cell."""
    if c.epsilon is None:
        return NO_GUARANTEE
    return f"epsilon {word_budget(c)}, for one {name_unit(c.unit)} ({c.neighbours})"


def word_composed(c: ComposedClaim) -> str:
    """What several guarantees come to together."""
    how = "their noisy steps composed" if c.method == "pld" else "epsilons and deltas added up"
    return (
        f"Whoever holds {list_names(c.subjects)} together holds one guarantee: epsilon "
        f"{word_budget(c)}, for one {name_unit(c.unit)} ({c.neighbours}; {how}). They were trained "
        f"on the same {w.people}, so none of their guarantees holds alone once several are handed "
        "out."
    )


def word_apart(relations: Sequence[tuple[str, str]]) -> str:
    """That guarantees of different kinds have no common number."""
    named = list_names(tuple(f"{name_unit(unit)} ({neighbours})" for unit, neighbours in relations))
    return (
        f"Guarantees for different units or neighbouring relations, here {named}, do not add up to "
        "one number: what releases of several kinds guarantee together is not known."
    )


def word_budget(c: ClaimText | ComposedClaim) -> str:
    """Epsilon and delta."""
    delta = n.significant(c.delta, 2) if c.delta else "0"
    return f"{n.claimed(c.epsilon or 0.0)}, delta {delta}"


def word_overfitting(models: Sequence[str], all_releases: int) -> str:
    """Utility on training patients above that on others."""
    return (
        f"Performance is better on training {w.people} than on others, by more than chance "
        f"explains, for: {name_subset(models, all_releases)}. This overfitting is what membership "
        "attacks exploit."
    )


def title_reliability(model: str, slope: Estimate | None, intercept: Estimate | None) -> str:
    """Whether predicted and observed risks agree."""
    if slope is None or slope.value is None:
        return f"{model}: predicted against observed risk; on the dashed line both agree."
    known = [e for e in (slope, intercept) if e is not None and e.value is not None]
    off = any(_misses(e, 1.0 if e is slope else 0.0) for e in known)
    verdict = (
        "predicted and observed risks disagree" if off else "predicted and observed risks agree"
    )
    numbers = ", ".join(f"{name_metric(e.metric)} {n.estimate_text(e)}" for e in known)
    return f"{model}: {verdict}; {numbers}."


def _misses(e: Estimate, ideal: float) -> bool:
    return (e.low is not None and e.low > ideal) or (e.high is not None and e.high < ideal)


def caption_reliability(model: str) -> str:
    """The caption of a calibration table."""
    return f"{model}: predicted and observed risk"
