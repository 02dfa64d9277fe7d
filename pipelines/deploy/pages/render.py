"""The pages: what there is to see, as HTML in which every text is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.deploy.pages import labels
from pipelines.deploy.pages import words as say
from pipelines.deploy.pages.chart import Chart, draw_losses
from pipelines.deploy.pages.facts import (
    Alarm,
    CoordinatorStatus,
    HospitalRun,
    HospitalStatus,
    RunStatus,
)
from privaudit.report import numbers as n
from privaudit.report.inert import words
from privaudit.report.wording.nouns import Phrase, w

HERE = Path(__file__).parent
MOST_SHOWN = 20
"""Runs on a page, the latest first."""
_LOOKS = {
    "training": "is-good",
    "grading": "is-good",
    "done": "is-good",
    "waiting": "is-warn",
    "stopped": "is-warn",
    "asked": "is-warn",
    "given": "is-good",
    "none": "is-stop",
}
Notice = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """numeric: which columns are aligned at the right. wide: it scrolls on a narrow screen."""

    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    wide: bool = False
    title: str = ""
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class Part:
    """The section of one run. facts stand before its tables, more after them."""

    anchor: str
    name: str
    badge: str
    look: str
    notices: tuple[Notice, ...]
    facts: tuple[tuple[str, str], ...]
    more: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    settings: tuple[str, ...] = ()
    progress: tuple[int, int] | None = None
    chart: Chart | None = None
    command: str = ""
    withdraw: str = ""

    @property
    def title(self) -> str:
        return f"Run {self.name}"


@cache
def style() -> str:
    """The stylesheet, in the page itself."""
    return re.sub(r"\s*\n\s*", "\n", (HERE / "page.css").read_text(encoding="utf-8")).strip()


@cache
def style_hash() -> str:
    """What the page's policy allows: this style element and no other."""
    digest = hashlib.sha256(style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
    )
    env.filters["whole"] = Markup
    return env


