"""Who is most affected: the groups that an attack recognises most often, beside the average."""

from __future__ import annotations

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import sentences as say
from privaudit.report.blocks import Block, Chart, Details, Prose, Table, Text
from privaudit.report.notes import label
from privaudit.report.reading import get, group_measure, grouped, stated
from privaudit.results import Audit, Estimate, Finding, GroupResult, Subject

ORDER = 40
MOST = 12
ALPHA = 0.05


def build(audit: Audit) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for number, subject in enumerate(audit.subjects, 1):
        blocks += _affected(subject, number)
        blocks += _useful(subject)
    if not blocks:
        return (Prose(say.GROUPS_NONE),)
    return (Prose(say.GROUPS), *blocks)


def _affected(subject: Subject, number: int) -> list[Block]:
    finding = grouped(subject)
    name = group_measure(finding.groups) if finding is not None else None
    if finding is None or name is None:
        return []
    shown = [g for g in finding.groups if not g.suppressed]
    known = [(g, e) for g in shown if (e := stated(g.estimates, name)) is not None]
    known.sort(key=lambda entry: (-(entry[1].value or 0), say.group_name(entry[0])))
    worst, most = known[0]
    sure = worst.p_adjusted is not None and worst.p_adjusted <= ALPHA
    title = say.groups_title(subject.name, say.group_name(worst), most, sure)
    svg = charts.forest(
        [charts.Bar(say.group_name(g), (e,), strong=_differs(g)) for g, e in known[:MOST]],
        [_panel(finding, name)],
        f"chart-groups-{number}",
        title,
        names=230,
    )
    rows: list[tuple[Text, ...]] = [_row(g, e) for g, e in known]
    rows += [_row(g, get(g.estimates, name)) for g in shown if stated(g.estimates, name) is None]
    rows += [_row(g, None) for g in finding.groups if g.suppressed]
    caption = say.groups_caption(subject.name, label(finding.attack))
    notes: list[Text] = []
    hidden = sum(g.suppressed for g in finding.groups)
    if hidden:
        notes.append(say.hidden_groups(hidden))
    notes += [say.groups_how(how) for how in dict.fromkeys(g.how for g in shown) if how]
    table = Table(caption, say.groups_columns(name), tuple(rows), (1, 2, 3), tuple(notes))
    return [Chart(title, svg, table)]


def _panel(finding: Finding, name: str) -> charts.Panel:
    overall = stated(finding.estimates, name)
    first = next((e for g in finding.groups for e in g.estimates if e.name == name), None)
    chance = first.chance if first is not None else None
    title = f"{say.capital(say.measure(name))}, most affected first"
    return charts.Panel(title, chance, overall=overall.value if overall is not None else None)


def _differs(group: GroupResult) -> bool:
    return group.p_adjusted is not None and group.p_adjusted <= ALPHA


def _row(group: GroupResult, e: Estimate | None) -> tuple[Text, ...]:
    name = say.group_name(group)
    if group.suppressed:
        return (name, say.SUPPRESSED, "", "")
    if e is None:
        return (name, "not stated", n.p_text(group.p_adjusted), "")
    people = e.n.get("member_patients", e.n.get("members", e.n.get("patients")))
    text = (
        n.estimate_text(e)
        if e.value is not None
        else f"not stated: {e.refusal or 'no reason given'}"
    )
    return (name, text, n.p_text(group.p_adjusted), "" if people is None else n.whole(people))


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
