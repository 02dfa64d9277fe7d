"""Policies to begin with, one for each kind of release.

Their numbers are a place to start from: what is acceptable is for the organisation to say, and
`policy simulate` tells what its own data can decide.
"""

from __future__ import annotations

from datetime import date
from importlib import resources
from string import Template


def starter(release: str, review_by: date) -> str:
    """The text of a policy for this kind of release, to be reviewed by that day."""
    file = resources.files(__name__) / f"{release}.toml"
    return Template(file.read_text(encoding="utf-8")).substitute(review_by=review_by.isoformat())


__all__ = ["starter"]
