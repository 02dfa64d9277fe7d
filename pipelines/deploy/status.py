"""What a coordinator and a hospital see of a federation, read from their own files alone.

Journals and outboxes hold what came over the network. Whatever a line holds, reading it raises
nothing, and no text of it is shown but on one line, shortened, without control characters.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from pathlib import Path
from typing import overload

from pipelines.deploy.homes import CoordinatorHome, HospitalHome
from pipelines.deploy.pages.coordinator import CoordinatorReader
from pipelines.deploy.pages.facts import CoordinatorStatus, HospitalStatus
from pipelines.deploy.pages.hospital import HospitalReader
from pipelines.deploy.pages.text import render
from privaudit.errors import PrivauditError

Status = CoordinatorStatus | HospitalStatus


def find_home(folder: Path) -> CoordinatorHome | HospitalHome:
    """The home that this folder is; PrivauditError where it is none."""
    coordinator, hospital = CoordinatorHome(folder), HospitalHome(folder)
    if hospital.config.is_file():
        return hospital
    if coordinator.config.is_file():
        return coordinator
    raise PrivauditError(
        "a folder with neither federation.toml nor hospital.toml",
        "it is none that a federation works in",
        "name the folder that `privaudit federation provision` or `join` made",
    )


class StatusReader:
    """Reads a home again and again, each line of its journals once: for a page, and to watch.

    Args:
        home: Of the coordinator or of a hospital.
    """

    def __init__(self, home: CoordinatorHome | HospitalHome) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._reader: CoordinatorReader | HospitalReader = (
            CoordinatorReader(home) if isinstance(home, CoordinatorHome) else HospitalReader(home)
        )

    def read(self, now: float | None = None) -> Status:
        """What there is to see now, or at this time (seconds since 1970)."""
        with self._lock:
            return self._reader.read(time.time() if now is None else now)


@overload
def read_status(home: CoordinatorHome) -> CoordinatorStatus: ...
@overload
def read_status(home: HospitalHome) -> HospitalStatus: ...
def read_status(home: CoordinatorHome | HospitalHome) -> Status:
    """What there is to see now; files that are missing or damaged leave their part out."""
    return StatusReader(home).read()


def render_text(status: Status) -> str:
    """The status for a terminal: lines of text without control characters."""
    return render(status)


def to_json(status: Status) -> str:
    """The status as JSON, times in seconds since 1970."""
    return json.dumps(dataclasses.asdict(status), allow_nan=False, indent=1)


__all__ = [
    *("CoordinatorStatus", "HospitalStatus", "Status", "StatusReader"),
    *("find_home", "read_status", "render_text", "to_json"),
]
