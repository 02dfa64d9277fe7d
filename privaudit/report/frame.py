"""What stands at the head of every report: which run, of what, when."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.kinds import kinds
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def facts(audit: Audit, verdicts: Verdicts | None = None) -> tuple[tuple[str, str], ...]:
    """Pairs of a name and a value, in reading order."""
    m, words = audit.manifest, say.MANIFEST
    policy = verdicts.policy.get("name", "") if verdicts is not None else ""
    return (
        (say.AUDITED, say.counted(kinds(audit))),
        *(((say.POLICY, policy),) if policy else ()),
        (words["created"], m.created),
        (words["run"], m.run),
        (words["version"], m.version),
    )
