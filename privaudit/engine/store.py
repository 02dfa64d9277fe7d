"""The cache of finished steps: a folder of content-addressed files.

Nothing in it is ever unpickled. Every entry carries an HMAC of its content and of its own name,
under a key made from that of the folder of runs, so that a file that was cut short, altered, moved
or written without the key is noticed, removed and computed again. The folder holds per-record
answers of models and the records themselves: it lies under `restricted/`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.records import Column, Records
from privaudit.restricted import is_restricted, make_owners_own

DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading an archive of arrays raises that is cut short or altered: one flipped bit may name a
compression that there is not, or a password."""
_ARRAYS = ("X", "y", "patient", "site", "series")


@dataclass(frozen=True)
class Store:
    """The cache at `root`. Cheap to send to another process. key: that its entries are sealed
    under (`derive_seal_key`); without one they are safe from accidents alone."""

    root: str
    key: bytes = field(default=b"", repr=False)

    def path(self, kind: str, key: str, suffix: str) -> Path:
        return Path(self.root) / kind / key[:2] / f"{key}{suffix}"

    def put_arrays(self, kind: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store named arrays under this key."""
        seal = np.frombuffer(self._seal(kind, key, _digest(arrays)), dtype=np.uint8)

        def fill(path: Path) -> None:
            with open(path, "wb") as file:
                np.savez(file, **{**arrays, "seal": seal})  # type: ignore[arg-type]

        write_atomically(self.path(kind, key, ".npz"), fill)

    def get_arrays(self, kind: str, key: str) -> dict[str, np.ndarray] | None:
        """The arrays stored under this key; None where there are none, or they are damaged."""
        path = self.path(kind, key, ".npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            seal = arrays.pop("seal").tobytes()
        except FileNotFoundError:
            return None
        except DAMAGED:
            path.unlink(missing_ok=True)
            return None
        if not hmac.compare_digest(seal, self._seal(kind, key, _digest(arrays))):
            path.unlink(missing_ok=True)
            return None
        return arrays

    def put_json(self, kind: str, key: str, body: Any) -> None:
        """Store a JSON value under this key."""
        text = json.dumps(body, sort_keys=True, allow_nan=False)
        seal = self._seal(kind, key, text.encode()).hex()
        file = f'{{"seal": "{seal}", "body": {text}}}\n'
        path = self.path(kind, key, ".json")
        write_atomically(path, lambda made: made.write_text(file, encoding="utf-8"))

    def get_json(self, kind: str, key: str) -> Any:
        """The value stored under this key; None where there is none, or it is damaged."""
        path = self.path(kind, key, ".json")
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            body, seal = tree["body"], str(tree["seal"]).encode()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            return None
        text = json.dumps(body, sort_keys=True, allow_nan=False)
        if not hmac.compare_digest(self._seal(kind, key, text.encode()).hex().encode(), seal):
            path.unlink(missing_ok=True)
            return None
        return body

    def _seal(self, kind: str, key: str, content: bytes) -> bytes:
        """Of this content under this name: an entry moved to another name does not fit."""
        return hmac.digest(self.key, f"{kind}\0{key}\0".encode() + content, "sha256")

    def has_arrays(self, kind: str, key: str) -> bool:
        """Whether undamaged arrays are stored under this key."""
        return self.get_arrays(kind, key) is not None

    def put_records(self, records: Records) -> str:
        """Store a table for workers to map from disk instead of being sent it; its fingerprint."""
        key = records.fingerprint
        folder = self.path("records", key, "")
        if not folder.is_dir():

            def fill(made: Path) -> None:
                made.mkdir()
                for name in _ARRAYS:
                    array = getattr(records, name)
                    if array is not None:
                        np.save(made / f"{name}.npy", array, allow_pickle=False)
                for index, name in enumerate(records.groups):
                    np.save(made / f"group{index}.npy", records.groups[name], allow_pickle=False)
                about = {
                    "columns": [asdict(c) for c in records.columns],
                    "channels": [asdict(c) for c in records.channels],
                    "groups": list(records.groups),
                    "classes": records.classes,
                    "sites": records.sites,
                    "outcome_kind": records.outcome_kind,
                    "ordered": records.ordered,
                    "image": records.image,
                }
                (made / "schema.json").write_text(json.dumps(about), encoding="utf-8")

            write_atomically(folder, fill)
        return key

    def get_records(self, key: str) -> Records:
        """A stored table, mapped read-only from disk."""
        return _mapped(self.root, key)


@lru_cache(maxsize=16)
def _mapped(root: str, key: str) -> Records:
    folder = Store(root).path("records", key, "")
    about = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in _ARRAYS
        if (folder / f"{name}.npy").exists()
    }
    return Records(
        columns=tuple(_column(c) for c in about["columns"]),
        channels=tuple(_column(c) for c in about["channels"]),
        groups={
            name: np.load(folder / f"group{index}.npy", allow_pickle=False)
            for index, name in enumerate(about["groups"])
        },
        classes=tuple(about["classes"]),
        sites=tuple(about["sites"]),
        outcome_kind=about.get("outcome_kind", "class"),
        ordered=about.get("ordered", False),
        image=tuple(about["image"]) if about.get("image") else None,
        **arrays,
    )


def _column(tree: dict[str, Any]) -> Column:
    bounds = tree["bounds"]
    return Column(
        **{
            **tree,
            "levels": tuple(tree["levels"]),
            "bounds": None if bounds is None else tuple(bounds),
        }
    )


def _digest(arrays: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.digest()


def write_atomically(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` make a file or folder beside `path`, flush it, then rename it into place.

    In a restricted folder, what it makes is its owner's alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as scratch:
        made = Path(scratch) / path.name
        fill(made)
        if is_restricted(path):
            make_owners_own(made)
        for file in [made, *made.iterdir()] if made.is_dir() else [made]:
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        try:
            os.replace(made, path)
        except OSError:
            # Another process finished the same folder first: its content is the same by its key.
            if not path.is_dir():
                raise


def derive_seal_key(key: bytes) -> bytes:
    """The key that a cache is sealed under, from that of the folder of runs: workers, who may sit
    on other machines, are given this one alone."""
    return hmac.digest(key, b"privaudit cache", "sha256")


def key_of(*parts: object) -> str:
    """A content key: sha256 of the parts' texts."""
    digest = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()
