"""Synthetic tables: prevalence first, then utility, fidelity, duplicates, under-represented
groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from privaudit.facts import Metric
from privaudit.report import charts_synthetic
from privaudit.report import numbers as n
from privaudit.report.blocks import (
    Block,
    Bullets,
    Callout,
    Chart,
    Details,
    Heading,
    Prose,
    Strong,
    Table,
    Text,
    embolden,
    make_table,
)
from privaudit.report.reading import get, get_furthest, overlap
from privaudit.report.series import differs_from_rest
from privaudit.report.wording import summary
from privaudit.report.wording import synthetic_tables as words
from privaudit.report.wording.metrics import name_group, name_setting
from privaudit.report.wording.reasons_and_caveats import word_caveat
from privaudit.results import Audit, ColumnFit, Estimate, Fidelity, GroupResult, Subject
from privaudit.verdicts import Verdicts

MAX_DRAWN, MAX_COLUMNS = 3, 3
"""Tables whose marginals are drawn, and columns of each beside the outcome."""

CLEAR = 4.0
"""A column is clearly apart where its distance is more than so many times what sampling alone
gives, and than that of other real patients."""

Pair = tuple[Subject, Fidelity]


def build(audit: Audit, verdicts: Verdicts | None) -> tuple[Block, ...]:
    """Everything about the tables but what they reveal."""
    shown = [(s, s.fidelity) for s in audit.subjects if s.fidelity is not None]
    if not shown:
        return ()
    notes = tuple(dict.fromkeys(word_caveat(c) for _, f in shown for c in f.notes))
    return (
        Prose(words.INTRO()),
        *_build_prevalence(shown),
        *_build_utility(shown),
        *_build_fidelity(shown),
        *_build_marginals(shown),
        *_build_duplicates(shown),
        *_build_groups(shown),
        *((Details(words.NOTES_SUMMARY, (Bullets(notes),)),) if notes else ()),
    )


def _excludes_zero(e: Estimate | None) -> bool:
    return e is not None and e.low is not None and e.high is not None and not e.low <= 0 <= e.high


def _build_prevalence(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    off: dict[str, None] = {}
    for s, f in shown:
        for e in f.estimates:
            if e.metric.name != "prevalence_synthetic":
                continue
            at = e.metric.at
            gap = get(f.estimates, Metric("prevalence_gap", at=at))
            if _excludes_zero(gap):
                off[s.name] = None
            real = get(f.estimates, Metric("prevalence_real", at=at))
            cells = (n.cell_text(e), n.cell_text(real))
            strong = embolden(n.cell_text(gap), _excludes_zero(gap))
            outcome = name_setting(at) or words.OUTCOME
            rows.append((s.name, n.count(f.rows), outcome, *cells, strong))
    if not rows:
        return []
    blocks: list[Block] = [Heading(words.PREVALENCE_HEADING, "synthetic-prevalence")]
    if off:
        title = words.title_prevalence(list(off))
        blocks.append(Callout("warn", title, (Prose(words.PREVALENCE_OFF()),)))
    table = Table(
        words.PREVALENCE_CAPTION, words.PREVALENCE_COLUMNS, tuple(rows), numeric=(1, 3, 4, 5)
    )
    return [*blocks, Prose(words.PREVALENCE), table]


def _build_utility(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = [
        (
            s.name,
            u.learner,
            n.cell_text(get(u.real, "auroc")),
            n.cell_text(get(u.synthetic, "auroc")),
            embolden(n.estimate_text(u.loss), _excludes_zero(u.loss)),
            *(
                words.word_furthest(get_furthest(u.synthetic, name))
                for name in ("calibration_slope", "calibration_intercept")
            ),
        )
        for s, f in shown
        for u in f.utility
    ]
    if not rows:
        return []
    columns, notes = words.UTILITY_COLUMNS, [words.UTILITY_NOTE]
    if any(e.metric.at is not None for _, f in shown for u in f.utility for e in u.synthetic):
        notes.append(words.UTILITY_FURTHEST)
    return [
        Heading(words.UTILITY_HEADING, "synthetic-utility"),
        Prose(words.UTILITY()),
        make_table(words.UTILITY_CAPTION(), columns, rows, 2, notes),
    ]


def _build_fidelity(shown: list[Pair]) -> list[Block]:
    rows = []
    for s, f in shown:
        cells = []
        for name in ("column_distance", "association_error", "association_error_outcome"):
            e = get(f.estimates, name)
            cells.append(words.word_with_reference(e, None if e is None else e.chance))
        other = get(f.estimates, "detection_auc_real")
        reference = None if other is None else other.value
        cells.append(words.word_with_reference(get(f.estimates, "detection_auc"), reference))
        rows.append((s.name, *cells))
    table = make_table(words.FIDELITY_CAPTION(), words.FIDELITY_COLUMNS, rows, 1)
    return [Heading(words.FIDELITY_HEADING, "synthetic-fidelity"), Prose(words.FIDELITY()), table]


# --- marginals ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Marginals:
    """One table's columns, the one that differs most first; far: how many are clearly apart."""

    subject: Subject
    fidelity: Fidelity
    ranked: tuple[ColumnFit, ...]
    far: int

    @property
    def noisy(self) -> bool:
        """Whether any column has shares after noise."""
        return any(c.noisy for c in self.ranked)


