"""Criteria, methods and limitations."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report.wording.nouns import Phrases

CRITERIA_CAPTION = "What is asked, and what this run holds on it"
CRITERIA_COLUMNS = ("Source", "Where", "Asks for", "In this run")
METHODS = "What each attack does, where it was published, and the settings used here."
NO_NOTE = "This attack has no entry in this report’s catalogue; see its own documentation."
SOURCES, ACCESS, SETTINGS, TIME = "Sources", "Access used", "Settings", "Time"
NO_SETTINGS, NO_ACCESS = "none", "none stated"
LIMITATIONS = Phrases(
    (
        "It does not cover attacks that were not run, nor attackers with more access than stated "
        "under “Threat model”.",
        "It does not state how the model performs on {people} of another {site} or another year.",
        "It does not cover several models trained on the same {people} and released together.",
        "Its measurements lie outside every epsilon that a method claims: success of attacks and "
        "utility were measured on the {people} and carry no noise. They are rounded to what their "
        "intervals support, so that hardly any single {person} shows in them.",
        "An attack’s success rate is not the probability that a given {person} is found; that also "
        "depends on who asks, about whom, and why.",
        "It gives no legal opinion, and does not replace a data protection impact assessment.",
        "Its numbers age: better attacks appear. Review it when the model, its data or its "
        "audience change.",
    )
)
NO_REVIEW = (
    "Review by: no date is set. Review when the model, its data, its audience or the known attacks "
    "change, and at the latest after a year."
)


def word_criteria(version: str, as_of: str) -> str:
    """What the catalogue of criteria is, and of which day."""
    return (
        f"A reading aid and no legal opinion. Catalogue {version}, as of {as_of}; sources change, "
        "so check the current text."
    )


def word_in_run(tested: Sequence[str], untested: Sequence[str]) -> str:
    """What the run holds on a criterion."""
    parts = [f"tested: {', '.join(tested)}"] if tested else []
    parts += [f"not tested: {', '.join(untested)}"] if untested else []
    return "; ".join(parts) or "does not apply to these releases"


def word_review(date: str) -> str:
    """When the report is to be reviewed."""
    return f"Review by: {date}, as the policy asks." if date else NO_REVIEW
