"""What was found, model by model: every attack with its intervals, refusals and failures."""

from __future__ import annotations

from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Details, Heading, Prose, Strong, Table, Text
from privaudit.report.notes import FAMILIES, label
from privaudit.report.reading import (
    FEW,
    blanks,
    budgets,
    families,
    findings,
    others,
    rate_at,
    read,
    told,
)
from privaudit.report.sections._across import leftovers, membership, trials, without
from privaudit.report.sections._drawn import evasion_chart, forest_chart, roc_chart
from privaudit.report.sections.splitting import beside
from privaudit.results import Audit, Estimate, Finding, Skipped, Subject

ORDER = 90
FPRS = (0.1, 0.01, 0.001)


def build(audit: Audit) -> tuple[Block, ...]:
    if len(audit.subjects) > FEW:
        return tuple(_across(audit))
    blocks: list[Block] = [Prose(say.FINDINGS)]
    for number, subject in enumerate(audit.subjects, 1):
        blocks.append(Heading(subject.name, f"findings-{number}"))
        blocks += _subject(audit, subject, number)
    return tuple(blocks)


def _across(audit: Audit) -> list[Block]:
    """Many models: a table a topic, and drawings of those that give most away."""
    blocks: list[Block] = [Prose(say.FINDINGS_ACROSS), *membership(audit)]
    for i in told(audit):
        subject = audit.subjects[i]
        games = findings(subject, "membership")
        finding = read(audit, subject).finding
        own = roc_chart(subject, games, i + 1)
        own += _ppv(subject, finding) if finding is not None else []
        if own:
            blocks += [Heading(subject.name, f"findings-{i + 1}"), *own]
    return [*blocks, *trials(audit), *without(audit), *leftovers(audit)]


def _subject(audit: Audit, subject: Subject, number: int) -> list[Block]:
    blocks: list[Block] = []
    games = findings(subject, "membership")
    if games or subject.headline is not None:
        blocks += _membership(audit, subject, games, number)
    for family in families(subject):
        if family not in ("membership", "poisoning"):
            blocks += _trials(subject, family, number)
    if not blocks:
        blocks.append(Prose(say.NO_FINDINGS))
    blocks += _blanks(subject)
    blocks += _leftovers(subject)
    return blocks


def _membership(audit: Audit, subject: Subject, games: list[Finding], number: int) -> list[Block]:
    rows = [(label(f.attack), f) for f in games]
    notes: list[Text] = []
    if subject.headline is not None:
        rows.append((f"{say.HEADLINE_ROW} ({label(subject.headline.attack)})", subject.headline))
        how = "; ".join(subject.headline.caveats) or "the strongest"
        notes.append(say.headline_note(label(subject.headline.attack), how))
    fprs = [x for x in FPRS if any(rate_at(f.estimates, x) is not None for _, f in rows)]
    notes += _refusals(rows, fprs)
    table = Table(
        say.membership_caption(subject.name),
        (*say.MEMBERSHIP_COLUMNS, *(say.at_column(x) for x in fprs)),
        tuple(
            (
                (Strong(name),) if f is subject.headline else name,
                _cell(next((e for e in f.estimates if e.name == "auc"), None)),
                *(_cell(rate_at(f.estimates, x)) for x in fprs),
            )
            for name, f in rows
        ),
        numeric=tuple(range(1, len(fprs) + 2)),
        notes=tuple(notes),
    )
    blocks: list[Block] = [*forest_chart(subject, rows, number, table)]
    blocks += roc_chart(subject, games, number)
    finding = read(audit, subject).finding
    return blocks + (_ppv(subject, finding) if finding is not None else [])


