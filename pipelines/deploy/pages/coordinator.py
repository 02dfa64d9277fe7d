"""The coordinator's folder -> what there is to see of its runs."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.journal import Event
from pipelines.deploy.messages import STATES
from pipelines.deploy.pages import follow
from pipelines.deploy.pages.facts import (
    Alarm,
    Condition,
    CoordinatorStatus,
    RunStatus,
    Site,
    Stage,
    Terms,
)
from pipelines.deploy.pages.terms import read_terms
from pipelines.deploy.terms import NAME
from privaudit.disclosure_limits import MIN_CELL

MOST_RUNS, MOST_SITES, MOST_ROUNDS, MOST_ALARMS = 200, 200, 20_000, 50
_SAID: dict[str, Condition] = {
    "ready": "ready",
    "pending": "pending",
    "withdrawn": "withdrawn",
    "too_few": "too_few",
    "refused": "terms_refused",
}


class CoordinatorReader:
    """Reads the folder again and again, each line of a journal once."""

    def __init__(self, home: CoordinatorHome) -> None:
        self.home = home
        self._runs: dict[str, _Run] = {}

    def read(self, now: float) -> CoordinatorStatus:
        """What there is to see at this time (seconds since 1970)."""
        config = follow.read_document(self.home.config) or {}
        names = [
            name
            for name in follow.list_names(self.home.root / "runs", 10 * MOST_RUNS)
            if NAME.fullmatch(name)
        ][-MOST_RUNS:]
        self._runs = {
            name: self._runs.get(name) or _Run(name, self.home.run(name)) for name in names
        }
        runs = [run.read(now) for run in self._runs.values()]
        runs.sort(key=lambda run: (-(run.started or 0.0), run.run))
        return CoordinatorStatus(
            federation=follow.as_text(config.get("name")),
            read_at=now,
            hospitals=tuple(follow.as_names(config.get("hospitals"), MOST_SITES)),
            runs=tuple(runs),
        )


@dataclass
class _Site:
    said: Condition = "unheard"
    said_at: float | None = None
    lost_at: float | None = None
    late_at: float | None = None
    refused_at: float | None = None
    rounds: int = 0
    last: int | None = None
    patients: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    why: str = ""

    def add(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def answer(self) -> None:
        """It is there, and in time."""
        self.lost_at = self.late_at = None

    def describe(self, name: str) -> Site:
        condition, since = self.said, self.said_at
        if condition in ("ready", "unheard"):
            for one, at in (
                ("lost", self.lost_at),
                ("late", self.late_at),
                ("gate_refused", self.refused_at),
            ):
                if at is not None:
                    condition, since = one, at  # type: ignore[assignment]
                    break
        return Site(
            name=name,
            condition=condition,
            since=since or None,
            rounds=self.rounds,
            last=self.last,
            patients=self.patients,
            unanswered=self.counts.get("unanswered", 0),
            late=self.counts.get("late", 0),
            refused=self.counts.get("refused", 0),
            bad=self.counts.get("bad", 0),
            clipped=self.counts.get("clipped", 0),
            why=self.why,
        )


class _Run:
    """One run's journal, added up."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.terms: Terms | None = None
        self.lines = follow.Follower(folder / "journal.jsonl")
        self._begin()

    def _begin(self) -> None:
        self.sites: dict[str, _Site] = {}
        self.losses: dict[int, float] = {}
        self.took: deque[float] = deque(maxlen=20)
        self.alarms: deque[Alarm] = deque(maxlen=MOST_ALARMS)
        self.alarm_count = self.made = self.idle = self.recovered = self.segments = 0
        self.highest = -1
        self.up = self.down = 0
        self.started: float | None = None
        self.heard: float | None = None
        self.end: tuple[Stage, float | None, str] | None = None
        self.graded = False
        self.planned: int | None = None

    def read(self, now: float) -> RunStatus:
        if self.terms is None:
            self.terms = read_terms(self.folder / "terms.json")
        again, lines = self.lines.read()
        if again:
            self._begin()
        for name in () if self.terms is None else self.terms.roster:
            self._site(name)
        for line in lines:
            self._add(line)
        return self._describe(now)

    def _site(self, name: object) -> _Site:
        known = follow.as_text(name, 40)
        if known in self.sites:
            return self.sites[known]
        if not known or len(self.sites) >= MOST_SITES:
            return _Site()
        return self.sites.setdefault(known, _Site())

    def _add(self, line: Mapping[str, Any]) -> None:
        at = follow.as_seconds(line.get("t"))
        self.heard = at if at is not None else self.heard
        event = line.get("event")
        if event in (Event.STARTED, Event.RESUMED):
            self._start(line, at)
        elif event == Event.HELLO:
            self._greet(line, at)
        elif event in (Event.ROUND, Event.IDLE):
            self._round(line, event == Event.IDLE)
        elif event in (Event.NO_ANSWER, Event.LATE, Event.BAD_ANSWER):
            self._miss(str(event), line, at)
        elif event == Event.REFUSED:
            site = self._site(line.get("hospital"))
            site.add("refused")
            site.why, site.refused_at = follow.as_reason(line.get("why")), at or 0.0
        elif event == Event.CLIPPED:
            self._site(line.get("hospital")).add("clipped")
        elif event == Event.RECOVERED:
            self.recovered += 1
        elif event == Event.WITHDRAWN:
            site = self._site(line.get("hospital"))
            site.said, site.said_at = "withdrawn", at
        elif event == Event.BACK:
            self._site(line.get("hospital")).answer()
        elif event == Event.ALARM:
            self._warn(line, at)
        elif event == Event.GRADED:
            self.graded = True
        elif event == Event.STOPPED:
            why = follow.as_reason(line.get("why"))
            if why == "error":
                why = follow.as_reason(line.get("what")) or why
            self.end = ("stopped", at, why)
        elif event == Event.DONE:
            self.end = ("done", at, "")
            self.planned = follow.as_count(line.get("rounds")) or self.planned

    def _warn(self, line: Mapping[str, Any], at: float | None) -> None:
        name, what = follow.as_text(line.get("hospital"), 40), follow.as_text(line.get("what"))
        self.alarm_count += 1
        self.alarms.append(Alarm(at, name, what))
        if what.startswith("other_"):
            site = self._site(name)
            site.said, site.said_at = "unfit", at

    def _start(self, line: Mapping[str, Any], at: float | None) -> None:
        self.end = None
        self.planned = follow.as_count(line.get("rounds")) or self.planned
        if line.get("event") == Event.STARTED:
            self.segments += 1
            self.started = self.started if self.started is not None else at
            for name in follow.as_names(line.get("hospitals"), MOST_SITES):
                self._site(name)

    def _greet(self, line: Mapping[str, Any], at: float | None) -> None:
        site = self._site(line.get("hospital"))
        state = line.get("state")
        site.answer()
        if isinstance(state, str) and state in STATES and site.said != _SAID[state]:
            site.said, site.said_at = _SAID[state], at
        patients = follow.as_count(line.get("patients"))
        # Fewer than may be shown is kept nowhere.
        site.patients = patients if patients is not None and patients >= MIN_CELL else None

    def _round(self, line: Mapping[str, Any], idle: bool) -> None:
        number = follow.as_count(line.get("round"))
        for name in follow.as_names(line.get("hospitals"), MOST_SITES):
            site = self._site(name)
            site.answer()
            if not idle:
                site.said = "ready" if site.said == "unheard" else site.said
                site.rounds += 1
                site.last, site.refused_at = number, None
        if idle:
            self.idle += 1
        if number is not None and number > self.highest and not idle:
            self.made, self.highest = self.made + 1, number
        for name, amount in (("up", "bytes_up"), ("down", "bytes_down")):
            setattr(self, name, getattr(self, name) + (follow.as_count(line.get(amount)) or 0))
        seconds, loss = follow.as_seconds(line.get("seconds")), follow.as_number(line.get("loss"))
        if seconds is not None and not idle:
            self.took.append(seconds)
        if number is not None and loss is not None and not idle:
            self.losses[number] = loss
            if len(self.losses) > MOST_ROUNDS:
                del self.losses[next(iter(self.losses))]

    def _miss(self, event: str, line: Mapping[str, Any], at: float | None) -> None:
        site = self._site(line.get("hospital"))
        if event == Event.LATE:
            site.add("late")
            site.late_at, site.lost_at = at or 0.0, None
        elif event == Event.NO_ANSWER:
            site.add("unanswered")
            site.lost_at = site.lost_at if site.lost_at is not None else at or 0.0
        else:
            site.add("bad")
            site.why = follow.as_reason(line.get("why"))

    def _describe(self, now: float) -> RunStatus:
        rounds = self.planned if self.terms is None else self.terms.rounds or self.planned
        stage: Stage = "training" if self.made else "waiting"
        if self.made and (self.graded or (rounds is not None and self.made >= rounds)):
            stage = "grading"
        ended, why = None, ""
        if self.end is not None:
            stage, ended, why = self.end
        seconds = statistics.median(self.took) if self.took else None
        timeout = 120.0 if self.terms is None else self.terms.timeout
        patience = max(60.0, 3 * timeout, 10 * (seconds or 0.0))
        return RunStatus(
            run=self.name,
            terms=self.terms,
            stage=stage,
            why=why,
            round=self.made,
            rounds=rounds,
            seconds=seconds,
            started=self.started,
            ended=ended,
            heard=self.heard,
            silent=stage == "training" and self.heard is not None and now - self.heard > patience,
            stop_asked=self.end is None and (self.folder / "stop").exists(),
            sites=tuple(site.describe(name) for name, site in sorted(self.sites.items())),
            losses=tuple(sorted(self.losses.items())),
            idle=self.idle,
            recovered=self.recovered,
            segments=self.segments,
            bytes_up=self.up,
            bytes_down=self.down,
            alarms=tuple(self.alarms),
            alarm_count=self.alarm_count,
            unreadable=self.lines.unreadable,
        )


__all__ = ["CoordinatorReader"]
