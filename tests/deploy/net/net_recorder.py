"""What went over the wire: every frame at every port of the bridge, written down and added up."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from net_places import SERVER, Places

_FORCE_BUFFER = 33
_PACKET = 263
_STATISTICS = 6
_OUTGOING = 4


@dataclass
class Flow:
    """One direction of one TCP connection: payload bytes, each once even if it was sent again."""

    place: str
    up: bool
    source: int
    target: int
    payload: int = 0
    frames: int = 0
    first: float = 0.0
    last: float = 0.0
    next: int | None = None
    again: int = 0


@dataclass
class Recorder:
    """Records between `start` and `stop` into a pcap file, read by any network tool."""

    places: Places
    file: Path
    flows: dict[tuple[str, bool, int, int], Flow] = field(default_factory=dict)
    others: dict[tuple[str, bool, int], int] = field(default_factory=lambda: defaultdict(int))
    steps: dict[str, list[tuple[float, int]]] = field(default_factory=lambda: defaultdict(list))
    """What each place sent: (seconds since 1970, bytes of new payload), frame by frame."""
    dropped: int = 0

    def start(self) -> Recorder:
        place_of = {port: place for place, port in self.places.port.items() if place != SERVER}
        with self.places.inside(SERVER):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, 1 << 28)
        self._socket.setblocking(False)
        self._place_of = place_of
        self._end = threading.Event()
        self._out = self.file.open("wb")
        self._out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> Recorder:
        if not self._end.is_set():
            self._end.set()
            self._thread.join()
            counted = self._socket.getsockopt(_PACKET, _STATISTICS, 8)
            self.dropped += struct.unpack("II", counted)[1]
            self._socket.close()
            self._out.close()
        return self

    def __enter__(self) -> Recorder:
        return self.start()

    def __exit__(self, *problem: object) -> None:
        self.stop()

    def bytes(self, place: str, up: bool, since: float = 0.0) -> int:
        """TCP payload of this place in this direction, of connections begun after `since`."""
        return sum(
            flow.payload
            for flow in self.flows.values()
            if flow.place == place and flow.up == up and flow.first >= since
        )

    def sent(self, place: str, since: float, until: float) -> list[int]:
        """Payload of each frame that this place sent between these moments."""
        return [size for t, size in list(self.steps[place]) if since <= t < until]

    def contains(self, needle: bytes) -> bool:
        """Whether these bytes stand anywhere in the recorded frames."""
        keep = len(needle) - 1
        with self.file.open("rb") as file:
            tail = b""
            while block := file.read(1 << 22):
                if needle in tail + block:
                    return True
                tail = block[-keep:] if keep else b""
        return False

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket], [], [], 0.05)
            if not ready:
                if self._end.is_set():
                    return
                continue
            frame, (link, _, kind, *_) = self._socket.recvfrom(1 << 18)
            if (place := self._place_of.get(link)) is not None:
                self._take(place, kind != _OUTGOING, frame)

    def _take(self, place: str, up: bool, frame: bytes) -> None:
        now = time.time()
        whole, part = int(now), int(now % 1 * 1e6)
        self._out.write(struct.pack("<IIII", whole, part, len(frame), len(frame)) + frame)
        protocol = int.from_bytes(frame[12:14], "big")
        if protocol != 0x0800 or frame[23] != 6:
            self.others[place, up, protocol] += len(frame)
            return
        head = 14 + (frame[14] & 15) * 4
        total = int.from_bytes(frame[16:18], "big") or len(frame) - 14
        source, target, sequence = struct.unpack(">HHI", frame[head : head + 8])
        offset = (frame[head + 12] >> 4) * 4
        length = 14 + total - head - offset
        key = (place, up, source, target)
        flow = self.flows.get(key)
        if flow is None or (
            frame[head + 13] & 2 and length == 0 and flow.payload and now - flow.last > 1
        ):
            # The first frame, or a port that is used again for another connection.
            if flow is not None:
                self.flows[place, up, source, -len(self.flows)] = flow
            flow = self.flows[key] = Flow(place, up, source, target, first=now)
        flow.frames += 1
        flow.last = now
        if frame[head + 13] & 2:
            flow.next = (sequence + 1) % 2**32
        if length <= 0:
            return
        end = (sequence + length) % 2**32
        if flow.next is None:
            flow.next = sequence
        new = (end - flow.next) % 2**32
        if new < 2**31:
            # A frame that came early is counted with the gap before it, once.
            flow.payload += new
            if up:
                self.steps[place].append((now, new))
            flow.again += length - min(new, length)
            flow.next = end
        else:
            flow.again += length


__all__ = ["Flow", "Recorder"]
