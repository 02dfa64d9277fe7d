"""Shadow models' answers and training sets, from arrays or from two tables, as a bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from privaudit.errors import PrivauditError, spell
from privaudit.inputs.cell_text import to_codes, to_numbers, to_patients, to_texts
from privaudit.inputs.models.answers import WRITTEN_SLACK
from privaudit.inputs.read_table import list_names
from privaudit.inputs.shadow_answers import ShadowAnswers
from privaudit.inputs.table_file import open_table
from privaudit.records import Records
from privaudit.signals import margin

if TYPE_CHECKING:
    import polars as pl

ANSWERS, MEMBERS = "the table of shadow answers", "the table of shadow members"
YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")


@dataclass(frozen=True)
class ShadowTables:
    """Two tables of one row a record, in the order of the audit's rows: those of the predictions,
    or of the members and then of the non-members.

    answers: a column a shadow model, its probability of the recorded outcome; or a column a model
    and class, `MODEL_CLASS`; and the patient's column (the outcome's where no patient is named), by
    which the order of rows is checked. members: the same models, 1 for trained on and 0 for not.
    """

    answers: Path
    members: Path

    @classmethod
    def of(cls, answers: Path | None, members: Path | None) -> ShadowTables | None:
        """The tables of two options, None where neither is given."""
        if answers is not None and members is not None:
            return cls(answers, members)
        if answers is None and members is None:
            return None
        lacking = "--shadow-members" if members is None else "--shadow-answers"
        raise PrivauditError(
            f"no {lacking}",
            "answers of a shadow model say something only beside who it was trained on",
            f"add {lacking} FILE",
        )


def read_shadow_tables(
    tables: ShadowTables,
    pools: Sequence[Records],
    *,
    outcome: str,
    patient: str = "",
    patients: Mapping[str, int] | None = None,
    others: Sequence[str] = (),
) -> ShadowAnswers:
    """The bank of two tables.

    Args:
        tables: The files.
        pools: The records that the rows are of, in order, all of those of the audit's tables.
        outcome: The outcome's column, which is compared where the tables have it.
        patient: The patient's column, which is compared where the tables have it.
        patients: Names of patients -> their numbers, as the records were read.
        others: Columns that are no models either.

    Raises:
        PrivauditError: Tables that do not fit the records or each other.
    """
    _require_classes(pools[0])
    y = np.concatenate([pool.y for pool in pools])
    ids = np.concatenate([pool.patient for pool in pools])
    classes = pools[0].classes
    read: list[tuple[list[str], list[np.ndarray]]] = []
    for path, what in ((tables.answers, ANSWERS), (tables.members, MEMBERS)):
        with open_table(path, what) as opened:
            names = opened.columns
            frames = list(opened.batches(names))
        columns = {name: _join(frames, name) for name in names}
        for column in columns.values():
            _refuse_rows(len(column), len(y), what)
            break
        key = patient or outcome
        if what is ANSWERS and key not in columns:
            raise PrivauditError(
                f"{what} without the column {key!r}",
                "its rows are those of the audit in one order, which nobody could check without it",
                f"write {key!r} beside the models' columns",
            )
        if outcome in columns:
            codes, _, _ = to_codes(columns[outcome], list(classes))
            _refuse_other_rows(codes != y, outcome, what)
        if patient and patient in columns and patients is not None:
            own, _, _ = to_patients(columns[patient], dict(patients))
            _refuse_other_rows(own != ids, patient, what)
        ignored = (outcome, patient, *others)
        # What pandas writes of an index that it was not asked to leave out.
        models = [n for n in names if n not in ignored and not n.startswith("__index_level_")]
        cells = [
            _numbers(columns[n], n) if what is ANSWERS else _flags(columns[n], n) for n in models
        ]
        read.append((models, cells))
    (answered, p), (masked, flags) = read
    by_class = _split_by_class(answered, classes)
    models = answered if by_class is None else list(by_class)
    lacking = [n for n in models if n not in masked], [n for n in masked if n not in models]
    if any(lacking):
        raise PrivauditError(
            f"{ANSWERS} and {MEMBERS} name other models: {list_names(lacking[0])} lack members, "
            f"{list_names(lacking[1])} lack answers",
            "each model is one column of either table, by one name",
            "name the columns alike; for answers of every class name them MODEL_CLASS",
        )
    at = dict(zip(masked, flags, strict=True))
    included = np.array([at[name] for name in models], dtype=bool).reshape(len(models), len(y))
    if by_class is None:
        return ShadowAnswers(_from_true(np.array(p).reshape(len(models), len(y))), included)
    given = np.array([[p[j] for j in by_class[name]] for name in models])
    return ShadowAnswers(_from_classes(given.transpose(0, 2, 1), y), included)


def read_shadow_arrays(
    answers: Any, members: Any, pools: tuple[Records, Records], *, ordered: bool
) -> ShadowAnswers:
    """The bank of arrays.

    Args:
        answers: (K, n) probabilities of the recorded outcome, or (K, n, k) of every class.
        members: (K, n) bool, whether each model was trained on each record.
        pools: The records, members and non-members.
        ordered: Whether the order of the classes is known, for answers of every class.

    Raises:
        PrivauditError: Arrays that do not fit the records or each other.
    """
    if answers is None or members is None:
        raise PrivauditError(
            "shadow_answers without shadow_members"
            if members is None
            else "shadow_members without shadow_answers",
            "answers of a shadow model say something only beside who it was trained on",
            "pass both, of shapes (K, n) or (K, n, k), and (K, n)",
        )
    _require_classes(pools[0])
    y = np.concatenate([pool.y for pool in pools])
    p = _to_array(answers, "shadow_answers")
    mask = _to_array(members, "shadow_members")
    k = len(pools[0].classes)
    if p.ndim not in (2, 3) or p.shape[1] != len(y) or (p.ndim == 3 and p.shape[2] != k):
        turned = p.ndim == 2 and p.shape[0] == len(y)
        raise PrivauditError(
            f"shadow_answers of shape {p.shape} for {len(y):,} records and {k} classes",
            f"needed is (K, {len(y)}) of the recorded outcome, or (K, {len(y)}, {k}); records are "
            "the members, then the nonmembers",
            "transpose it" if turned else "ask every shadow model about every record",
        )
    if mask.shape != p.shape[:2]:
        raise PrivauditError(
            f"shadow_members of shape {mask.shape} beside shadow_answers of shape {p.shape}",
            "each model was or was not trained on each record",
            "pass one True or False a model and record",
        )
    if not np.isin(mask, (0, 1)).all():
        raise PrivauditError(
            "shadow_members that are neither true nor false",
            "1 or True says trained on, 0 or False says not",
            "pass an array of bool",
        )
    p = _check_range(p.astype(np.float64), "shadow_answers")
    if p.ndim == 2:
        return ShadowAnswers(_from_true(p), mask.astype(bool))
    if not ordered:
        raise PrivauditError(
            "shadow_answers of every class, in an order that nobody said",
            "the outcomes are texts and the model does not name its classes",
            "pass classes=[...] in the order of the answers",
        )
    return ShadowAnswers(_from_classes(p, y), mask.astype(bool))


def _require_classes(pool: Records) -> None:
    if len(pool.classes) < 2:
        raise PrivauditError(
            "answers of shadow models for an outcome that is no class",
            "they are read as probabilities of the recorded outcome",
            "leave the shadow models out, or audit an outcome of classes",
        )


def _to_array(given: Any, what: str) -> np.ndarray:
    try:
        if hasattr(given, "detach"):
            given = given.detach().cpu().numpy()
        found = np.asarray(given)
        if found.dtype == object or found.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise PrivauditError(
            f"{what} that are no array of numbers",
            "each model answers about each record once",
            "pass a numpy array",
        ) from None
    return found


def _from_true(p: np.ndarray) -> np.ndarray:
    """(K, n) log odds of probabilities of the recorded outcome."""
    return margin(
        np.column_stack([1.0 - p.ravel(), p.ravel()]), np.ones(p.size, dtype=np.int64)
    ).reshape(p.shape)


def _from_classes(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(K, n) log odds of the recorded outcome, from (K, n, k)."""
    sums = p.sum(axis=2)
    wrong = int((np.abs(sums - 1) > WRITTEN_SLACK).any(axis=0).sum())
    if wrong:
        raise PrivauditError(
            f"shadow answers that do not sum to 1 over the classes, for {wrong:,} records",
            "the classes exclude each other",
            "give the probability of every class",
        )
    return np.array([margin(one, y) for one in p / sums[:, :, None]])


