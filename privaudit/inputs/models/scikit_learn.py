"""Anything with `predict_proba`, or a callable: scikit-learn estimators, pipelines, functions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import canonical, from_logits, probabilities
from privaudit.inputs.models.layout import (
    Frame,
    Layout,
    TextsAsNumbers,
    by_name,
    by_order,
    call,
    inputs,
    mismatch,
)
from privaudit.inputs.models.lightgbm_file import find_levels, read_coded
from privaudit.inputs.models.opened_model import (
    Binding,
    Opened,
    failed_on_table,
    in_parts,
    reorder_classes,
)
from privaudit.inputs.models.predictors import (
    NumberEstimator,
    NumberTreeEstimator,
    not_a_model_of_classes,
    not_a_regressor,
)
from privaudit.inputs.models.trained_dtypes import restore_decimals
from privaudit.inputs.models.trees_of_scikit_learn import (
    count_trees,
    join_inputs,
    join_trees,
    read_estimator,
)
from privaudit.inputs.models.xgboost_file import read_categories
from privaudit.records import Records
from privaudit.trees import Trees


@dataclass(frozen=True, eq=False)
class Estimator:
    """A fitted estimator or function, asked with a frame or a matrix as it was trained.

    reads: a `Frame` or a `Layout`; places: where the schema's classes are among its own.
    """

    held: Any = field(repr=False)
    reads: Frame | Layout
    classes: int
    places: tuple[int, ...] | None = None
    wide: bool = True
    answers: str = ""
    names: tuple[Any, ...] = ()

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        X = inputs(self.reads, records, self.wide)
        try:
            ask = getattr(self.held, "predict_proba", self.held)
            found = call(ask, X)
        except PrivauditError:
            raise
        except Exception as error:
            raise failed_on_table(error) from error
        found = to_answers(found, self.names)
        if self.answers == "logits":
            p = from_logits(found, len(records), self.classes)
        else:
            p = probabilities(found, len(records), self.classes)
        return reorder_classes(p, self.places)


@dataclass(frozen=True, eq=False)
class TreeEstimator(Estimator):
    """The same, where the estimator holds trees."""

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return join_trees(read_estimator(self.held)).in_order(self.places)

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float64."""
        return join_inputs(read_estimator(self.held), inputs(self.reads, records, self.wide))


def to_answers(found: Any, names: Sequence[Any]) -> Any:
    """What a model answered, a tensor or a frame, as an array.

    names: the classes in the order of its answers, by which the columns of a frame are found.

    Raises:
        PrivauditError: A frame whose columns are named, and not by the classes.
    """
    if hasattr(found, "detach"):
        return found.detach().cpu().numpy()
    columns = list(getattr(found, "columns", ()))
    if len(columns) < 2 or columns == list(range(len(columns))):
        return found.to_numpy() if hasattr(found, "to_numpy") else found
    own, said = [canonical(name) for name in names], [canonical(name) for name in columns]
    if sorted(own) != sorted(said):
        raise PrivauditError(
            f"the model answered with a frame of {len(columns)} columns that are not named by the "
            "outcome's classes",
            f"the classes are: {', '.join(own[:10])}; which column belongs to which is not known",
            "name the columns by the classes, or answer with an array in their order",
        )
    return found.to_numpy()[:, [said.index(name) for name in own]]


def open_estimator(held: Any, form: str = "", frame: Frame | None = None) -> Opened:
    """A fitted estimator: by its column names where it was trained on a frame, else by order.

    frame: how the table looks that it is asked with; an estimator that names no columns is handed
    it as it is.
    """
    held = use_one_thread(held)
    names = getattr(held, "feature_names_in_", None)
    given = None if names is None else tuple(map(str, names))
    count = getattr(held, "n_features_in_", None)
    labels = getattr(held, "classes_", None)
    if isinstance(labels, list) and any(np.ndim(own) for own in labels):
        raise PrivauditError(
            f"a {type(held).__name__} of {len(labels)} outcomes at once",
            "each outcome is audited by itself, with its own probabilities",
            "give a model of one outcome: for example a wrapper that answers with one of the "
            "arrays of predict_proba",
        )
    own = None if labels is None else tuple(np.asarray(labels).tolist())
    grown = count_trees(held) > 0

    def bind(binding: Binding) -> Model:
        reads: Frame | Layout
        if given is None and frame is not None:
            reads = frame
        elif given is None:
            reads = by_order(
                None if count is None else int(count), binding.columns, encode=binding.encode
            )
        else:
            reads = make_frame(given, binding, find_categories(held), find_encoded(held))
        if binding.outcome_kind != "class":
            if own is not None or callable(getattr(held, "predict_proba", None)):
                raise not_a_regressor("the", type(held).__name__)
            return (NumberTreeEstimator if grown else NumberEstimator)(held, reads)
        if not callable(getattr(held, "predict_proba", None)):
            raise not_a_model_of_classes(type(held).__name__)
        places = binding.place(own)
        return (TreeEstimator if grown else Estimator)(
            held,
            reads,
            len(binding.classes),
            None if places is None else tuple(places.tolist()),
            names=own or binding.classes,
        )

    return Opened(form or type(held).__name__, given, own, len(own) if own else None, bind)


