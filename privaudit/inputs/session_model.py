"""What a Python session says of its model beside the tables: its classes' order, shadow models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from privaudit.contracts import Explainer, Method, Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat
from privaudit.inputs import pools
from privaudit.inputs.check_answers import find_reversed_outcomes
from privaudit.inputs.class_order import order_evidently, refuse_unknown_order
from privaudit.inputs.dataframe import Frames
from privaudit.inputs.endpoints.address import is_address
from privaudit.inputs.endpoints.endpoint import (
    EndpointModel,
    EndpointOptions,
    name_release,
    open_endpoint,
)
from privaudit.inputs.endpoints.transport import Patience
from privaudit.inputs.explanations import (
    EXACT,
    compute_explanations,
    digest_explanations,
    read_explanation_arrays,
)
from privaudit.inputs.models import in_process
from privaudit.inputs.models.answers import canonical
from privaudit.inputs.models.layout import Frame
from privaudit.inputs.models.open_model import ANSWERS
from privaudit.inputs.models.opened_model import Binding, Opened
from privaudit.inputs.models.series_models import bind_with_series, open_live_with_series
from privaudit.inputs.read_shadow_answers import read_shadow_arrays
from privaudit.inputs.recipes import clone_recipe, find_recipe
from privaudit.inputs.session_tables import mark_sensitive
from privaudit.inputs.shadow_answers import ShadowAnswers, leave_out_sparse
from privaudit.inputs.user_release import Retrained, UserRelease
from privaudit.records import Records
from privaudit.restricted import NAME


def find_labels(
    model: Any, classes: Sequence[Any] | None, event: Any, outcomes: Sequence[Any]
) -> list[Any] | None:
    """The classes in the order of the model's answers, None where nobody says it."""
    if classes is not None and event is not None:
        raise PrivauditError(
            "classes= together with event=",
            "either says which class each of the model's answers belongs to",
            "leave one of them out",
        )
    own = getattr(model, "classes_", None)
    if own is not None:
        own = list(own.tolist() if hasattr(own, "tolist") else own)
        named = [canonical(label) for label in own]
        said = None if classes is None else [canonical(label) for label in classes]
        strange = event is not None and (len(own) != 2 or canonical(event) not in named)
        if strange or (said is not None and said != named):
            raise PrivauditError(
                f"classes={list(classes or [event])} for a model that names its own classes",
                f"it answers in the order of its classes_: {', '.join(named)}",
                "leave classes= and event= out",
            )
        return own
    if classes is not None:
        return list(classes)
    if event is None:
        return None
    found = {canonical(x): x for y in outcomes for x in np.unique(y).tolist()}
    known = canonical(event)
    if len(found) != 2 or known not in found:
        raise PrivauditError(
            f"event={event!r}",
            f"the outcomes are: {', '.join(sorted(found)[:10])}",
            "name one of two outcomes; for more of them pass classes=[...] in the order of the "
            "model's answers",
        )
    (other,) = (x for name, x in found.items() if name != known)
    return [other, found[known]]


def refuse_unsaid_order(release: UserRelease, members: Records) -> None:
    """Refuse outcomes whose order among the model's answers nobody says, with the AUROC of each."""
    if order_evidently(members.classes) is not None:
        return
    event = ", or event= for the one that its one number is about"
    raise refuse_unknown_order(
        release.model.predict_proba(members),
        members.y,
        members.classes,
        who="the model",
        fix=f"pass classes=[...] in the order of its answers{event * (len(members.classes) == 2)}",
    )


def refuse_reversed_order(release: UserRelease, members: Records, said: str) -> None:
    """Refuse a stated order under which the model is surely worse than a guess on its own members.

    said: how the order was stated, such as `event='died'`.
    """
    wrong = find_reversed_outcomes(members, release.model.predict_proba(members))
    if wrong:
        raise PrivauditError(
            f"{said}, under which the model's AUROC on its own members is surely below one half "
            f"({wrong[0].params['auroc']:.3f}, at most {wrong[0].params['high']:.3f})",
            "no model ranks what it was trained on worse than a guess: its answers are of the "
            "other class, or of the classes in another order",
            "pass classes=[...] in the order of the model's answers, or event= for the class that "
            "its one number is about",
        )


