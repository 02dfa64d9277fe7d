"""The request of a finished run, made anew of the command that its document holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.evidence import Again

SUPPLIED = (
    "this run audited what somebody supplied, which is not stored with it: give the same command "
    "again with the same files and --out, and compare the two runs"
)


def ask_again(run: Path, steps: int | None, data: Path | None, workers: int | None) -> Again:
    """What `verify --retrain` needs of a run.

    Args:
        run: The run directory.
        steps: How many steps are to be trained again, None for all.
        data: The folder of source tables.
        workers: Processes, None for one a core.
    """
    import click

    from privaudit.commands import run as command
    from privaudit.commands._options import request_of
    from privaudit.engine.folder import read_exact
    from privaudit.engine.run import cores
    from privaudit.evidence import Again

    processes = cores() if workers is None else workers
    try:
        made = read_exact(run).manifest
        words = shlex.split(made.command)
    except (OSError, ValueError, PrivauditError):
        return Again(steps, data, None, "restricted/audit.json is not here, or cannot be read")
    if words[:2] != ["privaudit", "run"] or "--schema" in words:
        return Again(steps, data, None, SUPPLIED)
    try:
        options = command.command.make_context("run", words[2:]).params
        needs_data = options["data"] is not None
        request = request_of("run", {**options, "seed": made.seed})
    except (click.ClickException, PrivauditError) as error:
        said = error.what if isinstance(error, PrivauditError) else error.format_message()
        return Again(steps, data, None, f"its command cannot be given again here: {said}")
    if needs_data and data is None:
        return Again(steps, data, None, "it was made of source tables: give them with --data DIR")
    return Again(steps, data, request, workers=processes)


__all__ = ["ask_again"]
