"""privaudit version."""

from __future__ import annotations

import json

import click

from privaudit import __version__
from privaudit.commands._options import JSON


@click.command("version")
@JSON
def command(as_json: bool) -> None:
    """Print the version."""
    click.echo(json.dumps({"privaudit": __version__}) if as_json else f"privaudit {__version__}")
