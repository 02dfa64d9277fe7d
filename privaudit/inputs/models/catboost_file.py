"""CatBoost models from their own files, .cbm or .json, which hold data and no code."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.answers import canonical, from_logits
from privaudit.inputs.models.catboost_trees import check_catboost
from privaudit.inputs.models.extras import require_library
from privaudit.inputs.models.layout import mismatch
from privaudit.inputs.models.opened_model import (
    Binding,
    FileModel,
    Opened,
    damaged_file,
    failed_on_table,
    in_parts,
    not_a_classifier,
    reorder_classes,
)
from privaudit.inputs.models.unread_trees import UnreadTrees
from privaudit.records import Column, Records

PROBES = 200
"""Made-up rows with which it is asked whether the model knows a category's spelling."""

NEVER = "\0 no level of any table"

BOOLEANS = (("0", "1"), ("False", "True"), ("false", "true"))
"""How a column of true and false may have been spelled: CatBoost writes its own booleans as 0 and
1."""


@dataclass(frozen=True)
class Read:
    """One input of the model: which column of the table, and what a category's levels are called.

    levels: texts for the codes of a column of levels; whole: a category held as whole numbers.
    """

    column: int
    levels: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, eq=False)
class CatBoost(UnreadTrees, FileModel):
    """Boosted trees of CatBoost, asked through their file's bytes."""

    raw: bytes = field(repr=False)
    format: Literal["cbm", "json"]
    names: tuple[str, ...]
    reads: tuple[Read, ...]
    classes: int
    places: tuple[int, ...] | None = None

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        raw = _ask_raw(self.loaded, _make_frame(self.names, self.reads, records))
        return reorder_classes(from_logits(raw, len(records), self.classes), self.places)

    def load(self) -> Any:
        return load_model(self.raw, self.format)


def load_model(raw: bytes, format_: Literal["cbm", "json"]) -> Any:
    """The library's own classifier."""
    catboost = require_library("catboost", "a CatBoost model", "catboost")
    model = catboost.CatBoostClassifier()
    with tempfile.TemporaryDirectory(prefix="privaudit-") as folder:
        path = Path(folder) / "model"
        path.write_bytes(raw)
        try:
            return model.load_model(str(path), format=format_)
        except (catboost.CatBoostError, ValueError, KeyError, TypeError):
            raise damaged_file("CatBoost") from None


def is_catboost_json(raw: bytes) -> bool:
    """Whether a JSON file is a model of CatBoost, not of another library."""
    if b'"oblivious_trees"' not in raw and b'"features_info"' not in raw:
        return False
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and "features_info" in tree


def open_catboost(raw: bytes, format_: Literal["cbm", "json"]) -> Opened:
    """A model as `CatBoostClassifier.save_model("m.cbm")` writes it, or with format="json"."""
    check_catboost(raw, format_)
    model = load_model(raw, format_)
    for kind, found in (
        ("text", model.get_text_feature_indices()),
        ("embedding", model.get_embedding_feature_indices()),
    ):
        if len(found):
            raise PrivauditError(
                f"a CatBoost model with {len(found)} {kind} features",
                "tables of numbers and categories are read",
                "ask the model where it was trained, write its answers to a table and give "
                "--predictions FILE",
            )
    loss = str(_read_loss(model))
    if loss.partition(":")[0] not in ("Logloss", "CrossEntropy", "MultiClass"):
        raise not_a_classifier("CatBoost", loss)
    own = tuple(np.asarray(model.classes_).tolist())
    names = tuple(map(str, model.feature_names_))
    categories = frozenset(map(int, model.get_cat_feature_indices()))
    named = not all(name in (str(i), f"Feature_{i}") for i, name in enumerate(names))

    def bind(binding: Binding) -> CatBoost:
        reads = _read_columns(model, names, named, categories, binding.columns)
        places = binding.place(own) if own else None
        return CatBoost(
            raw,
            format_,
            names,
            reads,
            len(own) or 2,
            None if places is None else tuple(places.tolist()),
        )

    return Opened("CatBoost", names if named else None, own or None, len(own) or 2, bind)


def _read_loss(model: Any) -> str:
    try:
        return str(model.get_all_params().get("loss_function", ""))
    except Exception:
        # Files of old versions do not hold the parameters.
        return ""


