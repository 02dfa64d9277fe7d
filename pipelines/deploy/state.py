"""What the coordinator keeps of a run on disk: whole or not at all, so that a run can go on."""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.homes import make_private
from pipelines.deploy.private_files import write_private
from privaudit.errors import PrivauditError

META = "meta"


def write_bytes(path: Path, raw: bytes) -> None:
    """Write a file of this owner's alone; after a crash it is the old one or the new one."""
    make_private(path.parent)
    write_private(path, raw)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process: two coordinators of one run would ask hospitals for one
    round in two ways. PrivauditError where another holds it."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PrivauditError(
                f"a run {folder.name!r} that is under way",
                "another coordinator works in its folder",
                "wait until it has ended, or stop it",
            ) from None
        yield
    finally:
        os.close(handle)


def save(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays, and beside them what JSON can hold."""
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{META: text}, **arrays)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """What `save` wrote, None where there is no file; PrivauditError where it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop(META).tobytes())
    except FileNotFoundError:
        return None
    except Exception as error:
        raise PrivauditError(
            f"a {path.name} that cannot be read",
            "the state of this run was changed or cut off",
            "restore it from a backup, or start a run of another name",
        ) from error
    return meta, arrays


__all__ = ["hold", "load", "save", "write_bytes"]