@dataclass(frozen=True)
class HeldModel:
    """A model of this session: its release, and whether it can be sent to another process.

    by_order: it names no columns.
    """

    release: UserRelease
    can_be_sent: bool
    by_order: bool
    with_shadows: Callable[[tuple[tuple[Method, np.ndarray], ...]], UserRelease]
    twin: Retrained | None = None


def find_address(model: Any) -> str:
    """The address of a deployed model, "" for an object of the session.

    Raises:
        PrivauditError: A text that is no address.
    """
    if not isinstance(model, str):
        return ""
    if is_address(model):
        return model
    raise PrivauditError(
        "a model given as a text that is no address",
        "a deployed model is given by its address, any other as the object itself",
        "give https://HOST/v2/models/NAME or mlflow+https://HOST/invocations; `privaudit audit` "
        "reads files",
    )


def refuse_misplaced(address: str, explained: bool, stated: bool) -> None:
    """Refuse what is said of a deployed model for an object, and the other way round."""
    if address and explained:
        raise PrivauditError(
            "explanations= for a deployed model",
            "only its answers are asked for",
            "leave explanations= out",
        )
    if stated and not address:
        raise PrivauditError(
            "token_env=, queries=, inputs= or output= for a model of this session",
            "they say how a deployed model is asked",
            "leave them out, or give the address of a deployed model",
        )


def how_to_ask(
    out: Path, *, token_env: str, queries: int | None, inputs: str, output: str, timeout: float
) -> EndpointOptions:
    """How a deployed model is asked in a session."""
    return EndpointOptions(
        out / NAME, token_env, queries, inputs, output, patience=Patience(timeout)
    )


def hold_deployed(
    address: str, options: EndpointOptions, read: Frames, estimator: Any, answers: str
) -> HeldModel:
    """A deployed model, with how it is trained again where somebody says it."""
    first = read.members
    if first.series is not None:
        raise PrivauditError(
            "series= for a deployed model",
            "its protocols ask about rows of a table, and series would be dropped in silence",
            "leave series= out where the model reads a table alone; else give the model as a "
            "function: model(table, series)",
        )
    opened = open_endpoint(address, options, answers=answers)
    bound = opened.bind(Binding(first.columns, first.classes, outcome_kind=first.outcome_kind))
    twin = None
    if estimator is not None and estimator is not False:
        recipe = find_recipe(estimator, first.outcome_kind)
        frame = read.frame or Frame(tuple(c.name for c in first.columns))
        twin = pools.make_twin(recipe, bound, opened, first.classes, frame)
    notes = (f"The model is {opened.form}.", *(f"{n[:1].upper()}{n[1:]}." for n in opened.notes))
    digest = name_release(cast("EndpointModel", bound))
    made = partial(UserRelease.of_model, bound, opened.form, digest, notes=notes)
    can_be_sent = twin is None or in_process.pickle_by_value(twin) is not None
    return HeldModel(
        made(twin=twin),
        can_be_sent,
        opened.names is None,
        lambda shadows: made(shadows=shadows),
        twin,
    )


def hold_model(
    model: Any, read: Frames, estimator: Any, answers: str, explanations: Any = None
) -> HeldModel:
    """The model of a session as it reads these tables, with how it is trained again.

    explanations: "exact", or attributions of the rows of members and of nonmembers.
    """
    if answers not in ANSWERS:
        raise PrivauditError(
            f"answers={answers!r}", f"known are: {', '.join(ANSWERS[1:])}", "choose one of these"
        )
    first = read.members
    binding = Binding(
        first.columns, first.classes, answers=answers, outcome_kind=first.outcome_kind
    )
    bound: Any
    opened, bound = _bind_series(model, read, binding) or _bind_table(model, read, binding)
    digest, can_be_sent = in_process.digest(model)
    recipe = None
    if estimator is None:
        recipe = clone_recipe(model)
    elif estimator is not False:
        recipe = find_recipe(estimator, first.outcome_kind)
    twin = None
    if recipe is not None:
        frame = read.frame or Frame(tuple(c.name for c in first.columns))
        twin = pools.make_twin(recipe, bound, opened, first.classes, frame)
        can_be_sent = can_be_sent and in_process.pickle_by_value(twin) is not None
    notes = (
        f"The model is {opened.form}, asked in the session that it lives in.",
        *(note[:1].upper() + note[1:] + "." for note in opened.notes),
    )
    explainer: Explainer | None = None
    if explanations is not None and first.series is not None:
        raise PrivauditError(
            "explanations of a model that reads series",
            "an attribution is one number a column here, and a series has none",
            "leave explanations= out",
        )
    if isinstance(explanations, str) and explanations == EXACT:
        explainer = compute_explanations(bound, read.nonmembers)
    elif explanations is not None:
        explainer = read_explanation_arrays(explanations, read.members, read.nonmembers)
    made = partial(
        UserRelease.of_model,
        bound,
        opened.form,
        digest_explanations(explainer, digest),
        explanations=explainer,
        notes=notes,
        # What a person hands out who stores the object as it is.
        file=in_process.pickle_by_value(model),
    )
    return HeldModel(
        made(twin=twin),
        can_be_sent,
        opened.names is None,
        lambda shadows: made(shadows=shadows),
    )


