"""What was tested and what was not, class by class, as a data protection authority asks."""

from __future__ import annotations

from privaudit.report import wording as say
from privaudit.report.blocks import Badge, Block, Prose, Table, Text
from privaudit.report.classes import CLASSES, tried
from privaudit.report.notes import label
from privaudit.results import Audit

ORDER = 40


def build(audit: Audit) -> tuple[Block, ...]:
    rows: list[tuple[Text, ...]] = []
    for t in tried(audit):
        c = CLASSES[t.key]
        badge = Badge(say.COVERAGE_WORDS[t.state], say.COVERAGE[t.state])
        attacks = ", ".join(label(a) for a in t.attacks)
        extent = say.extent(t.models, len(audit.subjects)) if t.attacks else ""
        rows.append((c.title, (badge,), attacks or say.NONE, extent or t.reason, c.asked))
    known = {family for c in CLASSES.values() for family in c.families}
    for engine in audit.coverage:
        if engine.family not in known:
            badge = Badge(say.COVERAGE_WORDS[engine.state], say.COVERAGE[engine.state])
            attacks = ", ".join(label(a) for a in engine.attacks)
            title = engine.title or engine.family
            rows.append((title, (badge,), attacks or say.NONE, engine.reason, say.OTHERWISE))
    table = Table(say.COVERAGE_CAPTION, say.COVERAGE_COLUMNS, tuple(rows))
    return (Prose(say.COVERAGE_INTRO), table, Prose(say.COVERAGE_NOTE, "small"))
