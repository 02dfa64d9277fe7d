"""privaudit schema."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from privaudit.commands._inputs import EVENT_COLUMN, OUTCOME, OUTCOME_KIND, PATIENT
from privaudit.commands._options import JSON, PATH, option, with_options
from privaudit.errors import PrivauditError


@click.command("schema")
@click.argument("table", type=PATH, required=False)
@with_options(
    OUTCOME,
    OUTCOME_KIND,
    EVENT_COLUMN,
    PATIENT,
    option("--out", "FILE", "Write the schema there. [default: print it]", PATH),
    option(
        "--json-schema", "", "Print the JSON Schema of schema files, for editors; no TABLE then."
    ),
    JSON,
)
def command(
    table: Path | None,
    outcome: str,
    outcome_kind: str,
    event_column: str,
    patient: str,
    out: Path | None,
    json_schema: bool,
    as_json: bool,
) -> None:
    """Infer the schema of TABLE, a CSV or Parquet file, for you to check.

    It states types, ranges, levels, and which columns are sensitive or cannot change; identifiers,
    dates and free text are left aside. Nothing is sent anywhere, and no note quotes a value.
    """
    from privaudit.inputs.infer_schema import propose_schema
    from privaudit.inputs.outcome import check_outcome_kind
    from privaudit.inputs.schema import format_schema, schema_as_json_schema, write_schema

    if json_schema:
        click.echo(json.dumps(schema_as_json_schema(), indent=1))
        return
    if table is None:
        raise PrivauditError(
            "no TABLE", "a schema is inferred from a table", "give a CSV or Parquet file"
        )
    proposed, notes = propose_schema(
        table,
        outcome=outcome,
        patient=patient,
        outcome_kind=check_outcome_kind(outcome_kind or "class"),
        event=event_column,
    )
    if out is not None:
        write_schema(proposed, out, notes)
    if as_json:
        answer = {"schema": asdict(proposed), "notes": notes, "file": str(out) if out else None}
        click.echo(json.dumps(answer, indent=1))
    elif out is None:
        click.echo(format_schema(proposed, notes), nl=False)
    else:
        for note in notes:
            click.echo(f"check: {note}", err=True)
        click.echo(str(out))
