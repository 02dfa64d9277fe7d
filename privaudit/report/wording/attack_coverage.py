"""Attack coverage."""

from __future__ import annotations

from privaudit.report.blocks import Badge

INTRO = (
    "A low number is evidence only against the attacks that were run. Everything marked “not "
    "tested” is an open question, not evidence of low risk."
)
CAPTION = "Classes of attack"
COLUMNS = (
    "Class of attack",
    "State",
    "Attacks with a result",
    "Extent, or why not",
    "Asked for by",
)
BADGES = {
    "TESTED": Badge("○ Tested", "undetected"),
    "NOT TESTED": Badge("– Not tested", "small"),
    "NOT APPLICABLE": Badge("· Not applicable", "untested"),
}
NOTE = (
    "The European Data Protection Board (Opinion 28/2024, paragraph 55) accepts a test as evidence "
    "only for the attacks that were run, and asks for attribute and membership inference, "
    "exfiltration, regurgitation, model inversion and reconstruction."
)
NO_ATTACK, THIS_RUN = "none", "this run"


def word_extent(models: int, of: int) -> str:
    """On how many releases a class was tested."""
    if not models:
        return ""
    return "on every release" if models == of else f"on {models} of {of} releases"
