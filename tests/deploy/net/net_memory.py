"""How much memory the processes of a federation hold at most."""

from __future__ import annotations

import threading

import psutil
from net_federation import KINDS, Federation


class Memory:
    """While it is open, `most` is the largest resident set of a process of each kind, in MB."""

    def __init__(self, federation: Federation, every: float = 1.0) -> None:
        self.most: dict[str, int] = {}
        self._folder, self._every = str(federation.folder), every
        self._end = threading.Event()

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(self._every):
            for process in psutil.process_iter():
                try:
                    line = " ".join(process.cmdline())
                    held = process.memory_info().rss // 2**20
                except psutil.Error:
                    continue
                if self._folder not in line:
                    continue
                for kind, parts in KINDS.items():
                    if any(part in line for part in parts):
                        self.most[kind] = max(self.most.get(kind, 0), held)


__all__ = ["Memory"]