def _check_range(p: np.ndarray, what: str) -> np.ndarray:
    missing = int(np.isnan(p).sum())
    outside = int(((p < -1e-6) | (p > 1 + 1e-6)).sum())
    if missing or outside:
        raise PrivauditError(
            f"{what} of which {missing:,} are missing and {outside:,} lie outside [0, 1]",
            "every shadow model answers about every record with a probability; logits and losses "
            "are none",
            "give probabilities",
        )
    found: np.ndarray = np.clip(p, 0.0, 1.0)
    return found


def _join(frames: Sequence[pl.DataFrame], name: str) -> pl.Series:
    import polars as pl

    return pl.concat([frame[name] for frame in frames])


def _numbers(column: pl.Series, name: str) -> np.ndarray:
    found, bad, _ = to_numbers(column)
    if bad:
        raise PrivauditError(
            f"{bad:,} cells of the column {name!r} of {ANSWERS} are no numbers",
            "each column is a shadow model's probabilities",
            "leave other columns out",
        )
    return _check_range(found.to_numpy().astype(np.float64), f"the column {name!r} of {ANSWERS}")


def _flags(column: pl.Series, name: str) -> np.ndarray:
    texts = to_texts(column).str.to_lowercase().str.strip_chars()
    inside = texts.is_in(list(YES)).fill_null(False).to_numpy()
    outside = texts.is_in(list(NO)).fill_null(False).to_numpy()
    strange = int((~(inside | outside)).sum())
    if strange:
        raise PrivauditError(
            f"{strange:,} cells of the column {name!r} of {MEMBERS} are neither 1 nor 0",
            "1 or true says trained on, 0 or false says not",
            "say of every model and record whether it was trained on",
        )
    return np.asarray(inside, dtype=bool)


