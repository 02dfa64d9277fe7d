"""A synthetic table beside the real one and a control, as the task and the release of an audit."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from privaudit.contracts import FlowStep, Prepared
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode
from privaudit.fidelity.distance import match
from privaudit.inputs.check_alike import (
    refuse_respelled_groups,
    refuse_respelled_patients,
    refuse_unlike,
)
from privaudit.inputs.check_copies import refuse_copies
from privaudit.inputs.checks import measure_shift
from privaudit.inputs.copied_cells import refuse_copied_cells
from privaudit.inputs.fit_guesses import read_fitted_schema
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.pools import refuse_rare_classes
from privaudit.inputs.read_table import list_names, read_table
from privaudit.inputs.row_order import find_row_order
from privaudit.inputs.schema import TableSchema, name_roles, refuse_numbers
from privaudit.inputs.table_file import INDEX, Table, open_table
from privaudit.inputs.user_release import UserRelease
from privaudit.inputs.user_task import UserTask
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds
from privaudit.stats.groups import UNRECORDED, rare_joined

MIN_SIZE = 50
"""Patients on each side, and synthetic rows, below which nothing can be estimated."""

REFERENCE_SHARE = 1 / 3
"""Share of the control's patients that the attacker is given."""

SAME_TABLE = 0.5
"""Where at least this share of the control's rows equal a real row, they are one table."""

MAX_FILE_BYTES = 2 << 30
MAX_SYNTHETIC_ROWS = 200_000
"""Synthetic rows read at most, all of a usual table: a copy in another row is not seen."""

UNKNOWN = ("unknown", "invalid", "missing", "unspecified", "not available")
"""How labels of subgroups begin that say that nothing is known."""

TITLE = "A synthetic table beside the real one"


@dataclass(frozen=True)
class SyntheticTables:
    """The tables of an audit of a synthetic table; files are read and named nowhere.

    file: the generator's file, where it is to be handed out too; sensitive: columns worth inferring
    about a patient; secrets: columns that an attacker would infer; rows: about how many rows of the
    real and of the control table to read.
    """

    real: Table
    control: Table | None
    synthetic: Table
    schema: Path | None = None
    outcome: str = ""
    patient: str = ""
    groups: tuple[str, ...] = ()
    file: Path | None = None
    sensitive: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    rows: int = 10_000


def read_synthetic(tables: SyntheticTables, *, seeds: Seeds) -> tuple[UserTask, UserRelease]:
    """The task and the release of a synthetic table.

    Args:
        tables: The files.
        seeds: Random streams of what is read.

    Raises:
        PrivauditError: Tables that cannot be compared.
    """
    if tables.control is None:
        raise PrivauditError(
            "no control table",
            "without real patients of whom the generator saw nothing, a likeness to the patients "
            "it "
            "was trained on cannot be told from a likeness to everybody, and every number would be "
            "read wrongly",
            "hold some patients out (a fifth, at random) before training the generator, draw the "
            f"synthetic table again, and give them as {spell('--control', 'control')}",
        )
    schema, notes = _find_schema(tables)
    _require_known(tables.secrets, schema, "secrets")
    numbers: dict[str, int] = {}
    real, control = (
        read_table(
            given,
            schema,
            what=what,
            patients=numbers,
            max_rows=tables.rows,
            rng=seeds.rng("read", what),
        )
        for what, given in (("real", tables.real), ("control", tables.control))
    )
    refuse_respelled_patients(numbers, (real.patient, control.patient))
    if tables.schema is None:
        refuse_rare_classes((real, control), schema.outcome)
    table = _read_synthetic_table(tables.synthetic, schema, seeds.rng("read", "synthetic"))
    table, broken = describe_as_real(table, schema.columns)
    refuse_unlike(table, real)
    notes += refuse_copied_cells(tables.real, tables.control, tables.synthetic, schema)
    notes += broken
    notes += _note_samples({"real": real, "control": control}, tables)
    if len(table) >= 0.95 * MAX_SYNTHETIC_ROWS:
        notes.append(
            f"Of the synthetic table about {MAX_SYNTHETIC_ROWS:,} rows were read at most: what the "
            "others give away is not seen, so that leaks are understated"
        )
    same = find_constant_columns(real)
    if same:
        notes.append(
            f"{len(same)} columns hold one value alone in the real table: {list_names(same)}"
        )
    prepared = prepare_tables(
        real,
        control,
        seeds.rng("control"),
        notes=notes,
        by_patient=bool(schema.patient),
        shift_rng=seeds.rng("drift"),
    )
    ordered = find_row_order(table, real, seeds.rng("row order"))
    prepared = replace(
        prepared,
        patients=numbers if schema.patient else {},
        caveats=(*prepared.caveats, *([] if ordered is None else [ordered])),
    )
    task = UserTask.of(prepared, TITLE, "outcome").using(schema.words)
    return task, UserRelease.of_table(table, _read_generator_file(tables.file))


