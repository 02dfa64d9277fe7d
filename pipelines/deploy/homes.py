"""The folders of a federation: one at the coordinator, one at every hospital. Keys never leave
theirs."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError


def make_private(path: Path) -> Path:
    """The folder, for its owner alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(path, 0o700)
    return path


def check_folder(path: Path) -> None:
    """PrivauditError where NVFlare, which splits commands at blanks, could not work."""
    if any(letter.isspace() or letter in "'\"\\" for letter in str(path.absolute())):
        raise PrivauditError(
            "a folder with a blank or a quotation mark in its path",
            "NVFlare cannot start a job there",
            "use another folder",
        )


@dataclass(frozen=True)
class CoordinatorHome:
    """federation.toml: name, host, port, operator, auditor, hospitals, root (fingerprint).

    federation.toml  ca/  requests/  signed/  server/ (kit)  operator/ (kit)
    runs/RUN/ terms.json state.npz journal.jsonl exchange/ release/ stop
    """

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "federation.toml"

    def read(self) -> dict[str, Any]:
        """What federation.toml says."""
        return _read(self.config, "privaudit federation provision")

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.root / "runs" / name


@dataclass(frozen=True)
class HospitalHome:
    """hospital.toml: name, federation, host, port, operator, hospitals (the roster), root
    (fingerprint), and `[data]`: task, path, cache, settings, refits (whether attacks that train
    again may run here), least_patients.

        hospital.toml  request/ (private key)  kit/  consent.json  outbox.jsonl  journal.jsonl
        pending/RUN.json  runs/RUN/ state.npz  restricted/
    """

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "hospital.toml"

    @property
    def consent(self) -> Path:
        return self.root / "consent.json"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox.jsonl"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    def read(self) -> dict[str, Any]:
        """What hospital.toml says."""
        return _read(self.config, "privaudit federation join")

    def pending(self, run: str) -> Path:
        """The signed terms of a run that asked for consent."""
        return self.root / "pending" / f"{run}.json"

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.root / "runs" / name


def _read(path: Path, command: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise PrivauditError(
            f"no {path.name} in this folder",
            "it is not one that a federation works in",
            f"make it with `{command}`",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PrivauditError(
            f"a {path.name} that cannot be read", str(error), f"make it again with `{command}`"
        ) from error


__all__ = ["CoordinatorHome", "HospitalHome", "check_folder", "make_private"]
