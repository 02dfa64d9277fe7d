"""Findings of many models: one table a topic, a row a model, in place of a table a model."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.report import charts
from privaudit.report import numbers as n
from privaudit.report import wording as say
from privaudit.report.blocks import Block, Bullets, Chart, Heading, Prose, Strong, Table, Text
from privaudit.report.notes import FAMILIES, label
from privaudit.report.reading import (
    PRIMARY,
    Budget,
    blanks,
    budgets,
    excess,
    findings,
    get,
    middle,
    others,
    rate_at,
    read,
)
from privaudit.results import Audit, Estimate, Finding, Skipped, Subject

FPRS = (0.1, 0.01, 0.001)
ELSEWHERE = ("membership", "poisoning")
EPSILON = ("epsilon_lower_bound", "epsilon_lower_bound_fdp")


LONG = 40
"""Results of a family that a table holds at every setting; of more, each attack's best setting."""


def membership(audit: Audit) -> list[Block]:
    """The headline of every model as a drawing, then every attack by every measure."""
    games = list(dict.fromkeys(f.attack for s in audit.subjects for f in findings(s, "membership")))
    if not games and all(s.headline is None for s in audit.subjects):
        return []
    blocks: list[Block] = [Heading(FAMILIES["membership"][0], "findings-membership")]
    blocks += _forest(audit)
    blocks.append(_matrix(audit, games, "auc"))
    rates = [_matrix(audit, games, f"tpr_at_fpr_{fpr:g}") for fpr in FPRS]
    given = [table for table in rates if any(any(row[1:]) for row in table.rows)]
    return [*blocks, *given[-1:]]


def _forest(audit: Audit) -> list[Block]:
    bars: list[charts.Bar] = []
    rows: list[tuple[Text, ...]] = []
    for s in audit.subjects:
        r = read(audit, s)
        if r.finding is None:
            continue
        rate = rate_at(r.finding.estimates, PRIMARY)
        bars.append(charts.Bar(s.name, (r.auc, rate), "too few patients", r.state == "found"))
        how = say.AFTER if r.afterwards else "; ".join(r.finding.caveats)
        rows.append((s.name, label(r.finding.attack), _text(r.auc), _text(rate), how))
    if not any(e is not None and e.value is not None for b in bars for e in b.panels[:1]):
        return []
    fair = list(dict.fromkeys(str(row[4]) for row in rows))
    notes = tuple(
        say.chosen(how, [str(r[0]) for r in rows if r[4] == how], len(rows)) for how in fair if how
    )
    known = [b for b in bars if b.panels[0] is not None and b.panels[0].value is not None]
    title = say.forest_across(sum(b.strong for b in known), len(known))
    panels = [charts.Panel("AUC", 0.5), charts.Panel(say.panel(f"tpr_at_fpr_{PRIMARY:g}"), PRIMARY)]
    svg = charts.forest(known, panels, "chart-headlines", title, names=190)
    table = Table(
        say.HEADLINES_CAPTION,
        say.HEADLINES_COLUMNS,
        tuple(row[:4] for row in rows),
        numeric=(2, 3),
        notes=notes,
    )
    return [Chart(title, svg, table)]


def _matrix(audit: Audit, games: Sequence[str], name: str) -> Table:
    """One measure: a row a model, a column an attack. Bold: above guessing by more than chance."""
    rows: list[tuple[Text, ...]] = []
    reasons: dict[str, int] = {}
    for s in audit.subjects:
        own = {f.attack: f for f in findings(s, "membership")}
        cells: list[Text] = []
        for attack in games:
            e = get(own[attack].estimates, name) if attack in own else None
            if e is not None and e.value is None:
                reasons[e.refusal or "no reason given"] = reasons.get(e.refusal or "", 0) + 1
            stated_ = e is not None and e.value is not None
            text = n.estimate_text(e) if e is not None and stated_ else ""
            cells.append((Strong(text),) if excess(e) else text)
        if any(cells):
            rows.append((s.name, *cells))
    notes: list[Text] = [say.BOLD_ABOVE] if rows else []
    notes += [say.not_stated(reason) for reason in list(reasons)[:1]]
    return Table(
        say.matrix_caption(name),
        ("Model", *(label(a) for a in games)),
        tuple(rows),
        numeric=tuple(range(1, len(games) + 1)),
        notes=tuple(notes),
    )


def trials(audit: Audit) -> list[Block]:
    """Every other family: what succeeded, and by how much more than without the attacker’s skill."""
    families = list(dict.fromkeys(f.family for s in audit.subjects for f in findings(s)))
    blocks: list[Block] = []
    for family in families:
        if family in ELSEWHERE:
            continue
        tried = [(s, f, b) for s in audit.subjects for f in findings(s, family) for b in budgets(f)]
        if not tried:
            continue
        title, about = FAMILIES.get(family, (say.capital(family), ""))
        if family == "evasion":
            size = middle([b.size for _, _, b in tried])
            tried = [entry for entry in tried if entry[2].size == size]
            about = f"{about} {say.one_budget(size)}"
        blocks += [Heading(title, f"findings-{family}"), Prose(about.strip())]
        blocks.append(_tried(title, tried if len(tried) <= LONG else _best(tried), len(tried)))
    return blocks