def _read_columns(
    model: Any,
    names: tuple[str, ...],
    named: bool,
    categories: frozenset[int],
    columns: Sequence[Column],
) -> tuple[Read, ...]:
    """Where each input lies in the table; refuses a category that the model knows by other
    spellings."""
    at = {column.name: j for j, column in enumerate(columns)}
    if named:
        absent = [name for name in names if name not in at]
        if absent:
            raise mismatch(names, columns, absent)
        order = [at[name] for name in names]
    elif len(names) == len(columns):
        order = list(range(len(columns)))
    else:
        raise PrivauditError(
            f"the model reads {len(names)} numbers and the table gives {len(columns)}",
            "the model names no features, so columns are read in the order of the schema",
            "give a schema whose columns are those that the model was trained on, in order",
        )
    reads = [
        _read_category(columns[j], j) if i in categories else _read_number(columns[j], j)
        for i, j in enumerate(order)
    ]
    probes = _probe(names, reads, columns)
    used = _find_used(model, len(names))
    for i in sorted(categories):
        column = columns[order[i]]
        if used[i]:
            known = [r for r in _spellings(reads[i], column) if _knows(model, names[i], r, probes)]
            if len(known) != 1:
                raise PrivauditError(
                    f"the model knows the levels of {column.name!r} in "
                    f"{'no spelling' if not known else 'several spellings'} of the table",
                    "CatBoost compares levels as texts, and takes one spelled otherwise for one "
                    "that it never saw",
                    "spell them as in training",
                )
            reads[i] = known[0]
            if known[0].levels:
                rng = np.random.default_rng(1)
                probes[names[i]] = rng.choice(np.array(known[0].levels, dtype=object), PROBES)
    return tuple(reads)


def _read_number(column: Column, j: int) -> Read:
    if not column.levels:
        return Read(j)
    numbers = [canonical(level) for level in column.levels]
    if numbers in (["0", "1"], ["false", "true"]):
        return Read(j)
    raise PrivauditError(
        f"the model reads {column.name!r} as a number, and the table holds texts there",
        "how the texts were turned into numbers before training is not known",
        "give the table as the model was trained on it",
    )


def _read_category(column: Column, j: int) -> Read:
    if column.levels:
        return Read(j, tuple(column.levels))
    return Read(j, whole=True)


def _spellings(read: Read, column: Column) -> list[Read]:
    """The levels as the table spells them; of true and false, as any library may have."""
    if not read.levels:
        return [read]
    found = [canonical(level) for level in read.levels]
    if found == ["false", "true"]:
        return [Read(read.column, levels) for levels in BOOLEANS]
    return [read]


def _probe(
    names: Sequence[str], reads: Sequence[Read], columns: Sequence[Column]
) -> dict[str, np.ndarray]:
    """Made-up rows between the columns' bounds, of their levels at random."""
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for name, read in zip(names, reads, strict=True):
        column = columns[read.column]
        low, high = column.bounds or ((0.0, 1.0) if column.kind == "binary" else (-2.0, 2.0))
        if read.levels:
            made[name] = rng.choice(np.array(read.levels, dtype=object), PROBES)
        elif read.whole:
            values = rng.integers(int(np.floor(low)), int(np.ceil(high)) + 1, PROBES)
            made[name] = np.array([str(v) for v in values], dtype=object)
        else:
            made[name] = rng.uniform(low, high, PROBES)
    return made


def _find_used(model: Any, width: int) -> np.ndarray:
    try:
        found: np.ndarray = np.asarray(model.get_feature_importance()) > 0
    except Exception:
        return np.ones(width, dtype=bool)
    return found


def _knows(model: Any, name: str, read: Read, probes: dict[str, np.ndarray]) -> bool:
    """Whether some level changes an answer, beside one that the model cannot have seen."""
    import pandas as pd

    def ask(level: str) -> np.ndarray:
        column = np.full(PROBES, level, dtype=object)
        return _ask_raw(model, pd.DataFrame({**probes, name: column}))

    unseen = ask(NEVER)
    levels = read.levels or tuple(np.unique(probes[name].astype(str)))
    return any(np.abs(ask(level) - unseen).max() > 1e-9 for level in levels[:100])


def _make_frame(names: Sequence[str], reads: Sequence[Read], records: Records) -> Any:
    import pandas as pd

    parts: dict[str, np.ndarray] = {}
    for name, read in zip(names, reads, strict=True):
        x = records.X[:, read.column]
        if not read.levels and not read.whole:
            parts[name] = x
            continue
        missing = int(np.isnan(x).sum())
        if missing or (read.whole and (x % 1 != 0).any()):
            raise PrivauditError(
                f"the category {name!r} with "
                + (f"{missing:,} missing values" if missing else "numbers that are not whole"),
                "CatBoost takes none in a category, so that they were something else in training",
                "fill them in as in training",
            )
        texts = np.array(read.levels or (), dtype=object)
        whole = x.astype(np.int64)
        parts[name] = texts[whole] if read.levels else whole.astype(str).astype(object)
    return pd.DataFrame(parts)


def _ask_raw(model: Any, frame: Any) -> np.ndarray:
    """(n,) or (n, k) log odds, which keep the order of answers that are nearly sure."""
    try:
        found = model.predict(frame, prediction_type="RawFormulaVal", thread_count=1)
    except Exception as error:
        raise failed_on_table(error) from None
    return np.asarray(found, dtype=np.float64)


__all__ = ["CatBoost", "is_catboost_json", "open_catboost"]
