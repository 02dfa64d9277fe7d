"""A model file and its tables, as the task and the release of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.contracts import FlowStep, Method, Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs import pools
from privaudit.inputs.artefacts.read_arrays import LARGEST
from privaudit.inputs.check_alike import refuse_respelled_patients
from privaudit.inputs.class_order import (
    UNSTATED,
    ClassOrder,
    StatedOrder,
    find_order,
    refuse_order_of_numbers,
    refuse_unknown_order,
)
from privaudit.inputs.codes import advise_codes, list_codes, refuse_other_codes
from privaudit.inputs.examine_shadows import join_bank
from privaudit.inputs.expected import Disagreement, Pool, check_expected
from privaudit.inputs.fit_guesses import read_fitted_schema
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import (
    Encode,
    Frame,
    Layout,
    TextsAsNumbers,
    by_name,
    loosen,
)
from privaudit.inputs.models.levels import refuse_unknown_levels
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.other_readings import refuse_other_reading
from privaudit.inputs.read_shadow_answers import ShadowTables, read_shadow_tables
from privaudit.inputs.read_table import Cells, list_names, read_cells, to_records
from privaudit.inputs.recipes import Recipe, clone_recipe, load_recipe
from privaudit.inputs.retraining import settle_recipe
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.shadow_answers import ShadowAnswers, leave_out_sparse, no_shadows_of_numbers
from privaudit.inputs.table_file import open_table
from privaudit.inputs.user_release import UserRelease
from privaudit.inputs.user_task import UserTask
from privaudit.records import OutcomeKind, Records, Split
from privaudit.seeds import Seeds

SAMPLE = 50_000
"""Records a side that are read by default."""

MAX_TRIED_CLASSES = 3
"""Classes whose orders are all tried against the owner's own probabilities."""


