"""A federation of real processes, driven by the verbs of the command line alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from net_lab import Disk
from net_places import HOST, SERVER, Places

from pipelines.deploy.homes import CoordinatorHome, HospitalHome

PORT = 8002


class Late(AssertionError):
    """Something did not happen in time."""


@dataclass
class Federation:
    """One coordinator and its hospitals.

    Args:
        folder: Where every party has a folder of its own.
        hospitals: Their names.
        places: A machine for each; None for all on the loopback of this one.
        extra: More environment variables, by place.
        data: Of each hospital.
        disk: Of hospital b, where it has one of its own.
    """

    folder: Path
    hospitals: tuple[str, ...]
    places: Places | None = None
    port: int = PORT
    extra: dict[str, Mapping[str, str]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    data: dict[str, Path] = field(default_factory=dict)
    disk: Disk | None = None

    @property
    def host(self) -> str:
        return HOST if self.places is not None else "localhost"

    @property
    def coordinator(self) -> CoordinatorHome:
        return CoordinatorHome(self.folder / "fed")

    def home(self, name: str) -> HospitalHome:
        return HospitalHome(self.folder / name)

    def command(self, place: str, *words: str | Path) -> list[str]:
        line = [sys.executable, "-m", "privaudit", "federation", *map(str, words)]
        return line if self.places is None else self.places.command(place, *line)

    def environment(self, place: str) -> dict[str, str]:
        own = self.folder / f"user-{place}"
        own.mkdir(exist_ok=True)
        return {
            **os.environ,
            "HOME": str(own),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.extra.get(place, {}),
        }

    def call(
        self, place: str, *words: str | Path, answer: str = "", timeout: float = 400, code: int = 0
    ) -> str:
        """Run one command to its end; what it printed, or why it was refused."""
        done = subprocess.run(
            self.command(place, *words),
            env=self.environment(place),
            input=answer,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{words}: {done.returncode}\n{said[-4000:]}"
        assert "Traceback" not in said, said[-4000:]
        return done.stderr if code else done.stdout

    def provision(self) -> None:
        """Certificates for everybody, by the commands of the guides."""
        fed = self.coordinator.root
        self.fingerprint = self.call(
            SERVER, "provision", fed, "--host", self.host, "--port", str(self.port),
            "--hospitals", ",".join(self.hospitals),
        ).strip()  # fmt: skip
        requests: list[str | Path] = []
        for name in self.hospitals:
            self.ask_to_join(name)
            requests += ["--approve", self.request(name)]
        self.call(SERVER, "provision", fed, *requests)

    def ask_to_join(self, name: str) -> None:
        """The hospital's request, with a private key that stays in its folder."""
        server = f"{self.host}:{self.port}"
        self.call(name, "join", self.home(name).root, "--name", name, "--coordinator", server)

    def request(self, name: str) -> Path:
        """The file that the hospital sends."""
        return self.home(name).root / "request" / f"{name}.request.zip"

    def signed(self, name: str) -> Path:
        """The file that the operator sends back."""
        return self.coordinator.root / "signed" / f"{name}.signed.zip"

    def serve(self) -> None:
        """Start the server and wait until its port answers."""
        self.start(SERVER, "server", self.coordinator.root)
        wait("the server", 180, self._answers)

    def join(self, name: str, data: Path, task: str = "mortality") -> None:
        """Start the hospital's client."""
        self.start(
            name, "join", self.home(name).root, "--signed", self.signed(name),
            "--fingerprint", self.fingerprint, "--task", task, "--data", data,
        )  # fmt: skip

    def rejoin(self, name: str) -> None:
        """Start the client of a hospital that has joined before."""
        self.start(name, "join", self.home(name).root)

    def open(self, data: Mapping[str, Path], task: str = "mortality") -> None:
        """The server and every hospital, until all are connected."""
        self.serve()
        for name in self.hospitals:
            self.join(name, data[name], task)
        for name in self.hospitals:
            self.wait_connected(name)

    def wait_connected(self, name: str, seconds: float = 240) -> None:
        """Until the server has let this hospital in since its last start here."""

        def here() -> bool:
            process = self.running[name]
            assert process.poll() is None, f"{name} ended: {self.said(name)[-3000:]}"
            return any(
                line["t"] >= self.started[name]
                for line in named(self.connections(), "login", hospital=name)
            )

        wait(f"{name} connects", seconds, here)

    def begin(
        self,
        run: str,
        method: str,
        *settings: str,
        seed: int | None = None,
        more: Sequence[str] = (),
    ) -> None:
        """Start a run; it waits for consents."""
        words = [part for setting in settings for part in ("--set", setting)]
        if seed is not None:
            words += ["--seed", str(seed)]
        self.start(
            SERVER, "run", "mortality", self.coordinator.root, "--method", method, "--run", run,
            *words, *more, called=f"run-{run}",
        )  # fmt: skip

    def consent(self, run: str, *hospitals: str, seconds: float = 300) -> None:
        """The hospitals' consents, as their command writes them, but without the dry round."""
        from pipelines.deploy.consent import grant
        from pipelines.deploy.terms import RunTerms

        for name in hospitals or self.hospitals:
            pending = self.home(name).pending(run)
            wait(f"the terms of {run} at {name}", seconds, pending.exists)
            terms = RunTerms.read(json.loads(pending.read_text())["terms"])
            grant(self.home(name), terms, "test")

    def sent(self, name: str, run: str) -> int:
        """Bytes of this hospital's messages in a run."""
        return sum(line["bytes"] for line in self.outbox(name) if line["run"] == run)

    def weights(self, run: str) -> np.ndarray:
        """(p,) where the run stands."""
        with np.load(self.coordinator.run(run) / "state.npz", allow_pickle=False) as kept:
            return np.asarray(kept["weights"])

    def _answers(self) -> bool:
        process = self.running[SERVER]
        assert process.poll() is None, f"the server ended: {self.said(SERVER)[-3000:]}"
        return any(_listens(one.pid, self.port) for one in self.processes(SERVER, "server"))

    def start(self, place: str, *words: str | Path, called: str = "") -> subprocess.Popen[bytes]:
        """Start a command that stays."""
        called = called or place
        with (self.folder / f"{called}.said").open("ab") as log:
            process = subprocess.Popen(
                self.command(place, *words),
                env=self.environment(place),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running[called] = process
        self.started[called] = time.time()
        return process

    def said(self, called: str) -> str:
        """What a command that was started has said."""
        return (self.folder / f"{called}.said").read_text("utf-8", "replace")

    def events(self, run: str) -> list[dict[str, Any]]:
        """The coordinator's journal of this run."""
        return read_lines(self.coordinator.run(run) / "journal.jsonl")

    def connections(self) -> list[dict[str, Any]]:
        """Logins and alarms at the server."""
        return read_lines(self.coordinator.root / "connections.jsonl")

    def outbox(self, name: str) -> list[dict[str, Any]]:
        """What has left this hospital."""
        return read_lines(self.home(name).outbox)

    def processes(self, place: str, kind: str) -> list[psutil.Process]:
        """The processes at this place whose command names `kind`: server, client, worker, job."""
        home = self.coordinator.root if place == SERVER else self.home(place).root
        found = []
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            whole = " ".join(line)
            if str(home) in whole and any(part in whole for part in KINDS[kind]):
                found.append(process)
        return found

    def is_up(self, called: str) -> bool:
        """Whether the command runs."""
        process = self.running.get(called)
        return process is not None and process.poll() is None

    def kill(self, called: str) -> None:
        """Kill a command and all its processes, without a word."""
        if (process := self.running.pop(called, None)) is not None:
            _kill(process.pid)
            process.wait(10)
        for kind in ("client", "worker") if called != SERVER else ("server", "job"):
            for one in self.processes(called, kind):
                _kill(one.pid)

    def check_running(self, run: str) -> None:
        """The command that supervises the run has not given up."""
        process = self.running[f"run-{run}"]
        if process.poll() not in (None, 0):
            raise AssertionError(f"run ended: {self.said(f'run-{run}')[-3000:]}")

    def end_runs(self) -> None:
        """Stop what is still supervised, as the operator would."""
        for called in [one for one in self.running if one.startswith("run-")]:
            if self.is_up(called) and self.coordinator.run(called[4:]).is_dir():
                self.call(SERVER, "stop", self.coordinator.root, "--run", called[4:])
                with suppress(subprocess.TimeoutExpired):
                    self.running[called].wait(60)
            _kill(self.running.pop(called).pid)

    @staticmethod
    def now() -> float:
        """Seconds since 1970, as the journals have them."""
        return time.time()

    def alarms(self, what: str, name: str) -> list[dict[str, Any]]:
        """Alarms at the server about this hospital."""
        return named(self.connections(), "alarm", what=what, hospital=name)

    def submit_code(self, folder: Path, marker: Path) -> str:
        """Submit a job that brings code, as the operator; why it was refused."""
        code = f"open({str(marker)!r}, 'w').close()"
        script = Path(__file__).with_name("net_job_with_code.py")
        words = [sys.executable, script, self.coordinator.root, folder, code]
        line = [str(word) for word in words]
        if self.places is not None:
            line = self.places.command(SERVER, *line)
        done = subprocess.run(
            line, env=self.environment(SERVER), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def close(self) -> None:
        """Kill everything that was started here."""
        mine = str(self.folder)
        for process in self.running.values():
            _kill(process.pid)
        for one in psutil.process_iter():
            try:
                if any(mine in part for part in one.cmdline()) and one.pid != os.getpid():
                    one.kill()
            except psutil.Error:
                continue
        for process in self.running.values():
            process.wait(10)
        self.running.clear()


KINDS = {
    "server": ("deploy.flare.entry server",),
    "client": ("deploy.flare.entry client",),
    "worker": ("deploy.flare.entry worker", "worker_process"),
    "job": ("runner_process",),
}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of JSON, without one that a crash cut off."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def wait(what: str, seconds: float, until: Callable[[], Any], every: float = 0.1) -> Any:
    """The first value of `until` that is true; `Late` after these seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := until():
            return found
        time.sleep(every)
    raise Late(f"{what}: not within {seconds} s")


def named(events: Iterable[Mapping[str, Any]], event: str, **fields: Any) -> list[dict[str, Any]]:
    """The events of this kind with these fields."""
    return [
        dict(line)
        for line in events
        if line.get("event") == event and all(line.get(k) == v for k, v in fields.items())
    ]


def _listens(number: int, port: int) -> bool:
    """Whether somebody listens on this port at the place of this process."""
    lines = []
    for kind in ("tcp", "tcp6"):
        try:
            lines += Path(f"/proc/{number}/net/{kind}").read_text().splitlines()
        except OSError:
            continue
    return any(
        part[1].endswith(f":{port:04X}") and part[3] == "0A" for part in map(str.split, lines)
    )


def _kill(number: int) -> None:
    try:
        process = psutil.Process(number)
        family: Sequence[psutil.Process] = [process, *process.children(recursive=True)]
    except psutil.Error:
        return
    for one in family:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue


__all__ = ["KINDS", "Federation", "Late", "named", "read_lines", "wait"]
