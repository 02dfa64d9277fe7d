"""Paragraphs for a data protection impact assessment."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report.kinds import are_tables, get_kinds
from privaudit.report.wording.nouns import w
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

INTRO = (
    "Paragraphs to copy. They state what was tested, when, how, to what extent and against whom, "
    "and what remains (EDPB Opinion 28/2024, paragraph 58). Replace the square brackets."
)
NAME = "[name]"
NOTHING = "nothing"
REMAINS = (
    "Residual risk. Attacks that were not run may succeed; better attacks may appear; an average "
    f"may hide a person at higher risk. {NAME} judges the remaining risk as [low / medium / high], "
    "because [reason], "
)


def word_test(audit: Audit, models: Iterable[str]) -> str:
    """Who tested what, when, with what."""
    m = audit.manifest
    title = "" if are_tables(get_kinds(audit)) else f" for “{audit.data.title}”"
    return (
        f"Test. On {m.created[:10]}, {NAME} tested {', '.join(models)}{title} with privaudit "
        f"{m.version} (run {m.run}, profile {m.profile}). The data: {audit.data.source}."
    )


def word_attackers(access: Iterable[str]) -> str:
    """The attackers of all attacks that ran."""
    return (
        f"Attackers. For membership inference the attacker holds the full record of {w.a_person}; "
        "the strongest also holds the records of all candidates, a weaker one records of similar "
        f"{w.people} only. Over all attacks, these kinds of access were assumed: "
        f"{'; '.join(access) or NOTHING}. “Threat "
        "model” states which attack used which."
    )


def word_extent(tested: Iterable[str], untested: Iterable[str]) -> str:
    """Which classes of attack were tested."""
    left = "; ".join(untested)
    rest = f" Not tested: {left}." if left else ""
    return f"Extent. Tested on at least one release: {'; '.join(tested) or NOTHING}.{rest}"


def word_result(sentences: Iterable[str]) -> str:
    """What happened."""
    return f"Result. {' '.join(sentences)}"


def word_verdict(v: Verdicts | None) -> str:
    """The verdict under the policy."""
    if v is None:
        return "Limits. No policy was applied, so the result was not compared with a limit."
    name = v.policy.get("name", "")
    return (
        f"Limits. Under the policy “{name}” (sha256 {v.policy_sha256[:16]}…) the overall verdict "
        f"is {v.state}."
    )


def word_remains(date: str) -> str:
    """Residual risk, and until when this judgement holds."""
    review = f"and will review this by {date}, as the policy asks." if date else ""
    return REMAINS + (review or "and will review this on [date].")
