"""Machines of a test: one network namespace for each party, joined by a bridge, with no way out.

The bridge lies in the coordinator's namespace, so that the machine's own network is left as it is.
A second process removes everything when this one ends, in whatever way it ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVER = "server"
"""The place whose namespace holds the bridge."""
HOST = "coordinator"
"""The name under which every place finds the server."""
ADDRESS = "10.77.0.{}"
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

GUARD = """
import os, shutil, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read()
spaces, mounts = sys.argv[1].split(","), []
for name in spaces:
    for turn in range(20):
        out = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout
        if not out.split():
            break
        for one in out.split():
            try:
                os.kill(int(one), signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.05)
for name in spaces:
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    shutil.rmtree("/etc/netns/" + name, ignore_errors=True)
"""


def why_not() -> str:
    """Why machines of their own cannot be made here; empty where they can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "no `ip` (iproute2) here"
    name = f"pa-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode:
        return f"network namespaces cannot be made here: {tried.stderr.strip()[:100]}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


class Places:
    """The namespaces of one test, by place: "server", hospitals, "operator", "outsider"."""

    def __init__(self, places: Sequence[str]) -> None:
        self._tag = f"pa{os.getpid()}x{next(_numbers)}"
        self.address = {
            place: ADDRESS.format(number) for number, place in enumerate((SERVER, *places), start=1)
        }
        self.port = {place: f"p{number}" for number, place in enumerate((SERVER, *places), 1)}
        spaces = [self.space(place) for place in (*self.address, "middle")]
        self._guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, ",".join(spaces)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def space(self, place: str) -> str:
        """The namespace of this place."""
        return f"{self._tag}-{place}"

    def command(self, place: str, *command: str) -> list[str]:
        """The command, to be run at this place."""
        return ["ip", "netns", "exec", self.space(place), *command]

    def at(
        self,
        place: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        **more: object,
    ) -> subprocess.Popen[bytes]:
        """Start a command there; its process id is the command's own."""
        return subprocess.Popen(
            self.command(place, *command),
            env=dict(environment) if environment is not None else None,
            start_new_session=True,
            **more,  # type: ignore[call-overload]
        )

    def close(self) -> None:
        """Kill what runs at these places and remove them."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)

    def pids(self, place: str) -> list[int]:
        """Every process that runs there."""
        out = subprocess.run(
            ["ip", "netns", "pids", self.space(place)], capture_output=True, text=True, check=True
        )
        return [int(one) for one in out.stdout.split()]

    def socket_of_link(self, place: str, link: str) -> socket.socket:
        """A raw socket on a link of that place: every frame, both ways."""
        with self.inside(place):
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
            made.bind((link, 3))
        return made

    @contextmanager
    def inside(self, place: str) -> Iterator[None]:
        """This thread, at that place: sockets made inside stay there."""
        with (
            open("/proc/thread-self/ns/net") as here,
            open(f"/run/netns/{self.space(place)}") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def _make(self) -> None:
        hosts = f"127.0.0.1 localhost\n{self.address[SERVER]} {HOST}\n"
        for place in (*self.address, "middle"):
            space = self.space(place)
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
            own = Path("/etc/netns", space)
            own.mkdir(parents=True, exist_ok=True)
            (own / "hosts").write_text(hosts)
            (own / "resolv.conf").write_text("")
        server = self.space(SERVER)
        _ip("-n", server, "link", "add", "br0", "type", "bridge")
        _ip("-n", server, "addr", "add", f"{self.address[SERVER]}/24", "dev", "br0")
        _ip("-n", server, "link", "set", "br0", "up")
        for place in self.address:
            if place != SERVER:
                self._join(self.space(place), "eth0", self.port[place])
                _ip(
                    "-n",
                    self.space(place),
                    "addr",
                    "add",
                    f"{self.address[place]}/24",
                    "dev",
                    "eth0",
                )

    def _join(self, space: str, link: str, port: str) -> None:
        """A cable from a link in this namespace to a port of the bridge."""
        server = self.space(SERVER)
        _ip(
            "link",
            "add",
            link,
            "netns",
            space,
            "type",
            "veth",
            "peer",
            "name",
            port,
            "netns",
            server,
        )
        _ip("-n", server, "link", "set", port, "master", "br0", "up")
        _ip("-n", space, "link", "set", link, "up")

    def cut(self, place: str) -> None:
        """Pull the cable of this place; `join` puts it back."""
        _ip("-n", self.space(SERVER), "link", "set", self.port[place], "down")

    def join(self, place: str) -> None:
        """The cable is back."""
        _ip("-n", self.space(SERVER), "link", "set", self.port[place], "up")

    def mend_cable(self, place: str) -> None:
        """A cable in one piece, where it was split."""
        _ip("-n", self.space(place), "link", "del", "eth0")
        _ip("-n", self.space(SERVER), "link", "del", self.port[place])
        self._join(self.space(place), "eth0", self.port[place])
        _ip("-n", self.space(place), "addr", "add", f"{self.address[place]}/24", "dev", "eth0")

    def split_cable(self, place: str) -> tuple[socket.socket, socket.socket]:
        """Cut this place's cable in two, and give both ends: who holds them carries the frames.

        Kernels leave checksums and segments to the card; no card does them here, so the kernel is
        asked to do both itself.
        """
        port = self.port[place]
        _ip("-n", self.space(SERVER), "link", "del", port)
        middle = self.space("middle")
        near, far = f"n{port}", f"f{port}"
        _ip("link", "add", "eth0", "netns", self.space(place), "type", "veth",
            "peer", "name", near, "netns", middle)  # fmt: skip
        _ip("-n", middle, "link", "set", near, "up")
        _ip("-n", self.space(place), "link", "set", "eth0", "up")
        _ip("-n", self.space(place), "addr", "add", f"{self.address[place]}/24", "dev", "eth0")
        self._join(middle, far, port)
        for where, link in ((place, "eth0"), (SERVER, port)):
            with self.inside(where):
                _no_offload(link)
        return self.socket_of_link("middle", near), self.socket_of_link("middle", far)


def _count() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _enter(handle: int) -> None:
    if _LIBC.setns(handle, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _no_offload(link: str) -> None:
    siocethtool = 0x8946
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for setting in (0x17, 0x1F, 0x24, 0x2C):  # checksums, TSO, GSO, GRO
            value = ctypes.create_string_buffer(struct.pack("II", setting, 0))
            request = struct.pack("16sP", link.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            fcntl.ioctl(control, siocethtool, request)


__all__ = ["HOST", "SERVER", "Places", "why_not"]
