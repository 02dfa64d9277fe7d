"""The tables that a model is audited on: their columns' roles, and the pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from privaudit.contracts import Explainer, FlowStep
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs import pools
from privaudit.inputs.check_alike import refuse_respelled_patients
from privaudit.inputs.expected import Pool
from privaudit.inputs.explanations import read_explanation_tables
from privaudit.inputs.fit_guesses import read_fitted_schema
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import Encode, by_name, loosen
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.read_shadow_answers import ShadowTables, read_shadow_tables
from privaudit.inputs.read_table import (
    Cells,
    attach_series,
    list_names,
    read_cells,
    to_records,
)
from privaudit.inputs.schema import TableSchema, name_roles
from privaudit.inputs.shadow_answers import ShadowAnswers, leave_out_sparse
from privaudit.inputs.table_file import open_table
from privaudit.records import OutcomeKind, Records, Split
from privaudit.seeds import Seeds

SAMPLE = 50_000
"""Records a side that are read by default."""


@dataclass(frozen=True)
class TablePaths:
    """The tables of an audit and what their columns are; paths are read and named nowhere.

    sample: about how many rows of each side to read, None for all; explanations: attributions of
    the rows of members and of nonmembers.
    """

    members: Path
    nonmembers: Path
    reference: Path | None = None
    schema: Path | None = None
    outcome: str = ""
    patient: str = ""
    groups: tuple[str, ...] = ()
    sample: int | None = SAMPLE
    outcome_kind: OutcomeKind = "class"
    shadows: ShadowTables | None = None
    event: str = ""
    ordered: bool = False
    explanations: tuple[Path, Path] | None = None

    @property
    def given(self) -> dict[Pool, Path]:
        """The tables by the pool that each is."""
        found: dict[Pool, Path | None] = {
            "members": self.members,
            "non-members": self.nonmembers,
            "reference": self.reference,
        }
        return {pool: path for pool, path in found.items() if path is not None}


def find_schema(tables: TablePaths, opened: Opened) -> tuple[TableSchema, list[str | Caveat]]:
    """The schema given, or one proposed from all tables in which no level is put together."""
    notes: list[str | Caveat] = []
    whats = [f"the {pool} table" for pool in tables.given]
    paths = list(tables.given.values())
    if tables.schema is not None:
        found, widened = read_fitted_schema(tables.schema, paths, whats)
        found = name_roles(found, outcome=tables.outcome, patient=tables.patient)
        if tables.event and tables.event != found.event:
            raise PrivauditError(
                f"--event-column {tables.event} with a schema whose event is {found.event!r}",
                "the schema says what each column is",
                "leave --event-column out, or write `event` into the schema",
            )
        if tables.outcome_kind != "class" and found.outcome_kind != tables.outcome_kind:
            raise PrivauditError(
                f"--outcome-kind {tables.outcome_kind} with a schema whose outcome is a "
                f"{found.outcome_kind}",
                "the schema says what each column is",
                "leave --outcome-kind out, or write outcome_kind into the schema and remove its "
                "classes",
            )
        if tables.ordered and not found.ordered:
            raise PrivauditError(
                "--outcome-kind ordered with a schema that does not say that its classes are",
                "the schema says what each column is",
                "put `classes` into their order in the schema, lowest first, and write "
                "`ordered = true` beside them",
            )
        notes += widened
    else:
        columns = _require_same_columns(paths, whats)
        found, proposed = propose_schema(
            paths,
            outcome=tables.outcome,
            patient=tables.patient,
            # Columns that the model reads by name are features, whatever they look like.
            always=opened.names or (),
            list_rare=True,
            whats=whats,
            outcome_kind=tables.outcome_kind,
            event=tables.event,
            needed=_find_needed(columns, tables, opened),
        )
        notes += [f"The schema was proposed, not checked: {note}." for note in proposed]
    if not found.outcome:
        raise PrivauditError(
            "no outcome",
            "membership is inferred from how sure the model is of what was recorded",
            "name the outcome's column: --outcome COLUMN",
        )
    if tables.groups:
        found = replace(found, groups=tables.groups)
    return _add_known_classes(found, opened), notes


def _find_needed(columns: Sequence[str], tables: TablePaths, opened: Opened) -> tuple[str, ...]:
    """The columns of which something unclear is refused: those that the model reads, whole or by
    level, and those with a role."""
    if opened.names is None:
        return ()
    roles = {tables.outcome, tables.patient, tables.event, *tables.groups}
    read = [loosen(name) for name in opened.names]
    # A level may stand after the name by any mark, and begin by one itself.
    return tuple(
        name
        for name in columns
        if name in roles or any(one.startswith(loosen(name)) for one in read)
    )


def _require_same_columns(paths: Sequence[Path], whats: Sequence[str]) -> list[str]:
    """The columns of all tables."""
    names: list[Sequence[str]] = []
    for path, what in zip(paths, whats, strict=True):
        with open_table(path, what) as table:
            names.append(table.columns)
    for other, what in zip(names[1:], whats[1:], strict=True):
        first, here = set(names[0]), set(other)
        lacking = [name for name in names[0] if name not in here]
        more = [name for name in other if name not in first]
        if lacking or more:
            raise PrivauditError(
                f"{what} lacks {len(lacking)} columns of the members table: {list_names(lacking)}; "
                f"it has {len(more)} others: {list_names(more)}",
                "the model is asked the same questions of everybody",
                "give tables of the same columns, or a schema (--schema) of those that both have",
            )
    return list(names[0])


def _add_known_classes(schema: TableSchema, opened: Opened) -> TableSchema:
    """A model may know classes that do not occur in these tables: they are part of its answers."""
    labels = [canonical(label) for label in opened.labels or ()]
    if not labels and opened.classes and opened.classes > len(schema.classes):
        numbers = [str(i) for i in range(opened.classes)]
        if {canonical(c) for c in schema.classes} <= set(numbers):
            labels = numbers
    known = {canonical(name): name for name in schema.classes}
    if schema.outcome_kind == "class" and labels and set(known) < set(labels):
        if schema.ordered:
            raise PrivauditError(
                f"ordered classes of which the model knows {len(labels) - len(known)} more",
                "where these stand in the order is not known",
                "list every class of the model in the schema, in their order",
            )
        return replace(schema, classes=tuple(known.get(label, label) for label in labels))
    return schema


def drop_unread_columns(
    schema: TableSchema, opened: Opened, encode: Encode
) -> tuple[TableSchema, list[str]]:
    """Only the columns that the model reads, where it names them."""
    if opened.names is None:
        note = "The model names no features: the columns are read in the order of the schema."
        return schema, [note]
    texts = {c.name: c.levels for c in schema.columns if c.levels}
    layout = by_name(opened.names, schema.columns, encode=encode or "codes", known=texts)
    read = tuple(c for j, c in enumerate(schema.columns) if j in layout.columns)
    unread = [c.name for j, c in enumerate(schema.columns) if j not in layout.columns]
    if not unread:
        return schema, []
    note = (
        f"The model does not read {len(unread)} columns of the tables, which were left aside: "
        f"{list_names(unread)}."
    )
    return replace(schema, columns=read, ignored=(*schema.ignored, *unread)), [note]


def read_pools(
    tables: TablePaths, schema: TableSchema, seeds: Seeds, patients: dict[str, int] | None = None
) -> tuple[
    Split,
    tuple[FlowStep, ...],
    int,
    tuple[str | Caveat, ...],
    tuple[ShadowAnswers, Records] | None,
    Explainer | None,
]:
    """The pools, the cohort flow, how many rows the tables have, notes, supplied shadow models with
    the non-members that they answer for, and what the answers are explained by. patients: filled
    with name -> number."""
    patients = {} if patients is None else patients
    # Shadow models answer for every row, and explanations are given of each.
    most = None if tables.shadows or tables.explanations else tables.sample
    sizes = dict.fromkeys(tables.given, most)
    if most is not None and tables.reference is None:
        sizes["non-members"] = round(most / (1 - pools.REFERENCE_SHARE))
    cells: dict[Pool, Cells] = {}
    read: dict[Pool, Records] = {}
    for pool, path in tables.given.items():
        cells[pool] = read_cells(
            path,
            schema,
            what=pool,
            patients=patients,
            max_rows=sizes[pool],
            rng=seeds.rng("read", pool),
        )
    joined, of_series = attach_series(list(cells.values()), list(cells))
    for pool, one in zip(tables.given, joined, strict=True):
        read[pool] = to_records(one, schema, pool)
    refuse_respelled_patients(patients, [one.patient for one in read.values()])
    bank: tuple[ShadowAnswers, Records] | None = None
    left_out: tuple[str | Caveat, ...] = ()
    if tables.shadows is not None:
        own = (read["members"], read["non-members"])
        answered = read_shadow_tables(
            tables.shadows,
            own,
            outcome=schema.outcome,
            patient=schema.patient,
            patients=patients,
            others=schema.groups,
        )
        answered, read["members"], read["non-members"], left_out = leave_out_sparse(answered, *own)
        bank = (answered, read["non-members"])
    explainer: Explainer | None = None
    if tables.explanations is not None:
        explainer = read_explanation_tables(
            tables.explanations, read["members"], read["non-members"]
        )
    split, drawn_notes = pools.split_pools(
        read["members"],
        read["non-members"],
        read.get("reference"),
        seeds.rng("reference"),
        schema.patient,
    )
    notes: tuple[str | Caveat, ...] = (*of_series, *drawn_notes, *left_out)
    drawn = [
        f"the {pool} table"
        for pool, part in read.items()
        if most is not None and len(part) < cells[pool].rows
    ]
    if drawn:
        # No counts: rounding does not read texts.
        note = f"Of {' and of '.join(drawn)} a sample of patients was drawn at random (--sample)."
        notes = (*notes, note)
    rows, used = sum(one.rows for one in cells.values()), sum(map(len, read.values()))
    people = sum(len(np.unique(part.patient)) for part in read.values())
    step = "rows of the tables, less those not drawn into the sample"
    flow = (FlowStep(step, rows - used, used, people),)
    return split, flow, rows, notes, bank, explainer


__all__ = [
    "SAMPLE",
    "TablePaths",
    "drop_unread_columns",
    "find_schema",
    "read_pools",
]
