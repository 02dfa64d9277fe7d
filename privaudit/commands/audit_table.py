"""privaudit audit-table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._finish import ENDING, PATH
from privaudit.commands._options import several
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.inputs.schema import TableSchema
    from privaudit.records import Records

MOST_FILE = 2 << 30

MOST_SYNTHETIC = 200_000
"""Synthetic rows read at most. All of a usual table: a copy in a row that is not read is not seen."""

OPTIONS = (
    click.option("--real", type=PATH, required=True, metavar="FILE",
                 help="The real rows that the synthetic table was made from."),
    click.option("--control", type=PATH, metavar="FILE",
                 help="Real rows of patients held out: the generator saw nothing of them."),
    click.option("--synthetic", type=PATH, required=True, metavar="FILE",
                 help="The synthetic table."),
    click.option("--schema", type=PATH, metavar="FILE",
                 help="What the columns are (privaudit schema). [default: proposed from the real tables]"),
    click.option("--target", default="", metavar="COLUMN", help="The outcome."),
    click.option("--patient", default="", metavar="COLUMN",
                 help="Who the patient is. [default: each row its own]"),
    click.option("--groups", metavar="A,B", help="Columns whose subgroups are told apart."),
    click.option("--file", "saved", type=PATH, metavar="FILE",
                 help="The generator's file, if it is to be handed out too; it is opened, never run."),
    click.option("--secrets", metavar="A,B", help="Columns that an attacker would infer."),
    click.option("--sensitive", metavar="A,B", help="Columns that are worth inferring about a patient."),
    click.option("--rows", type=click.IntRange(min=100), default=10_000, show_default=True, metavar="N",
                 help="About this many rows of the real and of the control table, whole patients drawn by lot."),
    click.option("--out", type=PATH, default=Path("runs"), show_default=True, metavar="DIR",
                 help="Where runs and finished steps are kept."),
    click.option("--attacks", metavar="A,B", help="Only these attacks, by name or family."),
    click.option("--profile", default="standard", show_default=True, metavar="NAME",
                 help="How much to do: smoke, standard or thorough."),
    click.option("--set", "settings", multiple=True, metavar="ATTACK.FIELD=VALUE",
                 help="Change one setting of an attack. Repeatable."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
                 help="Entropy of every random stream: the same gives the same numbers."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N",
                 help="Processes of one thread each. [default: all cores]"),
    click.option("--confidence", type=float, default=0.95, show_default=True, metavar="P",
                 help="Coverage of every interval."),
    click.option("--exact-counts", is_flag=True,
                 help="Print counts below 10 too: for openly licensed data alone."),
    *ENDING,
)  # fmt: skip


def _with_options(command: Any) -> Any:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command("audit-table")
@_with_options
def command(**options: Any) -> int:
    """Audit a synthetic table: whom it gives away, and what it is good for.

    Wants the real table that it was made from and a control: real patients held out before the generator
    was trained. CSV or Parquet. Standard output holds the path of report.html alone.
    """
    request = request_of(options)
    from privaudit.commands._finish import settle

    return settle(
        request,
        out=options["out"],
        workers=options["jobs"],
        cluster=options["cluster"],
        policy=options["policy"],
        pdf=options["pdf"],
        as_json=options["as_json"],
    )


def request_of(options: dict[str, Any]) -> Request:
    """What the options ask for; reads the tables."""
    # Numeric libraries read this when they load: workers and this process use one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile
    from privaudit.inputs.user_release import named_classes
    from privaudit.inputs.user_table import GivenTable, GivenTables, checked, constant, prepared
    from privaudit.seeds import Seeds

    how = profile(options["profile"])
    if options["control"] is None:
        raise PrivauditError(
            "no control table",
            "without real patients of whom the generator saw nothing, a likeness to the patients it learnt "
            "from cannot be told from a likeness to everybody, and every number would be read wrongly",
            "hold some patients out (a fifth, at random) before training the generator, draw the synthetic "
            "table again, and give them as --control",
        )
    # Which rows are read, and whose are the attacker's, is the same for every --seed: runs that differ in it
    # alone make a baseline.
    seeds = Seeds(0).child("brought")
    schema, notes = _schema(options)
    keys: dict[str, int] = {}
    real, control = (
        _read(options[what], schema, what, keys, options["rows"], seeds.rng("read", what))
        for what in ("real", "control")
    )
    if options["schema"] is None:
        named_classes((real, control), schema.target)
    synthetic = _synthetic(options["synthetic"], schema, MOST_SYNTHETIC, seeds.rng("read", "synthetic"))  # fmt: skip
    table, told = checked(synthetic, schema.columns)
    notes += [
        *told,
        *_sampled(
            {"real": real, "control": control}, options["rows"], options["saved"] is not None
        ),
    ]
    if len(table) >= 0.95 * MOST_SYNTHETIC:
        notes.append(
            f"Of the synthetic table about {MOST_SYNTHETIC:,} rows were read at most: what the others give "
            "away is not seen, so that leaks are understated"
        )
    same = constant(real)
    if same:
        notes.append(f"{len(same)} columns hold one value alone in the real table: {_named(same)}")
    whole = prepared(
        real, control, seeds.rng("control"), notes=notes, by_patient=bool(schema.patient)
    )
    method = GivenTable.of(table, _saved(options["saved"]))
    settings = list(options["settings"])
    if options["secrets"]:
        _known(several(options["secrets"]), schema, "secrets")
        settings.append(f"synthetic_attribute_inference.secrets={options['secrets']}")
    return given(
        "table",
        GivenTables.of(whole),
        [Entry("synthetic-table", "synthetic", "", method)],
        how,
        entropy=options["seed"],
        attacks=several(options["attacks"]),
        settings=settings,
        confidence=options["confidence"],
        exact_counts=options["exact_counts"],
        command=_spelled(options, schema),
    )


def _schema(options: dict[str, Any]) -> tuple[TableSchema, list[str]]:
    """The schema given, or one proposed from both real tables, with what was asked for put in."""
    from privaudit.inputs import schema as schemas

    notes: list[str] = []
    if options["schema"] is not None:
        found = schemas.read(options["schema"])
        for role in ("target", "patient"):
            asked = options[role]
            if asked and asked != getattr(found, role):
                raise PrivauditError(
                    f"--{role} {asked} with a schema whose {role} is {getattr(found, role) or 'none'!r}",
                    "the schema says what each column is",
                    f"leave --{role} out, or change the schema",
                )
    else:
        real = [options["real"], options["control"]]
        found, proposed = schemas.propose(
            real, target=options["target"], patient=options["patient"]
        )
        notes = [f"The schema was proposed, not checked: {_worded(note)}" for note in proposed]
    groups = several(options["groups"])
    if groups:
        found = replace(found, groups=groups)
    sensitive = several(options["sensitive"])
    if sensitive:
        _known(sensitive, found, "sensitive")
        columns = tuple(
            replace(c, sensitive=True) if c.name in sensitive else c for c in found.columns
        )
        found = replace(found, columns=columns)
    return found, notes


def _worded(note: str) -> str:
    """A note as a report may print it: no word there that could be read as a verdict."""
    return note.replace("HIPAA safe harbour", "HIPAA's list of identifiers")


def _known(names: Sequence[str], schema: TableSchema, option: str) -> None:
    strange = [name for name in names if name not in (*schema.names, schema.target)]
    if strange:
        import difflib

        near = difflib.get_close_matches(strange[0], schema.names, n=1)
        raise PrivauditError(
            f"--{option} {strange[0]}",
            f"it is none of the {len(schema.names)} columns that are compared",
            f"did you mean {near[0]!r}?" if near else "name one of them (privaudit schema REAL)",
        )


def _read(
    path: Path, schema: TableSchema, what: str, keys: dict[str, int], rows: int, rng: Any
) -> Records:
    from privaudit.inputs.read_table import records

    return records(path, schema, what=what, keys=keys, most=rows, rng=rng)


def _synthetic(path: Path, schema: TableSchema, rows: int, rng: Any) -> Records:
    """The synthetic table in the real one's coding: fewer columns allowed, others refused, values not
    held to the bounds, which is for the audit to tell."""
    from privaudit.inputs.read_table import records
    from privaudit.inputs.table_file import source

    with source(path, "the synthetic table") as opened:
        there = set(opened.columns)
    strange = there - {
        *schema.names,
        *schema.ignored,
        *schema.groups,
        schema.target,
        schema.patient,
    }
    if strange:
        raise PrivauditError(
            f"{len(strange)} columns of the synthetic table that the real one lacks: {_named(sorted(strange))}",
            f"columns are matched by name; {len(schema.names)} columns of the real table are compared",
            "name the columns alike, or drop those that are in one table alone",
        )
    kept = tuple(
        replace(c, bounds=None, integer=False) for c in schema.columns if c.name in there
    )  # fmt: skip
    if not kept:
        raise PrivauditError(
            "a synthetic table without any of the real table's columns",
            f"columns are matched by name; there are {len(schema.names)}",
            "name the columns alike in both tables",
        )
    if schema.target and schema.target not in there:
        raise PrivauditError(
            f"a synthetic table without the outcome {schema.target!r}",
            "the outcome is one of the columns compared, and what models of the table are trained on",
            "add it, or leave --target out",
        )
    own = replace(schema, columns=kept, patient="", groups=())
    return records(path, own, what="synthetic", most=rows, rng=rng)


def _sampled(tables: dict[str, Records], rows: int, filed: bool) -> list[str]:
    full = [name for name, table in tables.items() if len(table) >= 0.95 * rows]
    if not full:
        return []
    notes = [
        f"Of the {' and of the '.join(full)} table about {rows:,} rows were read at most (--rows), whole "
        "patients drawn by lot: intervals speak for all patients, but are as wide as for these"
    ]
    if filed and "real" in full:
        notes.append(
            "Of the real table a part was read, so that columns which the generator's file may hold one by one, in "
            "the order of its training rows, are not seen; whole rows are. With --rows above the real table's "
            "rows both are looked for"
        )
    return notes


def _saved(path: Path | None) -> bytes | None:
    """The generator's file, as bytes."""
    if path is None:
        return None
    try:
        size = path.stat().st_size
        if not 0 < size <= MOST_FILE:
            raise PrivauditError(
                f"a generator's file of {size:,} bytes",
                f"it has at least one byte and at most {MOST_FILE:,}",
                "give the file that would be handed out",
            )
        return path.read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the generator's file cannot be read: {error.strerror}",
            "it is opened to see what it holds",
            "give the path of a file that you may read",
        ) from None


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _spelled(options: dict[str, Any], schema: TableSchema) -> str:
    """The command as it may be told: files are left out."""
    words = ["privaudit audit-table --real FILE --control FILE --synthetic FILE"]
    words += [f"--{name} FILE" for name in ("schema",) if options[name] is not None]
    words += ["--file FILE"] if options["saved"] is not None else []
    words += [
        f"--{name} {options[name]}"
        for name in ("target", "patient", "groups", "secrets", "sensitive", "attacks")
        if options[name]
    ]
    words += [f"--profile {options['profile']}", f"--seed {options['seed']}"]
    words += [f"--rows {options['rows']}"] if options["rows"] != 10_000 else []
    words += [f"--set {text}" for text in options["settings"]]
    if options["confidence"] != 0.95:
        words.append(f"--confidence {options['confidence']}")
    if options["exact_counts"]:
        words.append("--exact-counts")
    return " ".join(words)
