"""Doing it again: versions, command, random number, time and memory."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import sentences as say
from privaudit.report.blocks import Block, Code, Details, Facts, Prose, Table, Text
from privaudit.results import Audit

ORDER = 150


def build(audit: Audit) -> tuple[Block, ...]:
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
    rows = tuple((name, version) for name, version in sorted(m.packages.items()))
    table = Table(say.PACKAGES, say.PACKAGES_COLUMNS, rows)
    versions = (Details(say.PACKAGES, (table,)),) if rows else ()
    return (Prose(say.REPRODUCE), Facts(tuple(pairs)), *versions)