@dataclass(frozen=True)
class TablePaths:
    """The tables of an audit and what their columns are; paths are read and named nowhere.

    sample: about how many rows of each side to read, None for all.
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

    @property
    def given(self) -> dict[Pool, Path]:
        """The tables by the pool that each is."""
        found: dict[Pool, Path | None] = {
            "members": self.members,
            "non-members": self.nonmembers,
            "reference": self.reference,
        }
        return {pool: path for pool, path in found.items() if path is not None}


@dataclass(frozen=True)
class ModelOptions:
    """How far the model's file is trusted, and what it does not say of itself.

    order: which output belongs to which class; expected: a table of the owner's own probabilities.
    """

    trust_pickle: bool = False
    module: str = ""
    encode: Encode = ""
    answers: str = ""
    order: StatedOrder = UNSTATED
    expected: Path | None = None


def read_model(
    path: Path,
    tables: TablePaths,
    *,
    options: ModelOptions,
    estimator: str,
    seeds: Seeds,
    confidence: float,
) -> tuple[UserTask, UserRelease, tuple[str | Caveat, ...]]:
    """The task and the release of a model file and its tables, and notes for the terminal.

    Args:
        path: The model's file.
        tables: The tables.
        options: How to open the file.
        estimator: `module:function`; "" for scikit-learn's clone where the file holds such an
            estimator, "clone" to insist on it, "none" for no training again.
        seeds: Random streams of what is read and checked.
        confidence: Coverage of the intervals of the checks.

    Raises:
        PrivauditError: A file, a table or an option that cannot be audited.
    """
    opened, digest = open_model(path, trust_pickle=options.trust_pickle, module=options.module)
    schema, notes = _find_schema(tables, opened)
    schema, narrowed = _drop_unread_columns(schema, opened, options.encode)
    notes += narrowed
    of_classes = schema.outcome_kind == "class"
    if tables.shadows and not of_classes:
        raise no_shadows_of_numbers()
    order = ClassOrder(())
    if not of_classes:
        refuse_order_of_numbers(options.order)
    else:
        order = _order_outputs(opened, schema, tables, options)
        schema = replace(schema, classes=order.classes)
    in_order = of_classes and not order.by_label
    try:
        model = bind(
            opened, schema, encode=options.encode, answers=options.answers, in_order=in_order
        )
    except TextsAsNumbers as error:
        members = _read_pools(tables, schema, seeds)[0].members
        raise advise_codes(
            error, opened, schema, members, answers=options.answers, in_order=in_order
        ) from None
    if in_order:
        opened = replace(opened, labels=None)
    recipe = None if tables.shadows else _choose_recipe(model, estimator, schema.outcome_kind)
    split, flow, rows, read, bank = _read_pools(tables, schema, seeds)
    if not order.known:
        raise refuse_unknown_order(
            model.predict_proba(split.members),
            split.members.y,
            schema.classes,
            who="the model",
            fix=STATE_EVENT if len(schema.classes) == 2 else STATE_ORDER,
        )
    found = _check_reading(model, opened, schema, split, options)
    doubts = (
        ()
        if options.expected is not None or not of_classes
        else refuse_other_reading(
            model, split.members, by_order=opened.names is None and _is_laid_out(model)
        )
    )
    if options.expected is not None:
        found.append(check_expected(options.expected, model, tables.given, schema))
    notes += found
    if tables.schema is None:
        pools.refuse_rare_classes(
            (split.members, split.nonmembers, split.reference), schema.outcome
        )
    twin = None
    if recipe is not None:
        frame = Frame(schema.names)
        twin = pools.make_twin(recipe, model, opened, schema.classes, frame)
    shadows: tuple[tuple[Method, np.ndarray], ...] = ()
    if bank is not None:
        shadows, checked = join_bank(*bank, split, model)
        notes.append(checked)
    described = (f"The model is {opened.form}, read from its file.", *map(_sentence, opened.notes))
    file = path.read_bytes() if path.stat().st_size <= LARGEST else None
    release = UserRelease.of_model(
        model, opened.form, digest, notes=described, twin=twin, file=file, shadows=shadows
    )
    if bank is None:
        release, compared = settle_recipe(release, split, seeds, required=bool(estimator))
        notes += compared
    task = pools.prepare_task(
        split,
        model,
        outcome=schema.outcome,
        seeds=seeds,
        confidence=confidence,
        source="the user's own tables",
        flow=flow,
        notes=(*notes, *read),
        caveats=tuple(doubts),
        facts={"rows of the tables": rows},
    )
    return task, release, (*notes, *read)


def _order_outputs(
    opened: Opened, schema: TableSchema, tables: TablePaths, options: ModelOptions
) -> ClassOrder:
    order = find_order(schema.classes, opened.labels, options.order)
    if order.known and not (order.by_label or options.order or opened.numbered):
        # A schema that lists 1 before 0 may mean the order of the outputs, or none.
        order = replace(order, known=order.classes == schema.classes)
    if not order.known and options.expected is not None:
        order = _order_by_expected(order, opened, schema, tables, options)
    return order


def _order_by_expected(
    order: ClassOrder,
    opened: Opened,
    schema: TableSchema,
    tables: TablePaths,
    options: ModelOptions,
) -> ClassOrder:
    """The one order under which the owner's own probabilities agree; the same where none or several
    do."""
    if options.expected is None or len(order.classes) > MAX_TRIED_CLASSES:
        return order
    fitting = []
    for classes in permutations(order.classes):
        tried = replace(schema, classes=classes)
        try:
            model = bind(
                opened, tried, encode=options.encode, answers=options.answers, in_order=True
            )
            check_expected(options.expected, model, tables.given, tried)
        except Disagreement:
            continue
        fitting.append(ClassOrder(classes))
    return fitting[0] if len(fitting) == 1 else order


STATE_ORDER = "say --classes A,B,..., the classes in the order of the model's outputs in training"
STATE_EVENT = f"{STATE_ORDER}, or --event NAME, the class whose probability it gives"


def _is_laid_out(model: Model) -> bool:
    return isinstance(getattr(model, "reads", None) or getattr(model, "layout", None), Layout)


def _check_reading(
    model: Model, opened: Opened, schema: TableSchema, split: Split, options: ModelOptions
) -> list[str | Caveat]:
    """What a reader must know of how the table is handed to the model; refused where it is a
    guess."""
    notes: list[str | Caveat] = []
    shared = [name for name in opened.names or () if name in schema.names]
    if shared != [name for name in schema.names if name in shared]:
        notes.append("The table's columns stand in another order than the model's: read by name.")
    reads = getattr(model, "reads", None) or getattr(model, "layout", None)
    count = getattr(model, "count_unknown", None) or getattr(reads, "count_unknown", None)
    if count is not None:
        unknown: dict[str, int] = {}
        rows = 0
        for pool in (split.members, split.nonmembers, split.reference):
            rows += len(pool)
            for name, cells in count(pool).items():
                unknown[name] = unknown.get(name, 0) + cells
        notes += refuse_unknown_levels(unknown, rows)
    if isinstance(reads, Layout) and any(place.stated for place in reads.places):
        if options.expected is None:
            refuse_other_codes(model, split.members)
        notes += list_codes(reads, split)
    return notes


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:].rstrip(".") + "."


def _find_schema(tables: TablePaths, opened: Opened) -> tuple[TableSchema, list[str | Caveat]]:
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


def name_roles(schema: TableSchema, **roles: str) -> TableSchema:
    """The schema with the outcome and the patient as asked for; refused where it names others."""
    for role, asked in roles.items():
        named = getattr(schema, role)
        if asked and named and asked != named:
            raise PrivauditError(
                f"--{role} {asked} with a schema whose {role} is {named!r}",
                "the schema says what each column is",
                f"leave --{role} out, or change {role} in the schema",
            )
        if asked and not named:
            named_role: dict[str, Any] = {role: asked}
            schema = replace(schema, **named_role)
    return schema


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
        return replace(schema, classes=tuple(known.get(label, label) for label in labels))
    return schema


def _drop_unread_columns(
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


def _choose_recipe(
    model: Model, estimator: str, outcome_kind: OutcomeKind = "class"
) -> Recipe | None:
    if estimator == "none":
        return None
    if estimator and estimator != "clone":
        return load_recipe(estimator, outcome_kind)
    found = clone_recipe(getattr(model, "held", None))
    if found is None and estimator == "clone":
        raise PrivauditError(
            "--estimator clone for a model that scikit-learn cannot clone",
            "only scikit-learn's own way of naming parameters says how to train again",
            "give --estimator module:function",
        )
    return found


def _read_pools(
    tables: TablePaths, schema: TableSchema, seeds: Seeds
) -> tuple[
    Split,
    tuple[FlowStep, ...],
    int,
    tuple[str | Caveat, ...],
    tuple[ShadowAnswers, Records] | None,
]:
    """The pools, the cohort flow, how many rows the tables have, notes, and supplied shadow models
    with the non-members that they answer for."""
    patients: dict[str, int] = {}
    # Shadow models answer for every row.
    most = None if tables.shadows else tables.sample
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
        read[pool] = to_records(cells[pool], schema, pool)
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
    split, drawn_notes = pools.split_pools(
        read["members"],
        read["non-members"],
        read.get("reference"),
        seeds.rng("reference"),
        schema.patient,
    )
    notes: tuple[str | Caveat, ...] = (*drawn_notes, *left_out)
    drawn = "; ".join(
        f"{len(part):,} of {cells[pool].rows:,} rows of the {pool} table"
        for pool, part in read.items()
        if tables.shadows is None and len(part) < cells[pool].rows
    )
    if drawn:
        note = f"Of large tables a sample of patients was drawn at random: {drawn} (--sample)."
        notes = (*notes, note)
    rows, used = sum(one.rows for one in cells.values()), sum(map(len, read.values()))
    people = sum(len(np.unique(part.patient)) for part in read.values())
    step = "rows of the tables, less those not drawn into the sample"
    return split, (FlowStep(step, rows - used, used, people),), rows, notes, bank


__all__ = ["SAMPLE", "ModelOptions", "TablePaths", "name_roles", "read_model"]