def _find_schema(tables: SyntheticTables) -> tuple[TableSchema, list[str]]:
    """The schema given, or one proposed from both real tables, with what was asked for put in."""
    notes: list[str] = []
    both = [table for table in (tables.real, tables.control) if table is not None]
    whats = ["the real table", "the control table"]
    if tables.schema is not None:
        found, notes = read_fitted_schema(tables.schema, both, whats)
        refuse_numbers(found)
        found = name_roles(found, outcome=tables.outcome, patient=tables.patient)
    else:
        found, proposed = propose_schema(
            both, outcome=tables.outcome, patient=tables.patient, whats=whats
        )
        notes = [f"The schema was proposed, not checked: {note}" for note in proposed]
    if tables.groups:
        found = replace(found, groups=tables.groups)
    if tables.sensitive:
        _require_known(tables.sensitive, found, "sensitive")
        columns = tuple(
            replace(c, sensitive=c.sensitive or c.name in tables.sensitive) for c in found.columns
        )
        found = replace(found, columns=columns)
    return found, notes


def _require_known(names: Sequence[str], schema: TableSchema, option: str) -> None:
    strange = [name for name in names if name not in (*schema.names, schema.outcome)]
    if strange:
        near = difflib.get_close_matches(strange[0], schema.names, n=1)
        raise PrivauditError(
            f"--{option} {strange[0]}",
            f"it is none of the {len(schema.names)} columns that are compared",
            f"did you mean {near[0]!r}?" if near else "name one of them (privaudit schema REAL)",
        )


def _read_synthetic_table(given: Table, schema: TableSchema, rng: np.random.Generator) -> Records:
    """The synthetic table in the real one's coding.

    It may lack columns and may have no others; its values may break the bounds, which the audit
    reports.
    """
    with open_table(given, "the synthetic table") as opened:
        present = set(opened.columns)
    known = {INDEX, *schema.names, *schema.ignored, *schema.groups, schema.outcome, schema.patient}
    strange = sorted(present - known)
    if strange:
        raise PrivauditError(
            f"{len(strange)} columns of the synthetic table that the real one or the control "
            f"lacks: {list_names(strange)}",
            f"columns are matched by name; {len(schema.names)} columns of the real table are "
            "compared",
            "name the columns alike, or drop those that are not in all tables",
        )
    shared = tuple(
        replace(c, bounds=None, integer=False) for c in schema.columns if c.name in present
    )
    if not shared:
        raise PrivauditError(
            "a synthetic table without any of the real table's columns",
            f"columns are matched by name; there are {len(schema.names)}",
            "name the columns alike in both tables",
        )
    if schema.outcome and schema.outcome not in present:
        raise PrivauditError(
            f"a synthetic table without the outcome {schema.outcome!r}",
            "the outcome is one of the columns compared, and what models of the table are trained "
            "on",
            f"add it, or leave {spell('--outcome', 'outcome')} out",
        )
    own = replace(schema, columns=shared, patient="", groups=(), guessed={})
    return read_table(given, own, what="synthetic", max_rows=MAX_SYNTHETIC_ROWS, rng=rng)


