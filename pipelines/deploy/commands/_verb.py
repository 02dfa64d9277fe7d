"""What the commands of a federation share."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Any

import click

from privaudit.errors import PrivauditError

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
PAGE = click.option(
    "--page",
    metavar="P",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the status page on this machine. [default: one that is free]",
)
_NEEDED = ("nvflare", "cryptography", "psutil")


class Verb(click.Command):
    """A command that needs NVFlare. Its help does not."""

    def invoke(self, ctx: click.Context) -> Any:
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise PrivauditError(
                f"{missing[0]} is not installed",
                "a federation between hospitals needs it",
                "pip install 'privaudit[federation]'",
            )
        # Whatever any command writes is its owner's alone.
        before = os.umask(0o077)
        try:
            return super().invoke(ctx)
        finally:
            os.umask(before)


def say(text: str = "") -> None:
    """A line for the person at the terminal; standard output is for results."""
    click.echo(text, err=True)


def report_address(host: str, port: int, seconds: float = 5.0) -> None:
    """PrivauditError where nothing answers at the coordinator's own address."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        raise PrivauditError(
            f"no server at {host}:{port}",
            "it is not started, or this machine does not know its own name",
            "start it with `privaudit federation server DIR`, in another terminal",
        ) from None


def say_url(url: str) -> None:
    """The address of the status page, which holds a secret: for a terminal, not for a log."""
    if sys.stderr is not None and sys.stderr.isatty():
        say(f"status page, for this machine alone: {url}")
    else:
        say("the address of the status page is in page.json")


def enter(folder: Path) -> Path:
    """The folder as an absolute path: NVFlare works in folders of its own."""
    return Path(os.path.abspath(folder))


__all__ = ["FILE", "FOLDER", "PAGE", "PATH", "Verb", "enter", "report_address", "say", "say_url"]
