"""Folders under `restricted/`: for their owner alone, never a link, and nothing is left in them.

What holds records only while a command works is locked while it is in use and goes with it. A
command that was killed cannot remove its own: the next one finds the lock free, and removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privaudit.errors import PrivauditError

NAME = "restricted"
OF_RUNS = (NAME, "latest", "latest.txt", "attempts.jsonl")
"""What stands in a folder of runs beside these."""
LOCK = ".lock"
GITIGNORE, EVERYTHING = ".gitignore", "*\n"
"""A file by which git passes over the folder it lies in."""
UNPACKED, PLANNED, TABLES = "unpacked-", "plan-", "tables"
"""Folders of tables: unpacked from compressed files, of a forecast, and of a run."""
HALF_WRITTEN = ".tmp-*"
STALE_SECONDS = 3600
"""Age at which a half-written file of a folder that several runs share is nobody's any more."""


def make_private(folder: Path) -> Path:
    """Make a folder that its owner alone may open.

    Raises:
        PrivauditError: It is a link, which could lead anywhere.
    """
    if folder.is_symlink():
        raise PrivauditError(
            f"the folder {folder.name} is a link",
            "records of patients would be written where it leads",
            "remove the link, or give another folder of runs",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def keep_from_git(out: Path, restricted: Path) -> None:
    """Have git pass over a folder of runs; where it holds files of somebody else, or has rules of
    its own, over what is restricted in it."""
    rules = out / GITIGNORE
    if not rules.exists() and all(map(_is_of_runs, out.iterdir())):
        rules.write_text(EVERYTHING, encoding="utf-8")
    elif not rules.exists() or rules.read_text(encoding="utf-8") != EVERYTHING:
        (restricted / GITIGNORE).write_text(EVERYTHING, encoding="utf-8")


def _is_of_runs(path: Path) -> bool:
    return path.name in OF_RUNS or (path / NAME).is_dir()


def is_restricted(path: Path) -> bool:
    """Whether a path lies in a restricted folder."""
    return NAME in path.parts[:-1]


def make_owners_own(path: Path) -> None:
    """Take a file, or a folder and all in it, from everybody but its owner; links are left."""
    try:
        if path.is_symlink():
            return
        path.chmod(0o700 if path.is_dir() else 0o600)
        inside = list(path.iterdir()) if path.is_dir() else []
    except OSError:
        # Another run has removed it, or it is another user's.
        return
    for inner in inside:
        make_owners_own(inner)


@contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Make a private folder, locked while it is in use, and remove it at the end."""
    make_private(folder)
    (folder / GITIGNORE).write_text(EVERYTHING, encoding="utf-8")
    lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def unpack_into(out: Path) -> Iterator[None]:
    """Have temporary files made in a restricted folder of `out` instead of the system's.

    Where nothing can be written, the system's folder for temporary files is left to serve.
    """
    restricted = out / NAME
    new = [folder for folder in (restricted, out) if not folder.exists()]
    before = tempfile.tempdir
    try:
        make_private(restricted)
    except OSError:
        yield
        return
    sweep(out)
    try:
        with hold(restricted / f"{UNPACKED}{secrets.token_hex(4)}") as folder:
            tempfile.tempdir = str(folder.absolute())
            yield
    finally:
        tempfile.tempdir = before
        for folder in new:
            try:
                folder.rmdir()
            except OSError:
                break


def sweep(out: Path) -> None:
    """Remove what killed commands left of records in a folder of runs."""
    restricted = out / NAME
    if not restricted.is_symlink():
        for prefix in (UNPACKED, PLANNED):
            for folder in restricted.glob(f"{prefix}*"):
                if _is_left(folder):
                    shutil.rmtree(folder, ignore_errors=True)
        for part in restricted.glob(f"store/**/{HALF_WRITTEN}"):
            if not part.is_symlink() and time.time() - _changed(part) > STALE_SECONDS:
                shutil.rmtree(part, ignore_errors=True)
    for tables in out.glob(f"*/{NAME}/{TABLES}"):
        run = tables.parent.parent
        if run.is_symlink() or tables.parent.is_symlink() or not _is_left(tables):
            continue
        shutil.rmtree(tables, ignore_errors=True)
        for part in run.rglob(HALF_WRITTEN):
            shutil.rmtree(part, ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()


def _lock(folder: Path) -> int | None:
    """Lock a folder as long as this process lives; None where the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    # Locked before it has its name, so that nobody finds it unlocked in between.
    made = folder / f"{LOCK}-{secrets.token_hex(4)}"
    handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        made.unlink()
        return None
    os.replace(made, folder / LOCK)
    return handle


def _is_left(folder: Path) -> bool:
    """Whether the process that held this folder is gone."""
    try:
        import fcntl

        handle = os.open(folder / LOCK, os.O_WRONLY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return not folder.is_symlink()


__all__ = [
    *("hold", "is_restricted", "keep_from_git", "make_owners_own", "make_private", "sweep"),
    "unpack_into",
]
