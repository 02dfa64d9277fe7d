"""XGBoost and LightGBM models from their own files, which hold data and no code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.layout import Layout, by_name, by_order
from privaudit.inputs.models.opened_model import How, Opened, in_parts
from privaudit.records import Records

_SOFTMAX = ("multi:softprob", "multi:softmax")
_SIGMOID = ("binary:logistic", "reg:logistic", "binary:logitraw")


def damaged(form: str) -> PrivauditError:
    return PrivauditError(
        f"the model cannot be read as {form}",
        "the file is damaged, cut short, or of another type",
        "save it again with the library that trained it",
    )


def no_classifier(form: str, objective: str) -> PrivauditError:
    return PrivauditError(
        f"an {form} model with the objective {objective!r}",
        "membership is told from the probability of the recorded outcome; this objective has none",
        "give a classifier (binary or multi-class with probabilities)",
    )


# XGBoost


@dataclass(frozen=True, eq=False)
class XGBoost:
    """Boosted trees asked for their raw scores; the file's bytes go to other processes, not the object."""

    raw: bytes = field(repr=False)
    layout: Layout
    classes: int

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        booster = self._booster()
        last = booster.attributes().get("best_iteration")
        X = self.layout.matrix(records.X)
        margin = booster.inplace_predict(
            X, iteration_range=(0, int(last) + 1) if last is not None else (0, 0),
            predict_type="margin", missing=np.nan, validate_features=False,
        )  # fmt: skip
        return from_logits(margin, len(records), self.classes)

    def _booster(self) -> Any:
        kept = self.__dict__.get("_kept")
        if kept is None:
            kept = xgboost_booster(self.raw)
            object.__setattr__(self, "_kept", kept)
        return kept

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}


def xgboost_booster(raw: bytes) -> Any:
    import xgboost

    try:
        booster = xgboost.Booster(model_file=bytearray(raw))
        booster.set_param({"nthread": 1, "device": "cpu"})
        json.loads(booster.save_config())
    except (xgboost.core.XGBoostError, ValueError, TypeError):
        raise damaged("XGBoost (JSON or UBJSON)") from None
    return booster


def open_xgboost(raw: bytes) -> Opened:
    """A model as `Booster.save_model("m.json")` or `.ubj` writes it."""
    booster = xgboost_booster(raw)
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective not in (*_SOFTMAX, *_SIGMOID):
        raise no_classifier("XGBoost", objective)
    classes = max(int(learner["learner_model_param"]["num_class"]), 2)
    names = booster.feature_names
    inputs = booster.num_features()
    known = _xgboost_categories(booster)
    types = booster.feature_types or []
    coded = [names[j] for j, kind in enumerate(types) if kind == "c" and names] if names else []
    coded = [name for name in coded if name not in known]
    notes = []
    if booster.attributes().get("best_iteration") is not None:
        notes.append("trees up to the best round of early stopping are used, as in training")
    if coded:
        notes.append(
            f"{len(coded)} columns are categories of which the file keeps no levels: their codes are "
            "taken in the order of the schema's levels"
        )

    def bind(how: How) -> XGBoost:
        if names is None:
            layout = by_order(inputs, how.columns, encode=how.encode)
        else:
            spelled = {c.name: c.levels for c in how.columns if c.name in coded}
            layout = by_name(names, how.columns, encode=how.encode, known={**spelled, **known})
        return XGBoost(raw, layout, classes)

    given = None if names is None else tuple(names)
    return Opened("XGBoost", given, None, classes, bind, tuple(notes))


def _xgboost_categories(booster: Any) -> dict[str, tuple[str, ...]]:
    """Levels of the categorical features where the model keeps them (XGBoost 3.1 and later)."""
    try:
        found = booster.get_categories(export_to_arrow=True).to_arrow()
        return {name: tuple(map(str, kept.to_pylist())) for name, kept in found if kept is not None}
    except (AttributeError, ImportError, TypeError, ValueError):
        return {}


# LightGBM


@dataclass(frozen=True, eq=False)
class LightGBM:
    """Boosted trees of LightGBM, asked through their text."""

    text: str = field(repr=False)
    layout: Layout
    classes: int
    slope: float | None

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        X = self.layout.matrix(records.X).astype(np.float64)
        if self.slope is None:
            answers = self._booster().predict(X, num_threads=1)
            return probabilities(answers, len(records), self.classes)
        raw = self._booster().predict(X, raw_score=True, num_threads=1)
        return from_logits(np.asarray(raw) * self.slope, len(records), self.classes)

    def _booster(self) -> Any:
        kept = self.__dict__.get("_kept")
        if kept is None:
            kept = lightgbm_booster(self.text)
            object.__setattr__(self, "_kept", kept)
        return kept

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}


def lightgbm_booster(text: str) -> Any:
    from privaudit.inputs.models.extras import needed

    lightgbm = needed("lightgbm", "a LightGBM model")
    try:
        return lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, TypeError):
        raise damaged("LightGBM text") from None


def open_lightgbm(raw: bytes) -> Opened:
    """A model as `Booster.save_model("m.txt")` writes it."""
    text = raw.decode("utf-8", errors="replace")
    # LightGBM ends the process on some malformed files, so what it needs is looked for first.
    for word in ("\nfeature_names=", "\nobjective=", "\nmax_feature_idx=", "end of trees"):
        if word not in text:
            raise damaged("LightGBM text")
    booster = lightgbm_booster(text)
    objective = re.search(r"^objective=(\S+)(.*)$", text, re.MULTILINE)
    kind = objective.group(1) if objective else ""
    if kind not in ("binary", "multiclass", "multiclassova", "cross_entropy"):
        raise no_classifier("LightGBM", kind)
    classes = max(booster.num_model_per_iteration(), 2)
    names = tuple(booster.feature_name())
    plain = all(name == f"Column_{i}" for i, name in enumerate(names))
    levels = booster.pandas_categorical or []
    slope: float | None = None
    if "\naverage_output" not in text and kind in ("binary", "multiclass"):
        told = re.search(r"sigmoid:([0-9.eE+-]+)", objective.group(2) if objective else "")
        slope = float(told.group(1)) if kind == "binary" and told else 1.0

    def bind(how: How) -> LightGBM:
        if plain:
            layout = by_order(len(names), how.columns, encode=how.encode)
        else:
            layout = by_name(
                names, how.columns, encode=how.encode, known=_lightgbm_levels(names, levels, how)
            )
        return LightGBM(text, layout, classes, slope)

    return Opened("LightGBM", None if plain else names, None, classes, bind)


def _lightgbm_levels(
    names: tuple[str, ...], levels: list[list[Any]], how: How
) -> dict[str, tuple[str, ...]]:
    """The file lists levels of categorical columns in order, without saying which columns they are."""
    if not levels:
        return {}
    kinds = {re.sub(r"\s", "_", c.name): c for c in how.columns}
    texts = [name for name in names if name in kinds and kinds[name].levels]
    if len(texts) != len(levels):
        raise PrivauditError(
            f"the model has {len(levels)} categorical columns and the table {len(texts)}",
            "the file tells their levels in order alone",
            "mark in the schema exactly those columns as categories that were so in training",
        )
    return {name: tuple(map(str, own)) for name, own in zip(texts, levels, strict=True)}


__all__ = ["LightGBM", "XGBoost", "open_lightgbm", "open_xgboost"]
