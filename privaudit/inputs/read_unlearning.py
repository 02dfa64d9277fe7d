"""Two models, or two tables of their predictions, and the patients who were to be forgotten."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np

from privaudit.contracts import Method, Model
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs import pools
from privaudit.inputs.check_alike import refuse_respelled_patients
from privaudit.inputs.class_order import find_order, refuse_unknown_order, settle_order
from privaudit.inputs.expected import Pool
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.model_tables import TablePaths, drop_unread_columns, find_schema
from privaudit.inputs.models.answers import WRITTEN_SLACK, canonical, probabilities
from privaudit.inputs.models.asked_model import take_unfitted
from privaudit.inputs.models.layout import Frame
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.other_readings import refuse_other_reading
from privaudit.inputs.probability_columns import find_columns
from privaudit.inputs.read_model import (
    STATE_ORDER,
    ModelOptions,
    check_reading,
    choose_recipe,
    order_outputs,
)
from privaudit.inputs.read_table import read_cells, to_records
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.table_file import open_table
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

ROLES = ("forgotten", "retained", "strangers")
SPELLINGS = {
    "forgotten": ("forgotten", "forget", "unlearnt", "unlearned", "erased", "removed"),
    "retained": ("retained", "retain", "kept", "remaining"),
    "strangers": ("strangers", "stranger", "heldout", "held-out", "holdout", "test", "nonmember"),
}
NO_SETTING = ("random_state", "n_jobs", "verbose", "warm_start", "memory")
"""Of an estimator, what does not change how much it keeps of a patient."""
MIN_STRANGERS = 50
"""Patients never trained on, below whom nothing is compared with them."""


@dataclass(frozen=True)
class UnlearningPaths(TablePaths):
    """The tables by role. members: the retained; nonmembers: the strangers."""

    forgotten: Path | None = None

    @property
    def given(self) -> dict[Pool, Path]:
        """The tables by role, which is what messages call them."""
        found = {
            "forgotten": self.forgotten,
            "retained": self.members,
            "strangers": self.nonmembers,
        }
        return {cast(Pool, role): path for role, path in found.items() if path is not None}


@dataclass(frozen=True, eq=False)
class ReadUnlearning:
    """What was read. before, after: role -> (n, k) probabilities; models: the two, and the recipe,
    where models were given and it is known; other_kind: their files say that they are of different
    kinds or settings."""

    pools: dict[str, Records]
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]
    recipe: Method | None
    notes: tuple[str | Caveat, ...]
    features: bool
    other_kind: bool = False


def read_models(
    before: Path,
    after: Path,
    tables: UnlearningPaths,
    *,
    options: ModelOptions,
    estimator: str,
    seeds: Seeds,
) -> ReadUnlearning:
    """Two model files and the tables of the roles.

    Args:
        before: The model that was trained on the forgotten too.
        after: The model that is said to have forgotten them.
        tables: Who is who.
        options: How to open the files.
        estimator: As of `read_model`.
        seeds: Random streams.

    Raises:
        PrivauditError: A file, a table or an option that cannot be audited.
    """
    opened, _ = open_model(before, trust_pickle=options.trust_pickle, module=options.module)
    schema, notes = find_schema(tables, opened)
    if schema.outcome_kind != "class":
        raise PrivauditError(
            f"an outcome that is a {schema.outcome_kind}",
            "unlearning is audited by how sure the models are of the recorded class",
            "give models of classes",
        )
    schema, narrowed = drop_unread_columns(schema, opened, options.encode)
    notes += narrowed
    order = order_outputs(opened, schema, tables, options)
    schema = settle_order(schema, order, options.order, asked=False)
    first = _bind(opened, schema, options, by_label=order.by_label)
    recipe = choose_recipe(first, estimator)
    read = _read_roles(tables, schema)
    split = Split(read["retained"], read["strangers"], read["forgotten"])
    if not order.known:
        raise refuse_unknown_order(
            first.predict_proba(split.members),
            split.members.y,
            schema.classes,
            who="the model before",
            fix=STATE_ORDER,
        )
    other, _ = open_model(after, trust_pickle=options.trust_pickle, module=options.module)
    _refuse_other_classes(opened, other, schema)
    second = _bind(other, schema, options, by_label=order.by_label and other.labels is not None)
    for model, held in ((first, opened), (second, other)):
        notes += check_reading(model, held, schema, split, options)
    by_order = opened.names is None
    notes += refuse_other_reading(first, split.members, by_order=by_order)
    twin = None
    if recipe is not None:
        if recipe.fitted:
            notes.append("A part of the model was fitted before: it cannot be trained again.")
        else:
            held = opened if order.by_label else replace(opened, labels=None)
            twin = pools.make_twin(recipe, first, held, schema.classes, Frame(schema.names))
    answers = [
        {role: np.asarray(model.predict_proba(part)) for role, part in read.items()}
        for model in (first, second)
    ]
    kinds = _are_of_other_kinds(first, second) or opened.form != other.form
    said = tuple(dict.fromkeys(notes))
    return ReadUnlearning(read, answers[0], answers[1], twin, said, True, kinds)


def read_predictions(
    before: Path,
    after: Path,
    *,
    role: str,
    outcome: str,
    patient: str,
    columns: tuple[str, ...],
    options: ModelOptions,
) -> ReadUnlearning:
    """Two tables of predictions of the same rows in the same order, with a column of roles.

    Args:
        before, after: The tables.
        role: The column that says forgotten, retained or stranger.
        outcome: The column of the recorded outcome.
        patient: The column that names patients, "" for none.
        columns: Of probabilities, none to look for them.
        options: What the user says of the order of classes.

    Raises:
        PrivauditError: Tables that do not fit each other, or cannot be audited.
    """
    if not outcome:
        raise PrivauditError(
            "tables of predictions without --outcome",
            "what a model knows of a patient is how sure it is of what was recorded",
            "name the column of the recorded outcome: --outcome COLUMN",
        )
    read = [
        _read_predictions(path, what, role, outcome, patient, columns, options)
        for path, what in ((before, "before"), (after, "after"))
    ]
    one, other = read
    same = len(one.records) == len(other.records) and all(
        np.array_equal(a, b)
        for a, b in (
            (one.records.y, other.records.y),
            (one.roles, other.roles),
            (one.records.patient, other.records.patient),
        )
    )
    if not same or one.records.classes != other.records.classes:
        raise PrivauditError(
            "tables of predictions whose rows differ in number, outcome, patient or role",
            "the answers of the two models are compared patient by patient",
            "write both tables for the same rows in the same order",
        )
    found = {
        name: one.records.take(one.roles == name) for name in ROLES if (one.roles == name).any()
    }
    for name in ("forgotten", "strangers"):
        if name not in found:
            raise _no_table(name)
    _refuse_shared(found)
    sides = [{name: part.proba[part.roles == name] for name in found} for part in read]
    return ReadUnlearning(found, sides[0], sides[1], None, (), False)


def _are_of_other_kinds(before: Model, after: Model) -> bool:
    """Whether two models are trained by different estimators or settings, as far as they say."""
    told = [take_unfitted(model) for model in (before, after)]
    if None in told:
        return not told[0] is told[1] is None
    settings = [
        {
            name: repr(value)
            for name, value in one.get_params().items()
            if name.rpartition("__")[2] not in NO_SETTING
        }
        for one in told
    ]
    return type(told[0]) is not type(told[1]) or settings[0] != settings[1]


def _bind(opened: Opened, schema: TableSchema, options: ModelOptions, *, by_label: bool) -> Model:
    return bind(
        opened, schema, encode=options.encode, answers=options.answers, in_order=not by_label
    )


def _refuse_other_classes(before: Opened, after: Opened, schema: TableSchema) -> None:
    """Refuse a second model of other classes, or of another number of them."""
    named = [{canonical(x) for x in one.labels or ()} for one in (before, after)]
    counts = [one.classes or len(one.labels or ()) or None for one in (before, after)]
    other_names = all(named) and named[0] != named[1]
    if other_names or (None not in counts and counts[0] != counts[1]):
        raise PrivauditError(
            "models before and after of other classes",
            f"the outcome has {len(schema.classes)} classes, and both models must answer for each",
            "give two models of the same outcome",
        )


def _read_roles(tables: UnlearningPaths, schema: TableSchema) -> dict[str, Records]:
    names: dict[str, int] = {}
    read: dict[str, Records] = {}
    for role, path in tables.given.items():
        cells = read_cells(path, schema, what=role, patients=names)
        read[role] = to_records(cells, schema, role)
    for name in ROLES:
        if name not in read or not len(read[name]):
            raise _no_table(name)
    refuse_respelled_patients(names, [one.patient for one in read.values()])
    if not schema.patient:
        read = _number_apart(read)
    _refuse_shared(read)
    _refuse_copies(read)
    return read


def _number_apart(read: dict[str, Records]) -> dict[str, Records]:
    """Each row a patient of its own, whatever numbers the tables gave."""
    start, found = 0, {}
    for role, part in read.items():
        found[role] = replace(part, patient=np.arange(start, start + len(part)))
        start += len(part)
    return found


def _refuse_shared(read: dict[str, Records]) -> None:
    for one, other in combinations(read, 2):
        shared = np.intersect1d(read[one].patient, read[other].patient)
        if len(shared):
            raise PrivauditError(
                f"{name_count(len(shared))} patients are in the {one} and in the {other} table",
                "who was forgotten, who was not, and who was never known are told apart by them",
                "give every patient one role, with all of their rows",
            )
    strangers = len(np.unique(read["strangers"].patient))
    if strangers < MIN_STRANGERS:
        raise PrivauditError(
            f"{name_count(strangers)} patients in the strangers table",
            f"below {MIN_STRANGERS} patients never trained on, nothing can be compared with them",
            "hold more patients out",
        )


def _refuse_copies(read: dict[str, Records]) -> None:
    """Refuse tables in which most of the forgotten stand again, as rows of another role."""
    keys = {role: _keys(part) for role, part in read.items()}
    for other in ("retained", "strangers"):
        again = float(np.isin(keys["forgotten"], keys[other]).mean())
        usual = float(np.isin(keys["strangers"], keys["retained"]).mean())
        if again > 0.05 + 2 * usual:
            raise PrivauditError(
                f"rows of the forgotten table that stand in the {other} table too, value by value",
                "a record that is still trained on, or never was, cannot be seen to be forgotten",
                "give each record one role",
            )


def _keys(part: Records) -> np.ndarray:
    """(n,) a number for each record's values and outcome."""
    rows = np.column_stack([np.nan_to_num(part.X, nan=-1.23456e30), part.y]).astype(np.float32)
    return np.array([hash(row.tobytes()) for row in rows])


