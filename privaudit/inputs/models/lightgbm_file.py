"""LightGBM models from their own files, which hold data and no code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import from_logits, probabilities
from privaudit.inputs.models.extras import require_library
from privaudit.inputs.models.layout import Layout, by_name, by_order, loosen
from privaudit.inputs.models.lightgbm_trees import check_lightgbm
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
from privaudit.inputs.models.trained_dtypes import restore_decimals
from privaudit.inputs.models.trees_of_lightgbm import read_lightgbm
from privaudit.records import Column, Records
from privaudit.trees import Trees

MAX_WAYS = 5_000
"""Ways to give lists of levels to columns that are tried."""


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
        X = restore_decimals(self.layout.matrix(records.X))
        if self.slope is None:
            answers = self.loaded.predict(X, num_threads=1)
            return probabilities(answers, len(records), self.classes)
        raw = self.loaded.predict(X, raw_score=True, num_threads=1)
        return from_logits(np.asarray(raw) * self.slope, len(records), self.classes)

    def load(self) -> Any:
        return load_booster(self.text)

    def read_trees(self) -> Trees:
        """See `privaudit.contracts.HasTrees`."""
        return read_lightgbm(self.text)

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float64."""
        return np.asarray(restore_decimals(self.layout.matrix(records.X)))


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
    text = check_lightgbm(text)
    booster = load_booster(text)
    kind, settings = read_objective(text)
    of_classes = kind in ("binary", "multiclass", "multiclassova", "cross_entropy")
    if not of_classes and kind not in LIGHTGBM_NUMBERS:
        raise not_a_classifier("LightGBM", kind)
    classes = max(booster.num_model_per_iteration(), 2) if of_classes else None
    names = tuple(booster.feature_name())
    plain = all(name == f"Column_{i}" for i, name in enumerate(names))
    coded = read_coded(text)
    known = find_levels(names, coded, booster.pandas_categorical or [])
    unread = [name for name, codes in zip(names, coded, strict=True) if codes == ()]
    slope: float | None = None
    if "\naverage_output" not in text and kind in ("binary", "multiclass"):
        slope = float(settings.get("sigmoid") or 1.0) if kind == "binary" else 1.0

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
                known={**_any_levels(unread, binding.columns), **known},
            )
        found = LightGBM(text, layout, classes or 0, slope)
        return NumberLightGBM(found) if of_numbers else found

    return Opened("LightGBM", None if plain else names, None, classes, bind, numbered=True)


def read_objective(text: str) -> tuple[str, dict[str, str]]:
    """The objective and its settings, each once: LightGBM takes the last of several.

    Raises:
        PrivauditError: A setting stands there twice, or something else than a setting.
    """
    lines = re.findall(r"^objective=(.*)$", text, re.MULTILINE)
    words = lines[0].split(" ") if len(lines) == 1 else [""]
    settings: dict[str, str] = {}
    for word in filter(None, words[1:]):
        found = re.fullmatch(r"([a-z_]+)(?::([0-9.eE+-]+))?", word)
        if found is None or found.group(1) in settings:
            raise damaged_file("LightGBM text")
        settings[found.group(1)] = found.group(2) or ""
    return words[0], settings


def _fit_lists(
    ways: Iterable[tuple[int, ...]],
    coded: Sequence[tuple[int, ...] | None],
    levels: Sequence[Sequence[Any]],
) -> set[tuple[tuple[int, tuple[Any, ...]], ...]]:
    """The ways of giving lists to features under which each list is long enough for the codes."""
    found = set()
    for way in ways:
        pairs = list(zip(way, levels, strict=True))
        if all(max(coded[j] or (0,)) < len(own) for j, own in pairs):
            found.add(tuple((j, tuple(own)) for j, own in pairs if coded[j]))
    return found


def _any_levels(names: Sequence[str], columns: Sequence[Column]) -> dict[str, tuple[str, ...]]:
    """Levels for columns of texts that no tree reads: any codes will do."""
    own = {loosen(column.name): column.levels for column in columns if column.levels}
    return {name: own[loosen(name)] for name in names if loosen(name) in own}


def read_coded(text: str) -> tuple[tuple[int, ...] | None, ...]:
    """For each feature its codes where it is a category, () where no tree could use it, None for
    a number."""
    found = re.search(r"^feature_infos=(.*)$", text, re.MULTILINE)
    infos = found.group(1).split() if found else []
    coded: list[tuple[int, ...] | None] = []
    for info in infos:
        if info.startswith("["):
            coded.append(None)
        elif info == "none":
            coded.append(())
        else:
            coded.append(tuple(int(code) for code in info.split(":")))
    return tuple(coded)


def find_levels(
    names: Sequence[str],
    coded: Sequence[tuple[int, ...] | None],
    levels: Sequence[Sequence[Any]],
) -> dict[str, tuple[Any, ...]]:
    """The levels of each category, which the file lists in order without naming the columns.

    Args:
        names: The features.
        coded: As `read_coded` gives them.
        levels: The lists of levels, in the order of the features that had any.

    Raises:
        PrivauditError: Which list belongs to which feature cannot be told.
    """
    if not levels:
        return {}
    sure = [j for j, codes in enumerate(coded) if codes]
    fitting = _fit_lists([tuple(sure)], coded, levels) if len(sure) == len(levels) else set()
    if not fitting:
        # A category that no tree could use is listed too, and one given by its codes is not.
        maybe = [j for j, codes in enumerate(coded) if codes is not None]
        ways = list(islice(combinations(maybe, len(levels)), MAX_WAYS + 1))
        fitting = _fit_lists(ways, coded, levels) if len(ways) <= MAX_WAYS else set()
    if len(fitting) != 1:
        raise PrivauditError(
            f"the model has {len(sure)} categorical columns and lists the levels of {len(levels)}",
            "the file lists levels in order alone, so which are whose is not known",
            "give the model's probabilities (--predictions), or train with every categorical "
            "column as a pandas category",
        )
    return {names[j]: own for j, own in fitting.pop()}


__all__ = ["LightGBM", "find_levels", "open_lightgbm", "read_coded", "read_objective"]
