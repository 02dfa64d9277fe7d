"""The report of a table that is to be released, as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privaudit.deidentified.document import (
    DOUBTS,
    Attacker,
    Change,
    Known,
    ReleaseAudit,
    Risk,
    State,
)
from privaudit.report import charts
from privaudit.report.blocks import (
    Badge,
    Banner,
    Block,
    Bullets,
    Callout,
    Chart,
    Facts,
    Prose,
    Section,
    Text,
    embolden,
    make_table,
    mark_code,
)
from privaudit.report.blocks import (
    State as BadgeState,
)
from privaudit.report.render_html import render_page as render_html
from privaudit.report.render_markdown import render_page as render_markdown
from privaudit.report.wording import release as words
from privaudit.results import Estimate

BADGES: dict[State, BadgeState] = {
    State.WITHIN: "within",
    State.EXCEEDS: "exceeds",
    State.INCONCLUSIVE: "small",
    State.NO_LIMIT: "untested",
}
HTML, MARKDOWN = "report.html", "report.md"


def html(audit: ReleaseAudit) -> str:
    """One self-contained page. The same document gives the same bytes."""
    return render_html(build(audit), words.SUBTITLE, _header(audit), audit.created)


def markdown(audit: ReleaseAudit) -> str:
    """The same blocks as Markdown."""
    return render_markdown(build(audit), words.SUBTITLE, _header(audit))


def write(audit: ReleaseAudit, folder: Path) -> Path:
    """Put both into a folder; the path of the page."""
    (folder / MARKDOWN).write_text(markdown(audit), encoding="utf-8")
    page = folder / HTML
    page.write_text(html(audit), encoding="utf-8")
    return page


def build(audit: ReleaseAudit) -> tuple[Section, ...]:
    """The sections in reading order."""
    made = (
        ("summary", _summary(audit)),
        ("classes", _classes(audit)),
        ("sensitive", _sensitive(audit)),
        ("linkage", _linkage(audit)),
        ("changes", _changes(audit)),
        ("reliability", _reliability(audit)),
        ("methods", (Prose(words.say("standard")), Bullets(words.list_texts("method")))),
        ("reproducibility", _reproducibility(audit)),
    )
    return tuple(Section(name, words.TITLES[name], blocks) for name, blocks in made if blocks)


def _header(audit: ReleaseAudit) -> tuple[tuple[str, str], ...]:
    values = (
        f"{audit.rows:,} rows of {audit.patients:,} patients",
        ", ".join(audit.quasi_identifiers),
        words.word_limits(audit.limits),
        audit.created,
        audit.version,
    )
    return tuple(zip(words.HEADER, values, strict=True))


def get_strictest(audit: ReleaseAudit) -> Risk:
    """The view of the attacker who knows that the patient is there, and all their records."""
    found = [one for one in audit.risks if one.attacker is Attacker.PROSECUTOR]
    whole = [one for one in found if one.known is Known.ALL_RECORDS]
    return (whole or found)[0]


def _summary(audit: ReleaseAudit) -> tuple[Block, ...]:
    risk = get_strictest(audit)
    sentence = words.word_summary(audit, risk.get("unique_share"), risk.get("average_risk"))
    body: list[Block] = [Prose(words.word_verdict(audit)), Prose(sentence)]
    badge = Badge(words.STATES[audit.state], BADGES[audit.state])
    blocks: list[Block] = [Banner(badge, words.DECIDED, tuple(body))]
    if audit.rules:
        rows = [words.word_rule(rule, audit.exact) for rule in audit.rules]
        blocks.append(make_table(words.RULE_CAPTION, words.RULE_COLUMNS, rows))
    doubts = [words.word_note(note) for note in audit.notes if note.code in DOUBTS]
    if doubts:
        blocks.append(Callout("warn", "Doubts", (Bullets(tuple(doubts)),)))
    blocks.append(
        Prose(words.say("exact") if audit.exact else mark_code(words.say("shared")), "small")
    )
    return tuple(blocks)


def _classes(audit: ReleaseAudit) -> tuple[Block, ...]:
    rows: list[tuple[Text, ...]] = [
        (
            words.ATTACKERS[risk.attacker],
            words.KNOWN[risk.known],
            words.MISSING[risk.missing],
            words.SOURCES[risk.source],
            words.word_estimate(risk.get("unique_share")),
            words.word_estimate(risk.get("below_10")),
            words.word_highest(risk.get("max_risk"), audit.exact),
            words.word_estimate(risk.get("average_risk")),
        )
        for risk in audit.risks
    ]
    table = make_table(
        words.RISK_CAPTION, words.RISK_COLUMNS, rows, 4, words.list_texts("risk_notes")
    )
    risk = get_strictest(audit)
    if not any(one.high for name in words.SMALL if (one := risk.get(name)) is not None):
        return (table,)
    bars = [
        charts.Bar(label, (risk.get(name),))
        for name, label in words.SMALL.items()
        if risk.get(name)
    ]
    svg = charts.draw_forest(
        bars, [charts.Panel(words.CHART_AXIS, None)], "small-classes", words.CHART
    )
    listed = make_table(
        words.CHART,
        ("Class", "Patients"),
        [(words.SMALL[n], words.word_estimate(risk.get(n))) for n in words.SMALL],
        1,
    )
    return table, Chart(words.CHART, svg, listed)


def _sensitive(audit: ReleaseAudit) -> tuple[Block, ...]:
    if not audit.sensitive_risks:
        return (Prose(mark_code(words.say("sensitive_none"))),)
    rows = []
    for risk in audit.sensitive_risks:
        known = {one.metric.name: one for one in risk.estimates}
        cells = (
            "disclosed_share",
            "disclosed_large",
            "disclosed_nearly",
            "right_share",
            "right_without",
            "guess_share",
        )
        rows.append((risk.column, *(words.word_estimate(known.get(name)) for name in cells)))
    table = make_table(
        words.SENSITIVE_CAPTION,
        words.SENSITIVE_COLUMNS,
        rows,
        1,
        words.list_texts("sensitive_notes"),
    )
    return (table,)


def _linkage(audit: ReleaseAudit) -> tuple[Block, ...]:
    def cells(estimates: Sequence[Estimate]) -> tuple[str, ...]:
        known = {one.metric.name: one for one in estimates}
        names = ("best_right", "claimed_right", "claimed_false")
        return tuple(words.word_estimate(known.get(name)) for name in names)

    rows = [
        (
            words.LISTS[one.real],
            words.percent(one.error),
            words.percent(one.missing),
            *cells(one.estimates),
        )
        for one in audit.linkages
    ]
    return (
        Prose(words.say("linkage_intro")),
        make_table(words.LINKAGE_CAPTION, words.LINKAGE_COLUMNS, rows, 1),
    )


def _changes(audit: ReleaseAudit) -> tuple[Block, ...]:
    def line(change: Change) -> tuple[Text, ...]:
        high = (
            "above 10 %"
            if not audit.exact and change.highest > 0.1
            else words.percent(change.highest)
        )
        return (
            embolden(words.word_change(change), change.step == "none"),
            words.percent(change.unique),
            words.percent(change.average),
            high,
            words.percent(change.suppressed),
        )

    single = [line(one) for one in audit.changes if not one.path]
    path = [line(one) for one in audit.changes if one.path]
    blocks: list[Block] = [
        Prose(words.say("changes_intro")),
        make_table(words.CHANGE_CAPTION, words.CHANGE_COLUMNS, single, 1),
    ]
    if path:
        blocks.append(make_table(words.PATH_CAPTION, words.CHANGE_COLUMNS, path, 1))
    else:
        blocks.append(Prose(words.say("no_path")))
    return tuple(blocks)


def _reliability(audit: ReleaseAudit) -> tuple[Block, ...]:
    notes = [words.word_note(note) for note in audit.notes if note.code not in DOUBTS]
    found: list[Block] = [Bullets(tuple(notes))] if notes else []
    return (*found, Prose(words.say("cannot")))


def _reproducibility(audit: ReleaseAudit) -> tuple[Block, ...]:
    pairs = [("Command", audit.command), ("Confidence", words.percent(audit.confidence))]
    if audit.tolerances:
        widths = ", ".join(f"{name} ± {width:g}" for name, width in audit.tolerances.items())
        pairs.append(("Tolerances", widths))
    return (Facts(tuple(pairs)),)


__all__ = ["HTML", "MARKDOWN", "build", "get_strictest", "html", "markdown", "write"]
