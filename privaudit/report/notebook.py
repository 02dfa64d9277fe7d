"""What an audit found, as a Python session prints it: text for a terminal, HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from privaudit.facts import Metric, ReasonCode
from privaudit.report.coverage import get_coverage
from privaudit.report.reading import AUC
from privaudit.report.wording.drift import LEFT
from privaudit.report.wording.knowledge import name_attack
from privaudit.report.wording.metrics import name_group, name_metric
from privaudit.report.wording.nouns import fill, use_words, w
from privaudit.report.wording.reasons_and_caveats import word_caveat, word_reason
from privaudit.results import Audit, Estimate, Failed, Finding, GroupResult, Skipped, Subject
from privaudit.verdicts import Verdicts

MEANINGS = {
    Metric(
        "auc"
    ): "how often a member reads as more of a member than somebody else; 0.5 is a guess",
    Metric("tpr", fpr=0.01): "members recognised at a false positive rate of 1 in 100",
    Metric("tpr", fpr=0.1): "members recognised at a false positive rate of 1 in 10",
}
"""The membership numbers that are shown."""

TRIALS = {
    "attack_rate": "values named rightly",
    "attack_minus_guess": "beyond a guess without the model",
    "attack_minus_control": "beyond the same attack on {people} held out",
}
"""The numbers that are shown of every other attack."""

PERFORMANCE = {
    "auroc": "how well the model ranks the outcome",
    "kappa_linear": "agreement of ordered classes beyond chance; 1 is perfect",
    "r2": "share of the outcome's variance that is predicted",
    "mae": "mean absolute error, in the outcome's unit",
}
"""The numbers that are shown of a model's performance, of whatever kind its outcome is."""

LACKS_ACCESS = ReasonCode.LACKS_ACCESS
"""An attack that needs what this release does not give away: its class says so."""

MOST_ROWS = 9
"""Rows that are shown of one attack, or of the subgroups of one column."""


@dataclass(frozen=True)
class Row:
    """One number: what it is of, the number with its interval, what it means."""

    name: str
    number: str
    meaning: str


def render_text(audit: Audit, verdicts: Verdicts | None) -> str:
    """A few lines, the caveats first."""
    with use_words(audit.data.words):
        return _render_text(audit, verdicts)


def _render_text(audit: Audit, verdicts: Verdicts | None) -> str:
    lines = [f"Findings: {audit.data.title}"]
    lines += [f"  ! {word_caveat(caveat)}" for caveat in audit.caveats]
    lines += [f"  {row.name}: {row.number}" for row in _list_rows(audit)]
    lines += [f"  {text}" for text in _list_absent(audit)]
    if verdicts is not None:
        lines.append(f"  verdict: {verdicts.state}")
    return "\n".join(lines)


def render_notebook(audit: Audit, verdicts: Verdicts | None) -> str:
    """A table: no script, everything escaped."""
    with use_words(audit.data.words):
        return _render_notebook(audit, verdicts)


