"""What the tests between machines share: places, a clock, a disk, processes and their waits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Disk:
    """A disk of its own below a folder, in memory, whose size can change."""

    folder: Path

    def fill(self) -> None:
        """No byte more fits, and none is written to make it so: the disk shrinks."""
        used = os.statvfs(self.folder)
        self.resize((used.f_blocks - used.f_bfree) * used.f_frsize)

    def resize(self, size: int) -> None:
        """Give it this many bytes."""
        options = f"remount,size={size}"
        subprocess.run(["mount", "-o", options, self.folder], check=True)


@contextmanager
def own_disk(folder: Path, size: int) -> Iterator[Disk]:
    """The folder, on a disk of so many bytes; gone at the end with what is on it."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    # Another process takes it away, also where this one is killed.
    guard = subprocess.Popen(
        ["sh", "-c", "trap '' INT; cat > /dev/null; umount -l \"$DISK\""],
        stdin=subprocess.PIPE,
        start_new_session=True,
        # Not among its words: whoever ends a federation kills what names its folder.
        env={**os.environ, "DISK": str(folder)},
    )
    try:
        yield Disk(folder)
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        assert guard.wait(30) == 0


__all__ = ["Disk", "build_clock", "own_disk", "own_places"]
