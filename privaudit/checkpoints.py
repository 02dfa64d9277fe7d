"""Where a long training may store its state, set by whoever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_FOLDER: ContextVar[Path | None] = ContextVar("checkpoints", default=None)


def folder() -> Path | None:
    """A private folder for checkpoints of the job in progress, or None where nothing may be
    kept."""
    return _FOLDER.get()


@contextmanager
def within(path: Path, keep: bool = False) -> Iterator[None]:
    """Let trainings inside keep their state under `path`.

    It is removed once they are done, unless `keep`: a training that is asked for again then ends at
    once.
    """
    import shutil

    token = _FOLDER.set(path)
    try:
        yield
    finally:
        _FOLDER.reset(token)
    if not keep:
        shutil.rmtree(path, ignore_errors=True)
