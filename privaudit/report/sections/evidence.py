"""Evidence: fingerprints, attempts, and what it takes to do it again."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Code, Details, Facts, Prose, Table, Text
from privaudit.results import Attempts, Audit
from privaudit.verdicts import Verdicts

ORDER = 150
JUDGED = True


def build(audit: Audit, verdicts: Verdicts | None = None) -> tuple[Block, ...]:
    m = audit.manifest
    words = say.MANIFEST
    pairs: list[tuple[Text, Text]] = [
        (words["command"], (Code(m.command),)),
        (words["run"], (Code(m.run),)),
        (words["created"], m.created),
        (words["profile"], m.profile),
        (words["entropy"], (Code(str(m.entropy)),)),
        (words["confidence"], n.share(m.confidence)),
        (words["fingerprint"], (Code(m.records_fingerprint),)),
        (words["version"], m.version),
        (words["python"], m.python),
        (words["platform"], m.platform),
        (words["wall"], n.duration(m.seconds)),
        (words["cpu"], n.duration(m.cpu_seconds)),
        (words["memory"], n.size(m.peak_memory_bytes)),
    ]
    if m.refits:
        counts = ", ".join(f"{name} {n.whole(count)}" for name, count in sorted(m.refits.items()))
        pairs.append((words["refits"], counts))
    if m.statistics:
        pairs.append((words["statistics"], m.statistics))
    if verdicts is not None:
        pairs += [
            (words["audit"], (Code(verdicts.audit_sha256),)),
            (words["policy"], (Code(verdicts.policy_sha256),)),
        ]
        if verdicts.baseline:
            pairs.append((words["baseline"], (Code(verdicts.baseline),)))
    rows = tuple((name, version) for name, version in sorted(m.packages.items()))
    table = Table(say.PACKAGES, say.PACKAGES_COLUMNS, rows)
    versions = (Details(say.PACKAGES, (table,)),) if rows else ()
    return (Prose(say.REPRODUCE), *_attempts(m.attempts), Facts(tuple(pairs)), *versions)


def _attempts(a: Attempts | None) -> list[Block]:
    """How often this was tried: an audit repeated until it passes must show."""
    if a is None:
        return [Prose(say.NO_LEDGER)]
    outcomes = tuple(
        (say.ENDINGS.get(code, code), n.whole(count)) for code, count in sorted(a.outcomes.items())
    )
    table = Table(say.ATTEMPTS_CAPTION, say.ATTEMPTS_COLUMNS, outcomes, numeric=(1,))
    return [Prose(say.attempts(a)), *([table] if outcomes else [])]