def _rank_columns(s: Subject, f: Fidelity) -> Marginals:
    luck = {c.name: max(c.reference, _expect_distance(c, f)) for c in f.columns}
    ranked = sorted(f.columns, key=lambda c: (luck[c.name] - c.distance, c.name))
    return Marginals(s, f, tuple(ranked), sum(c.distance > CLEAR * luck[c.name] for c in f.columns))


def _expect_distance(c: ColumnFit, f: Fidelity) -> float:
    """The distance to be expected of two samples of the same patients: half the sum over bins of
    E|N(0, p (1 - p) (1/n + 1/m))|."""
    whole = get(f.estimates, "column_distance")
    n_real = 1 if whole is None else max(1, whole.n.get("members", 1))
    spread = (2 / math.pi) * (1 / n_real + 1 / max(1, f.rows))
    return sum(math.sqrt(spread * p * (1 - p)) for p in c.real) / 2


def _build_marginals(shown: list[Pair]) -> list[Block]:
    """Each table has a row; those are drawn that differ most, one among them that shows the noise
    of differential privacy."""
    known = [_rank_columns(s, f) for s, f in shown if f.columns]
    if not known:
        return []
    far = sorted(known, key=lambda m: -m.far / len(m.ranked))
    noisy = [m for m in known if m.noisy][:1]
    chosen = [*noisy, *(m for m in far if m not in noisy)][:MAX_DRAWN]
    rows = [
        (
            m.subject.name,
            f"{m.far} of {len(m.ranked)}",
            m.ranked[0].name,
            words.word_distance(m.ranked[0].distance, m.ranked[0].reference),
        )
        for m in known
    ]
    table = make_table(words.MARGINALS_CAPTION(), words.MARGINALS_COLUMNS, rows)
    charts = (_draw_marginals(m, i) for i, m in enumerate((m for m in known if m in chosen), 1))
    return [table, *charts, Prose(words.MARGINALS_NOTE(), "small")]


def _draw_marginals(m: Marginals, number: int) -> Chart:
    """The outcome and the columns of one table that differ most."""
    small = [*_draw_outcome(m.fidelity), *(_draw_column(c) for c in m.ranked[:MAX_COLUMNS])]
    noisy = any(c.noisy for c in small)
    title = words.title_marginals(m.subject.name, m.far, len(m.ranked), m.ranked[0].name, noisy)
    svg = charts_synthetic.draw_marginals(small, f"chart-columns-{number}", title, words.LEGEND)
    rows: list[tuple[Text, ...]] = []
    for one in small:
        rows.append(((Strong(one.name),), one.note, "", *([""] if noisy else [])))
        for i, name in enumerate(one.bins):
            after = [n.share(one.noisy[i]) if one.noisy else ""] if noisy else []
            rows.append((name, n.share(one.real[i]), n.share(one.synthetic[i]), *after))
    columns = (*words.VALUE_COLUMNS, *((words.NOISY_COLUMN,) if noisy else ()))
    return Chart(title, svg, make_table(words.caption_marginals(m.subject.name), columns, rows, 1))


def _draw_outcome(f: Fidelity) -> list[charts_synthetic.Small]:
    """The outcome as one more column, where its shares may be shown."""
    known = [
        (name_setting(e.metric.at) or words.WITH_OUTCOME, e.chance, e.value)
        for e in f.estimates
        if e.metric.name == "prevalence_synthetic" and e.value is not None and e.chance is not None
    ]
    if not known:
        return []
    if len(known) == 1:
        (_, real, synthetic) = known[0]
        known = [(words.WITHOUT_OUTCOME, 1 - (real or 0), 1 - (synthetic or 0)), *known]
    bins, real_shares, shares = zip(*known, strict=True)
    distance = sum(abs(a - b) for a, b in zip(real_shares, shares, strict=True)) / 2
    note = words.word_distance(distance)
    return [charts_synthetic.Small(words.OUTCOME, note, bins, real_shares, shares)]


