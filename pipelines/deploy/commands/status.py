"""privaudit federation status."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.deploy.commands._verb import FOLDER, Verb, enter


@click.command("status", cls=Verb)
@FOLDER
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(folder: Path, watch: bool, as_json: bool) -> None:
    """Show what happens in DIR, of the coordinator or of a hospital, from its own files alone."""
    from pipelines.deploy.status import StatusReader, find_home, render_text, to_json

    reader = StatusReader(find_home(enter(folder)))
    if not watch:
        click.echo(to_json(reader.read()) if as_json else render_text(reader.read()))
        return
    import time

    try:
        while True:
            made = reader.read()
            if not as_json:
                click.clear()
            click.echo(to_json(made) if as_json else render_text(made))
            time.sleep(2.0)
    except KeyboardInterrupt:
        return
