"""Synthetic tables: the outcome's share first, then usefulness, likeness, copies, and whom they forget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from privaudit.report import charts, charts_synthetic
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import (
    Block,
    Bullets,
    Callout,
    Chart,
    Details,
    Heading,
    Link,
    Prose,
    Strong,
    Table,
    Text,
)
from privaudit.report.notes import kind_of
from privaudit.report.reading import get, stated
from privaudit.report.wording import SECTIONS
from privaudit.results import Audit, ColumnFit, Estimate, Fidelity, GroupResult, Subject

ORDER = 102

FEW_TABLES = 3
"""Up to so many tables each have their groups in a table of their own."""

CLEAR = 4.0
"""A column is clearly apart where its distance is more than so many times what sampling alone gives, and
than that of other real patients."""

Pair = tuple[Subject, Fidelity]


def build(audit: Audit) -> tuple[Block, ...]:
    shown = [(s, s.fidelity) for s in audit.subjects if s.fidelity is not None]
    if not shown:
        return ()
    blocks: list[Block] = [Prose(say.SYNTHETIC)]
    blocks += _prevalence(shown)
    blocks += _useful(shown)
    blocks += _plane(audit)
    blocks += _like(shown)
    blocks += _columns(shown)
    blocks += _near(shown)
    blocks += _forgot(shown)
    notes = tuple(dict.fromkeys(note for _, f in shown for note in f.notes))
    if notes:
        blocks.append(Details(say.NOTES_SUMMARY, (Bullets(notes),)))
    return tuple(blocks)


def rate(e: Estimate | None) -> str:
    """A share in percent with its interval."""
    if e is None:
        return ""
    if e.value is None:
        return "not stated"
    return n.estimate_text(replace(e, name="control_rate"))


def points(e: Estimate | None) -> str:
    """A difference of shares, signed, in points."""
    return "" if e is None else n.estimate_text(replace(e, name="attack_minus_control"))


def percent(share: float | None) -> str:
    return "" if share is None else f"{n.significant(share * 100, 2)}{n.NBSP}%"


# --- the outcome --------------------------------------------------------------------------------


def _prevalence(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    off: list[str] = []
    for s, f in shown:
        for e in f.estimates:
            if n.stem(e.name) != "prevalence_synthetic":
                continue
            at = e.name.partition("@")
            ending = f"@{at[2]}" if at[2] else ""
            gap = get(f.estimates, f"prevalence_gap{ending}")
            apart = gap is not None and _excludes(gap, 0.0)
            if apart:
                off.append(s.name)
            told = points(gap)
            rows.append(
                (
                    s.name,
                    n.whole(f.rows),
                    at[2] or say.OUTCOME,
                    rate(e),
                    rate(get(f.estimates, f"prevalence_real{ending}")),
                    (Strong(told),) if apart else told,
                )
            )
    if not rows:
        return []
    blocks: list[Block] = [Heading(say.PREVALENCE_HEADING, "synthetic-prevalence")]
    if off:
        names = list(dict.fromkeys(off))
        blocks.append(Callout("warn", say.prevalence_off(names), (Prose(say.PREVALENCE_OFF),)))
    table = Table(say.PREVALENCE_CAPTION, say.PREVALENCE_COLUMNS, tuple(rows), numeric=(1, 3, 4, 5))
    return [*blocks, Prose(say.PREVALENCE), table]


def _excludes(e: Estimate, value: float) -> bool:
    return e.low is not None and e.high is not None and not e.low <= value <= e.high


# --- usefulness ---------------------------------------------------------------------------------


def _useful(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    for s, f in shown:
        for u in f.utility:
            loss = n.estimate_text(u.loss)
            rows.append(
                (
                    s.name,
                    u.learner,
                    _text(get(u.real, "auroc")),
                    _text(get(u.synthetic, "auroc")),
                    (Strong(loss),) if _excludes(u.loss, 0.0) else loss,
                    _text(get(u.synthetic, "calibration_slope")),
                    _text(get(u.synthetic, "calibration_intercept")),
                )
            )
    if not rows:
        return []
    return [
        Heading(say.USEFUL_HEADING, "synthetic-usefulness"),
        Prose(say.USEFUL),
        Table(
            say.USEFUL_CAPTION,
            say.USEFUL_COLUMNS,
            tuple(rows),
            numeric=(2, 3, 4, 5, 6),
            notes=(say.USEFUL_NOTE,),
        ),
    ]


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def _plane(audit: Audit) -> list[Block]:
    """Risk against usefulness of all tables beside the trained models."""
    dots: list[charts.Dot] = []
    for s in audit.subjects:
        risk = stated(s.headline.estimates, "auc") if s.headline is not None else None
        use = stated(s.utility, "auroc")
        if s.fidelity is not None and s.fidelity.utility:
            use = stated(s.fidelity.utility[0].synthetic, "auroc")
        if risk is None or use is None:
            continue
        look = 0 if s.fidelity is None else 2 if kind_of(s) == "dp" else 1
        dots.append(charts.Dot(s.name, use, risk, look))
    if len(dots) < 2:
        return []
    if len(dots) > charts.MANY:
        # All of them already stand on the one drawing of the whole run.
        return [Prose((say.PLANE_ELSEWHERE, Link(SECTIONS["tradeoff"], "tradeoff"), "."))]
    by_risk = sorted(dots, key=lambda d: d.y.value or 0)
    by_use = sorted(dots, key=lambda d: -(d.x.value or 0))
    tied = _overlap(by_risk[0].y, by_risk[1].y) or _overlap(by_use[0].x, by_use[1].x)
    title = say.tradeoff_title(by_risk[0].name, by_use[0].name, tied)
    table = Table(
        say.PLANE_CAPTION,
        ("Table or model", say.PLANE_X, say.PLANE_Y),
        tuple((d.name, n.estimate_text(d.x), n.estimate_text(d.y)) for d in dots),
        numeric=(1, 2),
        notes=(say.PLANE_NOTE,),
    )
    looks = {d.of for d in dots}
    kinds = {look: text for look, text in say.PLANE_KINDS.items() if look in looks}
    svg = charts.tradeoff(dots, "chart-synthetic-plane", title, say.PLANE_X, say.PLANE_Y, kinds)
    return [Heading(say.PLANE_HEADING, "synthetic-plane"), Chart(title, svg, table)]


def _overlap(one: Estimate, two: Estimate) -> bool:
    if None in (one.low, one.high, two.low, two.high):
        return True
    return one.low <= two.high and two.low <= one.high  # type: ignore[operator]


# --- likeness -----------------------------------------------------------------------------------


def _like(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    for s, f in shown:
        cells = []
        for name in ("column_distance", "association_error", "association_error_outcome"):
            e = get(f.estimates, name)
            cells.append(say.with_other(e, None if e is None else e.chance))
        other = get(f.estimates, "detection_auc_real")
        cells.append(
            say.with_other(
                get(f.estimates, "detection_auc"), None if other is None else other.value
            )
        )
        rows.append((s.name, *cells))
    table = Table(say.LIKE_CAPTION, say.LIKE_COLUMNS, tuple(rows), numeric=(1, 2, 3, 4))
    return [Heading(say.LIKE_HEADING, "synthetic-likeness"), Prose(say.LIKE), table]


@dataclass(frozen=True)
class Apart:
    """One table's columns, the one that differs most first; far: how many are clearly apart."""

    subject: Subject
    fidelity: Fidelity
    ranked: tuple[ColumnFit, ...]
    far: int