def _draw_column(c: ColumnFit) -> charts_synthetic.Small:
    note = words.word_distance(c.distance, c.reference)
    return charts_synthetic.Small(c.name, note, c.bins, c.real, c.synthetic, c.noisy)


# --- duplicates and groups ------------------------------------------------------------------


def _build_duplicates(shown: list[Pair]) -> list[Block]:
    counted: list[tuple[Text, ...]] = []
    described: list[tuple[Text, ...]] = []
    copied: list[str] = []
    for s, f in shown:
        cells: list[Text] = []
        for name in ("exact_copies", "near_copies"):
            e = get(f.estimates, name)
            more = get(f.estimates, f"{name}_excess")
            hidden = e is not None and e.value is None
            found = (more is not None and (more.low or 0) > 0) or (
                hidden and name == "exact_copies"
            )
            text = words.ONE_TO_NINE() if hidden else n.cell_text(e)
            chance = "" if e is None or e.chance is None else n.share(e.chance)
            cells += [embolden(text, found), chance]
            copied += [s.name] if found and name == "exact_copies" else []
        counted.append((s.name, *cells))
        second = [get(f.by_record, name) for name in ("exact_copies", "near_copies")]
        if any(e is not None for e in second):
            parts = [
                text
                for e in second
                for text in (
                    n.cell_text(e),
                    "" if e is None or e.chance is None else n.share(e.chance),
                )
            ]
            counted.append((words.DUPLICATES_BY_RECORD.format(s.name), *parts))
        distances = [get(f.estimates, name) for name in ("closest_distance", "neighbour_ratio")]
        texts = [words.word_with_reference(e, e.chance if e else None) for e in distances]
        described.append((s.name, *texts, n.cell_text(get(f.estimates, "closer_to_members"))))
    if not any(any(row[1:]) for row in (*counted, *described)):
        return []
    heading = Heading(words.DUPLICATES_HEADING, "synthetic-duplicates")
    blocks: list[Block] = [heading, Prose(words.DUPLICATES())]
    if copied:
        title = summary.word_duplicates(copied)
        blocks.append(Callout("warn", title, (Prose(words.DUPLICATES_BODY),)))
    blocks.append(make_table(words.DUPLICATES_CAPTION, words.DUPLICATES_COLUMNS(), counted, 1))
    if any(any(row[1:]) for row in described):
        columns, notes = words.DISTANCES_COLUMNS, (words.DISTANCES_NOTE(),)
        blocks.append(make_table(words.DISTANCES_CAPTION, columns, described, 1, notes))
    return blocks


def _build_groups(shown: list[Pair]) -> list[Block]:
    """Groups by tables: their share of the rows, and the AUROC lost."""
    given = [(s, f) for s, f in shown if any(g.estimates for g in f.groups)]
    levels = list(dict.fromkeys((g.by, g.level) for _, f in given for g in f.groups))
    shares: list[tuple[Text, ...]] = []
    losses: list[tuple[Text, ...]] = []
    for by, level in levels:
        name = name_group(GroupResult(by, level, ()))
        groups = [
            next(
                (g for g in f.groups if (g.by, g.level) == (by, level)), GroupResult(by, level, ())
            )
            for _, f in given
        ]
        real = (get(g.estimates, "group_share_real") for g in groups)
        known = next((e for e in real if e is not None), None)
        shares.append((name, n.cell_text(known), *(_word_share(g) for g in groups)))
        losses.append((name, *(_word_loss(g) for g in groups)))
    names = [s.name for s, _ in given]
    tables = [
        make_table(caption, columns, shown_rows, 1, (words.GROUPS_NOTE,))
        for caption, columns, rows in (
            (words.SHARES_CAPTION, ("Group", words.REAL_COLUMN, *names), shares),
            (words.LOSSES_CAPTION(), ("Group", *names), losses),
        )
        if (shown_rows := [row for row in rows if any(row[1:])])
    ]
    if not tables:
        return []
    return [Heading(words.GROUPS_HEADING, "synthetic-groups"), Prose(words.GROUPS()), *tables]


def _word_share(g: GroupResult) -> Text:
    share, real = (get(g.estimates, f"group_share_{side}") for side in ("synthetic", "real"))
    known = share is not None and real is not None
    return embolden(n.cell_text(share), known and not overlap(share, real))


def _word_loss(g: GroupResult) -> Text:
    return embolden(n.cell_text(get(g.estimates, "auroc_loss")), differs_from_rest(g))


__all__ = ["build"]