def _no_table(role: str) -> PrivauditError:
    return PrivauditError(
        f"no rows of the {role}",
        "forgetting is seen beside patients still known and patients never known",
        f"give them: --{role} TABLE, or in tables of predictions rows of that role",
    )


@dataclass(frozen=True, eq=False)
class _Predictions:
    records: Records
    roles: np.ndarray
    proba: np.ndarray


def _read_predictions(
    path: Path,
    what: str,
    role: str,
    outcome: str,
    patient: str,
    given: tuple[str, ...],
    options: ModelOptions,
) -> _Predictions:
    with open_table(path, f"the {what} table") as opened:
        names = opened.columns
    if role not in names:
        raise PrivauditError(
            f"no column {role!r} in the {what} table",
            "it says who was to be forgotten, who stays and who was never trained on",
            "add it with the values forgotten, retained and stranger, or name it with --role",
        )
    proposed, _ = propose_schema(
        path, outcome=outcome, list_rare=True, whats=[f"the {what} table"], needed=(outcome,)
    )
    order = find_order(proposed.classes, None, options.order)
    rest = [name for name in names if name not in (outcome, role, patient)]
    chosen = find_columns(given, rest, order.classes, options.order)
    schema = TableSchema(
        tuple(map(Column, chosen.names)), outcome, order.classes, patient, groups=(role,)
    )
    cells = read_cells(path, schema, what=what, patients={}, dtype=np.float64)
    roles = _read_roles_column(cells.groups.pop(role), role)
    records = to_records(cells, schema, what)
    if not patient:
        records = replace(records, patient=np.arange(len(records)))
    k = len(order.classes)
    proba = probabilities(
        chosen.fill(cells.X, k), len(records), k, who=f"the {what} table", slack=WRITTEN_SLACK
    )
    if not (order.known or chosen.named):
        raise refuse_unknown_order(
            proba, records.y, order.classes, who=f"the {what} table", fix=STATE_ORDER
        )
    return _Predictions(records, roles, proba)


def _read_roles_column(labels: np.ndarray, role: str) -> np.ndarray:
    known = {word: name for name, words in SPELLINGS.items() for word in words}
    found = [known.get(str(label).strip().casefold(), "") for label in labels]
    if "" in found:
        raise PrivauditError(
            f"values of the column {role!r} that are no role",
            f"roles are: {', '.join(ROLES)}",
            "write one of these in every row",
        )
    return np.array(found)


__all__ = ["ROLES", "ReadUnlearning", "UnlearningPaths", "read_models", "read_predictions"]
