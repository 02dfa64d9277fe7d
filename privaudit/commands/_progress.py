"""How the engine's events are shown: a bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from privaudit.engine.events import Event, Listener

LABELS = {"prepare": "read the records", "compare": "compare synthetic tables"}
"""What a stage is called where its own name is not clear enough."""


@contextmanager
def listener(terminal: bool | None = None) -> Iterator[Listener]:
    """A function to hand to the engine; draws on standard error."""
    if sys.stderr.isatty() if terminal is None else terminal:
        with _bar() as listen:
            yield listen
    else:
        yield print_line


def print_line(event: Event) -> None:
    """One line a stage, with what came of it."""
    if event.state == "end":
        seconds = f" ({event.seconds:.1f} s)" if event.seconds >= 0.1 else ""
        click.echo(f"{LABELS.get(event.stage, event.stage)}: {event.what}{seconds}", err=True)
    elif event.state == "note" or event.failed:
        click.echo(f"{event.stage}: {event.what}", err=True)


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[stage]:<16}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[str, Any] = {}

        def listen(event: Event) -> None:
            label = LABELS.get(event.stage, event.stage)
            # A share of one is drawn in hundredths: steps are what the bar counts.
            scale = 100 if event.stage == "prepare" else 1
            if event.state == "start":
                total = (event.total or 1) * scale
                bars[event.stage] = progress.add_task("", total=total, stage=label)
            elif event.state == "step":
                done = event.done * scale
                progress.update(bars[event.stage], completed=done, description=event.what)
            else:
                seconds = f" ({event.seconds:.1f} s)" if event.state == "end" else ""
                if event.state == "end":
                    progress.remove_task(bars.pop(event.stage))
                text = f"{label}: {event.what}{seconds}"
                progress.console.print(text, markup=False, highlight=False)

        yield listen
