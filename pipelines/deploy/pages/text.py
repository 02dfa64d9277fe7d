"""The status for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.deploy.pages import words as say
from pipelines.deploy.pages.facts import Alarm, CoordinatorStatus, HospitalStatus
from privaudit.report import numbers as n
from privaudit.report.inert import words
from privaudit.report.wording.nouns import w


def render(status: CoordinatorStatus | HospitalStatus) -> str:
    """Lines of text. Every one is made harmless: no control character of a file arrives."""
    with say.speak(status):
        lines = _coordinator(status) if isinstance(status, CoordinatorStatus) else _hospital(status)
    return "\n".join(words(line).rstrip() for line in lines) + "\n"


def _coordinator(status: CoordinatorStatus) -> list[str]:
    lines = [f"Federation {status.federation or say.UNKNOWN}, {say.say_time(status.read_at)}"]
    if not status.runs:
        lines += ["", "No run yet: start one with `privaudit federation run`."]
    for run in status.runs:
        terms = run.terms
        lines += ["", f"Run {run.run}: {say.say_stage(run)}"]
        lines += [f"  ! {text}" for text in say.list_warnings(run, status.read_at)]
        lines += _alarms(run.alarms, run.alarm_count)
        lines += _facts(
            ("task", terms.task if terms else say.UNKNOWN),
            ("method", terms.method if terms else say.UNKNOWN),
            ("protection", say.say_protection(terms.protection if terms else "")),
            ("rounds", say.say_rounds(run)),
            ("a round takes", say.say_seconds(run.seconds)),
            ("loss", n.significant(run.losses[-1][1]) if run.losses else say.UNKNOWN),
            ("tries with too few", f"{run.idle:,}" if run.idle else ""),
            ("rounds with masks removed", f"{run.recovered:,}" if run.recovered else ""),
            ("received", n.size(run.bytes_up)),
            ("sent", n.size(run.bytes_down)),
            ("last event", say.say_time(run.heard)),
        )
        rows = [
            (site.name, say.say_condition(site), f"{site.rounds:,}", say.say_notes(site))
            for site in run.sites
        ]
        lines += _table((w.site, "state", "rounds", "notes"), rows)
    return lines


def _hospital(status: HospitalStatus) -> list[str]:
    where = f"{status.federation or say.UNKNOWN} at {status.coordinator or say.UNKNOWN}"
    lines = [
        f"{w.Site} {status.name or say.UNKNOWN}, {say.say_time(status.read_at)}",
        *_facts(
            ("federation", where),
            ("left so far", f"{n.size(status.bytes)} in {say.say_messages(status.messages)}"),
        ),
    ]
    if status.changed:
        lines.append(f"  ! {say.CHANGED}")
    if status.unreadable:
        lines.append(f"  ! {say.say_unreadable(status.unreadable)}")
    if status.codes:
        count = say.say_plural(status.codes, "answer was", "answers were")
        lines.append(f"  {say.HELD_BACK.format(count=count)}")
    lines += _alarms(status.alarms, status.alarm_count)
    if not status.runs:
        lines += ["", "No run has asked for consent, and nothing has left."]
    for run in status.runs:
        terms, consent = run.terms, run.consent
        lines += ["", f"Run {run.run}: {say.STATES[run.state]}"]
        lines += [f"  ! {text}" for text in say.list_warnings(run, status.read_at)]
        if run.state == "asked":
            lines.append(f"  decide with: privaudit federation join DIR --consent {run.run}")
        agreed = terms.protection if terms else consent.protection if consent else ""
        rounds = None if terms is None else terms.rounds
        if consent is not None and rounds is None:
            rounds = consent.rounds
        lines += _facts(
            ("task", terms.task if terms else say.UNKNOWN),
            ("method", terms.method if terms else say.UNKNOWN),
            ("protection", say.say_protection(agreed)),
            ("rounds", say.UNKNOWN if rounds is None else f"{rounds:,}"),
            ("terms", terms.fingerprint if terms else ""),
            ("consent", f"{say.say_time(consent.granted)} by {consent.by}" if consent else "none"),
            (
                "withdrawn",
                "" if consent is None or consent.holds else say.say_time(consent.withdrawn),
            ),
            ("left", f"{n.size(run.bytes)} in {say.say_messages(run.messages)}"),
            ("last", say.say_time(run.last) if run.messages else ""),
        )
        if run.audit is not None:
            lines += ["  own audit:"]
            if run.audit.verdict in say.FOUND:
                lines.append(f"    {say.FOUND[run.audit.verdict][1]()}")
            lines += [f"  {line}" for line in _facts(*say.list_audit(run.audit))]
            lines += [f"    {say.BEFORE_SUM()}"] if run.audit.is_hidden else []
        rows = [
            (say.say_kind(one.name), f"{one.messages:,}", n.size(one.bytes), say.say_time(one.last))
            for one in run.kinds
        ]
        lines += _table(("what left", "messages", "bytes", "last"), rows)
    return lines


def _alarms(alarms: Sequence[Alarm], count: int) -> list[str]:
    shown = list(alarms)[-5:]
    lines = [f"  ! {say.say_time(one.at)} {one.hospital}: {say.say_alarm(one)}" for one in shown]
    if count > len(shown):
        lines.append(f"  ! and {say.say_plural(count - len(shown), 'alarm', 'alarms')} before")
    return lines


def _facts(*pairs: tuple[str, str]) -> list[str]:
    shown = [pair for pair in pairs if pair[1]]
    wide = max((len(name) for name, _ in shown), default=0)
    return [f"  {name:<{wide}}  {value}" for name, value in shown]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns in line; the last one is as wide as it needs."""
    if not rows:
        return []
    clean = [[words(cell) for cell in row] for row in (head, *rows)]
    wide = [max(len(row[i]) for row in clean) for i in range(len(head))]
    return [
        "  " + "  ".join(f"{cell:<{size}}" for cell, size in zip(row, wide, strict=True))
        for row in clean
    ]