def _apart(s: Subject, f: Fidelity) -> Apart:
    luck = {c.name: max(c.reference, _luck(c, f)) for c in f.columns}
    ranked = sorted(f.columns, key=lambda c: (luck[c.name] - c.distance, c.name))
    return Apart(s, f, tuple(ranked), sum(c.distance > CLEAR * luck[c.name] for c in f.columns))


def _columns(shown: list[Pair]) -> list[Block]:
    """The outcome and the columns that differ most. Of many tables each has a row, and those are drawn
    that differ most, one among them that shows the noise of its promise."""
    known = [_apart(s, f) for s, f in shown if f.columns]
    if not known:
        return []
    note = Prose(say.COLUMNS_NOTE, "small")
    if len(known) <= FEW_TABLES:
        return [*(_drawn(a, i, 5) for i, a in enumerate(known, 1)), note]
    noisy = [a for a in known if any(c.noisy for c in a.ranked)][:1]
    far = sorted(known, key=lambda a: -a.far / len(a.ranked))
    chosen = [*noisy, *(a for a in far if a not in noisy)][:FEW_TABLES]
    rows = tuple(
        (
            a.subject.name,
            f"{a.far} of {len(a.ranked)}",
            a.ranked[0].name,
            f"{percent(a.ranked[0].distance)} | {percent(a.ranked[0].reference)}",
        )
        for a in known
    )
    table = Table(say.APART_CAPTION, say.APART_COLUMNS, rows, numeric=(1, 3))
    drawn = (_drawn(a, i, 2) for i, a in enumerate((a for a in known if a in chosen), 1))
    return [table, *drawn, note]


