"""What a process that opens an untrusted model may use: memory, time, files, and nothing to write.

Called in that process, before it sees a byte of the model. What a system does not offer is left
out: resource limits need a Unix, the file rules need Linux's Landlock (5.13 and later).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

MEMORY = 4 << 30
"""Bytes that a child may take beside the libraries that it holds; more for a large model file."""

TIMES_THE_FILE = 8
"""How many times its size a model may take in memory."""

OPEN_FILES = 128
SCRATCH_BYTES = 64 << 20
"""Of a file that trusted code may write into the child's own folder; all others write nothing."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES, _DUMPABLE = 38, 4
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""File rights by version of Landlock: the later ones add moving, cutting short and devices."""

_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
"""Rights that a rule on a file, and not a folder, may name."""

SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/opt", "/dev")


def limit_resources(size: int, *, may_write: bool) -> None:
    """Bound memory, open files, written files and core dumps of this process.

    Args:
        size: Bytes of the model's file.
        may_write: Files of `SCRATCH_BYTES`, or as large as the model, may be written, else none.
    """
    try:
        import resource
    except ImportError:
        return
    memory = _mapped_bytes() + max(MEMORY, TIMES_THE_FILE * size)
    for name, most in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_FSIZE", max(SCRATCH_BYTES, size) if may_write else 0),
        ("RLIMIT_NOFILE", OPEN_FILES),
        ("RLIMIT_CORE", 0),
    ):
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # A system that does not let a limit be set there has others.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def limit_time(seconds: float) -> None:
    """Let this process compute for so many seconds from now, then end it."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _mapped_bytes() -> int:
    """Address space that this process holds already, mostly libraries."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 16 << 30
    return pages * os.sysconf("SC_PAGE_SIZE")


def restrict_files(readable: Iterable[str], writable: Iterable[str] = ()) -> bool:
    """Let this process read below these folders alone, write below others, and start no program.

    It opens no TCP connection either, where the system can say so. It cannot be taken back.

    Returns:
        Whether the system does so.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    handled = _RIGHTS[min(version, 5)]
    # File rights, network rights (bind, connect), scopes (abstract sockets, signals).
    attributes = (ctypes.c_uint64 * 3)(handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(libc, ruleset, path, (_READ_FILE | _READ_DIR) & handled)
        for path in writable:
            _allow(libc, ruleset, path, handled & ~_EXECUTE)
        _allow(libc, ruleset, "/dev/null", (_READ_FILE | _WRITE_FILE) & handled)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            rights &= _OF_FILES
        rule = _PathBeneath(rights, place)
        libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(place)


__all__ = ["limit_resources", "limit_time", "restrict_files"]
