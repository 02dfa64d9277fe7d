"""XGBoost models from their own files, which hold data and no code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.inputs.models.answers import from_logits
from privaudit.inputs.models.layout import Layout, by_name, by_order
from privaudit.inputs.models.opened_model import (
    Binding,
    FileModel,
    Opened,
    damaged_file,
    in_parts,
    not_a_classifier,
)
from privaudit.inputs.models.predictors import (
    XGBOOST_NUMBERS,
    XGBOOST_TIMES,
    NumberXGBoost,
    not_a_regressor,
)
from privaudit.records import Records

_SOFTMAX = ("multi:softprob", "multi:softmax")
_SIGMOID = ("binary:logistic", "reg:logistic", "binary:logitraw")


@dataclass(frozen=True, eq=False)
class XGBoost(FileModel):
    """Boosted trees asked for their raw scores."""

    raw: bytes = field(repr=False)
    layout: Layout
    classes: int

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        booster = self.loaded
        last = booster.attributes().get("best_iteration")
        X = self.layout.matrix(records.X)
        margin = booster.inplace_predict(
            X,
            iteration_range=(0, int(last) + 1) if last is not None else (0, 0),
            predict_type="margin",
            missing=np.nan,
            validate_features=False,
        )
        return from_logits(margin, len(records), self.classes)

    def load(self) -> Any:
        return load_booster(self.raw)


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
    coded = [names[j] for j, kind in enumerate(types) if kind == "c" and names] if names else []
    coded = [name for name in coded if name not in known]
    notes = []
    if booster.attributes().get("best_iteration") is not None:
        notes.append("trees up to the best round of early stopping are used, as in training")
    if coded:
        notes.append(
            f"{len(coded)} columns are categories of which the file stores no levels: their codes "
            "are "
            "taken in the order of the schema's levels"
        )

    def bind(binding: Binding) -> Model:
        of_numbers = binding.outcome_kind != "class"
        allowed = XGBOOST_TIMES if binding.outcome_kind == "time" else XGBOOST_NUMBERS
        if of_numbers and objective not in allowed:
            raise not_a_regressor("an XGBoost", f"with the objective {objective!r}")
        if not of_numbers and not of_classes:
            raise not_a_classifier("XGBoost", objective)
        if names is None:
            layout = by_order(inputs, binding.columns, encode=binding.encode)
        else:
            own = {c.name: c.levels for c in binding.columns if c.name in coded}
            layout = by_name(names, binding.columns, encode=binding.encode, known={**own, **known})
        found = XGBoost(raw, layout, classes or 0)
        return NumberXGBoost(found, XGBOOST_TIMES.get(objective, 1.0)) if of_numbers else found

    given = None if names is None else tuple(names)
    return Opened("XGBoost", given, None, classes, bind, tuple(notes))


def read_categories(booster: Any) -> dict[str, tuple[str, ...]]:
    """Levels of the categorical features where the model keeps them (XGBoost 3.1 and later)."""
    try:
        found = booster.get_categories(export_to_arrow=True).to_arrow()
        return {
            name: tuple(map(str, levels.to_pylist()))
            for name, levels in found
            if levels is not None
        }
    except (AttributeError, ImportError, TypeError, ValueError):
        return {}


__all__ = ["XGBoost", "open_xgboost", "read_categories"]
