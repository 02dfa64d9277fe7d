"""A slow link, carried frame by frame by a thread: a rate, a delay, and a buffer that overflows.

`tc netem` needs a module that not every kernel has; this needs none, and the kernels at both ends
still see a real link.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque

from net_places import Places


class SlowLink:
    """The cable of one place from now on.

    Args:
        delay: Seconds one way.
        rate: Bits a second, each way.
        buffer: Bytes that wait at most; more are dropped, as a router does.
    """

    def __init__(
        self, places: Places, place: str, delay: float, rate: float, buffer: int = 1 << 17
    ):
        self.delay, self.rate, self.buffer = delay, rate, buffer
        self.dropped = 0
        ends = places.split_cable(place)
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._carry, args=pair, daemon=True)
            for pair in (ends, ends[::-1])
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        held, free = 0, 0.0
        while not self._end.is_set():
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                _, frame = waiting.popleft()
                held -= len(frame)
                try:
                    target.send(frame)
                except OSError:
                    self.dropped += 1
            pause = min(0.05, waiting[0][0] - now) if waiting else 0.05
            ready, _, _ = select.select([source], [], [], max(pause, 0))
            if not ready:
                continue
            frame, (_, _, kind, *_) = source.recvfrom(1 << 17)
            if kind == 4:  # our own, on its way out
                continue
            if held + len(frame) > self.buffer:
                self.dropped += 1
                continue
            held += len(frame)
            now = time.monotonic()
            free = max(free, now) + len(frame) * 8 / self.rate
            waiting.append((free + self.delay, frame))


__all__ = ["SlowLink"]
