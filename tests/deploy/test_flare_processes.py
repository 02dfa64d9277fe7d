"""What starts, watches and ends NVFlare's processes, and what its processes no longer answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.job_launcher_spec import JobReturnCode
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.private.fed.client.admin_commands import AdminCommands
from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors

from pipelines.deploy.flare import entry, launcher
from pipelines.deploy.flare.launcher import WatchedHandle, is_hung, note_busy
from pipelines.deploy.flare.logins import Logins
from pipelines.deploy.flare.processes import ENTRY, Parent, kill_tree, read_pid, stop_running
from pipelines.deploy.flare.session import in_words, is_gone, within
from pipelines.deploy.homes import CoordinatorHome
from pipelines.deploy.journal import Journal
from privaudit.errors import PrivauditError


class Process:
    """A real process, as NVFlare's launcher hands it over."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, start_new_session=True)

    def poll(self) -> int | None:
        return self.process.poll()

    def terminate(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def start_all(*commands: tuple[str, ...]) -> tuple[Callable[[], Process], list[Process]]:
    begun: list[Process] = []

    def start() -> Process:
        begun.append(Process(*commands[min(len(begun), len(commands) - 1)]))
        return begun[-1]

    return start, begun


def wait_until(look: Callable[[], Any], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_worker_is_started_again_a_bounded_number_of_times(tmp_path):
    start, begun = start_all(("sleep", "60"))
    handle = WatchedHandle(start, tmp_path)
    for again in range(launcher.TRIES):
        begun[-1].process.kill()
        begun[-1].process.wait(5)
        assert handle.poll() == JobReturnCode.UNKNOWN
        assert len(begun) == again + 2
    begun[-1].process.kill()
    handle.wait()
    assert len(begun) == launcher.TRIES + 1
    assert handle.poll() != JobReturnCode.UNKNOWN


def test_a_worker_that_ends_by_itself_or_is_told_to_stays_ended(tmp_path):
    for code in (0, 1, 3):
        start, begun = start_all(("sh", "-c", f"exit {code}"))
        handle = WatchedHandle(start, tmp_path)
        handle.wait()
        assert len(begun) == 1
        assert handle.poll() == (
            JobReturnCode.SUCCESS if code == 0 else JobReturnCode.EXECUTION_ERROR
        )
    start, begun = start_all(("sleep", "60"))
    handle = WatchedHandle(start, tmp_path)
    handle.terminate()
    handle.wait()
    assert len(begun) == 1


def test_two_threads_that_wait_for_a_worker_see_the_same_end(tmp_path):
    start, begun = start_all(("sleep", "0.5"))
    handle = WatchedHandle(start, tmp_path)
    threads = [threading.Thread(target=handle.wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert (len(begun), handle.poll()) == (1, JobReturnCode.SUCCESS)


def test_a_hung_worker_is_killed_and_another_one_started(tmp_path):
    start, begun = start_all(("sleep", "60"), ("sh", "-c", "exit 0"))
    handle = WatchedHandle(start, tmp_path)
    assert handle.poll() == JobReturnCode.UNKNOWN
    note_busy(tmp_path, 30)
    assert handle.poll() == JobReturnCode.UNKNOWN
    assert not is_hung(tmp_path)
    note_busy(tmp_path, -1)
    assert is_hung(tmp_path)
    handle.wait()
    assert (len(begun), begun[0].poll()) == (2, -signal.SIGKILL)


def test_a_worker_without_a_sign_of_life_is_hung(tmp_path):
    threading.Thread(target=launcher.show_life, args=(tmp_path,), daemon=True).start()
    wait_until((tmp_path / launcher.ALIVE).exists)
    assert not is_hung(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / launcher.ALIVE).write_text(repr(time.monotonic() - 1))
    assert is_hung(other)
    for junk in ("", "{", "soon", "nan"):
        (tmp_path / launcher.BUSY).write_text(junk)
        assert not is_hung(tmp_path)
    # What an earlier worker of the job left is no hang of the next one.
    start, begun = start_all(("sleep", "60"))
    handle = WatchedHandle(start, other)
    assert handle.poll() == JobReturnCode.UNKNOWN
    handle.terminate()
    handle.wait()
    assert len(begun) == 1


def test_of_a_client_the_server_may_ask_jobs_and_nothing_else(monkeypatch):
    asked = [type(part)() for part in ClientRequestProcessors.request_processors]
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", asked)
    entry.close_client()
    topics = {t for part in ClientRequestProcessors.request_processors for t in part.get_topics()}
    # `cat`, although authorization.json says none: the client asks whether it may only where the
    # server's message says so.
    words = ("shell", "log", "env", "info", "error", "delete", "restart", "shutdown", "report")
    assert not [topic for topic in topics if any(word in topic.lower() for word in words)]
    commands = list(AdminCommands.commands)
    monkeypatch.setattr(AdminCommands, "commands", commands)
    entry.close_worker()
    assert AdminCommands.get_command("show_errors") is None
    assert AdminCommands.get_command("configure_job_log") is None
    assert AdminCommands.get_command("abort") is not None
    monkeypatch.setattr(AdminCommands, "commands", commands[:1])
    with pytest.raises(PrivauditError, match="does not know"):
        entry.close_worker()


def ask_client(text: str) -> str:
    """What a client answers to the server's `shell` without a request to check who asks."""
    from contextlib import nullcontext
    from types import SimpleNamespace

    from nvflare.fuel.f3.cellnet.core_cell import Message as CellMessage
    from nvflare.private.admin_defs import Message
    from nvflare.private.defs import SysCommandTopic
    from nvflare.private.fed.client.admin import FedAdminAgent

    agent = object.__new__(FedAdminAgent)
    agent.auditor, agent.processors = None, {}
    engine = SimpleNamespace(new_context=lambda: nullcontext(SimpleNamespace()))
    agent.app_ctx = engine
    for part in ClientRequestProcessors.request_processors:
        agent.register_processor(part)
    asked = CellMessage(payload=Message(SysCommandTopic.SHELL, text))
    return str(agent._dispatch_request(asked).payload.body)


def test_a_server_reads_files_of_an_open_client_and_none_of_a_closed_one(monkeypatch, tmp_path):
    parts = [type(part)() for part in ClientRequestProcessors.request_processors]
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", parts)
    (tmp_path / "rows.csv").write_text("cell 12345")
    assert "cell 12345" in ask_client(f"cat {tmp_path}/rows.csv")
    entry.close_client()
    assert ask_client(f"cat {tmp_path}/rows.csv") == "invalid_request"


def test_a_job_that_is_a_path_deletes_nothing(monkeypatch, tmp_path):
    from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
    from nvflare.private.defs import RequestHeader, TrainingTopic
    from nvflare.private.fed.client.training_cmds import DeployProcessor

    asked: list[object] = []
    monkeypatch.setattr(DeployProcessor, "process", lambda self, req, engine: asked.append(req))
    parts = [type(part)() for part in ClientRequestProcessors.request_processors]
    monkeypatch.setattr(ClientRequestProcessors, "request_processors", parts)
    entry.close_client()
    (deploy,) = [
        part
        for part in ClientRequestProcessors.request_processors
        if TrainingTopic.DEPLOY in part.get_topics()
    ]
    good = "0c391b77-b061-4038-809b-b1927e75e6f1"
    for job in ("", ".", "..", "../../x", "/etc", f"{good}/..", f"{good}\n", 3, b"x"):
        request = Message(TrainingTopic.DEPLOY, b"")
        request.set_header(RequestHeader.JOB_ID, job)
        reply = deploy.process(request, None)
        assert reply.get_header(MsgHeader.RETURN_CODE) == ReturnCode.ERROR
        assert not asked
    request = Message(TrainingTopic.DEPLOY, b"")
    request.set_header(RequestHeader.JOB_ID, good)
    deploy.process(request, None)
    assert asked == [request]


def test_a_worker_answers_no_question_of_another_hospital(monkeypatch):
    from types import SimpleNamespace

    from nvflare.apis.fl_constant import ReservedTopic
    from nvflare.private.fed.client.client_runner import ClientRunner

    topics: list[str] = []

    def register(topic: str, message_handle_func: object) -> None:
        topics.append(topic)

    engine = SimpleNamespace(register_aux_message_handler=register)
    runner = SimpleNamespace(_handle_end_run=None, _handle_do_task=None)
    monkeypatch.setattr(
        ClientRunner,
        "_register_aux_message_handlers",
        ClientRunner._register_aux_message_handlers,
    )
    ClientRunner._register_aux_message_handlers(runner, engine)
    assert ReservedTopic.DO_TASK in topics
    topics.clear()
    entry.close_side_door()
    ClientRunner._register_aux_message_handlers(runner, engine)
    assert topics == [ReservedTopic.END_RUN]


def test_cells_answer_no_question_about_their_process(monkeypatch):
    from nvflare.fuel.f3.cellnet import net_agent

    given: list[tuple[str, str]] = []

    def register(cell: object, channel: str, topic: str, cb: object, *more: object) -> None:
        given.append((channel, topic))

    monkeypatch.setattr(CoreCell, "register_request_cb", register)
    entry.close_network_commands()
    CoreCell.register_request_cb(object(), net_agent._CHANNEL, "process_info", None)
    CoreCell.register_request_cb(object(), channel=net_agent._CHANNEL, topic="x", cb=None)
    CoreCell.register_request_cb(object(), channel="task", topic="x", cb=None)
    assert given == [("task", "x")]


def test_a_second_login_is_an_alarm_and_a_restart_is_none(tmp_path):
    now = [1000.0]
    journal = Journal(tmp_path / "connections.jsonl")
    seen = Logins(journal, lambda: now[0])

    def alarms() -> list[str]:
        return [e["hospital"] for e in journal.read() if e["event"] == "alarm"]

    seen.login("a", "1")
    seen.heartbeat("a", "1")
    seen.logout("a", "1")
    seen.login("a", "2")
    seen.login("b", "3", silent=90.0)
    seen.heartbeat("c", "9")
    assert alarms() == []
    seen.login("a", "4", silent=3.0)
    assert alarms() == ["a"]
    seen.heartbeat("a", "2")
    assert alarms() == ["a"]
    now[0] += 100
    seen.heartbeat("a", "2")
    assert alarms() == ["a", "a"]
    seen.logout("a", "2")
    names = [e["event"] for e in journal.read() if e.get("hospital") == "a"]
    assert names == ["login", "logout", "login", "login", "alarm", "alarm"]


def test_errors_come_in_words_that_hold_nothing_of_nvflares(tmp_path):
    from nvflare.fuel.flare_api import api_spec

    for name in ("AuthenticationError", "AuthorizationError", "NoConnection", "InternalError"):
        made = in_words(getattr(api_spec, name)("/secret/path"))
        assert "secret" not in str(made)
        assert made.fix
    assert is_gone(in_words(api_spec.NoConnection("x")))
    assert is_gone(in_words(api_spec.SessionExpired("x")))
    assert not is_gone(in_words(api_spec.AuthorizationError("x")))
    assert "lead" in in_words(api_spec.AuthorizationError("x")).fix
    own = PrivauditError("a", "b", "c")
    assert in_words(own) is own


def test_a_wait_has_an_end():
    assert within(5, lambda: 3) == 3
    begin = time.monotonic()
    with pytest.raises(PrivauditError, match="no answer of the server") as caught:
        within(0.2, lambda: time.sleep(30))
    assert time.monotonic() - begin < 5
    assert is_gone(caught.value)
    with pytest.raises(PrivauditError, match="failed at"):
        within(5, lambda: 1 / 0)


SLEEPER = "import sys, time\nprint('up', flush=True)\ntime.sleep(60)\n"


class Sleeper(Parent):
    """A parent whose process sleeps, or ends at once."""

    code = SLEEPER

    def _command(self) -> list[str]:
        return [sys.executable, "-c", self.code, ENTRY, "-m", str(self.kit)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "server").mkdir()
    (tmp_path / "federation.toml").write_text('name = "x"\n')
    return tmp_path


def test_a_parent_starts_once_and_stops(home):
    parent = Sleeper("server", home)
    assert read_pid(home, "server") is None
    parent.start()
    try:
        number = read_pid(home, "server")
        assert number is not None
        with pytest.raises(PrivauditError, match="runs already"):
            Sleeper("server", home).start()
        assert parent.log.stat().st_mode & 0o077 == 0
        assert parent.pid_file.stat().st_mode & 0o077 == 0
        inside = json.loads((home / "server" / "local" / "comm_config.json").read_text())
        assert inside["internal"]["resources"]["connection_security"] == "mtls"
    finally:
        parent.stop()
    assert read_pid(home, "server") is None
    assert not parent.pid_file.exists()
    assert not stop_running(home, "server")


def test_another_process_of_the_same_number_is_left_alone(home):
    (home / "server.pid").write_text(str(os.getpid()))
    assert read_pid(home, "server") is None
    assert not stop_running(home, "server")
    for junk in ("", "x", "-1", "99999999"):
        (home / "server.pid").write_text(junk)
        assert read_pid(home, "server") is None


def test_what_ends_unasked_starts_again_and_then_no_more(home, monkeypatch):
    from pipelines.deploy.flare import processes

    monkeypatch.setattr(processes, "STARTS", 2)
    parent = Sleeper("server", home)
    parent.code = "pass"
    with pytest.raises(PrivauditError, match="ended 2 times"):
        parent.run()
    assert read_pid(home, "server") is None
    # A signal's handler is the one of before.
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_ends_a_parent_and_its_process(home):
    parent = Sleeper("server", home)
    numbers = []

    def send() -> None:
        wait_until(lambda: read_pid(home, "server") is not None)
        numbers.append(read_pid(home, "server"))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    parent.run()
    assert numbers
    assert read_pid(home, "server") is None


def test_a_process_gets_its_own_home_and_no_proxy(home, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://elsewhere")
    monkeypatch.setenv("NVFLARE_SECURE_LOGGING", "false")
    made = Parent("server", home)._environment()
    assert made["HOME"].startswith(str(home))
    assert made["TMPDIR"].startswith(str(home))
    assert made["NVFLARE_SECURE_LOGGING"] == "true"
    assert not [name for name in made if name.lower().endswith("_proxy") and made[name]]
    with pytest.raises(PrivauditError, match="blank"):
        Parent("client", Path("/tmp/a folder"))


def test_a_tree_of_processes_is_killed_whole():
    script = "import subprocess, time\nsubprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    top = subprocess.Popen([sys.executable, "-c", script + "time.sleep(60)"])
    import psutil

    wait_until(lambda: psutil.Process(top.pid).children(recursive=True))
    child = psutil.Process(top.pid).children(recursive=True)[0]
    kill_tree(top.pid)
    top.wait(5)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    kill_tree(top.pid)


def test_a_job_starts_its_worker_through_our_door(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from nvflare.apis.fl_constant import FLContextKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.job_launcher_spec import JobProcessArgs

    begun: list[tuple[list[str], dict[str, str]]] = []

    def spawn(command: list[str], environment: dict[str, str]) -> Process:
        begun.append((command, environment))
        return Process("sh", "-c", "exit 0")

    monkeypatch.setattr(launcher, "spawn_process", spawn)
    context = FLContext()
    context.set_prop(
        FLContextKey.WORKSPACE_OBJECT, SimpleNamespace(get_run_dir=lambda job: str(tmp_path))
    )
    given = {
        JobProcessArgs.EXE_MODULE: ("-m", "nvflare.private.fed.app.client.worker_process"),
        JobProcessArgs.WORKSPACE: ("-m", "/a folder; rm -rf x"),
        JobProcessArgs.JOB_ID: ("-n", "job"),
        JobProcessArgs.AUTH_TOKEN: ("-t", "token"),
        JobProcessArgs.OPTIONS: ("--set", " secure_train=true uid=a"),
    }
    context.set_prop(FLContextKey.JOB_PROCESS_ARGS, given)
    launcher.Persistent().launch_job({"job_id": "job"}, context).wait()
    ((command, environment),) = begun
    assert command[1:5] == ["-u", "-m", "pipelines.deploy.flare.entry", "worker"]
    assert "/a folder; rm -rf x" in command
    assert command[-2:] == ["secure_train=true", "uid=a"]
    # Whoever lists the machine's processes must not read the token.
    assert "token" not in command
    assert "token" in environment.values()


def test_the_home_of_a_server_is_where_its_kit_is(tmp_path):
    from pipelines.deploy.flare.logins import find_server_home

    argv = ["x", "-m", str(tmp_path / "server"), "-s", "fed_server.json"]
    assert find_server_home(argv) == CoordinatorHome(tmp_path)