def _drawn(a: Apart, number: int, many: int) -> Chart:
    """The outcome and so many columns of one table."""
    small = [*_outcome(a.fidelity), *(_small(c) for c in a.ranked[:many])]
    noisy = any(c.noisy for c in small)
    title = say.columns_title(a.subject.name, a.far, len(a.ranked), a.ranked[0].name, noisy)
    names = (say.REAL, say.DRAWN, say.NOISY)
    svg = charts_synthetic.columns(small, f"chart-columns-{number}", title, names)
    rows: list[tuple[Text, ...]] = []
    for one in small:
        rows.append(((Strong(one.name),), one.note, "", *([""] if noisy else [])))
        for i, label in enumerate(one.bins):
            after = [percent(one.noisy[i]) if one.noisy else ""] if noisy else []
            rows.append((label, percent(one.real[i]), percent(one.drawn[i]), *after))
    heads = (*say.COLUMNS_COLUMNS, *((say.NOISY_COLUMN,) if noisy else ()))
    caption = say.columns_heading(a.subject.name)
    table = Table(caption, heads, tuple(rows), numeric=tuple(range(1, len(heads))))
    return Chart(title, svg, table)


def _luck(c: ColumnFit, f: Fidelity) -> float:
    """The distance to be expected of two samples of the same patients: half the sum over bins of
    E|N(0, p (1 - p) (1/n + 1/m))|."""
    whole = get(f.estimates, "column_distance")
    n_real = 1 if whole is None else max(1, whole.n.get("members", 1))
    spread = (2 / math.pi) * (1 / n_real + 1 / max(1, f.rows))
    return sum(math.sqrt(spread * p * (1 - p)) for p in c.real) / 2


def _outcome(f: Fidelity) -> list[charts_synthetic.Small]:
    """The outcome as one more column, where its shares may be told."""
    real, drawn, bins = [], [], []
    for e in f.estimates:
        if n.stem(e.name) != "prevalence_synthetic" or e.value is None or e.chance is None:
            continue
        bins.append(e.name.partition("@")[2] or "with it")
        drawn.append(e.value)
        real.append(e.chance)
    if not bins:
        return []
    if len(bins) == 1:
        bins, real, drawn = (
            ["without it", "with it"],
            [1 - real[0], real[0]],
            [1 - drawn[0], drawn[0]],
        )
    apart = sum(abs(a - b) for a, b in zip(real, drawn, strict=True)) / 2
    note = f"apart {percent(apart)}"
    return [charts_synthetic.Small(say.OUTCOME, note, tuple(bins), tuple(real), tuple(drawn))]


def _small(c: ColumnFit) -> charts_synthetic.Small:
    note = f"apart {percent(c.distance)} | {percent(c.reference)}"
    return charts_synthetic.Small(c.name, note, c.bins, c.real, c.synthetic, c.noisy)


# --- copies -------------------------------------------------------------------------------------