def _refuse_rows(rows: int, wanted: int, what: str) -> None:
    if rows != wanted:
        raise PrivauditError(
            f"{what} has {rows:,} rows and the audit {wanted:,}",
            "it has one row a record, in the order of the audit's rows",
            spell(
                "give a row for every row of --predictions; with --model for every row of "
                "--members, then of --nonmembers",
                "give a row for every row of members, then of nonmembers",
            ),
        )


def _refuse_other_rows(different: np.ndarray, column: str, what: str) -> None:
    if different.any():
        share = float(different.mean())
        raise PrivauditError(
            f"the column {column!r} of {what} differs from the audit's in {share:.1%} of the rows",
            "its rows are in the order of the audit's rows",
            "put them in that order",
        )


def _split_by_class(
    names: Sequence[str], classes: Sequence[str]
) -> dict[str, tuple[int, ...]] | None:
    """Model -> its columns in the order of the classes; None where columns name no classes."""
    found: dict[str, dict[int, int]] = {}
    for j, name in enumerate(names):
        own = [c for c, text in enumerate(classes) if name.endswith(f"_{text}")]
        if len(own) != 1:
            return None
        found.setdefault(name.removesuffix(f"_{classes[own[0]]}"), {})[own[0]] = j
    if any(len(places) != len(classes) for places in found.values()):
        return None
    return {name: tuple(places[c] for c in range(len(classes))) for name, places in found.items()}


__all__ = ["ShadowTables", "read_shadow_arrays", "read_shadow_tables"]