def _render_notebook(audit: Audit, verdicts: Verdicts | None) -> str:
    escape = html.escape
    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><th scope='row' {left}>{escape(row.name)}</th><td>{escape(row.number)}</td>"
        f"<td {left}>{escape(row.meaning)}</td></tr>"
        for row in _list_rows(audit)
    )
    parts = [f"<h3>{escape(audit.data.title)}: privacy audit</h3>"]
    if verdicts is not None:
        parts.append(f"<p><strong>Verdict: {escape(verdicts.state)}</strong></p>")
    notes = (word_caveat(caveat) for caveat in audit.caveats)
    parts += [f"<p><strong>Note:</strong> {escape(text)}</p>" for text in notes]
    parts.append(
        "<table><thead><tr><th>attack and number</th><th>value (interval)</th>"
        f"<th>meaning</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    parts += [f"<p>{escape(text)}</p>" for text in _list_absent(audit)]
    return f"<div>{''.join(parts)}</div>"


def _list_rows(audit: Audit) -> Iterator[Row]:
    for subject in audit.subjects:
        yield from _list_membership(subject)
        yield from _list_other_attacks(subject)
        yield from _list_utility(subject)


def _list_membership(subject: Subject) -> Iterator[Row]:
    best = subject.headline
    for one in subject.outcomes:
        if not isinstance(one, Finding) or one.family != "membership":
            continue
        first = best is not None and one.attack == best.attack
        label = f"{one.attack} (headline)" if first else one.attack
        for estimate in best.estimates if best is not None and first else one.estimates:
            if estimate.metric in MEANINGS:
                name = f"{label} {name_metric(estimate.metric)}"
                yield Row(name, show(estimate), MEANINGS[estimate.metric])
        for estimate in one.corrected:
            if estimate.metric == AUC:
                yield Row(f"{label} {name_metric(AUC)}, what is left", show(estimate), LEFT)
        if first or best is None:
            meaning = f"the same of these {w.people} alone"
            yield from _list_groups(one.attack, one.groups, "auc", meaning)


def _list_other_attacks(subject: Subject) -> Iterator[Row]:
    for one in subject.outcomes:
        if not isinstance(one, Finding) or one.family == "membership":
            continue
        own = [e for e in one.estimates if e.metric.name in TRIALS]
        for estimate in own[:MOST_ROWS]:
            name = f"{one.attack} {name_metric(estimate.metric)}"
            meaning = fill(TRIALS[estimate.metric.name]) if one.family == "attribute" else ""
            yield Row(name, show(estimate), meaning)
        if len(own) > MOST_ROWS:
            yield Row(one.attack, f"{len(own) - MOST_ROWS} more numbers are in the report", "")


def _list_utility(subject: Subject) -> Iterator[Row]:
    pools = ((f"held-out {w.people}", subject.utility), ("members", subject.utility_members))
    for where, estimates in pools:
        for estimate in estimates:
            if estimate.metric.name in PERFORMANCE:
                name = f"{name_metric(estimate.metric)} on {where}"
                yield Row(name, show(estimate), PERFORMANCE[estimate.metric.name])
    for metric, meaning in PERFORMANCE.items():
        yield from _list_groups("", subject.utility_groups, metric, meaning)


def _list_groups(
    attack: str, groups: Iterable[GroupResult], metric: str, meaning: str
) -> Iterator[Row]:
    shown: dict[str, int] = {}
    for group in groups:
        name = f"{attack} {name_metric(Metric(metric))} of {name_group(group)}".strip()
        found = [one for one in group.estimates if one.metric == Metric(metric)]
        if not found and not (group.suppressed and metric in ("auc", "auroc")):
            continue
        shown[group.by] = shown.get(group.by, 0) + 1
        if shown[group.by] > MOST_ROWS:
            continue
        if not found:
            yield Row(name, f"not stated: fewer than 10 {w.people}", "")
        for estimate in found:
            yield Row(name, show(estimate), meaning)
    for by, count in shown.items():
        if count > MOST_ROWS:
            yield Row(by, f"{count - MOST_ROWS} more groups are in the report", "")


def _list_absent(audit: Audit) -> Iterator[str]:
    """What was not run, and why: attacks that were asked for, then whole classes of them."""
    for subject in audit.subjects:
        for one in subject.outcomes:
            if isinstance(one, Skipped | Failed) and one.reason.code is not LACKS_ACCESS:
                state = "not run" if isinstance(one, Skipped) else "failed with an error"
                yield f"{name_attack(one.attack)}: {state}: {word_reason(one.reason)}"
    for tried in get_coverage(audit):
        if tried.state == "NOT TESTED":
            yield f"{tried.of.name}: not tested: {tried.reason}"


def show(estimate: Estimate) -> str:
    """A number with its interval, or why there is none."""
    if estimate.value is None:
        return f"not stated: {word_reason(estimate.refusal)}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


__all__ = ["MEANINGS", "Row", "render_notebook", "render_text", "show"]
