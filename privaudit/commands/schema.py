"""privaudit schema."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command("schema")
@click.argument("table", type=PATH)
@click.option("--target", default="", metavar="COLUMN", help="The outcome.")
@click.option("--patient", default="", metavar="COLUMN", help="Who the patient is.")
@click.option(
    "--out", type=PATH, metavar="FILE", help="Write the schema there. [default: print it]"
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(table: Path, target: str, patient: str, out: Path | None, as_json: bool) -> None:
    """Propose what each column of TABLE (CSV or Parquet) is, for you to check.

    Types, ranges, levels, sensitive and immutable columns; identifiers, dates and free text are left
    aside. Nothing is sent anywhere, and no note quotes a value.
    """
    from privaudit.inputs import schema

    proposed, notes = schema.propose(table, target=target, patient=patient)
    if out is not None:
        schema.write(proposed, out, notes)
    if as_json:
        told = {"schema": asdict(proposed), "notes": notes, "file": str(out) if out else None}
        click.echo(json.dumps(told, indent=1))
    elif out is None:
        click.echo(schema.to_toml(proposed, notes), nl=False)
    else:
        for note in notes:
            click.echo(f"check: {note}", err=True)
        click.echo(str(out))
