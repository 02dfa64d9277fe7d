"""Where a long training may keep its state, told by whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_FOLDER: ContextVar[Path | None] = ContextVar("checkpoints", default=None)


def folder() -> Path | None:
    """A private folder for checkpoints of the job in progress, or None where nothing may be kept."""
    return _FOLDER.get()


@contextmanager
def within(path: Path) -> Iterator[None]:
    """Let trainings inside keep their state under `path`; what it holds is removed once they are done."""
    import shutil

    token = _FOLDER.set(path)
    try:
        yield
    finally:
        _FOLDER.reset(token)
    shutil.rmtree(path, ignore_errors=True)
