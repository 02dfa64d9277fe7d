"""privaudit schema."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from privaudit.commands._inputs import EVENT_COLUMN, OUTCOME, OUTCOME_KIND, PATIENT
from privaudit.commands._options import JSON, PATH, option, with_options
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.inputs.series import SeriesSchema

_SERIES = "A long table of measurements of the records in TABLE: record, time, channel, value."


@click.command("schema")
@click.argument("tables", type=PATH, nargs=-1, metavar="TABLE...")
@with_options(
    OUTCOME,
    OUTCOME_KIND,
    EVENT_COLUMN,
    PATIENT,
    option("--series", "LONG", _SERIES, PATH),
    option("--out", "FILE", "Write the schema there. [default: print it]", PATH),
    option(
        "--json-schema", "", "Print the JSON Schema of schema files, for editors; no TABLE then."
    ),
    JSON,
)
def command(
    tables: tuple[Path, ...],
    outcome: str,
    outcome_kind: str,
    event_column: str,
    patient: str,
    series: Path | None,
    out: Path | None,
    json_schema: bool,
    as_json: bool,
) -> None:
    """Infer the schema of one TABLE or of several that are alike, for you to check.

    Give all tables of an audit (training and held-out, real and control), so that bounds and levels
    hold in each. It states types, ranges, levels, how numbers and missing values are written, and
    which columns are sensitive or cannot change; identifiers, dates and free text are left aside.
    Nothing is sent anywhere, and no note quotes a value. No level or class that fewer than 10
    patients have is named, and bounds follow what at least 10 reach. With --series, the section
    [series] is proposed too: check every line of it, the unit of the times above all.
    """
    from privaudit.inputs.examine_proposal import examine_proposal
    from privaudit.inputs.infer_schema import propose_schema
    from privaudit.inputs.outcome import check_outcome_kind
    from privaudit.inputs.schema import format_schema, schema_as_json_schema, write_schema

    if json_schema:
        click.echo(json.dumps(schema_as_json_schema(), indent=1))
        return
    if not tables:
        raise PrivauditError(
            "no TABLE", "a schema is inferred from a table", "give a CSV or Parquet file"
        )
    whats = [f"table {place}" for place in range(1, len(tables) + 1)]
    long: SeriesSchema | None = None
    more: tuple[str, ...] = ()
    if series is not None:
        from privaudit.inputs.propose_series import propose_series

        long, more = propose_series(series, tables, patient=patient, out=out)
    proposed, notes = propose_schema(
        tables,
        outcome=outcome,
        patient=patient,
        outcome_kind=check_outcome_kind(outcome_kind or "class"),
        whats=whats if len(tables) > 1 else (),
        unclear="propose",
        event=event_column,
        pooled=True,
        series=long,
    )
    notes += more
    notes += examine_proposal(proposed, tables)
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
