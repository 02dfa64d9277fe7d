"""Explanations that are released beside a model: tables of attributions, or computed exactly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from privaudit.contracts import Explainer, Model
from privaudit.errors import PrivauditError, spell
from privaudit.inputs.cell_text import to_numbers
from privaudit.inputs.models.layout import Frame, Layout, inputs
from privaudit.inputs.models.scikit_learn import Estimator
from privaudit.inputs.table_file import open_table
from privaudit.records import Records, row_codes

EXACT = "exact"
"""In place of attributions: compute them of the model, where that can be done exactly."""

POOLS = ("members", "nonmembers")


@dataclass(frozen=True, eq=False)
class RecordedExplanations:
    """Attributions that a user supplied, looked up by the record.

    codes: (m,) sorted codes of the rows; given: (m, d) float64.
    """

    codes: np.ndarray
    given: np.ndarray

    @classmethod
    def of(cls, records: Records, given: np.ndarray) -> RecordedExplanations:
        codes, first = np.unique(row_codes(records), return_index=True)
        return cls(codes, given[first])

    def explain(self, records: Records) -> np.ndarray:
        """(n, d): see `privaudit.contracts.Explainer`."""
        own = row_codes(records)
        at = np.minimum(np.searchsorted(self.codes, own), len(self.codes) - 1)
        if not np.array_equal(self.codes[at], own):
            raise ValueError("explanations of records that none were supplied for")
        return self.given[at]


@dataclass(frozen=True, eq=False)
class ExactExplanations:
    """Attributions of trees (TreeSHAP, the library's own) or of a linear model.

    centre: (d,) of a linear model, the inputs that attributions are read against.
    """

    kind: Literal["xgboost", "lightgbm", "linear"]
    held: Any = field(repr=False)
    reads: Frame | Layout
    wide: bool = True
    centre: np.ndarray | None = None

    def explain(self, records: Records) -> np.ndarray:
        """(n, d): see `privaudit.contracts.Explainer`."""
        X = inputs(self.reads, records, self.wide)
        if self.kind == "linear":
            _, last = _take_apart(self.held)
            coefficients = np.atleast_2d(np.asarray(last.coef_, dtype=np.float64))
            away = _before(self.held, X) - self.centre
            found = away[:, None, :] * coefficients[None]
        else:
            found = self._ask_trees(X)
        return _of_recorded(found, records)

    def _ask_trees(self, X: Any) -> np.ndarray:
        if self.kind == "xgboost":
            import xgboost

            booster = self.held.get_booster() if hasattr(self.held, "get_booster") else self.held
            table = xgboost.DMatrix(X, enable_categorical=True)
            found = np.asarray(booster.predict(table, pred_contribs=True), dtype=np.float64)
            found = found[:, None, :] if found.ndim == 2 else found
        else:
            flat = np.asarray(self.held.predict(X, pred_contrib=True), dtype=np.float64)
            features = int(getattr(self.held, "n_features_in_", 0)) or self.held.num_feature()
            found = flat.reshape(len(flat), -1, features + 1)
        # The last column is the level that all answers share.
        return np.asarray(found[:, :, :-1])


def _of_recorded(found: np.ndarray, records: Records) -> np.ndarray:
    """(n, d) of (n, outputs, d): of the recorded class where each class has its own."""
    if found.shape[1] == 1:
        return np.asarray(found[:, 0])
    return np.asarray(found[np.arange(len(records)), records.y])


def compute_explanations(model: Model, background: Records) -> ExactExplanations:
    """The exact attributions of a model; background: records that a linear model is read against.

    Raises:
        PrivauditError: A model whose attributions cannot be computed exactly.
    """
    held = model.held if isinstance(model, Estimator) else None
    library = "" if held is None else type(held).__module__.partition(".")[0]
    if isinstance(model, Estimator) and library in ("xgboost", "lightgbm"):
        kind: Literal["xgboost", "lightgbm"] = "xgboost" if library == "xgboost" else "lightgbm"
        return ExactExplanations(kind, held, model.reads, model.wide)
    if isinstance(model, Estimator) and hasattr(_take_apart(held)[1], "coef_"):
        X = inputs(model.reads, background, model.wide)
        centre = _before(held, X).mean(axis=0)
        return ExactExplanations("linear", held, model.reads, model.wide, centre)
    raise PrivauditError(
        "explanations of a model whose attributions cannot be computed exactly here",
        "they are computed of XGBoost's and LightGBM's models and of linear ones of scikit-learn, "
        "and depend on choices elsewhere",
        "give the attributions that are released: explanations=(of members, of nonmembers)",
    )


def _take_apart(held: Any) -> tuple[Any, Any]:
    """A pipeline's steps before the last, and the last."""
    return (held[:-1], held[-1]) if hasattr(held, "steps") else (None, held)


def _before(held: Any, X: Any) -> np.ndarray:
    """What the last step of a model is given."""
    before, _ = _take_apart(held)
    made = X if before is None or not len(before.steps) else before.transform(X)
    made = made.toarray() if hasattr(made, "toarray") else made
    return np.asarray(made, dtype=np.float64)


def read_explanation_arrays(given: Any, members: Records, nonmembers: Records) -> Explainer:
    """Attributions of a Python call: (n, d) of members and (m, d) of non-members, row by row.

    Raises:
        PrivauditError: Other shapes, or what is no finite number.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise _misshapen("explanations that are no pair")
    read = []
    for part, records, pool in zip(given, (members, nonmembers), POOLS, strict=True):
        made = getattr(part, "to_numpy", lambda part=part: part)()
        try:
            found = np.asarray(made, dtype=np.float64)
        except (TypeError, ValueError):
            raise _misshapen(f"explanations of {pool} that are no array of numbers") from None
        read.append(_check(found, records, pool))
    return _record(read, members, nonmembers)


def read_explanation_tables(
    paths: tuple[Path, Path], members: Records, nonmembers: Records
) -> Explainer:
    """Attributions from two tables, a column a feature, in the order of the rows of --members and
    --nonmembers.

    Raises:
        PrivauditError: Other tables than these.
    """
    import polars as pl

    read, columns = [], []
    for path, records, pool in zip(paths, (members, nonmembers), POOLS, strict=True):
        what = f"the explanations of {pool}"
        with open_table(path, what) as table:
            columns.append(table.columns)
            frame = pl.concat(list(table.batches(table.columns)))
        made = [to_numbers(frame[name]) for name in table.columns]
        bad = sum(wrong for _, wrong, _ in made)
        if bad:
            raise _misshapen(f"{bad:,} cells of {what} that are no numbers")
        found = np.column_stack([one.to_numpy().astype(np.float64) for one, _, _ in made])
        read.append(_check(found, records, pool))
    if columns[0] != columns[1]:
        raise _misshapen("explanations of members and of nonmembers with other columns")
    return _record(read, members, nonmembers)


def digest_explanations(explainer: Explainer | None, digest: str) -> str:
    """What names a release: the model's digest, and what it is released with."""
    if not isinstance(explainer, RecordedExplanations):
        return digest if explainer is None else f"{digest[:32]}-exact"
    made = hashlib.sha256(digest.encode())
    made.update(explainer.codes.tobytes() + explainer.given.tobytes())
    return made.hexdigest()[: len(digest) or 16]


def _check(found: np.ndarray, records: Records, pool: str) -> np.ndarray:
    if found.ndim != 2 or len(found) != len(records) or not found.shape[1]:
        raise _misshapen(
            f"explanations of {pool} of shape {found.shape} for {len(records):,} records"
        )
    bad = int((~np.isfinite(found)).sum())
    if bad:
        raise _misshapen(f"explanations of {pool} of which {bad:,} are no finite number")
    return found


def _record(read: list[np.ndarray], members: Records, nonmembers: Records) -> Explainer:
    if read[0].shape[1] != read[1].shape[1]:
        raise _misshapen("explanations of members and of nonmembers with other columns")
    both = Records.concatenate([members, nonmembers])
    return RecordedExplanations.of(both, np.concatenate(read))


def _misshapen(what: str) -> PrivauditError:
    return PrivauditError(
        what,
        "each record has one attribution a feature, as it is released beside the answer",
        spell(
            "give --explanations MEMBERS,NONMEMBERS: two tables of numbers, a column a feature, "
            "with the rows of --members and of --nonmembers in their order",
            "pass explanations=(of members, of nonmembers), (n, d) and (m, d)",
        ),
    )


__all__ = [
    "EXACT",
    "ExactExplanations",
    "RecordedExplanations",
    "compute_explanations",
    "digest_explanations",
    "read_explanation_arrays",
    "read_explanation_tables",
]
