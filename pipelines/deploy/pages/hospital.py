"""A hospital's folder -> what there is to see of what it takes part in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.journal import Event
from pipelines.deploy.pages import follow
from pipelines.deploy.pages.facts import (
    AUDITED,
    AUDITED_COUNTS,
    Alarm,
    Consent,
    HospitalRun,
    HospitalStatus,
    Message,
    OwnAudit,
    Sent,
    Terms,
)
from pipelines.deploy.pages.terms import read_terms
from pipelines.deploy.terms import NAME
from privaudit.disclosure_limits import MIN_CELL

GREETING = 64
"""Bytes. That it has not consented a hospital may say without consent: such a greeting is shorter
than one with a digest of its columns."""
ON_THE_WAY = 1.0
"""Seconds after a withdrawal in which an answer that was checked before it may be written down."""
MOST_RUNS, MOST_KINDS, MOST_ROUNDS, MOST_LATEST, MOST_ALARMS = 200, 40, 200, 50, 50


class HospitalReader:
    """Reads the folder again and again, each line of the outbox and the journal once."""

    def __init__(self, home: HospitalHome) -> None:
        self.home = home
        self.outbox = follow.Follower(home.outbox)
        self.journal = follow.Follower(home.journal)
        self.terms: dict[str, Terms] = {}
        self._begin_outbox()
        self._begin_journal()

    def _begin_outbox(self) -> None:
        self.sent: dict[str, _Sent] = {}
        self.foreign = self.codes = 0

    def _begin_journal(self) -> None:
        self.turns: dict[str, list[tuple[float, bool]]] = {}
        self.alarms: deque[Alarm] = deque(maxlen=MOST_ALARMS)
        self.alarm_count = 0

    def read(self, now: float) -> HospitalStatus:
        """What there is to see at this time (seconds since 1970)."""
        config = follow.read_document(self.home.config) or {}
        # The outbox first: a consent that covers a message was written before it.
        again, lines = self.outbox.read()
        if again:
            self._begin_outbox()
        again, events = self.journal.read()
        if again:
            self._begin_journal()
        for event in events:
            self._note(event)
        self.terms = {}
        consents = read_consents(follow.read_document(self.home.consent) or {})
        for line in lines:
            self._add(line, consents)
        runs = [self._describe(name, consents.get(name)) for name in self._names(consents)]
        runs.sort(key=lambda run: (run.state != "asked", -(run.last or 0.0), run.run))
        data = config.get("data")
        return HospitalStatus(
            name=follow.as_text(config.get("name"), 40),
            federation=follow.as_text(config.get("federation")),
            coordinator=_address(config),
            task=follow.as_text(data.get("task")) if isinstance(data, dict) else "",
            read_at=now,
            runs=tuple(runs),
            bytes=sum(one.bytes for one in self.sent.values()),
            messages=sum(one.messages for one in self.sent.values()),
            alarms=tuple(self.alarms),
            alarm_count=self.alarm_count,
            unreadable=self.outbox.unreadable + self.journal.unreadable + self.foreign,
            codes=self.codes,
            changed=self.outbox.rewritten > 0,
        )

    def _names(self, consents: Mapping[str, Consent]) -> list[str]:
        """Runs that asked, that were agreed to, or of which something left."""
        for name in follow.list_names(self.home.root / "pending", MOST_RUNS, ".json"):
            self._read_terms(name)
        known = [*self.terms, *consents, *self.sent]
        return list(dict.fromkeys(known))[:MOST_RUNS]

    def _read_terms(self, run: str) -> None:
        if NAME.fullmatch(run):
            for path in (self.home.pending(run), self.home.run(run) / "terms.json"):
                terms = read_terms(path)
                if terms is not None and terms.run == run:
                    self.terms[run] = terms
                    return
        self.terms.pop(run, None)

    def _note(self, event: Mapping[str, Any]) -> None:
        at, kind = follow.as_seconds(event.get("t")), event.get("event")
        if kind == Event.ALARM:
            self.alarm_count += 1
            hospital = follow.as_text(event.get("hospital"), 40)
            self.alarms.append(Alarm(at, hospital, follow.as_text(event.get("what"))))
        elif kind in (Event.CONSENTED, Event.WITHDRAWN) and at is not None:
            run = event.get("run")
            if isinstance(run, str) and NAME.fullmatch(run) and len(self.turns) < MOST_RUNS:
                self.turns.setdefault(run, []).append((at, kind == Event.CONSENTED))

    def _add(self, line: Mapping[str, Any], consents: Mapping[str, Consent]) -> None:
        run, size = line.get("run"), follow.as_count(line.get("bytes"))
        code = size == 0 and isinstance(line.get("why"), str)
        if code:
            self.codes += 1
        named = isinstance(run, str) and NAME.fullmatch(run) is not None
        if not isinstance(run, str) or not named or self._is_full(run):
            self.foreign += not code
            return
        at = follow.as_seconds(line.get("t"))
        greets = line.get("kind") == "hello" and size is not None and size <= GREETING
        covered = code or greets or self._is_covered(run, at, consents.get(run))
        self.sent.setdefault(run, _Sent()).take(line, at, covered)

    def _is_full(self, run: str) -> bool:
        return run not in self.sent and len(self.sent) >= MOST_RUNS

    def _is_covered(self, run: str, at: float | None, consent: Consent | None) -> bool:
        """Whether a consent on file was in force at this time."""
        turns = list(self.turns.get(run, []))
        if consent is not None and consent.granted is not None:
            turns.append((consent.granted, True))
        if consent is not None and consent.withdrawn is not None:
            turns.append((consent.withdrawn, False))
        if at is None or not turns:
            return False
        ends = [(when if given else when + ON_THE_WAY, given) for when, given in turns]
        before = [(when, given) for when, given in ends if when <= at]
        return bool(before) and max(before, key=lambda turn: (turn[0], not turn[1]))[1]

    def _describe(self, run: str, consent: Consent | None) -> HospitalRun:
        if run not in self.terms:
            self._read_terms(run)
        terms = self.terms.get(run)
        sent = self.sent.get(run, _Sent())
        state: Literal["asked", "given", "withdrawn", "none"] = "asked" if terms else "none"
        other = bool(consent and terms and consent.fingerprint != terms.fingerprint)
        if consent is not None:
            state = "given" if consent.holds else "withdrawn"
            if other and consent.holds:
                state = "asked"
        return HospitalRun(
            run=run,
            terms=terms,
            state=state,
            consent=consent,
            other_terms=other,
            uncovered=sent.uncovered,
            messages=sent.messages,
            bytes=sent.bytes,
            first=sent.first,
            last=sent.last,
            kinds=tuple(one.freeze(name) for name, one in sorted(sent.kinds.items())),
            rounds=tuple(one.freeze(str(number)) for number, one in sorted(sent.rounds.items())),
            rounds_left_out=sent.left_out,
            latest=tuple(reversed(sent.latest)),
            audit=self._read_audit(run),
        )

    def _read_audit(self, run: str) -> OwnAudit | None:
        for path in (self.home.run(run) / "audit.json", self.home.run(run) / "own_audit.json"):
            made = follow.read_document(path)
            if made is not None:
                found = [one for one in _list_numbers(made) if one[0] in AUDITED]
                small = {k for k, value in found if k in AUDITED_COUNTS and value < MIN_CELL}
                return OwnAudit(
                    verdict=follow.as_text(made.get("verdict")),
                    is_hidden=made.get("is_hidden") is True,
                    numbers=tuple(one for one in found if one[0] not in small),
                    small=tuple(sorted(small)),
                )
        return None


def _list_numbers(made: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a document and of its parts, one level deep."""
    for name, value in made.items():
        known = before + follow.as_text(name, 40)
        number = follow.as_number(value)
        if number is not None:
            yield known, number
        elif isinstance(value, dict) and not before:
            yield from _list_numbers(value, f"{known}.")