def _best(
    tried: Sequence[tuple[Subject, Finding, Budget]],
) -> list[tuple[Subject, Finding, Budget]]:
    """Of each attack on each model the setting with the largest difference to its control, or where
    there is none to guessing; of evasion, which is no risk of those trained on, the best attack alone."""

    def gain(entry: tuple[Subject, Finding, Budget]) -> float:
        known = [e.value for e in (entry[2].gap, entry[2].gain) if e is not None]
        return next((value for value in known if value is not None), float("-inf"))

    kept: dict[tuple[str, str], tuple[Subject, Finding, Budget]] = {}
    for entry in tried:
        evades = entry[1].family == "evasion"
        key = (entry[0].name, "" if evades else entry[1].attack)
        if key not in kept or gain(entry) > gain(kept[key]):
            kept[key] = entry
    return list(kept.values())


def _tried(title: str, tried: Sequence[tuple[Subject, Finding, Budget]], of: int) -> Table:
    guessed = any(b.guess is not None for _, _, b in tried)
    rows: list[tuple[Text, ...]] = []
    for s, f, b in tried:
        cells = [_text(b.attack), _gap(b.gap)]
        cells += [_gap(b.gain)] if guessed else []
        rows.append((s.name, label(f.attack), b.size, *cells))
    columns = (*say.TRIED_COLUMNS, *((say.OVER_GUESS,) if guessed else ()))
    controls = dict.fromkeys(
        say.control_is(label(f.attack), c.removeprefix("control: "))
        for _, f, _ in tried
        for c in f.caveats
        if c.startswith("control: ")
    )
    refused = dict.fromkeys(
        say.not_stated(e.refusal)
        for _, _, b in tried
        for e in (b.attack, b.gap)
        if e is not None and e.refusal
    )
    return Table(
        say.across_caption(title),
        columns,
        tuple(rows),
        numeric=tuple(range(3, len(columns))),
        notes=(
            say.TRIAL_NOTE,
            *((say.best_settings(len(tried), of),) if len(tried) < of else ()),
            *controls,
            *list(refused)[:2],
        ),
    )


def _gap(e: Estimate | None) -> Text:
    return (Strong(n.estimate_text(e)),) if excess(e) and e is not None else _text(e)


def _text(e: Estimate | None) -> str:
    return "" if e is None else n.estimate_text(e)


def without(audit: Audit) -> list[Block]:
    """Attacks without a result: one row a reason, with the models it holds for."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for s in audit.subjects:
        for o in blanks(s):
            skipped = isinstance(o, Skipped)
            why = o.reason if isinstance(o, Skipped) else o.error
            found.setdefault(
                (say.SKIPPED if skipped else say.FAILED, why, label(o.attack)), []
            ).append(s.name)
    grouped: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (what, why, attack), models in found.items():
        grouped.setdefault((what, why, tuple(models)), []).append(attack)
    rows = tuple(
        (", ".join(attacks), what, why, say.models(models, len(audit.subjects)))
        for (what, why, models), attacks in grouped.items()
    )
    return [Table(say.BLANKS_ACROSS, say.BLANKS_ACROSS_COLUMNS, rows)] if rows else []


def leftovers(audit: Audit) -> list[Block]:
    """Numbers that no other table knows, and every caveat, each once."""
    rows = tuple(
        (
            s.name,
            label(f.attack),
            say.capital(say.measure(e.name)),
            n.estimate_text(e) if e.refusal is None else f"not stated: {e.refusal}",
            n.chance_text(e),
        )
        for s in audit.subjects
        for f in findings(s)
        for e in others(f)
        if e.name not in EPSILON
    )
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Table(say.OTHERS_ACROSS, ("Model", *say.OTHERS_COLUMNS), rows, numeric=(3, 4))
        )
    said: dict[tuple[str, str], list[str]] = {}
    for s in audit.subjects:
        for f in findings(s):
            for caveat in f.caveats:
                if not caveat.startswith("control: "):
                    said.setdefault((label(f.attack), caveat), []).append(s.name)
    if said:
        lines = tuple(
            f"{attack}: {caveat} ({say.models(tuple(models), len(audit.subjects))})"
            for (attack, caveat), models in said.items()
        )
        blocks += [Heading(say.CAVEATS, "findings-caveats"), Bullets(lines)]
    return blocks


__all__ = ["leftovers", "membership", "trials", "without"]