def _note_samples(read: dict[str, Records], tables: SyntheticTables) -> list[str]:
    full = [name for name, table in read.items() if len(table) >= 0.95 * tables.rows]
    if not full:
        return []
    notes = [
        f"Of the {' and of the '.join(full)} table about {tables.rows:,} rows were read at most "
        "(--rows), of patients drawn at random: intervals hold for all patients, but are as wide "
        "as "
        "for these"
    ]
    if tables.file is not None and "real" in full:
        notes.append(
            "Of the real table a part was read, so that columns which the generator's file may "
            "hold "
            "one by one, in the order of its training rows, are not seen; complete rows are. With "
            "--rows above the real table's rows both are looked for"
        )
    return notes


def _read_generator_file(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        size = path.stat().st_size
        if not 0 < size <= MAX_FILE_BYTES:
            raise PrivauditError(
                f"a generator's file of {size:,} bytes",
                f"it has at least one byte and at most {MAX_FILE_BYTES:,}",
                "give the file that would be handed out",
            )
        return path.read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the generator's file cannot be read: {error.strerror}",
            "it is opened to see what it holds",
            "give the path of a file that you may read",
        ) from None


def prepare_tables(
    real: Records,
    control: Records,
    rng: np.random.Generator,
    *,
    notes: Sequence[str] = (),
    by_patient: bool = True,
    shift_rng: np.random.Generator | None = None,
) -> Prepared:
    """The pools of an audit from the real table and one of patients held out from it.

    A third of the control's patients are what the attacker owns, the rest are the non-members.

    Args:
        real: Rows that the synthetic table was made from.
        control: Rows of other patients.
        rng: Draws what the attacker owns.
        notes: What the report prints as it is.
        by_patient: Whether the records name their patients.
        shift_rng: Randomness of the check whether the two tables differ; None for no check.

    Raises:
        PrivauditError: Patients in both tables, one table given twice, or fewer than 50 patients on
            a side.
    """
    texts = [*notes]
    _require_size(real, "real")
    _require_size(control, "control")
    shared = np.intersect1d(real.patient, control.patient)
    if by_patient and len(shared):
        raise PrivauditError(
            f"{len(shared):,} patients are in both the real and the control table",
            "the control must be of patients of whom the generator saw nothing, or a leak is read "
            "as "
            "none",
            "take these patients out of the control, or hold other patients out",
        )
    if not by_patient:
        texts += _find_repeated_rows(real, control)
    ids = rng.permutation(np.unique(control.patient))
    owned = np.isin(control.patient, ids[: max(1, round(REFERENCE_SHARE * len(ids)))])
    refuse_respelled_groups((real.groups, control.groups))
    real, control = _merge_unknown_groups(real), _merge_unknown_groups(control)
    patient = control.patient
    if len(shared):
        patient = patient + (int(real.patient.max()) + 1 - min(0, int(patient.min())))
    control = replace(control, patient=patient)
    split = Split(*rare_joined((real, control.take(~owned), control.take(owned))))
    if by_patient:
        refuse_copies(split)
    texts.append(
        f"{REFERENCE_SHARE:.0%} of the control's patients, drawn at random, are what the attacker "
        "owns; the others are the non-members with whom members are compared"
    )
    texts.append(
        "Membership was not assigned by this audit: it takes members and control for patients "
        "alike, "
        "as where patients were held out at random before the generator was trained"
    )
    records = Records.concatenate([split.members, split.nonmembers, split.reference])
    patients = len(np.unique(records.patient))
    flow = (FlowStep("rows of the real and the control table", 0, len(records), patients),)
    facts: dict[str, str | int | float] = {
        "who was trained on": "as supplied; not assigned by this audit"
    }
    tested = None if shift_rng is None else measure_shift(split, shift_rng)
    shift = tested if tested and tested.code is CaveatCode.DISTRIBUTION_SHIFT else None
    if tested and "auc" in tested.params:
        facts["distribution shift, AUC without the model"] = round(
            float(str(tested.params["auc"])), 4
        )
    stated: list[str | Caveat] = [*texts]
    if tested and tested.severity == "note":
        stated.append(tested)
    return Prepared(
        records,
        flow,
        "tables supplied",
        True,
        tuple(stated),
        facts,
        split,
        caveats=(tested,) if tested and tested.severity != "note" else (),
        distribution_shift=shift,
    )