@dataclass
class _Part:
    messages: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None

    def add(self, size: int, at: float | None) -> None:
        self.messages += 1
        self.bytes += size
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)

    def freeze(self, name: str) -> Sent:
        return Sent(name, self.messages, self.bytes, self.first, self.last)


@dataclass
class _Sent(_Part):
    """What left of one run, added up."""

    uncovered: int = 0
    left_out: int = 0
    kinds: dict[str, _Part] = field(default_factory=dict)
    rounds: dict[int, _Part] = field(default_factory=dict)
    latest: deque[Message] = field(default_factory=lambda: deque(maxlen=MOST_LATEST))

    def take(self, line: Mapping[str, Any], at: float | None, covered: bool) -> None:
        size = follow.as_count(line.get("bytes")) or 0
        kind = follow.as_text(line.get("kind"), 40) or "?"
        number = follow.as_count(line.get("round"))
        self.add(size, at)
        self.uncovered += not covered
        if kind not in self.kinds and len(self.kinds) >= MOST_KINDS:
            kind = "?"
        self.kinds.setdefault(kind, _Part()).add(size, at)
        if number is not None:
            self.rounds.setdefault(number, _Part()).add(size, at)
            if len(self.rounds) > MOST_ROUNDS:
                del self.rounds[min(self.rounds)]
                self.left_out += 1
        digest = follow.as_text(line.get("sha256"), 64)
        self.latest.append(Message(at, number, kind, size, digest))


def read_consents(made: Mapping[str, Any]) -> dict[str, Consent]:
    """The consents of consent.json: run -> what was agreed to."""
    inner = made.get("runs")
    found = {}
    for run, one in (inner if isinstance(inner, dict) else made).items():
        if not NAME.fullmatch(run) or not isinstance(one, dict):
            continue
        withdrawn = one.get("withdrawn_at")
        found[run] = Consent(
            fingerprint=follow.as_text(one.get("terms", one.get("fingerprint")), 64),
            granted=follow.as_seconds(one.get("granted_at")),
            by=follow.as_text(one.get("by")),
            rounds=follow.as_count(one.get("rounds")),
            protection=follow.as_text(one.get("protection")),
            # A time that cannot be read still ends it.
            withdrawn=None if withdrawn is None else follow.as_seconds(withdrawn) or 0.0,
        )
    return found


def _address(config: Mapping[str, Any]) -> str:
    host, port = follow.as_text(config.get("host"), 80), follow.as_count(config.get("port"))
    return f"{host}:{port}" if host and port is not None else host


__all__ = ["HospitalReader", "read_consents"]
