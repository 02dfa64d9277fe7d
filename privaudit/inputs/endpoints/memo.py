"""What a deployed model has answered: on disk, for its owner alone, a file for each version."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from privaudit.errors import PrivauditError

FOLDER = "endpoints"
AT_ONCE = 500
"""Keys looked up by one statement."""

_TABLES = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists answers (key blob primary key, answer blob not null);
create table if not exists probes (key blob primary key, row blob not null, fixed int not null);
"""


class Memo:
    """Answers by row. Nothing of it is ever shared: it holds what was said of patients.

    Rows are known by a keyed digest of their cells; `probes` are whole rows that are asked about
    again. generation: drawn when the file is made, so that nothing made from the answers of a memo
    that was thrown away is taken for a result of another.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.lock = folder / f"{name}.sqlite", folder / f"{name}.lock"
        self._pid = 0
        self._link: sqlite3.Connection | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pid": 0, "_link": None}

    @property
    def link(self) -> sqlite3.Connection:
        """This process' connection."""
        if self._link is None or self._pid != os.getpid():
            if not self.path.exists():
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                self._link, self._pid = sqlite3.connect(self.path, timeout=60), os.getpid()
                self._link.executescript(_TABLES)
                with self._link:
                    for name in ("generation", "salt"):
                        self._link.execute(
                            "insert or ignore into meta values (?, ?)",
                            (name, secrets.token_hex(16)),
                        )
            except sqlite3.DatabaseError as error:
                raise _damaged() from error
        return self._link

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off other processes, so that no row is asked about twice."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        handle = os.open(self.lock, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def get(self, name: str, default: str = "") -> str:
        """A fact about the memo or a run."""
        found = self.link.execute("select value from meta where name = ?", (name,)).fetchone()
        return default if found is None else str(found[0])

    def put(self, name: str, value: str) -> None:
        """Store a fact."""
        with self.link:
            self.link.execute("insert or replace into meta values (?, ?)", (name, value))

    def keys(self, X: np.ndarray) -> list[bytes]:
        """A key for each row of (n, d) float32; -0 is 0, and every NaN is the same."""
        plain = np.ascontiguousarray(X + np.float32(0), dtype=np.float32)
        plain[np.isnan(plain)] = np.nan
        salt = bytes.fromhex(self.get("salt"))
        return [hashlib.blake2b(row.tobytes(), digest_size=16, key=salt).digest() for row in plain]

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """The answers that are known."""
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"select key, answer from answers where key in ({marks})"
            found |= {k: np.frombuffer(a) for k, a in self.link.execute(query, part)}
        return found

    def store(self, run: str, keys: Sequence[bytes], p: np.ndarray, sent: int) -> None:
        """Keep the (n, k) answers of one batch, and count it, in one step."""
        with self.link:
            self.link.executemany(
                "insert or ignore into answers values (?, ?)",
                [(key, row.tobytes()) for key, row in zip(keys, p, strict=True)],
            )
            for name, more in (("sent", sent), ("new", len(keys))):
                self.link.execute(
                    "insert into meta values (?, ?) on conflict (name) do update set "
                    "value = cast(value as int) + excluded.value",
                    (f"{name}:{run}", str(more)),
                )

    def count(self, run: str) -> tuple[int, int]:
        """Rows that a run asked about for the first time, and rows that it asked about in all."""
        return int(self.get(f"new:{run}", "0")), int(self.get(f"sent:{run}", "0"))

    def keep_probes(self, keys: Sequence[bytes], X: np.ndarray, *, fixed: bool = False) -> None:
        """Keep these rows, to ask about them again."""
        with self.link:
            self.link.executemany(
                "insert or ignore into probes values (?, ?, ?)",
                [(k, row.tobytes(), fixed) for k, row in zip(keys, X, strict=True)],
            )

    def probes(self, *, fixed: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """(m, d) float32 rows that were kept, and (m, k) what was answered of them."""
        query = "select p.row, a.answer from probes p join answers a on a.key = p.key"
        rows = self.link.execute(f"{query} where p.fixed" if fixed else query).fetchall()
        if not rows:
            return np.zeros((0, 0), dtype=np.float32), np.zeros((0, 0))
        X = [np.frombuffer(row, dtype=np.float32) for row, _ in rows]
        return np.array(X), np.array([np.frombuffer(answer) for _, answer in rows])

    def remove(self) -> None:
        """Throw the answers away; nothing made from them is found again."""
        if self._link is not None:
            self._link.close()
            self._link = None
        for path in (self.path, self.path.with_name(self.path.name + "-journal")):
            path.unlink(missing_ok=True)


def _damaged() -> PrivauditError:
    return PrivauditError(
        "the stored answers of this model are damaged",
        "the file in which they are kept was cut short or changed",
        f"remove restricted/{FOLDER} in the folder of runs; the model is then asked again",
    )


__all__ = ["FOLDER", "Memo"]