def _cell(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def _refusals(rows: list[tuple[str, Finding]], fprs: list[float]) -> list[Text]:
    """One note for each reason, naming what it concerns, so that no empty cell is unexplained."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, f in rows:
        for e in [e for e in f.estimates if e.name == "auc"] + [
            e for x in fprs if (e := rate_at(f.estimates, x)) is not None
        ]:
            if e.value is None:
                key = (say.capital(say.measure(e.name)), e.refusal or "no reason was given")
                reasons.setdefault(key, []).append(name)
    return [say.refusal_note(what, names, why) for (what, why), names in reasons.items()]


def _ppv(subject: Subject, finding: Finding) -> list[Block]:
    values = [e for e in finding.estimates if e.name.startswith("ppv_at_prior_")]
    given = [e for e in values if e.value is not None]
    if not given:
        return []
    rows = tuple(
        (
            f"{n.one_in(n.fpr_of(e.name) or 0.5)} of those asked about",
            n.share(n.fpr_of(e.name) or 0.5),
            n.estimate_text(e),
            say.ppv_words(e),
        )
        for e in sorted(given, key=lambda e: -(n.fpr_of(e.name) or 0))
    )
    table = Table(say.ppv_caption(subject.name), say.PPV_COLUMNS, rows, numeric=(1, 2))
    return [Prose(say.PPV_INTRO), table]


def _trials(subject: Subject, family: str, number: int) -> list[Block]:
    found = findings(subject, family)
    title, _ = FAMILIES.get(family, (say.capital(family), ""))
    tried = [(f, b) for f in found for b in budgets(f)]
    guessed = any(b.guess or b.gain for _, b in tried)
    evasion = family == "evasion"
    columns: tuple[str, ...] = say.EVASION_COLUMNS if evasion else say.TRIAL_COLUMNS
    if guessed:
        columns += say.BEFORE_COLUMNS if evasion else say.GUESS_COLUMNS
    rows = []
    for f, b in tried:
        row = [label(f.attack), b.size, _cell(b.attack), _cell(b.control), _cell(b.gap)]
        rows.append(tuple(row + ([_cell(b.guess), _cell(b.gain)] if guessed else [])))
    notes: list[Text] = [say.EVASION_NOTE if evasion else say.TRIAL_NOTE]
    if not evasion:
        notes += [line for f in found for line in beside(f)]
    for e in dict.fromkeys(e.refusal for f in found for e in f.estimates if e.refusal):
        notes.append(f"Not stated: {e}.")
    if not rows:
        return []
    table = Table(
        say.trials_caption(subject.name, title),
        columns,
        tuple(rows),
        numeric=tuple(range(2, len(columns))),
        notes=tuple(notes),
    )
    blocks: list[Block] = [Heading(title, f"findings-{number}-{_slug(family)}", 4)]
    drawn = evasion_chart(subject, found, number, table) if evasion else [table]
    return [*blocks, *drawn]


def _slug(text: str) -> str:
    return "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower()
    )


def _blanks(subject: Subject) -> list[Block]:
    rows = tuple(
        (
            label(o.attack),
            say.SKIPPED if isinstance(o, Skipped) else say.FAILED,
            o.reason if isinstance(o, Skipped) else o.error,
        )
        for o in blanks(subject)
    )
    return [Table(say.blanks_caption(subject.name), say.BLANKS_COLUMNS, rows)] if rows else []


def _leftovers(subject: Subject) -> list[Block]:
    """Estimates of names that no table knows, and the caveats of every finding."""
    rows = tuple(
        (
            label(f.attack),
            say.capital(say.measure(e.name)),
            n.estimate_text(e) if e.refusal is None else f"not stated: {e.refusal}",
            n.chance_text(e),
        )
        for f in findings(subject)
        for e in others(f)
    )
    blocks: list[Block] = []
    if rows:
        table = Table(say.others_caption(subject.name), say.OTHERS_COLUMNS, rows, numeric=(2, 3))
        blocks.append(Details(table.caption, (table,)))
    heard = [subject.headline] if subject.headline else []
    caveats = {c: label(f.attack) for f in [*findings(subject), *heard] for c in f.caveats}
    if caveats:
        lines = tuple(f"{attack}: {caveat}" for caveat, attack in caveats.items())
        blocks.append(Details(say.CAVEATS, (Bullets(lines),)))
    return blocks
