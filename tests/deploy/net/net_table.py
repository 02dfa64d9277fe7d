"""The table of faults: what happened to a run, and after how many seconds. Written where
PRIVAUDIT_FAULT_TABLE says, for docs/design/053-faults.md."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Table:
    """Rows as they come; the file is whole after each."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, fault: str, happened: str, seconds: float) -> None:
        self.rows.append((fault, happened, f"{seconds:.1f}"))
        if path := os.environ.get("PRIVAUDIT_FAULT_TABLE"):
            lines = ["| fault | what happens | seconds |", "|---|---|---|"]
            lines += [f"| {a} | {b} | {c} |" for a, b, c in self.rows]
            Path(path).write_text("\n".join(lines) + "\n")


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begin


__all__ = ["Table", "Watch"]
