"""Paragraphs to paste into a data protection impact assessment."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report.kinds import kinds, tables
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

DPIA = (
    "Paragraphs to copy. They say what was tested, when, how, how far and against whom, and what "
    "remains (EDPB Opinion 28/2024, paragraph 58). Put in names where square brackets stand."
)
BLANK = "[name]"


def who(audit: Audit, models: Iterable[str]) -> str:
    m = audit.manifest
    what = "" if tables(kinds(audit)) else f" for “{audit.data.title}”"
    return (
        f"Test. On {m.created[:10]}, {BLANK} tested {', '.join(models)}{what} with "
        f"privaudit {m.version} (run {m.run}, profile {m.profile}). The data: {audit.data.source}."
    )


def threat(powers: Iterable[str]) -> str:
    return (
        "Attacker. It was assumed that an attacker already holds the full record of a patient and can "
        f"{'; '.join(powers)}."
    )


def extent_of(tested: Iterable[str], open_: Iterable[str]) -> str:
    left = "; ".join(open_)
    rest = f" Not tested: {left}." if left else ""
    return f"Extent. Tested: {'; '.join(tested) or 'nothing'}.{rest}"


def outcome(sentences: Iterable[str]) -> str:
    return f"Result. {' '.join(sentences)}"


def judged(v: Verdicts | None) -> str:
    if v is None:
        return "Limits. No policy was applied, so the result was not compared with a limit."
    return (
        f"Limits. Under the policy “{v.policy.get('name', '')}” (sha256 {v.policy_sha256[:16]}…) the "
        f"verdict is {v.state}."
    )


REMAINS = (
    "Residual risk. Attacks that were not run may succeed; better attacks may appear; an average may "
    f"hide a person at higher risk. {BLANK} judges the remaining risk as [low / medium / high], because "
    "[reason], and will review this on [date]."
)
REMAINS_DATED = (
    "Residual risk. Attacks that were not run may succeed; better attacks may appear; an average may "
    f"hide a person at higher risk. {BLANK} judges the remaining risk as [low / medium / high], because "
    "[reason]. The policy is to be reviewed by {date}."
)
