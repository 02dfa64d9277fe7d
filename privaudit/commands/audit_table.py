"""privaudit audit-table."""

from __future__ import annotations

from typing import Any

import click

from privaudit.commands import _inputs as inputs
from privaudit.commands import _options as shared
from privaudit.commands._finish import settle
from privaudit.commands._options import PATH, option, several

_REAL = "The real rows that the synthetic table was made from."
_CONTROL = "Real rows of patients who were held out: the generator saw nothing of them."
_FILE = "The generator's file, if it is to be handed out too; it is opened, never run."
_ROWS = (
    "About how many rows of the real and the control table to read, of patients drawn at random."
)


@click.command("audit-table")
@shared.with_options(
    option("--real", "FILE", _REAL, PATH, required=True),
    option("--control", "FILE", _CONTROL, PATH),
    option("--synthetic", "FILE", "The synthetic table.", PATH, required=True),
    inputs.SCHEMA,
    inputs.OUTCOME,
    inputs.PATIENT,
    inputs.GROUPS,
    option("--file", "FILE", _FILE, PATH),
    option("--secrets", "A,B", "Columns that an attacker would infer."),
    option("--sensitive", "A,B", "Columns that are worth inferring about a patient."),
    option("--rows", "N", _ROWS, click.IntRange(min=100), default=10_000),
    shared.OUT,
    shared.ATTACKS,
    shared.PROFILE,
    inputs.SET,
    shared.SEED,
    shared.JOBS,
    shared.CONFIDENCE,
    shared.EXACT_COUNTS,
    *shared.ENDING,
)
def command(**options: Any) -> int:
    """Audit a synthetic table that you supply.

    It is compared with the real table that it was made from, and with a control: real patients who
    were held out before the generator was trained. Tables are CSV or Parquet files. Prints the path
    of report.html.
    """
    from privaudit.api import request_table_audit
    from privaudit.inputs.read_synthetic import SyntheticTables

    tables = SyntheticTables(
        options["real"],
        options["control"],
        options["synthetic"],
        options["schema"],
        options["outcome"],
        options["patient"],
        several(options["groups"]),
        options["file"],
        several(options["sensitive"]),
        several(options["secrets"]),
        options["rows"],
    )
    request = request_table_audit(
        tables,
        profile=options["profile"],
        attacks=several(options["attacks"]),
        settings=options["settings"],
        seed=options["seed"],
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        out=options["out"],
        command=inputs.spell_command(
            "audit-table",
            options,
            ("real", "control", "synthetic", "schema", "file"),
            (
                *("outcome", "patient", "groups", "secrets", "sensitive", "attacks"),
                *("profile", "rows"),
            ),
        ),
    )
    return settle(
        request,
        out=options["out"],
        workers=options["jobs"],
        cluster=options["cluster"],
        policy=options["policy"],
        pdf=options["pdf"],
        as_json=options["as_json"],
        allow_near_cohort=options["allow_near_cohort"],
    )
