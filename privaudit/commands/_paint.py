"""Verdicts on standard output."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from privaudit.verdicts import Verdicts


def print_verdicts(made: Verdicts, name: str = "text") -> None:
    """In this format; text in colour where a terminal shows it."""
    from privaudit.report.formats import render
    from privaudit.report.formats.text import render as paint

    coloured = name == "text" and has_colour()
    print_text(paint(made, colour=True) if coloured else render(made, name))


def has_colour() -> bool:
    """Whether a terminal shows it and nobody asked for none."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def print_text(text: str) -> None:
    """To standard output, also where it cannot write every letter."""
    known = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(known, "replace").decode(known), nl=False, color=True)


__all__ = ["has_colour", "print_text", "print_verdicts"]