def _merge_unknown_groups(records: Records) -> Records:
    """Subgroups whose name says that nothing is known are labelled as not recorded.

    A handful of them would otherwise take a complete group down with them when small groups are
    suppressed.
    """
    groups = {
        name: np.array(
            [UNRECORDED if label.strip().lower().startswith(UNKNOWN) else label for label in kinds]
        )[place]
        for name, labels in records.groups.items()
        for kinds, place in [np.unique(labels, return_inverse=True)]
    }
    return replace(records, groups=groups)


def _require_size(records: Records, what: str) -> None:
    patients = len(np.unique(records.patient))
    if patients < MIN_SIZE:
        raise PrivauditError(
            f"a {what} table of {len(records):,} rows of {patients:,} patients",
            f"with fewer than {MIN_SIZE} patients every interval spans all that is possible",
            f"give at least {MIN_SIZE} patients; a few hundred a side give a meaningful audit",
        )


def _find_repeated_rows(real: Records, control: Records) -> list[str]:
    """Where patients are not named: control rows that equal a real row in every column."""
    from privaudit.fidelity.copies import exact

    found = exact(*match(control, real)[:2])
    count = int(found.sum())
    if count >= SAME_TABLE * len(control):
        raise PrivauditError(
            f"{count / len(control):.0%} of the control's rows are exact duplicates of real rows",
            "the control must be of patients of whom the generator saw nothing",
            "give rows that were held out before the generator was trained, or name the patients "
            f"({spell('--patient', 'patient=')})",
        )
    if count < 10:
        return []
    return [
        f"{count / len(control):.1%} of the control's rows are exact duplicates of real rows; "
        "unless "
        "these are other people with equal values, leaks are understated (--patient would tell "
        "them "
        "apart)"
    ]


def describe_as_real(table: Records, columns: Sequence[Column]) -> tuple[Records, list[str]]:
    """The synthetic table with the real columns' description, and notes of what breaks it.

    table: read without bounds, which synthetic values may break.
    """
    if len(table) < MIN_SIZE:
        raise PrivauditError(
            f"a synthetic table of {len(table):,} rows",
            f"fewer than {MIN_SIZE} rows say nothing of how they were made",
            "draw as many synthetic rows as there are real ones",
        )
    outside, fractions = [], []
    real = {column.name: column for column in columns}
    for place, own in enumerate(table.columns):
        column, values = real[own.name], table.X[:, place].astype(float)
        values = values[np.isfinite(values)]
        if column.bounds is not None and len(values):
            low, high = column.bounds
            slack = 1e-6 * max(abs(low), abs(high), 1e-30)
            if ((values < low - slack) | (values > high + slack)).any():
                outside.append(column.name)
        if column.integer and (values % 1 > 0).any():
            fractions.append(column.name)
    notes = [
        f"{len(names)} columns of the synthetic table hold {what}: {', '.join(names[:5])}"
        + (" and more" if len(names) > 5 else "")
        for names, what in (
            (outside, "values outside the real column's bounds"),
            (fractions, "fractions where the real column holds whole numbers"),
        )
        if names
    ]
    return replace(table, columns=tuple(real[c.name] for c in table.columns)), notes


def find_constant_columns(records: Records) -> tuple[str, ...]:
    """Columns in which all rows agree."""
    X = records.X
    seen = np.isfinite(X)
    low = np.where(seen, X, np.inf).min(axis=0, initial=np.inf)
    high = np.where(seen, X, -np.inf).max(axis=0, initial=-np.inf)
    alike = ~seen.any(axis=0) | ((low == high) & seen.all(axis=0))
    return tuple(c.name for c, same in zip(records.columns, alike, strict=True) if same)


__all__ = ["SyntheticTables", "describe_as_real", "prepare_tables", "read_synthetic"]