def _bind_series(model: Any, read: Frames, binding: Binding) -> tuple[Opened, Model] | None:
    """The model as it reads these tables and their series; None where they have none."""
    series = read.members.series
    if series is None:
        return None
    names = tuple(column.name for column in read.members.columns)
    opened = open_live_with_series(model, read.frame, names, binding.outcome_kind)
    if opened.form == "a torch module":
        steps = series.shape[1]
        return opened, bind_with_series(opened, binding, read.members.channels, steps)
    return opened, opened.bind(binding)


def _bind_table(model: Any, read: Frames, binding: Binding) -> tuple[Opened, Model]:
    opened = in_process.open_live(model, read.frame)
    bound: Any = opened.bind(binding)
    if read.frame is not None and hasattr(bound, "reads"):
        # Asked with a frame of the same dtypes as the one that was given.
        frame = read.frame
        if opened.names is None or set(opened.names) <= set(frame.names):
            bound = replace(bound, reads=replace(frame, names=opened.names or frame.names))
    return opened, bound


def mark_sensitive_columns(read: Frames, names: Sequence[str]) -> Frames:
    """The tables with these columns marked as worth inferring about a patient."""
    pools = [read.members, read.nonmembers, *([read.reference] if read.reference else [])]
    marked = mark_sensitive(pools, list(names))
    return replace(
        read,
        members=marked[0],
        nonmembers=marked[1],
        reference=marked[2] if len(marked) > 2 else None,
    )


def mark_ordered(read: Frames, classes: Sequence[Any] | None) -> Frames:
    """The tables with their classes in an order, which the user listed.

    Raises:
        PrivauditError: Nobody listed the classes.
    """
    if classes is None:
        raise PrivauditError(
            "outcome_kind='ordered' without classes=",
            "the order of classes is never guessed, nor taken from the order of a model's answers",
            "pass classes=[...], lowest first; the model answers in that order",
        )
    return replace(
        read,
        members=replace(read.members, ordered=True),
        nonmembers=replace(read.nonmembers, ordered=True),
        reference=None if read.reference is None else replace(read.reference, ordered=True),
    )


@dataclass(frozen=True, eq=False)
class SuppliedShadows:
    """Supplied shadow models before the split, and what was left out for them."""

    bank: ShadowAnswers
    notes: tuple[Caveat, ...]


def read_shadows(
    answers: Any, members: Any, read: Frames, labels: Sequence[Any] | None, estimator: Any
) -> tuple[SuppliedShadows, Frames]:
    """The shadow models of a call, and its tables without patients whom too few of them saw.

    labels: the classes in the order of answers, None where they are numbered from 0.
    """
    if estimator is not None and estimator is not False:
        raise PrivauditError(
            "shadow_answers together with estimator",
            "shadow models are either supplied or trained for the audit",
            "leave one of them out",
        )
    names = [canonical(name) for name in read.members.classes]
    ordered = labels is not None or order_evidently(names) is not None
    pools = (read.members, read.nonmembers)
    bank = read_shadow_arrays(answers, members, pools, ordered=ordered)
    bank, inside, outside, notes = leave_out_sparse(bank, *pools)
    return SuppliedShadows(bank, notes), replace(read, members=inside, nonmembers=outside)


__all__ = [
    "HeldModel",
    "SuppliedShadows",
    "find_address",
    "find_labels",
    "hold_deployed",
    "hold_model",
    "how_to_ask",
    "mark_ordered",
    "mark_sensitive_columns",
    "read_shadows",
    "refuse_misplaced",
    "refuse_reversed_order",
    "refuse_unsaid_order",
]
