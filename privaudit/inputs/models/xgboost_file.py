"""XGBoost models from their own files, which hold data and no code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits
from privaudit.inputs.models.layout import Layout, by_name, by_order
from privaudit.inputs.models.opened_model import (
    Binding,
    FileModel,
    Opened,
    damaged_file,
    in_parts,
    not_a_classifier,
    reorder_classes,
)
from privaudit.inputs.models.predictors import (
    XGBOOST_NUMBERS,
    XGBOOST_TIMES,
    NumberXGBoost,
    NumberXGBoostTrees,
    not_a_regressor,
)
from privaudit.inputs.models.trees_of_xgboost import read_xgboost
from privaudit.inputs.models.xgboost_trees import check_xgboost
from privaudit.inputs.read_table import list_names
from privaudit.records import Records
from privaudit.trees import Trees

STORES_LEVELS = re.compile(rb"feature_segments")
"""Written by versions that store the levels of every category that had any."""

_SOFTMAX = ("multi:softprob", "multi:softmax")
_SIGMOID = ("binary:logistic", "reg:logistic", "binary:logitraw")


@dataclass(frozen=True, eq=False)
class XGBoost(FileModel):
    """Boosted trees asked for their raw scores."""

    raw: bytes = field(repr=False)
    layout: Layout
    classes: int
    places: tuple[int, ...] | None = None

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        booster = self.loaded
        X = self.layout.matrix(records.X)
        margin = booster.inplace_predict(
            X,
            predict_type="margin",
            missing=np.nan,
            validate_features=False,
        )
        return reorder_classes(from_logits(margin, len(records), self.classes), self.places)

    def load(self) -> Any:
        return load_booster(self.raw)


@dataclass(frozen=True, eq=False)
class XGBoostTrees(XGBoost):
    """The same, of trees: other boosters of XGBoost have none."""

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return read_xgboost(self.raw).in_order(self.places)

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float32."""
        return np.asarray(self.layout.matrix(records.X))


def load_booster(raw: bytes) -> Any:
    import xgboost

    try:
        booster = xgboost.Booster(model_file=bytearray(raw))
        booster.set_param({"nthread": 1, "device": "cpu"})
        json.loads(booster.save_config())
    except (xgboost.core.XGBoostError, ValueError, TypeError):
        raise damaged_file("XGBoost (JSON or UBJSON)") from None
    return booster


def open_xgboost(raw: bytes) -> Opened:
    """A model as `Booster.save_model("m.json")` or `.ubj` writes it."""
    check_xgboost(raw)
    booster = load_booster(raw)
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective not in (*_SOFTMAX, *_SIGMOID, *XGBOOST_NUMBERS, *XGBOOST_TIMES):
        raise not_a_classifier("XGBoost", objective)
    of_classes = objective in (*_SOFTMAX, *_SIGMOID)
    classes = max(int(learner["learner_model_param"]["num_class"]), 2) if of_classes else None
    names = booster.feature_names
    inputs = booster.num_features()
    known = read_categories(booster)
    types = booster.feature_types or []
    coded = [j for j, own in enumerate(types) if own == "c" and not (names and names[j] in known)]
    labels = _read_labels(booster)
    has_trees = learner["gradient_booster"]["name"] != "gblinear"
    kind = XGBoostTrees if has_trees else XGBoost
    _refuse_more_rounds(booster)

    def bind(binding: Binding) -> Model:
        of_numbers = binding.outcome_kind != "class"
        allowed = XGBOOST_TIMES if binding.outcome_kind == "time" else XGBOOST_NUMBERS
        if of_numbers and objective not in allowed:
            raise not_a_regressor("an XGBoost", f"with the objective {objective!r}")
        if not of_numbers and not of_classes:
            raise not_a_classifier("XGBoost", objective)
        if coded and not STORES_LEVELS.search(raw) and binding.encode != "codes":
            raise _no_levels(names, coded)
        if names is None:
            layout = by_order(inputs, binding.columns, encode=binding.encode)
        else:
            layout = by_name(names, binding.columns, encode=binding.encode, known=known)
        if of_numbers:
            found = kind(raw, layout, 0, None)
            sign = XGBOOST_TIMES.get(objective, 1.0)
            if isinstance(found, XGBoostTrees):
                return NumberXGBoostTrees(found, sign)
            return NumberXGBoost(found, sign)
        places = binding.place(labels)
        return kind(raw, layout, classes or 0, None if places is None else tuple(places.tolist()))

    given = None if names is None else tuple(names)
    return Opened("XGBoost", given, labels, classes, bind, numbered=True)


def _refuse_more_rounds(booster: Any) -> None:
    """A model that was stopped early holds rounds after its best one. `XGBClassifier` leaves them
    out and `Booster.predict` uses them, so that which of the two models is released is not known.
    """
    best, rounds = booster.attributes().get("best_iteration"), booster.num_boosted_rounds()
    if best is not None and best != str(rounds - 1):
        raise PrivauditError(
            f"an XGBoost model of {rounds:,} rounds that says another one than the last is its "
            "best",
            "one who holds the model may use all rounds (Booster.predict) or the best ones alone "
            "(XGBClassifier), and their answers differ",
            "save the rounds that are to be released, and none else: "
            "booster[: booster.best_iteration + 1].save_model(...)",
        )


def read_categories(booster: Any) -> dict[str, tuple[Any, ...]]:
    """Levels of the categorical features where the model keeps them (XGBoost 3.1 and later)."""
    try:
        found = booster.get_categories(export_to_arrow=True).to_arrow()
        return {name: tuple(levels.to_pylist()) for name, levels in found if levels is not None}
    except (AttributeError, ImportError, TypeError, ValueError):
        return {}


def _no_levels(names: Sequence[str] | None, coded: Sequence[int]) -> PrivauditError:
    """The refusal of a file that says which columns are categories and not which levels they
    have."""
    which = list_names([names[j] if names else f"number {j + 1}" for j in coded])
    return PrivauditError(
        f"an XGBoost model of an older version with {len(coded)} categories: {which}",
        "its file stores no levels, so which value of the table was which code is not known",
        "save the model again with XGBoost 3.1 or later from where it was trained, or give its "
        "probabilities (--predictions); if the table holds the very codes of training, say "
        "--encode codes",
    )


def _read_labels(booster: Any) -> tuple[Any, ...] | None:
    """The classes that the library's scikit-learn interface stored up to version 1.5."""
    try:
        stored = json.loads(booster.attributes().get("scikit_learn", "{}"))
        encoder = stored.get("_le") or {}
        found = encoder.get("classes_") or stored.get("classes_")
        return tuple(found) if found else None
    except (ValueError, AttributeError, TypeError):
        return None


__all__ = ["XGBoost", "open_xgboost", "read_categories"]
