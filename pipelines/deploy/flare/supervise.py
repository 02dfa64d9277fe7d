"""The operator's loop: keeps a run going over crashes, as a chain of jobs that each go on from the
coordinator's state on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pipelines.deploy.flare.job import signed_terms, write_job
from pipelines.deploy.flare.logins import LOGIN, connections
from pipelines.deploy.flare.session import OperatorSession, Standing, is_gone, is_refusal
from pipelines.deploy.homes import CoordinatorHome, make_private
from pipelines.deploy.identity import Identity
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

Tell = Callable[[Mapping[str, Any]], None]
"""Is given every event of the run as the journal has it, and those of `Step`."""

LOOK_EVERY = 1.0
JOURNAL_EVERY = 0.2
SETTLES_IN = 15.0
"""Seconds after a segment was sent and after a hospital came back, before it begins another one: it
may be in this one, and hospitals that come back one after the other share one."""
FRUITLESS = 5
"""Segments one after the other without a round, after which the loop gives up."""
REFUSALS = 8
"""Times one after the other that the server may refuse, before its word is taken."""
ENDS_IN: Final = 40.0
"""Seconds in which a job is gone after it was done or aborted."""


class Step(StrEnum):
    """What the loop itself does, beside the events of the journal."""

    WAITING = "waiting"  # hospitals: names connected; quorum
    SUBMITTED = "submitted"  # job, segment
    SEGMENT_ENDED = "segment_ended"  # segment, rounds: how many it made
    REJOINED = "rejoined"  # hospitals: names, for whom a new segment begins
    TROUBLE = "trouble"  # what: of the error


class Ended(StrEnum):
    """Why the loop ended."""

    DONE = "done"
    STOPPED = "stopped"
    LIMIT = "limit"


def supervise(
    home: CoordinatorHome,
    terms: RunTerms,
    tell: Tell = lambda event: None,
    limit: float = float("inf"),
    session: Callable[[CoordinatorHome], OperatorSession] = OperatorSession,
) -> Ended:
    """Submit the run and keep it going until it is done, `runs/RUN/stop` exists, or `limit` seconds
    have passed.

    Args:
        home: The federation's folder, on the machine of the coordinator.
        terms: What runs; a run that has begun goes on from its last round.
        tell: Where events go.
        session: Makes the session; for tests.

    Raises:
        PrivauditError: A run that cannot go on, in the coordinator's words, or a server that
            refuses the job again and again.
    """
    loop = _Loop(home, terms, tell, session)
    try:
        return loop.run(time.monotonic() + limit)
    except KeyboardInterrupt:
        loop.abandon()
        raise
    finally:
        loop.close()


def ask_to_stop(home: CoordinatorHome, run: str) -> None:
    """Let the loop and the coordinator of this run end; what is trained stays."""
    (make_private(home.run(run)) / "stop").touch(0o600)


@dataclass
class _Loop:
    home: CoordinatorHome
    terms: RunTerms
    tell: Tell
    make_session: Callable[[CoordinatorHome], OperatorSession]
    open_session: OperatorSession | None = None
    job: str = ""
    segment: int = 0
    began: float = 0.0  # of the segment's own first event, seconds since 1970; 0 before it
    submitted: float = 0.0
    lost: set[str] = field(default_factory=set)
    rounds: int = 0
    fruitless: int = 0
    waited: tuple[str, ...] | None = None
    troubled: str = ""
    refusals: int = 0
    logged_in: dict[str, float] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    over: str = ""
    last: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_private(self.home.root / "runs")
        self.folder = make_private(self.home.run(self.terms.run))
        self.journal = Journal(self.folder / "journal.jsonl")
        self.events = _Tail(self.journal.path)
        self.logins = _Tail(connections(self.home).path)
        self.job_folder = self._write()

    def run(self, until: float) -> Ended:
        if self._is_done():
            return Ended.DONE
        (self.folder / "stop").unlink(missing_ok=True)
        looked = -LOOK_EVERY
        while True:
            self._follow()
            if self.over == Event.DONE:
                self._let_end()
                return Ended.DONE
            if (self.folder / "stop").exists():
                self._abort()
                return Ended.STOPPED
            if self.over == Event.STOPPED:
                self._abort()
                self._follow()
                raise self._why()
            if time.monotonic() > until:
                self._abort()
                return Ended.LIMIT
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                self._look()
            time.sleep(JOURNAL_EVERY)

    def abandon(self) -> None:
        """Ask the server to end the job, and do not wait for it."""
        if self.open_session is not None and self.job:
            with suppress(PrivauditError):
                self.open_session.abort(self.job)

    def _why(self) -> PrivauditError:
        if self.last.get("why") == "error":
            given = (str(self.last.get(part, "")) for part in ("what", "because", "fix"))
            return PrivauditError(*given)
        return PrivauditError(
            "a run that cannot go on",
            f"the coordinator ended it: {self.last.get('why')} {self.last.get('what', '')}".strip(),
            "look at logs/server.log in the federation's folder; run it again to go on from its"
            " last round",
        )

    def close(self) -> None:
        if self.open_session is not None:
            self.open_session.close()
            self.open_session = None

    def _write(self) -> Path:
        identity = Identity.load(self.home.root / "operator")
        signature = identity.sign(signed_terms(self.terms.text))
        return write_job(self.terms, signature, identity.certificate, self.folder / "job")

    def _is_done(self) -> bool:
        return any(line.get("event") == Event.DONE for line in self.journal.read())

    def _follow(self) -> None:
        """Pass on what the journals say since the last look."""
        for line in self.events.read():
            event, at = line.get("event"), _time(line)
            if event == Event.STARTED:
                self.began = at
            elif event == Event.ROUND:
                self.rounds += 1
                here = line.get("hospitals")
                if isinstance(here, list):
                    self.heard |= dict.fromkeys(map(str, here), at)
            elif event in (Event.HELLO, Event.BACK, Event.WITHDRAWN):
                self.heard[str(line.get("hospital"))] = at
            elif event in (Event.DONE, Event.STOPPED):
                self.over, self.last = str(event), line
            self.tell(line)
        for line in self.logins.read():
            if line.get("event") == LOGIN:
                self.logged_in[str(line.get("hospital"))] = _time(line)
            elif line.get("event") == Event.ALARM:
                # The run's journal is what the status and the report read.
                self.journal.write(
                    Event.ALARM, hospital=line.get("hospital"), what=line.get("what")
                )

    def _look(self) -> None:
        try:
            if self.open_session is None:
                made = self.make_session(self.home)
                made.open()
                self.open_session = made
            standing = self.open_session.look()
            self._step(self.open_session, standing)
            self.troubled, self.refusals = "", 0
        except PrivauditError as error:
            self.refusals += is_refusal(error)
            if not (is_gone(error) or is_refusal(error)) or self.refusals >= REFUSALS:
                raise
            if self.troubled != error.what:
                self.troubled = error.what
                self.tell({"event": Step.TROUBLE, "what": error.what})
            self.close()

    def _step(self, session: OperatorSession, standing: Standing) -> None:
        here = tuple(seen.name for seen in standing.hospitals if seen.name in self.terms.roster)
        if self.job and self.job not in standing.jobs:
            # A server that began anew says of its earlier jobs for ever that they run.
            anew = standing.since is not None and standing.since > self.submitted
            if anew:
                self.lost.add(self.job)
            if anew or session.has_ended(self.job):
                # It may have ended because the run is over, and its last rounds count.
                self._follow()
                if self.over:
                    return
                self._count_segment(fruitless=not anew)
        if not self.job:
            # A loop that was ended while its job ran goes on with it.
            found = [job for job in session.jobs(self.terms.run) if job not in self.lost]
            running = [job for job in found if job in standing.jobs]
            if running:
                self.job, self.submitted = running[0], time.time()
                self.began = self.submitted
        if not self.job:
            self._submit(session, here)
        elif back := self._came_back(here):
            self.tell({"event": Step.REJOINED, "hospitals": back})
            session.abort(self.job)
            self._wait_for_end(session)
            self._count_segment(fruitless=False)
            self._submit(session, here)

    def _submit(self, session: OperatorSession, here: tuple[str, ...]) -> None:
        if len(here) < self.terms.quorum:
            if self.waited != here:
                self.waited = here
                self.tell({"event": Step.WAITING, "hospitals": here, "quorum": self.terms.quorum})
            return
        self.waited = None
        self.job = session.submit(self.job_folder)
        self.submitted, self.began = time.time(), 0.0
        self.segment += 1
        self.tell({"event": Step.SUBMITTED, "job": self.job, "segment": self.segment})

    def _count_segment(self, fruitless: bool = True) -> None:
        self.tell({"event": Step.SEGMENT_ENDED, "segment": self.segment, "rounds": self.rounds})
        # A hospital that comes and goes, or a server that does, is no round.
        self.fruitless = 0 if self.rounds else self.fruitless + fruitless
        self.job, self.rounds = "", 0
        if self.fruitless >= FRUITLESS:
            raise PrivauditError(
                f"{self.fruitless} attempts one after the other in which no round was made",
                "the server or the hospitals refuse the job, or end it",
                "look at logs/server.log in the federation's folder, and ask the hospitals for"
                " theirs",
            )

    def _came_back(self, here: tuple[str, ...]) -> list[str]:
        """Hospitals that logged in after this segment was sent and have said nothing in it since:
        it does not know them."""
        settled = time.time() - SETTLES_IN
        if not self.began or self.submitted > settled:
            return []
        return sorted(
            name
            for name in here
            if self.submitted < self.logged_in.get(name, 0.0) <= settled
            and self.heard.get(name, 0.0) < self.logged_in[name]
        )

    def _abort(self) -> None:
        session = self.open_session
        if session is None or not self.job:
            return
        try:
            session.abort(self.job)
            self._wait_for_end(session)
        except PrivauditError as error:
            self.tell({"event": Step.TROUBLE, "what": error.what})

    def _let_end(self) -> None:
        """Let the job end by itself, so that the hospitals' workers do."""
        if self.open_session is None or not self.job:
            return
        try:
            self._wait_for_end(self.open_session)
        except PrivauditError as error:
            self.tell({"event": Step.TROUBLE, "what": error.what})

    def _wait_for_end(self, session: OperatorSession) -> None:
        until = time.monotonic() + ENDS_IN
        while not session.has_ended(self.job) and time.monotonic() < until:
            time.sleep(LOOK_EVERY / 2)


def _time(line: Mapping[str, Any]) -> float:
    """When it was written; 0 where a line was changed and does not say."""
    at = line.get("t")
    return float(at) if isinstance(at, (int, float)) and abs(at) < 1e12 else 0.0


class _Tail:
    """What is added to a journal from now on: whole lines, each once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at = path.stat().st_size if path.exists() else 0

    def read(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.at)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self.at += len(whole)
        for line in whole.split(b"\n"):
            try:
                made = json.loads(line)
            except ValueError:
                continue
            if isinstance(made, dict):
                yield made


__all__ = ["Ended", "Step", "ask_to_stop", "supervise"]