def make_frame(
    names: tuple[str, ...],
    binding: Binding,
    levels: Mapping[str, tuple[Any, ...]],
    encoded: Mapping[str, tuple[Any, ...]],
) -> Frame | Layout:
    """A frame where all names are columns; one-hot columns where names tell levels."""
    own = {column.name for column in binding.columns}
    absent = [name for name in names if name not in own]
    if not absent and (levels or not binding.encode):
        return Frame(
            names,
            {**dict.fromkeys(encoded, "encoded"), **dict.fromkeys(levels, "category")},
            {**encoded, **levels},
        )
    try:
        layout = by_name(names, binding.columns, encode=binding.encode)
    except TextsAsNumbers:
        raise
    except PrivauditError:
        raise mismatch(names, binding.columns, absent) from None
    return Named(layout.places, names)


@dataclass(frozen=True)
class Named(Layout):
    """A layout handed out as a frame of these names, so that the estimator can check them."""

    names: tuple[str, ...] = ()

    def matrix(self, X: np.ndarray) -> Any:
        import pandas as pd

        return pd.DataFrame(restore_decimals(super().matrix(X)), columns=list(self.names))


def use_one_thread(held: Any) -> Any:
    """The estimator on one thread, without changing the user's object."""
    if getattr(held, "n_jobs", 1) in (None, 1):
        return held
    quiet = copy.copy(held)
    quiet.n_jobs = 1
    return quiet


def find_categories(held: Any) -> dict[str, tuple[Any, ...]]:
    """Columns that the estimator takes as pandas categories, with the levels of training."""
    final = held[-1] if hasattr(held, "steps") and len(held.steps) == 1 else held
    name = type(final).__name__
    if name.startswith("XGB") and hasattr(final, "get_booster"):
        return dict(read_categories(final.get_booster()))
    if name.startswith("LGBM") and hasattr(final, "booster_"):
        coded = read_coded(final.booster_.model_to_string(num_iteration=1))
        names = list(map(str, final.feature_names_in_))
        try:
            return dict(find_levels(names, coded, final.booster_.pandas_categorical or []))
        except PrivauditError:
            # The library itself refuses a frame without the categories of training.
            return {}
    if name.startswith("HistGradientBoosting"):
        mask = getattr(final, "is_categorical_", None)
        encoder = getattr(final, "_preprocessor", None)
        if mask is not None and encoder is not None:
            columns = list(final.feature_names_in_[mask])
            own = encoder.named_transformers_["encoder"].categories_
            return {
                str(n): tuple(x for x in found if x == x)
                for n, found in zip(columns, own, strict=True)
            }
    return {}


def find_encoded(held: Any) -> dict[str, tuple[Any, ...]]:
    """Columns that an encoder at the start of a pipeline reads, with the levels that it knows."""
    while True:
        calibrated = getattr(held, "calibrated_classifiers_", None)
        inner = getattr(held, "best_estimator_", None)
        if inner is None and calibrated:
            inner = getattr(calibrated[0], "estimator", None)
        if inner is None and hasattr(held, "steps") and held.steps:
            inner = held.steps[0][1]
        if inner is None:
            break
        held = inner
    names = list(map(str, getattr(held, "feature_names_in_", ())))
    parts = getattr(held, "transformers_", None)
    if not parts:
        return _levels_of(held, names)
    found: dict[str, tuple[Any, ...]] = {}
    for _, part, columns in parts:
        if isinstance(columns, str):
            columns = [columns]
        chosen = [c for c in columns if isinstance(c, str)] if isinstance(columns, list) else []
        if not isinstance(part, str) and chosen:
            found |= _levels_of(part, chosen)
    return found


def _levels_of(part: Any, names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The levels of an encoder of these columns, behind steps that only fill values in."""
    steps = [step for _, step in part.steps] if hasattr(part, "steps") else [part]
    while len(steps) > 1 and type(steps[0]).__name__ in ("SimpleImputer", "MissingIndicator"):
        steps = steps[1:]
    own = getattr(steps[0], "categories_", None)
    if own is None or len(own) != len(names):
        return {}
    return {
        name: tuple(x for x in np.asarray(levels).tolist() if x is not None and x == x)
        for name, levels in zip(names, own, strict=True)
    }


def open_callable(function: Callable[..., Any], form: str, frame: Frame | None) -> Opened:
    """A function of the table's inputs that answers with probabilities."""

    def bind(binding: Binding) -> Model:
        reads: Frame | Layout = frame or by_order(None, binding.columns, encode=binding.encode)
        if binding.outcome_kind != "class":
            return NumberEstimator(function, reads)
        return Estimator(
            function,
            reads,
            len(binding.classes),
            answers=binding.answers,
            names=binding.classes,
        )

    return Opened(form, None, None, None, bind)


__all__ = ["Estimator", "inputs", "open_callable", "open_estimator"]
