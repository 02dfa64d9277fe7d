"""LightGBM models from their own files, which hold data and no code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.extras import require_library
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
    LIGHTGBM_NUMBERS,
    NumberLightGBM,
    not_a_regressor,
)
from privaudit.records import Records


@dataclass(frozen=True, eq=False)
class LightGBM(FileModel):
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
            answers = self.loaded.predict(X, num_threads=1)
            return probabilities(answers, len(records), self.classes)
        raw = self.loaded.predict(X, raw_score=True, num_threads=1)
        return from_logits(np.asarray(raw) * self.slope, len(records), self.classes)

    def load(self) -> Any:
        return load_booster(self.text)


def load_booster(text: str) -> Any:
    lightgbm = require_library("lightgbm", "a LightGBM model")
    try:
        return lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, TypeError):
        raise damaged_file("LightGBM text") from None


def open_lightgbm(raw: bytes) -> Opened:
    """A model as `Booster.save_model("m.txt")` writes it."""
    text = raw.decode("utf-8", errors="replace")
    # LightGBM ends the process on some malformed files, so what it needs is looked for first.
    for word in ("\nfeature_names=", "\nobjective=", "\nmax_feature_idx=", "end of trees"):
        if word not in text:
            raise damaged_file("LightGBM text")
    booster = load_booster(text)
    objective = re.search(r"^objective=(\S+)(.*)$", text, re.MULTILINE)
    kind = objective.group(1) if objective else ""
    of_classes = kind in ("binary", "multiclass", "multiclassova", "cross_entropy")
    if not of_classes and kind not in LIGHTGBM_NUMBERS:
        raise not_a_classifier("LightGBM", kind)
    classes = max(booster.num_model_per_iteration(), 2) if of_classes else None
    names = tuple(booster.feature_name())
    plain = all(name == f"Column_{i}" for i, name in enumerate(names))
    levels = booster.pandas_categorical or []
    slope: float | None = None
    if "\naverage_output" not in text and kind in ("binary", "multiclass"):
        scale = re.search(r"sigmoid:([0-9.eE+-]+)", objective.group(2) if objective else "")
        slope = float(scale.group(1)) if kind == "binary" and scale else 1.0

    def bind(binding: Binding) -> Model:
        of_numbers = binding.outcome_kind != "class"
        if of_numbers and (kind not in LIGHTGBM_NUMBERS or binding.outcome_kind == "time"):
            raise not_a_regressor("a LightGBM", f"with the objective {kind!r}")
        if not of_numbers and not of_classes:
            raise not_a_classifier("LightGBM", kind)
        if plain:
            layout = by_order(len(names), binding.columns, encode=binding.encode)
        else:
            layout = by_name(
                names,
                binding.columns,
                encode=binding.encode,
                known=_lightgbm_levels(names, levels, binding),
            )
        found = LightGBM(text, layout, classes or 0, slope)
        return NumberLightGBM(found) if of_numbers else found

    return Opened("LightGBM", None if plain else names, None, classes, bind)


def _lightgbm_levels(
    names: tuple[str, ...], levels: list[list[Any]], binding: Binding
) -> dict[str, tuple[str, ...]]:
    """Levels of categorical columns, which the file lists in order without naming the columns."""
    if not levels:
        return {}
    kinds = {re.sub(r"\s", "_", c.name): c for c in binding.columns}
    texts = [name for name in names if name in kinds and kinds[name].levels]
    if len(texts) != len(levels):
        raise PrivauditError(
            f"the model has {len(levels)} categorical columns and the table {len(texts)}",
            "the file tells their levels in order alone",
            "mark in the schema exactly those columns as categories that were so in training",
        )
    return {name: tuple(map(str, own)) for name, own in zip(texts, levels, strict=True)}


__all__ = ["LightGBM", "open_lightgbm"]
