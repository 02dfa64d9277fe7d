"""A model file and its tables, as the task and the release of an audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np

from privaudit.contracts import Method, Model, Release, Target
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs import pools
from privaudit.inputs.artefacts.read_arrays import LARGEST
from privaudit.inputs.class_order import (
    UNSTATED,
    ClassOrder,
    StatedOrder,
    find_order,
    refuse_order_of_numbers,
    refuse_unknown_order,
    settle_order,
)
from privaudit.inputs.codes import advise_codes, list_codes, refuse_other_codes
from privaudit.inputs.deployed import (
    Allot,
    allot,
    describe_deployed,
    doubt_reading,
    open_deployed,
    refuse_options_of_files,
)
from privaudit.inputs.endpoints.address import is_address
from privaudit.inputs.endpoints.endpoint import EndpointModel, EndpointOptions, name_release
from privaudit.inputs.examine_shadows import join_bank
from privaudit.inputs.expected import Disagreement, check_expected
from privaudit.inputs.explanations import digest_explanations
from privaudit.inputs.model_tables import (
    TablePaths,
    drop_unread_columns,
    find_schema,
    read_pools,
)
from privaudit.inputs.models.asked_model import AnsweredInCompany, take_unfitted
from privaudit.inputs.models.layout import (
    Encode,
    Frame,
    Layout,
    TextsAsNumbers,
)
from privaudit.inputs.models.levels import refuse_unknown_levels
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.recipes import Recipe, clone_recipe, load_recipe
from privaudit.inputs.retraining import settle_recipe
from privaudit.inputs.schema import TableSchema
from privaudit.inputs.shadow_answers import no_shadows_of_numbers
from privaudit.inputs.user_release import UserRelease, hold_parts
from privaudit.inputs.user_task import UserTask
from privaudit.records import OutcomeKind, Split
from privaudit.seeds import Seeds

STORED = 0.05
"""A file gives records back where so much more is found of members than of others."""

MAX_TRIED_CLASSES = 3
"""Classes whose orders are all tried against the owner's own probabilities."""


@dataclass(frozen=True)
class ModelOptions:
    """How far the model's file is trusted, and what it does not say of itself.

    order: which output belongs to which class; expected: a table of the owner's own probabilities;
    endpoint: how a deployed model is asked; allot: called with its release before any row is asked
    about, and says what the budget leaves room for.
    """

    trust_pickle: bool = False
    module: str = ""
    encode: Encode = ""
    answers: str = ""
    order: StatedOrder = UNSTATED
    expected: Path | None = None
    endpoint: EndpointOptions | None = None
    allot: Allot | None = None


