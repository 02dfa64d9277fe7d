"""What stands at the head of every report: which run, of what, when."""

from __future__ import annotations

from privaudit.report import sentences as say
from privaudit.results import Audit


def facts(audit: Audit) -> tuple[tuple[str, str], ...]:
    """Pairs of a name and a value, in reading order."""
    m, words = audit.manifest, say.MANIFEST
    return (
        (say.MODELS, str(len(audit.subjects))),
        (words["created"], m.created),
        (words["run"], m.run),
        (words["version"], m.version),
    )
