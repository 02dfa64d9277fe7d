"""Most affected groups."""

from __future__ import annotations

from privaudit.facts import Metric
from privaudit.report import numbers as n
from privaudit.report.wording.metrics import name_metric
from privaudit.report.wording.nouns import Phrase, w
from privaudit.results import Estimate

INTRO = Phrase(
    "An average can hide a group that is recognised far more often. Groups with fewer than 10 "
    "{people} are not shown. Whether a group differs from the rest is decided by a p-value from "
    "permutations of the groups, adjusted for the number of groups tested (max-T); those that "
    "differ are set in bold."
)
INTRO_OF_COUNTS = Phrase(
    "An average can hide a group that is recognised far more often. Groups with fewer than 10 "
    "{people} are not shown. Whether {a_site} differs from the rest is decided by a p-value of the "
    "difference of the two AUCs under the filling of the blocks that brings them closest, adjusted "
    "for the number of {sites} (Holm); those that differ are set in bold."
)
NONE = "This audit holds no results by group, so the average may hide a more affected group."
PEOPLE_COLUMN = Phrase("{People}")
OVERVIEW = Phrase(
    "The most affected group of every release, by the headline’s attack on all {people}"
)
OVERVIEW_COLUMNS = (
    "Everyone (AUC)",
    "Most affected",
    "its AUC",
    "Groups that differ",
)
CHANCE_COLUMN = "By guessing at the common threshold"
P_COLUMN = "Adjusted p-value"
SUPPRESSED = "not shown"


def title_lowest_utility(metric: Metric) -> str:
    """The column of the group with the lowest utility."""
    return f"Lowest utility ({name_metric(metric)})"


def caption_utility(metric: Metric) -> str:
    """The caption of utility by group."""
    return f"Utility by group, on held-out {w.people} ({name_metric(metric)})"


def title_chart(model: str, worst: str, e: Estimate, differs: bool) -> str:
    """The most affected group of one release."""
    text = f"{model}: highest for {worst}, {name_metric(e.metric)} {n.estimate_text(e)}"
    if differs:
        return f"{text}; it differs from the rest."
    return f"{text}; the difference may be due to chance."


def caption_groups(model: str, attack: str) -> str:
    """The caption of one release's groups."""
    return f"{model}: {attack}, by group"


def word_suppressed(count: int) -> str:
    """Groups that are not shown."""
    groups = "1 group is" if count == 1 else f"{count} groups are"
    return (
        f"{groups} not shown: fewer than 10 {w.people}, or suppressed so that such a group cannot "
        "be computed by subtraction."
    )
