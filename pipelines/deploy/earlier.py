"""Audits of a run that was finished before: kept where nothing changed, else set aside."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pipelines.deploy.homes import make_private
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.evidence.sums import SUMS
from privaudit.results import Audit

EARLIER = ".earlier"
"""Of audits/: those that another took the place of; no run has such a name."""


def is_written(place: Path, shared: Audit) -> bool:
    """Whether a sealed audit of the same numbers is there: it may be signed, or judged."""
    try:
        kept = read(place)
    except (PrivauditError, OSError):
        return False
    return (place / SUMS).exists() and replace(kept, manifest=shared.manifest) == shared


def set_aside(place: Path) -> None:
    """Move an audit of other numbers away, with what was judged and signed of it."""
    if not place.exists():
        return
    earlier = make_private(place.parent / EARLIER)
    number = 1 + sum(1 for _ in earlier.iterdir())
    os.replace(place, make_private(earlier / str(number)) / place.name)


__all__ = ["EARLIER", "is_written", "set_aside"]
