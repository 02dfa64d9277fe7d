"""For a job summary of GitHub Actions: the answer first, the long list folded away."""

from __future__ import annotations

from privaudit.report.formats import markdown
from privaudit.report.formats.shared import select_stopping
from privaudit.verdicts import Verdicts

LARGEST = 900_000
"""A job summary may hold 1 MiB a step."""


def render(verdicts: Verdicts) -> str:
    """The judgement as a job summary."""
    stops = len(select_stopping(verdicts))
    lines = markdown.head(verdicts)
    lines += [f"{stops} of {len(verdicts.verdicts)} verdicts stop this gate.", ""]
    lines += markdown.table(verdicts)
    lines += ["<details><summary>What happened, why, and what to do</summary>", ""]
    lines += markdown.details(verdicts) or ["Every limit is kept.", ""]
    lines += ["</details>", "", *markdown.notes(verdicts)]
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= LARGEST:
        return text
    short = [*markdown.head(verdicts), *markdown.table(verdicts), *markdown.notes(verdicts)]
    return "\n".join(short) + "\n"