def _finalize(value: Any) -> Any:
    return words(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _fill(template: str, kind: str, heading: str, **values: Any) -> str:
    values = {"refresh": None, **values}
    return (
        _environment()
        .get_template(template)
        .render(
            say=labels, style=style(), kind=kind, heading=heading, title=f"{heading} · {kind}",
            **values,
        )
    )  # fmt: skip


def render_status(
    status: CoordinatorStatus | HospitalStatus, base: str, refresh: int | None, said: str = ""
) -> str:
    """The page of a coordinator or a hospital.

    Args:
        base: The path that the page lies under, with a slash at its end.
        refresh: Seconds after which the browser asks again; None: never.
        said: What has just been done.
    """
    with say.speak(status):
        notices: list[Notice] = [("", said, ())] if said else []
        if isinstance(status, CoordinatorStatus):
            kind, heading = "Coordinator of a federation", status.federation or say.UNKNOWN
            meta = [(w.Sites, ", ".join(status.hospitals) or say.UNKNOWN)]
            parts = [_show_run(run, status.read_at) for run in status.runs[:MOST_SHOWN]]
            empty = "No run yet."
        else:
            kind, heading = f"{w.Site} in a federation", status.name or say.UNKNOWN
            meta = _describe_hospital(status)
            notices += _warn_hospital(status)
            parts = [_show_hospital_run(run, status.read_at) for run in status.runs[:MOST_SHOWN]]
            empty = "No run has asked for consent, and nothing has left."
        meta.append((labels.READ, say.say_time(status.read_at)))
        return _fill(
            "status.html",
            kind,
            heading,
            meta=meta,
            parts=parts,
            notices=notices,
            base=base,
            refresh=refresh,
            empty=empty,
        )


def render_withdraw(status: HospitalStatus, run: HospitalRun, base: str, csrf: str) -> str:
    """The page that asks whether the consent to this run is to end."""
    with say.speak(status):
        consent = run.consent
        rows = [
            ("Consent", "" if consent is None else _describe_consent(run)),
            ("Left so far", f"{n.size(run.bytes)} in {say.say_messages(run.messages)}"),
        ]
        return _fill(
            "withdraw.html",
            f"{w.Site} {status.name}",
            f"Withdraw the consent to the run {run.run}?",
            rows=rows,
            warning=Phrase(say.WITHDRAW)(),
            run=run.run,
            base=base,
            csrf=csrf,
        )


def render_message(
    heading: str, lines: Sequence[str] = (), base: str = "", command: str = ""
) -> str:
    """A page that says one thing."""
    return _fill("message.html", "privaudit", heading, lines=lines, base=base, command=command)


def _warn(texts: Sequence[str], kind: str = "warn") -> list[Notice]:
    return [(kind, text, ()) for text in texts]


def _show_alarms(alarms: Sequence[Alarm], count: int) -> list[Notice]:
    if not count:
        return []
    lines = [
        f"{say.say_time(one.at)}{', ' + one.hospital if one.hospital else ''}: {say.say_alarm(one)}"
        for one in reversed(alarms)
    ]
    left = count - len(lines)
    lines += [f"And {say.say_plural(left, 'alarm', 'alarms')} before these."] if left else []
    return [("stop", say.say_plural(count, "alarm", "alarms"), tuple(lines))]


def _show_run(run: RunStatus, now: float) -> Part:
    terms, anchor = run.terms, f"run-{run.run}"
    facts = (
        ("Rounds made", say.say_rounds(run)),
        ("A round takes", say.say_seconds(run.seconds)),
        ("Tries with too few answers", f"{run.idle:,}" if run.idle else ""),
        ("Rounds in which masks were removed", f"{run.recovered:,}" if run.recovered else ""),
        ("Received", n.size(run.bytes_up)),
        ("Sent", n.size(run.bytes_down)),
        ("Last event", say.say_time(run.heard)),
    )
    more = (
        ("Task", terms.task if terms else say.UNKNOWN),
        ("Method", terms.method if terms else say.UNKNOWN),
        ("Protection", say.say_protection(terms.protection if terms else "")),
        ("A round needs", f"{terms.quorum} {w.sites}" if terms else ""),
        ("Started", say.say_time(run.started)),
        ("Starts of the engine", f"{run.segments:,}" if run.segments > 1 else ""),
        ("Ended", say.say_time(run.ended) if run.ended is not None else ""),
        ("Terms (sha256)", terms.fingerprint if terms else ""),
    )
    rows = tuple(
        (
            site.name,
            say.say_condition(site),
            f"{site.rounds:,}",
            say.say_round(site.last),
            say.say_patients(site),
            say.say_notes(site),
        )
        for site in run.sites
    )
    columns = (w.Site, "State", "Rounds", "Last round", w.People, "Notes")
    table = Table("sites", "What they do now", columns, rows, (2, 3, 4), wide=True, title=w.Sites)
    return Part(
        anchor=anchor,
        name=run.run,
        badge=say.say_stage(run),
        look="is-warn" if run.silent else _LOOKS[run.stage],
        notices=(
            *_warn(say.list_warnings(run, now)),
            *_show_alarms(run.alarms, run.alarm_count),
        ),
        facts=facts,
        more=more,
        settings=() if terms is None else terms.settings,
        progress=(min(run.round, run.rounds), run.rounds) if run.rounds else None,
        tables=(table,) if rows else (),
        chart=draw_losses(run.losses, anchor),
    )


def _describe_hospital(status: HospitalStatus) -> list[tuple[str, str]]:
    return [
        ("Federation", status.federation or say.UNKNOWN),
        ("Coordinator", status.coordinator or say.UNKNOWN),
        ("Left so far", f"{n.size(status.bytes)} in {say.say_messages(status.messages)}"),
    ]


def _warn_hospital(status: HospitalStatus) -> list[Notice]:
    texts = [say.CHANGED] if status.changed else []
    texts += [say.say_unreadable(status.unreadable)] if status.unreadable else []
    found = _show_alarms(status.alarms, status.alarm_count) + _warn(texts)
    if status.codes:
        count = say.say_plural(status.codes, "answer was", "answers were")
        found += _warn([say.HELD_BACK.format(count=count)], "")
    return found


def _describe_consent(run: HospitalRun) -> str:
    consent = run.consent
    if consent is None:
        return "none"
    by = f" by {consent.by}" if consent.by else ""
    return f"given {say.say_time(consent.granted)}{by}"


def _show_hospital_run(run: HospitalRun, now: float) -> Part:
    terms, consent, anchor = run.terms, run.consent, f"run-{run.run}"
    agreed = terms.protection if terms else consent.protection if consent else ""
    rounds = terms.rounds if terms else consent.rounds if consent else None
    ended = consent is not None and not consent.holds
    facts = (
        ("Consent", _describe_consent(run)),
        ("Withdrawn", say.say_time(consent.withdrawn) if consent is not None and ended else ""),
        ("Protection", say.say_protection(agreed)),
        ("Left", f"{n.size(run.bytes)} in {say.say_messages(run.messages)}"),
        ("First", say.say_time(run.first) if run.messages else ""),
        ("Last", say.say_time(run.last) if run.messages else ""),
    )
    more = (
        ("Task", terms.task if terms else say.UNKNOWN),
        ("Method", terms.method if terms else say.UNKNOWN),
        ("Rounds", say.UNKNOWN if rounds is None else f"{rounds:,}"),
        (w.Sites, ", ".join(terms.roster) if terms else ""),
        ("Terms (sha256)", terms.fingerprint if terms else ""),
    )
    asked = f"privaudit federation join DIR --consent {run.run}" if run.state == "asked" else ""
    holds = consent is not None and consent.holds
    return Part(
        anchor=anchor,
        name=run.run,
        badge=say.STATES[run.state],
        look=_LOOKS.get(run.state, ""),
        notices=(*_warn(say.list_warnings(run, now), "stop"), *_judge(run)),
        facts=facts,
        more=more,
        settings=() if terms is None else terms.settings,
        tables=tuple(table for table in _show_sent(run) if table.rows),
        command=asked,
        withdraw=run.run if holds else "",
    )


def _judge(run: HospitalRun) -> list[Notice]:
    """What the hospital's own audit found."""
    if run.audit is None or run.audit.verdict not in say.FOUND:
        return []
    kind, text = say.FOUND[run.audit.verdict]
    return [(kind, f"Own audit: {text()}", ())]


def _show_sent(run: HospitalRun) -> tuple[Table, ...]:
    kinds = tuple(
        (say.say_kind(one.name), f"{one.messages:,}", n.size(one.bytes), say.say_time(one.last))
        for one in run.kinds
    )
    rounds = tuple(
        (
            say.say_round(int(one.name)),
            f"{one.messages:,}",
            n.size(one.bytes),
            say.say_time(one.last),
        )
        for one in reversed(run.rounds)
    )
    latest = tuple(
        (
            say.say_time(one.at),
            say.say_round(one.round),
            say.say_kind(one.kind),
            n.size(one.bytes),
            one.sha256,
        )
        for one in run.latest
    )
    left = f"{run.rounds_left_out:,} earlier rounds are not listed." if run.rounds_left_out else ""
    hidden = run.audit is not None and run.audit.is_hidden
    return (
        Table(
            "audit",
            Phrase("What an attacker learns from one update of this {site}")(),
            ("Measured here", "Result"),
            tuple(say.list_audit(run.audit)),
            (1,),
            title="Own audit",
            note=say.BEFORE_SUM() if hidden else "",
        ),
        Table(
            "kinds",
            "By kind of message",
            ("What", "Messages", "Bytes", "Last"),
            kinds,
            (1, 2),
            wide=True,
            title="What left",
        ),
        Table(
            "rounds",
            "By round",
            ("Round", "Messages", "Bytes", "Last"),
            rounds,
            (1, 2),
            folded=True,
            note=left,
        ),
        Table(
            "latest",
            f"The latest {say.say_messages(len(latest))}",
            ("When", "Round", "What", "Bytes", "sha256"),
            latest,
            (1, 3),
            wide=True,
            folded=True,
        ),
    )


__all__ = ["render_message", "render_status", "render_withdraw", "style_hash"]
