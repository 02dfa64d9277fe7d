"""A clean process that holds the libraries of models and no model, and is forked for each model.

Libraries take seconds to import and a fork takes milliseconds. It is sent names of libraries and
ends of sockets, and never a byte of a file. Linux alone starts it: elsewhere a forked process may
not use the system's own libraries, and each model's process is started by itself.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

from privaudit.inputs.models.child_server import serve


def serve_alone(parent: int) -> None:
    """Serve one model over this process's own standard input and output."""
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    _close_console()
    serve(reader, writer, parent)


def serve_template(control: int, parent: int) -> None:
    """Fork a process for each model that the audit asks for, until it closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _close_console()
    channel = socket.socket(fileno=control)
    while True:
        body, files, _, _ = socket.recv_fds(channel, 1 << 16, 1)
        if not body or os.getppid() != parent:
            return
        request: dict[str, Any] = json.loads(body)
        if "end" in request:
            answer: Any = _end(int(request["end"]))
        else:
            for name in request["libraries"]:
                # Whoever needs it says so, in words of the model's format.
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
            answer = _fork(files[0], channel)
        for file in files:
            os.close(file)
        channel.sendall(json.dumps(answer).encode() + b"\n")


def _fork(file: int, channel: socket.socket) -> int:
    template = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        channel.close()
        with socket.socket(fileno=os.dup(file)) as own:
            os.close(file)
            with own.makefile("rb") as reader, own.makefile("wb") as writer:
                serve(reader, writer, template)
        code = 0
    finally:
        os._exit(code)


def _end(child: int) -> int:
    """Kill a model's process where it still runs; how it ended, negative for a signal."""
    try:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        return 0
    return os.waitstatus_to_exitcode(status)


def _close_console() -> None:
    """Nothing that a model's library prints is read: it may quote cells."""
    sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)


__all__ = ["serve_alone", "serve_template"]
