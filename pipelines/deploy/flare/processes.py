"""NVFlare's processes as children of `privaudit federation server` and `join`: started, watched,
started again, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pipelines.deploy.homes import CoordinatorHome, HospitalHome, check_folder, make_private
from privaudit.errors import PrivauditError

Side = Literal["server", "client"]
ENTRY: Final = "pipelines.deploy.flare.entry"
KITS: Final[Mapping[Side, str]] = {"server": "server", "client": "kit"}
STARTS = 5
WITHIN = 300.0
"""A process that ends more often than `STARTS` times in `WITHIN` seconds stays down."""
STOPS_IN = 8.0
"""Seconds between the request to end and the end by force."""
OUTCOME_WAIT = 30
"""Seconds for which a hung worker keeps a finished job open; 900 by default."""


@dataclass
class Parent:
    """NVFlare's server, or a hospital's client.

    Args:
        side: Which.
        home: The folder of the federation or of the hospital.
    """

    side: Side
    home: Path

    def __post_init__(self) -> None:
        self.home = self.home.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: list[float] = []
        self._ending = threading.Event()
        check_folder(self.home)

    @property
    def kit(self) -> Path:
        """NVFlare's folder."""
        return self.home / KITS[self.side]

    @property
    def pid_file(self) -> Path:
        return self.home / f"{self.side}.pid"

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.side}.log"

    def start(self) -> None:
        """Start it; PrivauditError where one runs already or the kit is none."""
        if running := read_pid(self.home, self.side):
            raise PrivauditError(
                f"a {self.side} that runs already as process {running}",
                "two with one kit take each other's work away",
                "end it first with `privaudit federation stop`",
            )
        command = self._command()
        _close_inside(self.kit)
        make_private(self.log.parent)
        make_private(self.kit / "transfer")
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._process = subprocess.Popen(
                command,
                cwd=self.kit,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self._starts.append(time.monotonic())
        self.pid_file.write_text(str(self._process.pid), "ascii")
        self.pid_file.chmod(0o600)

    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def run(self, ready: threading.Event | None = None) -> None:
        """Start it, and start it again where it ends unasked, until `stop` or a signal.

        Raises:
            PrivauditError: It ends again and again, or a kit that NVFlare refuses.
        """
        before = {
            number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            self.start()
            if ready is not None:
                ready.set()
            while not self._ending.wait(0.2):
                if not self.is_up():
                    self._start_again()
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """End it and its workers; returns when they are gone."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOPS_IN)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid)
                process.wait(STOPS_IN)
        if self.pid_file.exists() and self.pid_file.read_text("ascii").strip() == str(process.pid):
            self.pid_file.unlink(missing_ok=True)

    def _end(self, number: int, frame: object) -> None:
        self._ending.set()

    def _start_again(self) -> None:
        self.pid_file.unlink(missing_ok=True)
        recent = [at for at in self._starts if time.monotonic() - at < WITHIN]
        # A wrong local configuration ends NVFlare with the code 0, so the code says nothing.
        if len(recent) >= STARTS:
            raise PrivauditError(
                f"a {self.side} that ended {len(recent)} times within {WITHIN:.0f} seconds",
                "something in its configuration or its machine stops it",
                f"read the end of logs/{self.side}.log in its folder",
            )
        if self._ending.wait(min(2.0 ** len(recent), 30.0) / 4):
            return
        self.start()

    def _command(self) -> list[str]:
        options = self._options()
        if self.side == "server":
            more = ["-m", str(self.kit), "-s", "fed_server.json"]
        else:
            more = ["-m", str(self.kit), "-s", "fed_client.json"]
        return [sys.executable, "-u", "-m", ENTRY, self.side, *more, "--set", *options]

    def _options(self) -> list[str]:
        if self.side == "server":
            CoordinatorHome(self.home).read()
            return ["secure_train=true", "org=coordinator", "config_folder="]
        config = HospitalHome(self.home).read()
        org = read_org(self.kit)
        return ["secure_train=true", f"uid={config['name']}", f"org={org}", "config_folder="]

    def _environment(self) -> dict[str, str]:
        # NVFlare keeps things under HOME; nothing of another federation or of the user's.
        own = make_private(self.home / "home")
        passed = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(("NVFLARE_", "NVFL_")) and name.upper() not in _PROXIES
        }
        return {
            **passed,
            "HOME": str(own),
            "TMPDIR": str(make_private(self.home / "tmp")),
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "NVFLARE_SECURE_LOGGING": "true",
            "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": str(OUTCOME_WAIT),
        }


_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRPC_PROXY"}
"""A proxy would be a third party on the way to the coordinator."""


def _close_inside(kit: Path) -> None:
    """Let the port at which workers reach their parent ask for a certificate of this federation:
    by default any user of the machine may speak there."""
    inside = {"host": "localhost", "connection_security": "mtls"}
    path = kit / "local" / "comm_config.json"
    make_private(path.parent)
    path.touch(0o600)
    path.write_text(json.dumps({"internal": {"scheme": "tcp", "resources": inside}}), "ascii")


def read_org(kit: Path) -> str:
    """The organisation in a kit's certificate, as NVFlare's authorization wants it."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    pem = (kit / "startup" / "client.crt").read_bytes()
    found = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(
        NameOID.ORGANIZATION_NAME
    )
    return str(found[0].value) if found else ""


def read_pid(home: Path, side: Side) -> int | None:
    """The process that runs with this kit, None where none does."""
    import psutil

    try:
        number = int((home / f"{side}.pid").read_text("ascii"))
        line = psutil.Process(number).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    # The number of a process that ended is given to another one.
    return number if ENTRY in line and str(home.absolute() / KITS[side]) in line else None


def stop_running(home: Path, side: Side, seconds: float = STOPS_IN) -> bool:
    """End what runs with this kit, started by whatever process; False where nothing does."""
    import psutil

    number = read_pid(home, side)
    if number is None:
        return False
    os.kill(number, signal.SIGTERM)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(number):
            break
        time.sleep(0.1)
    else:
        kill_tree(number)
    (home / f"{side}.pid").unlink(missing_ok=True)
    return True


def kill_tree(number: int) -> None:
    """Kill a process and what it started: workers are in sessions of their own."""
    import psutil

    try:
        parent = psutil.Process(number)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def read_jobs(home: Path, side: Side) -> list[int]:
    """The processes of workers and jobs of this kit."""
    import psutil

    number = read_pid(home, side)
    if number is None:
        return []
    return [child.pid for child in psutil.Process(number).children(recursive=True)]


__all__ = ["Parent", "Side", "kill_tree", "read_jobs", "read_pid", "stop_running"]
