"""Starts a hospital's worker, and starts it again when it dies or hangs: one crash at one hospital
is not the end of the job for all."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from nvflare.apis.fl_constant import FLContextKey, JobConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobProcessArgs, JobReturnCode
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.app_common.job_launcher.process_launcher import JOB_RETURN_CODE_MAPPING
from nvflare.utils.job_launcher_utils import get_client_job_args, get_credential_env
from nvflare.utils.process_utils import spawn_process

ENTRY: Final = "pipelines.deploy.flare.entry"
TRIES = 3
POLL_EVERY = 0.2
ALIVE_EVERY, DEAD_AFTER = 2.0, 20.0
"""Seconds between two signs of life of a worker, and without one before it counts as hung."""
BUSY, ALIVE = "busy", "alive"
"""Files in a job's folder: until when the worker's question, or itself, is no hang."""
HANGS_AFTER = 2.0
"""Times the terms' timeout that one question may take before its worker counts as hung."""
_LOG = logging.getLogger(__name__)


class Adapter(Protocol):
    """NVFlare's handle of one process."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        ...

    def terminate(self) -> None:
        """Kill it and its children."""
        ...


class Persistent(ClientProcessJobLauncher):
    """Named in the site's own resources.json as `process_launcher`."""

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Start the worker through our own door; nothing of the job reaches its command line."""
        given = fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS)
        command = [sys.executable, "-u", "-m", ENTRY, "worker"]
        for name in get_client_job_args():
            option, value = given.get(name) or ("", "")
            if name == JobProcessArgs.EXE_MODULE or not option:
                continue
            # `--set` takes several words; every other value is one, blanks and all.
            parts = str(value).split() if name == JobProcessArgs.OPTIONS else [str(value)]
            command += [option, *parts]
        environment = {**os.environ, **get_credential_env(given)}
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        folder = Path(workspace.get_run_dir(job_meta.get(JobConstants.JOB_ID)))
        return WatchedHandle(lambda: spawn_process(command, environment), folder)


class WatchedHandle(JobHandleSpec):
    """A worker that is started again when a signal that nobody sent ends it, and killed where it
    works on one question for longer than it may.

    Args:
        start: Starts a worker.
        folder: The job's folder, where the worker writes down what it works on (`busy`, `alive`).
    """

    def __init__(self, start: Callable[[], Adapter], folder: Path) -> None:
        super().__init__()
        self._start, self._folder = start, folder
        # Two threads that wait for one process would lose its exit code: one at a time asks.
        self._lock = threading.Lock()
        self._left, self._over = TRIES, False
        forget(folder)
        self._inner = start()

    def terminate(self) -> None:
        """End the worker for good."""
        with self._lock:
            self._over = True
            self._inner.terminate()

    def poll(self) -> Any:
        """The return code; UNKNOWN while a worker runs."""
        code = self._look()
        if code is None:
            return JobReturnCode.UNKNOWN
        return JOB_RETURN_CODE_MAPPING.get(code, JobReturnCode.EXECUTION_ERROR)

    def wait(self) -> None:
        """Until no worker runs and none is to be started."""
        while self._look() is None:
            time.sleep(POLL_EVERY)

    def _look(self) -> int | None:
        with self._lock:
            code = self._inner.poll()
            if code is None:
                if not self._over and is_hung(self._folder):
                    _LOG.warning("a worker hangs: it is killed")
                    forget(self._folder)
                    self._inner.terminate()
                return None
            # A worker that ends by itself, with whatever code, has ended.
            if code >= 0 or self._over or self._left <= 0:
                self._over = True
                return code
            self._left -= 1
            _LOG.warning("a worker died of signal %d; %d more tries", -code, self._left)
            forget(self._folder)
            self._inner = self._start()
            return None


def note_busy(folder: Path, seconds: float) -> None:
    """Write down that the worker works on a question, and how long it may."""
    _note(folder / BUSY, time.monotonic() + seconds)


def clear_busy(folder: Path) -> None:
    """The question is answered."""
    (folder / BUSY).unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """A worker is gone: what it left says nothing of the next one."""
    clear_busy(folder)
    (folder / ALIVE).unlink(missing_ok=True)


def show_life(folder: Path) -> None:
    """Give signs of life for as long as this process runs; does not return."""
    while True:
        # No job's folder yet, or a full disk: no sign is no hang.
        with suppress(OSError):
            _note(folder / ALIVE, time.monotonic() + DEAD_AFTER)
        time.sleep(ALIVE_EVERY)


def is_hung(folder: Path) -> bool:
    """Whether the worker is past the time that its question may take, or gives no sign of life."""
    return any(time.monotonic() > _read(folder / name) for name in (BUSY, ALIVE))


def _note(path: Path, until: float) -> None:
    # Of the machine's own clock since it began, which all its processes share and nobody sets.
    made = path.with_name(path.name + ".new")
    made.write_text(repr(until), "ascii")
    made.replace(path)


def _read(path: Path) -> float:
    try:
        return float(path.read_text("ascii"))
    except (OSError, ValueError):
        return float("inf")


__all__ = [
    "HANGS_AFTER",
    "Persistent",
    "WatchedHandle",
    "clear_busy",
    "is_hung",
    "note_busy",
    "show_life",
]
