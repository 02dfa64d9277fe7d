"""Who is most affected: the groups that an attack recognises most often, beside the average."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Chart, Details, Prose, Strong, Table, Text
from privaudit.report.notes import label
from privaudit.report.reading import get, group_measure, grouped, stated, told
from privaudit.results import Audit, Estimate, Finding, GroupResult, Subject

ORDER = 30
MOST = 12
ALPHA = 0.05


def build(audit: Audit) -> tuple[Block, ...]:
    shown = told(audit)
    blocks: list[Block] = _overview(audit) if len(shown) < len(audit.subjects) else []
    for i in shown:
        blocks += _affected(
            audit.subjects[i], i + 1, MOST if len(shown) == len(audit.subjects) else 8
        )
        if len(shown) == len(audit.subjects):
            blocks += _useful(audit.subjects[i])
    if not blocks:
        return (Prose(say.GROUPS_NONE),)
    return (Prose(say.GROUPS), *blocks)


def _overview(audit: Audit) -> list[Block]:
    """Every model in a row: its most affected group, beside everyone, and whom it serves least."""
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        finding = grouped(s)
        names = group_measure(finding.groups) if finding is not None else ()
        known = _ordered(finding.groups, names[0]) if finding is not None and names else []
        least = _least_useful(s)
        if finding is None or not known:
            continue
        worst, e = known[0]
        text = n.estimate_text(e)
        differ = sum(_differs(g) for g, _ in known)
        rows.append(
            (
                s.name,
                _text(get(finding.estimates, names[0])),
                say.group_name(worst),
                (Strong(text),) if _differs(worst) else text,
                f"{differ} of {len(known)}",
                least,
            )
        )
    if not rows:
        return []
    return [Table(say.GROUPS_ACROSS, say.GROUPS_ACROSS_COLUMNS, tuple(rows), numeric=(1, 3, 4))]


def _ordered(groups: Sequence[GroupResult], name: str) -> list[tuple[GroupResult, Estimate]]:
    """Groups with this number, most affected first."""
    shown = [g for g in groups if not g.suppressed]
    known = [(g, e) for g in shown if (e := stated(g.estimates, name)) is not None]
    return sorted(known, key=lambda entry: (-(entry[1].value or 0), say.group_name(entry[0])))


def _least_useful(subject: Subject) -> str:
    known = [
        (e.value or 0.0, say.group_name(g), e)
        for g in subject.utility_groups
        if not g.suppressed and (e := stated(g.estimates, "auroc")) is not None
    ]
    if not known:
        return ""
    _, name, e = min(known, key=lambda entry: entry[:2])
    return f"{name}, {n.estimate_text(e)}"


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def _affected(subject: Subject, number: int, most_bars: int = MOST) -> list[Block]:
    finding = grouped(subject)
    names = group_measure(finding.groups) if finding is not None else ()
    if finding is None or not names:
        return []
    shown = [g for g in finding.groups if not g.suppressed]
    known = _ordered(finding.groups, names[0])
    worst, most = known[0]
    title = say.groups_title(subject.name, say.group_name(worst), most, _differs(worst))
    svg = charts.forest(
        [
            charts.Bar(
                say.group_name(g),
                tuple(get(g.estimates, name) for name in names),
                strong=_differs(g),
            )
            for g, _ in known[:most_bars]
        ],
        [_panel(finding, name) for name in names],
        f"chart-groups-{number}",
        title,
        names=200,
    )
    hidden = sum(g.suppressed for g in finding.groups)
    notes: list[Text] = [say.hidden_groups(hidden)] if hidden else []
    notes += [say.groups_how(how) for how in dict.fromkeys(g.how for g in shown) if how]
    ordered = [g for g, _ in known]
    rest = [g for g in finding.groups if g not in ordered]
    return [Chart(title, svg, _table(subject, finding, names, (*ordered, *rest), tuple(notes)))]


def _panel(finding: Finding, name: str) -> charts.Panel:
    """One scale; its line of guessing is drawn only where that is the same for every group."""
    overall = stated(finding.estimates, name)
    chances = {e.chance for g in finding.groups for e in g.estimates if e.name == name}
    chance = chances.pop() if len(chances) == 1 else None
    return charts.Panel(
        say.panel(name), chance, overall=overall.value if overall is not None else None
    )


def _differs(group: GroupResult) -> bool:
    return group.p_adjusted is not None and group.p_adjusted <= ALPHA


def _table(
    subject: Subject,
    finding: Finding,
    names: tuple[str, ...],
    groups: tuple[GroupResult, ...],
    notes: tuple[Text, ...],
) -> Table:
    columns = ["Group", *(say.capital(say.measure(name)) for name in names)]
    rate = next((name for name in names if n.is_rate(name)), None)
    columns += [say.GUESSED] if rate else []
    columns += [say.P_COLUMN, "Patients"]
    return Table(
        say.groups_caption(subject.name, label(finding.attack)),
        tuple(columns),
        tuple(_row(g, names, rate, len(columns)) for g in groups),
        tuple(range(1, len(columns))),
        notes,
    )


def _row(
    group: GroupResult, names: tuple[str, ...], rate: str | None, width: int
) -> tuple[Text, ...]:
    title = say.group_name(group)
    if group.suppressed:
        return (title, say.SUPPRESSED, *[""] * (width - 2))
    found = [get(group.estimates, name) for name in names]
    cells = ["" if e is None else n.estimate_text(e) for e in found]
    if rate is not None:
        e = get(group.estimates, rate)
        cells.append("" if e is None else n.chance_text(e))
    sizes = next((e.n for e in found if e is not None), {})
    people = sizes.get("member_patients", sizes.get("members", sizes.get("patients")))
    cells += [n.p_text(group.p_adjusted), "" if people is None else n.whole(people)]
    return (title, *cells)


def _useful(subject: Subject) -> list[Block]:
    shown = [g for g in subject.utility_groups if not g.suppressed and g.estimates]
    if not shown:
        return []
    names = [e.name for e in shown[0].estimates][:2]
    rows: list[tuple[Text, ...]] = []
    for g in subject.utility_groups:
        cells = [get(g.estimates, name) for name in names]
        texts = [say.SUPPRESSED if g.suppressed and not i else "" for i in range(len(names))]
        if not g.suppressed:
            texts = ["" if e is None else n.estimate_text(e) for e in cells]
        rows.append((say.group_name(g), *texts))
    table = Table(
        say.utility_groups_caption(subject.name),
        ("Group", *(say.capital(say.measure(name)) for name in names)),
        tuple(rows),
        numeric=tuple(range(1, len(names) + 1)),
    )
    return [Details(table.caption, (table,))]
