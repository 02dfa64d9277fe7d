"""A federation of real processes, driven by the verbs of the command line alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
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
    """

    folder: Path
    hospitals: tuple[str, ...]
    places: Places | None = None
    port: int = PORT
    extra: dict[str, Mapping[str, str]] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    fingerprint: str = ""

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
        self, place: str, *words: str | Path, answer: str = "", timeout: float = 120, code: int = 0
    ) -> str:
        """Run one command to its end; what it said."""
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
        return said

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
        return process

    def said(self, called: str) -> str:
        """What a command that was started has said."""
        return (self.folder / f"{called}.said").read_text("utf-8", "replace")

    def events(self, run: str) -> list[dict[str, Any]]:
        """The coordinator's journal of this run."""
        return read_lines(self.coordinator.run(run) / "journal.jsonl")

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
