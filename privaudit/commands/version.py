"""privaudit version."""

from __future__ import annotations

import json

import click


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(as_json: bool) -> None:
    """Print the version."""
    from privaudit import __version__

    click.echo(json.dumps({"privaudit": __version__}) if as_json else f"privaudit {__version__}")
