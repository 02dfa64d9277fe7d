"""Every byte that a hospital's port carried, set against what its outbox says has left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Overhead:
    """What the engine adds, measured on this federation while it asks nothing.

    Args:
        a_second: Bytes of questions for work and of heartbeats.
        a_message: Headers of one message: the cell's own, gRPC's, TLS's.
        share: Of the payload: TLS takes 22 bytes of 16,384 and HTTP/2 9.
        once: Handshakes of new connections, certificates, the greeting of a worker.
    """

    a_second: float
    a_message: float = 3000.0
    share: float = 0.01
    once: float = 40_000.0

    def allow(self, outbox: Iterable[Mapping[str, Any]], seconds: float) -> tuple[float, float]:
        """The fewest and the most bytes that these messages in these seconds may be."""
        lines = list(outbox)
        payload = sum(line["bytes"] for line in lines)
        most = (
            payload * (1 + self.share)
            + len(lines) * self.a_message
            + seconds * self.a_second
            + self.once
        )
        return float(payload), most


def find_in_files(folder: Path, needles: Mapping[str, bytes], spare: Iterable[Path]) -> list[str]:
    """Where these bytes stand in files below the folder: `what: path`, but for the spared paths."""
    left = [path.resolve() for path in spare]
    found = []
    for path in sorted(folder.rglob("*")):
        own = path.resolve()
        if not path.is_file() or any(own == one or one in own.parents for one in left):
            continue
        try:
            content = path.read_bytes()
        except OSError:
            continue
        found += [f"{what}: {path}" for what, needle in needles.items() if needle in content]
    return found


def key_needles(key: Path) -> dict[str, bytes]:
    """A private key, as it would stand in a text, and as bytes."""
    import base64

    lines = key.read_bytes().split()
    body = b"".join(line for line in lines if b"-" not in line and len(line) >= 32)
    raw = base64.b64decode(body + b"=" * (-len(body) % 4))
    middle = [line for line in lines if b"-" not in line and len(line) >= 60][5]
    return {"private key (text)": middle, "private key (bytes)": raw[200:232]}


__all__ = ["Overhead", "find_in_files", "key_needles"]
