"""privaudit report."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(run: Path, as_json: bool) -> None:
    """Render report.html and report.md again, from the audit.json of a finished RUN alone."""
    from privaudit import report
    from privaudit.engine.folder import find, read

    audit, folder = read(run), find(run).parent
    report.write(audit, folder)
    if as_json:
        told = {"report": str(folder / "report.html"), "markdown": str(folder / "report.md")}
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo(str(folder / "report.html"))
