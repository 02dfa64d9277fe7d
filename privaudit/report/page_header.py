"""What stands at the head of every report: which run, of what, when."""

from __future__ import annotations

from privaudit.report.kinds import get_kinds
from privaudit.report.wording.page import AUDITED, POLICY
from privaudit.report.wording.releases import count_releases
from privaudit.report.wording.reproducibility import MANIFEST
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def get_header(audit: Audit, verdicts: Verdicts | None = None) -> tuple[tuple[str, str], ...]:
    """Pairs of a name and a value, in reading order."""
    m = audit.manifest
    policy = verdicts.policy.get("name", "") if verdicts is not None else ""
    return (
        (AUDITED, count_releases(get_kinds(audit))),
        *(((POLICY, policy),) if policy else ()),
        (MANIFEST["created"], m.created),
        (MANIFEST["run"], m.run),
        (MANIFEST["version"], m.version),
    )


__all__ = ["get_header"]
