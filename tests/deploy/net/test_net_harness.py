"""The machines of these tests are what they say they are: apart, recorded, slow, off by a day."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from net_lab import build_clock, own_disk, own_places
from net_places import HOST, SERVER, Places, why_not
from net_recorder import Recorder
from net_slow import SlowLink

pytestmark = pytest.mark.slow

SEND = (
    "import socket,sys; s=socket.create_connection((sys.argv[1], 7000), 20);"
    "s.sendall(b'marker-of-the-test' + b'x' * int(sys.argv[2])); s.shutdown(1);"
    "sys.exit(0 if s.recv(10) == b'y' * 10 else 1)"
)


def serve(places: Places) -> socket.socket:
    with places.inside(SERVER):
        listener = socket.create_server((places.address[SERVER], 7000))
    listener.settimeout(30)
    return listener


def send(places: Places, place: str, size: int, listener: socket.socket) -> float:
    """Seconds until `size` bytes have come from this place and 10 have gone back."""
    begin = time.monotonic()
    process = places.at(place, sys.executable, "-c", SEND, HOST, str(size))
    connection, (address, _) = listener.accept()
    assert address == places.address[place]
    connection.settimeout(60)
    while connection.recv(1 << 16):
        pass
    connection.sendall(b"y" * 10)
    connection.close()
    assert process.wait(30) == 0
    return time.monotonic() - begin


def test_what_is_recorded_is_what_was_sent(tmp_path: Path) -> None:
    with own_places("a", "b") as places, serve(places) as listener:
        with Recorder(places, tmp_path / "wire.pcap") as wire:
            send(places, "a", 3_000_000, listener)
            send(places, "b", 10, listener)
            time.sleep(0.2)
        assert wire.dropped == 0
        assert wire.bytes("a", True) == 3_000_018
        assert wire.bytes("b", True) == 28
        assert wire.bytes("a", False) == wire.bytes("b", False) == 10
        assert wire.contains(b"marker-of-the-test")
        assert not wire.contains(b"marker-of-another-test")


def test_there_is_no_way_out_and_nothing_is_left(tmp_path: Path) -> None:
    with own_places("a") as places:
        space = places.space("a")
        routes = subprocess.run(
            places.command("a", "ip", "route"), capture_output=True, text=True, check=True
        )
        assert routes.stdout.split()[0] == "10.77.0.0/24"
        assert "default" not in routes.stdout
        assert Path("/run/netns", space).exists()
        assert places.pids("a") == []
    assert not Path("/run/netns", space).exists()
    assert not Path("/etc/netns", space).exists()


def test_places_go_when_their_test_is_killed() -> None:
    code = (
        "import os,sys; from net_places import Places; p = Places(['a']);"
        "p.at('a', 'sleep', '100'); print(p.space('a'), flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    space = Path("/run/netns", done.stdout.strip())
    for _ in range(200):
        if not space.exists():
            return
        time.sleep(0.05)
    raise AssertionError("the namespace is still there")


def test_a_slow_link_is_slow(tmp_path: Path) -> None:
    with own_places("a", "b") as places, serve(places) as listener:
        link = SlowLink(places, "b", delay=0.1, rate=1e6)
        try:
            assert send(places, "a", 200_000, listener) < 2
            took = send(places, "b", 200_000, listener)
        finally:
            link.close()
        # Name, connect and answer: two round trips of .2 s; 1.6 Mbit at 1 Mbit/s.
        assert 1.9 < took < 8


def test_a_cut_cable_is_mended(tmp_path: Path) -> None:
    with own_places("a") as places, serve(places) as listener:
        places.cut("a")
        with pytest.raises(OSError, match="timed out"), places.inside("a"):
            socket.create_connection((places.address[SERVER], 7000), 0.3)
        places.join("a")
        send(places, "a", 10, listener)


@pytest.mark.parametrize("seconds", [86400, -86400])
def test_a_clock_that_is_off_is_off_in_every_layer(tmp_path: Path, seconds: int) -> None:
    environment = build_clock(tmp_path, seconds)
    code = (
        "import time,datetime,threading; print(time.time()); begin = time.monotonic();"
        "e = threading.Event(); e.wait(.2); print(time.monotonic() - begin);"
        "import ctypes; print(ctypes.CDLL(None).time(None))"
    )
    now = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    python, waited, library = map(float, done.stdout.split())
    assert abs(python - now - seconds) < 10
    assert abs(library - now - seconds) < 10
    assert 0.15 < waited < 5


def test_a_full_disk_takes_no_byte_more(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with own_disk(tmp_path / "disk", 1 << 20) as disk:
        (disk.folder / "before").write_bytes(b"x" * 5000)
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.folder / "after").write_bytes(b"x" * 5000)
        disk.resize(1 << 20)
        (disk.folder / "after").write_bytes(b"x" * 5000)
    assert not (disk.folder / "before").exists()
