"""What the tests between machines share: places, a clock, a disk, processes and their waits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from net_places import Places, why_not


@contextmanager
def own_places(*places: str) -> Iterator[Places]:
    """Machines for this test; skipped, with the reason, where none can be made."""
    if reason := why_not():
        pytest.skip(reason)
    made = Places(places)
    try:
        yield made
    finally:
        made.close()


def build_clock(folder: Path, seconds: int) -> dict[str, str]:
    """An environment in which every program's clock is off; skipped where no compiler is."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for a clock that is off")
    library = folder / "clock.so"
    source = Path(__file__).with_name("net_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "PRIVAUDIT_TEST_CLOCK": str(seconds)}


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """The folder, on a disk of its own of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", folder], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, left: int = 0) -> Path:
    """Fill this folder's disk up to `left` bytes."""
    file = folder / "filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with file.open("wb") as out:
        try:
            for _ in range(max(0, free - left) // 4096):
                out.write(bytes(4096))
        except OSError:
            pass
    return file


__all__ = ["build_clock", "fill", "own_places", "small_disk"]
