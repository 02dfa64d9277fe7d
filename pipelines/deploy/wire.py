"""How the coordinator asks hospitals: over NVFlare, or in memory for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipelines.deploy.messages import Body


@dataclass(frozen=True)
class Answers:
    """What came back in time. missing: hospital -> "no_answer", or why its answer is none."""

    came: Mapping[str, Body]
    missing: Mapping[str, str] = field(default_factory=dict)


class Wire(Protocol):
    """One question to each of several hospitals at once."""

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        """Waits until all have answered or `timeout` seconds have passed. Answers are checked by
        `messages.check_answer`. Raises `Stopped` where the run is to end."""
        ...

    def present(self) -> tuple[str, ...]:
        """The hospitals that are connected now."""
        ...


class Stopped(Exception):
    """The engine ends this segment of the run: state is on disk, and nothing more may be asked."""


__all__ = ["Answers", "Stopped", "Wire"]