def read_model(
    path: Path | str,
    tables: TablePaths,
    *,
    options: ModelOptions,
    estimator: str,
    seeds: Seeds,
    confidence: float,
) -> tuple[UserTask, UserRelease, tuple[str | Caveat, ...]]:
    """The task and the release of a model file and its tables, and notes for the terminal.

    Args:
        path: The model's file, or the address of a deployed model.
        tables: The tables.
        options: How to open the file.
        estimator: `module:function`; "" for scikit-learn's clone where the file holds such an
            estimator, "clone" to insist on it, "none" for no training again.
        seeds: Random streams of what is read and checked.
        confidence: Coverage of the intervals of the checks.

    Raises:
        PrivauditError: A file, a table or an option that cannot be audited.
    """
    deployed = isinstance(path, str) and is_address(path)
    if deployed:
        opened, digest = open_deployed(str(path), options.endpoint, options.answers), ""
        refuse_options_of_files(options.module, options.trust_pickle)
        options = replace(options, answers="")
    else:
        opened, digest = open_model(path, trust_pickle=options.trust_pickle, module=options.module)
    schema, notes = find_schema(tables, opened)
    if schema.series is not None and tables.explanations is not None:
        raise PrivauditError(
            "--explanations of a model that reads series",
            "an attribution is one number a column here, and a series has none",
            "leave --explanations out",
        )
    schema, narrowed = drop_unread_columns(schema, opened, options.encode)
    notes += narrowed
    of_classes = schema.outcome_kind == "class"
    if tables.shadows and not of_classes:
        raise no_shadows_of_numbers()
    order = ClassOrder(())
    if not of_classes:
        refuse_order_of_numbers(options.order)
    else:
        order = order_outputs(opened, schema, tables, options)
        schema = settle_order(schema, order, options.order, asked=tables.ordered)
    in_order = of_classes and not order.by_label
    try:
        model = bind(
            opened, schema, encode=options.encode, answers=options.answers, in_order=in_order
        )
    except TextsAsNumbers as error:
        members = read_pools(tables, schema, seeds)[0].members
        raise advise_codes(
            error, opened, schema, members, answers=options.answers, in_order=in_order
        ) from None
    if in_order:
        opened = replace(opened, labels=None)
    digest = name_release(model) if isinstance(model, EndpointModel) else digest
    recipe = None if tables.shadows else choose_recipe(model, estimator, schema.outcome_kind)
    names: dict[str, int] = {}
    split, flow, rows, read, bank, explainer = read_pools(tables, schema, seeds, names)
    twin = None
    if recipe is not None:
        frame = Frame(schema.names)
        twin = pools.make_twin(recipe, model, opened, schema.classes, frame)
    by_order = opened.names is None and (
        deployed or _is_laid_out(model) or schema.series is not None
    )
    trial = of_classes and options.expected is None
    allotted = allot(model, split, twin, options.allot, by_order if trial else None)
    if not order.known:
        raise refuse_unknown_order(
            model.predict_proba(split.members),
            split.members.y,
            schema.classes,
            who="the model",
            fix=STATE_EVENT if len(schema.classes) == 2 else STATE_ORDER,
        )
    found = check_reading(model, opened, schema, split, options)
    doubts: Sequence[Caveat] = ()
    if trial:
        doubts = doubt_reading(model, split.members, by_order=by_order, allotted=allotted)
    if options.expected is not None:
        found.append(check_expected(options.expected, model, tables.given, schema))
    notes += found
    if tables.schema is None:
        pools.refuse_rare_classes(
            (split.members, split.nonmembers, split.reference), schema.outcome
        )
    shadows: tuple[tuple[Method, np.ndarray], ...] = ()
    if bank is not None:
        shadows, checked = join_bank(*bank, split, model)
        notes.append(checked)
    described = (
        describe_deployed(model, opened.form, split.members)
        if isinstance(model, EndpointModel)
        else (f"The model is {opened.form}, read from its file.",)
    )
    described += tuple(map(_sentence, opened.notes))
    file = None if deployed else _read_again(Path(path), digest)
    release = UserRelease.of_model(
        model,
        opened.form,
        digest_explanations(explainer, digest),
        notes=described,
        twin=twin,
        file=file,
        shadows=shadows,
        explanations=explainer,
    )
    prepare = partial(
        pools.prepare_task,
        split,
        outcome=schema.outcome,
        seeds=seeds,
        confidence=confidence,
        source="the user's own tables",
        flow=flow,
        facts={"rows of the tables": rows},
        patients=names if schema.patient else None,
    )
    try:
        if bank is None:
            release, compared = settle_recipe(release, split, seeds, required=bool(estimator))
            notes += compared
        task = prepare(model, notes=(*notes, *read), caveats=tuple(doubts))
    except AnsweredInCompany:
        if file is None or not holds_records(file, split, seeds):
            raise
        release = UserRelease.of_file(model, opened.form, digest, file, described)
        refused = (*doubts, Caveat(CaveatCode.ANSWERS_REFUSED))
        task = prepare(None, notes=(*notes, *read), caveats=refused)
    release = hold_parts(release, barred=allotted.barred)
    return task.using(schema.words), release, (*notes, *read)


def holds_records(file: bytes, split: Split, seeds: Seeds) -> bool:
    """Whether a model's file gives training records back, for an audit that cannot ask the model.

    Where it does not, the model is refused: a file in which nothing was found is no evidence of
    what the answers give away.
    """
    from privaudit.plugins import load

    try:
        found = load("attacks", "stored_records")().run(
            Target(Release(file=file), split), (), seeds.rng("stored records")
        )
    except PrivauditError:
        return False
    gains = (trial.success.mean() - trial.control.mean() for trial in found.values())
    return any(gain > STORED for gain in gains)


def _read_again(path: Path, digest: str) -> bytes | None:
    """The file's bytes, for what is searched in them; None where it is too large for that.

    Raises:
        PrivauditError: It is not the file any more that was opened and asked.
    """
    if path.stat().st_size > LARGEST:
        return None
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != digest:
        raise PrivauditError(
            "a model's file that changed while it was read",
            "its answers would be those of one file, and what is searched in it of another",
            "wait until whatever writes it is done, and audit again",
        )
    return raw


def order_outputs(
    opened: Opened, schema: TableSchema, tables: TablePaths, options: ModelOptions
) -> ClassOrder:
    """Which output is which class, as far as the file, the names or the user say."""
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


def check_reading(
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


def choose_recipe(
    model: Model, estimator: str, outcome_kind: OutcomeKind = "class"
) -> Recipe | None:
    """How the model can be trained again: by what the user names, else as a clone of it."""
    if estimator == "none":
        return None
    if estimator and estimator != "clone":
        return load_recipe(estimator, outcome_kind)
    found = clone_recipe(take_unfitted(model))
    if found is None and estimator == "clone":
        raise PrivauditError(
            "--estimator clone for a model that scikit-learn cannot clone",
            "only scikit-learn's own way of naming parameters says how to train again",
            "give --estimator module:function",
        )
    return found


__all__ = ["ModelOptions", "check_reading", "choose_recipe", "order_outputs", "read_model"]