def _near(shown: list[Pair]) -> list[Block]:
    rows: list[tuple[Text, ...]] = []
    copied: list[str] = []
    for s, f in shown:
        cells: list[Text] = []
        for name in ("exact_copies", "near_copies"):
            e = get(f.estimates, name)
            more = get(f.estimates, f"{name}_excess")
            found = more is not None and more.low is not None and more.low > 0
            found |= e is not None and e.value is None and name == "exact_copies"
            if found:
                copied.append(s.name)
            told = "" if e is None else say.FEW if e.value is None else rate(e)
            cells += [
                (Strong(told),) if found else told,
                percent(None if e is None else e.chance),
            ]
        for name in ("closest_distance", "neighbour_ratio", "closer_to_members"):
            e = get(f.estimates, name)
            if name == "closer_to_members":
                cells.append(rate(e))
            else:
                cells.append(say.with_other(e, None if e is None else e.chance))
        rows.append((s.name, *cells))
    if not any(any(row[1:]) for row in rows):
        return []
    counted = tuple(row[: len(say.NEAR_COLUMNS)] for row in rows)
    described = tuple((row[0], *row[len(say.NEAR_COLUMNS) :]) for row in rows)
    blocks: list[Block] = [Heading(say.NEAR_HEADING, "synthetic-copies"), Prose(say.NEAR)]
    if copied:
        names = list(dict.fromkeys(copied))
        blocks.append(Callout("warn", say.copies_title(names), (Prose(say.COPIES_BODY),)))
    blocks.append(Table(say.NEAR_CAPTION, say.NEAR_COLUMNS, counted, numeric=(1, 2, 3, 4)))
    if any(any(row[1:]) for row in described):
        blocks.append(
            Table(
                say.FAR_CAPTION,
                say.FAR_COLUMNS,
                described,
                numeric=(1, 2, 3),
                notes=(say.DISTANCES,),
            )
        )
    return blocks


# --- minorities ---------------------------------------------------------------------------------


def _forgot(shown: list[Pair]) -> list[Block]:
    given = [(s, f) for s, f in shown if any(g.estimates for g in f.groups)]
    if not given:
        return []
    blocks: list[Block] = [Heading(say.FORGOT_HEADING, "synthetic-groups"), Prose(say.FORGOT)]
    if len(given) <= FEW_TABLES:
        return [*blocks, *(_groups(s, f) for s, f in given)]
    tables = [
        _matrix(given, caption, name, write)
        for caption, name, write in (
            (say.FORGOT_SHARES, "group_share_synthetic", rate),
            (say.FORGOT_MANY, "auroc_loss", _text),
        )
    ]
    return [*blocks, *(table for table in tables if table is not None)]


def _groups(s: Subject, f: Fidelity) -> Table:
    rows: list[tuple[Text, ...]] = []
    for g in f.groups:
        name = f"{g.by}: {g.level}"
        if g.suppressed:
            rows.append((name, say.FORGOT_SMALL, "", "", "", ""))
            continue
        cells = [
            rate(get(g.estimates, "group_share_real")),
            rate(get(g.estimates, "group_share_synthetic")),
            *(_text(get(g.estimates, e)) for e in ("auroc_real", "auroc_synthetic", "auroc_loss")),
        ]
        rows.append(((Strong(name),) if _stands_out(g) else name, *cells))
    learner = f.utility[0].learner if f.utility else ""
    return Table(
        say.forgot_caption(s.name, learner),
        say.FORGOT_COLUMNS,
        tuple(rows),
        numeric=(1, 2, 3, 4, 5),
        notes=(say.FORGOT_BOLD,),
    )


def _stands_out(g: GroupResult) -> bool:
    share, real = (get(g.estimates, f"group_share_{side}") for side in ("synthetic", "real"))
    off = (
        share is not None
        and real is not None
        and None not in (share.low, share.high, real.low, real.high)
        and (share.low > real.high or share.high < real.low)  # type: ignore[operator]
    )
    return off or (g.p_adjusted is not None and g.p_adjusted < 0.05)


def _matrix(
    given: list[Pair], caption: str, name: str, write: Callable[[Estimate | None], str]
) -> Table | None:
    """Groups by tables, one number each."""
    levels = list(dict.fromkeys((g.by, g.level) for _, f in given for g in f.groups))
    rows: list[tuple[Text, ...]] = []
    for by, level in levels:
        cells: list[Text] = []
        for _, f in given:
            g = next((g for g in f.groups if (g.by, g.level) == (by, level)), None)
            e = None if g is None else get(g.estimates, name)
            told = "" if e is None else write(e)
            cells.append((Strong(told),) if e is not None and g and _off(g, e) else told)
        if any(cells):
            rows.append((f"{by}: {level}", *cells))
    if not rows:
        return None
    columns = ("Group", *(s.name for s, _ in given))
    return Table(
        caption, columns, tuple(rows), tuple(range(1, len(columns))), notes=(say.FORGOT_BOLD,)
    )


def _off(g: GroupResult, e: Estimate) -> bool:
    if e.name == "auroc_loss":
        return g.p_adjusted is not None and g.p_adjusted < 0.05
    return _stands_out(replace(g, p_adjusted=None))
