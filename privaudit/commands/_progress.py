"""What the engine's events look like: a bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

LABELS = {
    "prepare": "read the records",
    "plan": "plan",
    "train": "train",
    "compare": "compare synthetic tables",
    "attack": "attack",
    "measure": "measure",
    "write": "write",
}


@contextmanager
def listener(terminal: bool | None = None) -> Iterator[Callable[[Any], None]]:
    """A function to hand to the engine; draws on standard error."""
    if sys.stderr.isatty() if terminal is None else terminal:
        with _bar() as listen:
            yield listen
    else:
        yield line


def line(event: Any) -> None:
    """One line a stage, with what came of it."""
    if event.state == "end":
        seconds = f" ({event.seconds:.1f} s)" if event.seconds >= 0.1 else ""
        click.echo(f"{LABELS.get(event.stage, event.stage)}: {event.what}{seconds}", err=True)
    elif event.state == "note" or (event.state == "step" and ": broke (" in event.what):
        click.echo(f"{event.stage}: {event.what}", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[Any], None]]:
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

        def listen(event: Any) -> None:
            label = LABELS.get(event.stage, event.stage)
            # A share of one is drawn in hundredths: whole steps are what the bar counts.
            scale = 100 if event.stage == "prepare" else 1
            if event.state == "start":
                bars[event.stage] = progress.add_task(
                    "", total=(event.total or 1) * scale, stage=label
                )
            elif event.state == "step":
                progress.update(
                    bars[event.stage], completed=event.done * scale, description=event.what
                )
            elif event.state == "end":
                progress.remove_task(bars.pop(event.stage))
                progress.console.print(
                    f"{label}: {event.what} ({event.seconds:.1f} s)", markup=False, highlight=False
                )
            elif event.state == "note":
                progress.console.print(f"{label}: {event.what}", markup=False, highlight=False)

        yield listen
