"""The operator's loop over a server that is played."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from deploy.kits import make_test_kits

from pipelines.deploy.flare import supervise as module
from pipelines.deploy.flare.logins import LOGIN, connections
from pipelines.deploy.flare.session import Seen, Standing, in_words
from pipelines.deploy.flare.supervise import Ended, ask_to_stop, supervise
from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError

ROSTER = ("a", "b", "c")
TERMS = RunTerms("r1", "table", "federated", ROSTER)


class Server:
    """Plays a server: `script` is called at every look and changes what it says."""

    def __init__(self, home: CoordinatorHome, script: Callable[[Server], None]) -> None:
        self.home, self.script = home, script
        self.journal = Journal(home.run(TERMS.run) / "journal.jsonl")
        self.names: tuple[str, ...] = ROSTER
        self.running: list[str] = []
        self.ended: set[str] = set()
        self.aborted: list[str] = []
        self.submitted: list[str] = []
        self.since: float | None = None
        self.looks = self.opened = 0
        self.fails: list[PrivauditError] = []

    def __call__(self, home: CoordinatorHome) -> Server:
        return self

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        pass

    def look(self) -> Standing:
        self.looks += 1
        self.script(self)
        if self.fails:
            raise self.fails.pop()
        seen = tuple(Seen(name, time.time()) for name in self.names)
        return Standing(seen, tuple(self.running), self.since)

    def submit(self, job: Path) -> str:
        assert (job / "meta.json").is_file()
        self.submitted.append(f"job{len(self.submitted) + 1}")
        self.running = [self.submitted[-1]]
        return self.submitted[-1]

    def has_ended(self, job: str) -> bool:
        return job in self.ended

    def abort(self, job: str) -> None:
        self.aborted.append(job)
        self.end()

    def end(self) -> None:
        self.ended.update(self.running)
        self.running = []

    def jobs(self, run: str) -> tuple[str, ...]:
        return tuple(job for job in self.running if job not in self.ended)

    def round(self, number: int) -> None:
        self.journal.write(Event.ROUND, round=number, hospitals=list(ROSTER))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_test_kits(tmp_path_factory.mktemp("kits"), ROSTER)["operator"]


@pytest.fixture
def home(tmp_path: Path, kit: Path, monkeypatch: pytest.MonkeyPatch) -> CoordinatorHome:
    (tmp_path / "operator").symlink_to(kit)
    for name, value in (("LOOK_EVERY", 0.02), ("JOURNAL_EVERY", 0.01), ("SETTLES_IN", 0.0)):
        monkeypatch.setattr(module, name, value)
    return CoordinatorHome(tmp_path)


def play(
    home: CoordinatorHome, script: Callable[[Server], None], limit: float = 20
) -> tuple[Server, list[Mapping[str, Any]], Ended]:
    server, told = Server(home, script), []
    ended = supervise(home, TERMS, told.append, limit, server)  # type: ignore[arg-type]
    return server, told, ended


def events(told: list[Mapping[str, Any]]) -> list[str]:
    return [str(event["event"]) for event in told]


def test_a_run_waits_for_its_quorum_and_ends_when_it_is_done(home):
    def script(server: Server) -> None:
        server.names = ("a", "b", "stranger") if server.looks < 4 else ROSTER
        if server.submitted:
            server.round(0)
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    server, told, ended = play(home, script)
    assert ended is Ended.DONE
    assert server.submitted == ["job1"]
    assert events(told) == ["waiting", "submitted", "round", "done"]
    assert told[0]["hospitals"] == ("a", "b")
    # Again: there is nothing left to do, and nobody is asked.
    again, told, ended = play(home, script)
    assert (ended, again.opened, told) == (Ended.DONE, 0, [])


def test_a_job_that_dies_is_followed_by_another(home):
    def script(server: Server) -> None:
        if server.looks in (3, 5, 7) and server.running:
            server.round(server.looks)
            server.end()
        if len(server.submitted) == 3:
            server.journal.write(Event.DONE, rounds=3)
            server.end()

    server, told, ended = play(home, script)
    assert ended is Ended.DONE
    assert len(server.submitted) == 3
    assert events(told).count("segment_ended") == 2


def test_jobs_that_make_no_round_are_not_sent_for_ever(home):
    with pytest.raises(PrivauditError, match="in which no round was made"):
        play(home, lambda server: server.end())


def test_a_server_that_begins_anew_has_lost_its_jobs(home):
    def script(server: Server) -> None:
        if server.looks == 3:
            # It says of its old job for ever that it runs.
            server.since, server.running = time.time() + 1, []
            server.jobs = lambda run: ("job1",)  # type: ignore[method-assign]
        if len(server.submitted) == 2:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    server, _, ended = play(home, script)
    assert (ended, len(server.submitted)) == (Ended.DONE, 2)


def test_a_hospital_that_comes_back_gets_a_segment_with_it(home):
    def script(server: Server) -> None:
        if len(server.submitted) == 1 and server.looks == 2:
            time.sleep(0.01)
            for name in ROSTER:
                connections(home).write(LOGIN, hospital=name)
            time.sleep(0.01)
            server.journal.write(Event.STARTED, hospitals=list(ROSTER))
            server.journal.write(Event.HELLO, hospital="a", state="pending")
            server.journal.write(Event.ROUND, round=0, hospitals=["b", "c"])
            time.sleep(0.01)
            connections(home).write(LOGIN, hospital="b")
        if len(server.submitted) == 2:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    server, told, ended = play(home, script)
    assert ended is Ended.DONE
    assert server.aborted == ["job1"]
    # All came while the segment began, and were heard in it; then `b` came anew.
    assert [event["hospitals"] for event in told if event["event"] == "rejoined"] == [["b"]]


def test_a_server_that_is_away_is_waited_for(home):
    from nvflare.fuel.flare_api.api_spec import NoConnection

    def script(server: Server) -> None:
        if server.looks < 4:
            server.fails.append(in_words(NoConnection("x")))
        elif server.submitted:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    server, told, ended = play(home, script)
    assert ended is Ended.DONE
    assert server.opened == 4
    assert events(told).count("trouble") == 1


def test_who_may_not_submit_is_told_and_does_not_wait(home):
    from nvflare.fuel.flare_api.api_spec import AuthorizationError

    def script(server: Server) -> None:
        server.fails.append(in_words(AuthorizationError("x")))

    with pytest.raises(PrivauditError, match="does not allow"):
        play(home, script)


def test_a_server_that_refuses_again_and_again_is_believed(home):
    from nvflare.fuel.flare_api.api_spec import InternalError

    def script(server: Server) -> None:
        if server.looks < 4 or server.looks > 6:
            server.fails.append(in_words(InternalError("x")))

    with pytest.raises(PrivauditError, match="refused or failed"):
        play(home, script)


def test_a_stop_and_a_limit_abort_the_job(home):
    def stop(server: Server) -> None:
        if server.submitted:
            ask_to_stop(home, TERMS.run)

    server, _, ended = play(home, stop)
    assert (ended, server.aborted) == (Ended.STOPPED, ["job1"])
    server, _, ended = play(home, lambda server: None, limit=0.3)
    assert (ended, server.aborted) == (Ended.LIMIT, ["job1"])


def test_a_key_that_is_pressed_aborts_the_job_and_is_passed_on(home):
    def press(server: Server) -> None:
        if server.submitted:
            raise KeyboardInterrupt

    server = Server(home, press)
    with pytest.raises(KeyboardInterrupt):
        supervise(home, TERMS, session=server)  # type: ignore[arg-type]
    assert server.aborted == ["job1"]


def test_a_run_that_cannot_go_on_ends_in_the_coordinators_words(home):
    def script(server: Server) -> None:
        if server.submitted:
            server.journal.write(Event.STOPPED, why="error", what="w", because="b", fix="f")

    with pytest.raises(PrivauditError, match="w") as caught:
        play(home, script)
    assert (caught.value.because, caught.value.fix) == ("b", "f")


def test_lines_that_somebody_changed_are_no_fault_of_the_loop(home):
    def script(server: Server) -> None:
        if server.submitted:
            for more in ({"t": None}, {"t": "x"}, {"t": float("nan")}, {"hospitals": 3}):
                line = {"event": Event.ROUND, "t": 1.0, "hospitals": None, **more}
                with server.journal.path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    assert play(home, script)[2] is Ended.DONE


def test_a_second_login_becomes_an_alarm_of_the_run(home):
    def script(server: Server) -> None:
        if server.looks == 2:
            connections(home).write(Event.ALARM, hospital="b", what="second_login")
        if server.looks == 4:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    _, told, _ = play(home, script)
    (alarm,) = [event for event in told if event["event"] == "alarm"]
    assert (alarm["hospital"], alarm["what"]) == ("b", "second_login")


def test_a_job_that_runs_already_is_gone_on_with(home):
    def script(server: Server) -> None:
        if server.looks == 1:
            server.running = ["job0"]
        if server.looks == 3:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    server, _, ended = play(home, script)
    assert (ended, server.submitted) == (Ended.DONE, [])


def test_a_line_that_is_half_written_is_told_once_and_whole(home):
    def script(server: Server) -> None:
        path = server.journal.path
        if server.looks == 2:
            with path.open("a") as file:
                file.write('{"event": "rou')
        if server.looks == 4:
            with path.open("a") as file:
                file.write('nd", "round": 7}\nnot json\n[1]\n')
        if server.looks == 6:
            server.journal.write(Event.DONE, rounds=1)
            server.end()

    _, told, _ = play(home, script)
    assert [event["round"] for event in told if event["event"] == "round"] == [7]


def test_a_session_that_fails_leaves_the_process_as_it_was(home, monkeypatch):
    import os

    from pipelines.deploy.flare import session as session_module
    from pipelines.deploy.flare.session import OperatorSession

    (home.root / "federation.toml").write_text('operator = "o@x.org"\n')
    before, mask = os.environ.get("HOME"), os.umask(0o022)
    inside: list[str | None] = []

    def connect(user: str, kit: Path) -> None:
        inside.append(os.environ.get("HOME"))
        raise OSError("/secret/path")

    monkeypatch.setattr(session_module, "_connect", connect)
    try:
        with pytest.raises(PrivauditError, match="without the operator's kit"):
            OperatorSession(home).open()
        (home.root / "operator" / "startup" / "fed_admin.json").touch()
        with pytest.raises(PrivauditError) as caught:
            OperatorSession(home).open()
        assert "secret" not in str(caught.value)
        assert inside == [str(home.root / "home")]
        assert os.environ.get("HOME") == before
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
