"""A process of NVFlare that a command runs in the foreground, one at a time, and how `stop` ends
it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pipelines.deploy.commands._verb import say_url
from pipelines.deploy.homes import CoordinatorHome, HospitalHome
from privaudit.errors import PrivauditError

Side = Literal["server", "client"]
ENDS_IN = 30.0
"""Seconds between the request to a command and the end by force."""


@contextmanager
def alone(root: Path, side: Side) -> Iterator[None]:
    """Within, no other command runs this side of this folder.

    The lock goes with the process, however it ends; the file says which one to signal.

    Raises:
        PrivauditError: Another one runs.
    """
    from pipelines.deploy.flare.processes import read_pid

    handle = os.open(_lock(root, side), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        running = None if _take(handle) else _holder(handle)
        if running is None:
            # A child whose command was killed goes on.
            running = read_pid(root, side)
        if running is not None:
            raise PrivauditError(
                f"a {side} that runs already as process {running}",
                "two with one kit take each other's work away",
                "end it first with `privaudit federation stop`",
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def run_foreground(home: CoordinatorHome | HospitalHome, side: Side, page: int) -> None:
    """Run it with its status page until a signal; call within `alone`."""
    from pipelines.deploy.flare.processes import Parent
    from pipelines.deploy.page import serve_page

    with serve_page(home, page) as made:
        say_url(made.url)
        Parent(side, home.root).run()


def end_foreground(root: Path, side: Side) -> bool:
    """End what runs, from another terminal; False where nothing does."""
    from pipelines.deploy.flare.processes import stop_running

    ended = False
    if _lock(root, side).is_file():
        handle = os.open(_lock(root, side), os.O_RDWR)
        try:
            if not _take(handle):
                ended = True
                _end(handle)
        finally:
            os.close(handle)
    return stop_running(root, side) or ended


def _end(handle: int) -> None:
    """Ask the command to end, and wait: alone, its child would be started again."""
    until = time.monotonic() + ENDS_IN
    asked: int | None = None
    while not _take(handle):
        running = _holder(handle)
        if running is not None and running != asked:
            os.kill(running, signal.SIGTERM)
            asked = running
        if time.monotonic() > until:
            if running is not None:
                os.kill(running, signal.SIGKILL)
            return
        time.sleep(0.1)


def _lock(root: Path, side: Side) -> Path:
    return root / f".{side}.command"


def _take(handle: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _holder(handle: int) -> int | None:
    """The process that holds the lock; it may not have written its number yet."""
    said = os.pread(handle, 20, 0)
    return int(said) if said.isdigit() else None


__all__ = ["Side", "alone", "end_foreground", "run_foreground"]
