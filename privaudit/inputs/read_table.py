"""Tables of a user, CSV or Parquet, as records; and records as tables."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.schema import OTHER, TableSchema
from privaudit.inputs.table_file import Source, appear, source
from privaudit.records import Column, Records

if TYPE_CHECKING:
    import polars as pl

NOT_RECORDED = ("", "na", "n/a", "#n/a", "nan", "<na>", "null", ".", "?")
"""Spellings, in any case, of a cell in which nothing was recorded."""

NO_NUMBER = ("none", "-", "--")
"""More of them where a number is expected; in a column of texts they may be a value."""

MOST_CELLS = 2_000_000_000
"""Cells of features in memory: 8 gigabytes."""

_ROWS = "\0rows"
NO_TARGET = ("all",)
BANDS = ((0, 17), (18, 44), (45, 64), (65, 79), (80, 200))
MOST_GROUPS = 30


def records(
    path: Path | str, schema: TableSchema, *, what: str = "table",
    keys: dict[str, int] | None = None, most: int | None = None,
    rng: np.random.Generator | None = None,
) -> Records:  # fmt: skip
    """The table in this file as records: features as numbers and level codes, NaN where not recorded.

    what: how messages call it ("members": "the members table"); keys: names of patients -> their
    numbers, shared between the files of one audit, filled in here. most: about how many rows to read,
    whole patients drawn by `rng`; None for all. Without a target y is 0 for all and the one class is
    called "all". PrivauditError where a column is missing, a value has no place in the schema, the
    outcome is missing, or a patient has no name.
    """
    return counted(path, schema, what=what, keys=keys, most=most, rng=rng)[0]


def counted(
    path: Path | str, schema: TableSchema, *, what: str = "table",
    keys: dict[str, int] | None = None, most: int | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Records, int]:  # fmt: skip
    """The records, as `records` reads them, and how many rows the file has."""
    keys = {} if keys is None else keys
    with source(path, f"the {what} table" if what != "table" else "the table") as opened:
        _columns_there(opened, schema)
        chosen = None
        if most is not None:
            if rng is None:
                raise ValueError("a sample of the patients needs a generator")
            chosen = _sample(opened, schema, most, rng)
        found = _read(opened, schema, keys, chosen)
        return found, len(found) if chosen is None else len(chosen)


def write(records: Records, schema: TableSchema, path: Path | str) -> None:
    """Write records as CSV or Parquet (by the ending), values spelled as in the schema.

    Features in the schema's order, then the outcome; where the schema names patients, a column of
    made-up names, one a patient. The file appears whole or not at all.
    """
    import polars as pl

    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise PrivauditError(
            f"a table to be written as {path.suffix or 'a file without ending'!r}",
            "tables are written as .csv or .parquet",
            "end the file's name in .csv or .parquet",
        )
    if [c.name for c in records.columns] != list(schema.names):
        raise PrivauditError(
            f"records of {len(records.columns)} columns for a schema of {len(schema.columns)}",
            "names and order have to agree",
            "write with the schema that the records were read with",
        )
    series = []
    if schema.patient:
        series.append(pl.Series(schema.patient, [f"p{i}" for i in records.patient.tolist()]))
    series += [_spelled(c, records.X[:, j]) for j, c in enumerate(schema.columns)]
    if schema.target:
        names = np.array(records.classes, dtype=object)
        series.append(pl.Series(schema.target, names[records.y].tolist(), dtype=pl.String))
    frame = pl.DataFrame(series)
    with appear(path) as part:
        if path.suffix.lower() == ".csv":
            frame.write_csv(part)
        else:
            frame.write_parquet(part)


def _spelled(column: Column, values: np.ndarray) -> pl.Series:
    import polars as pl

    there = ~np.isnan(values)
    if column.levels:
        codes = np.where(there, values, 0).astype(np.int64)
        texts = np.array(column.levels, dtype=object)[codes]
        texts[~there] = None
        return pl.Series(column.name, texts.tolist(), dtype=pl.String)
    if column.integer or column.kind == "binary":
        whole = pl.Series(column.name, np.where(there, np.rint(values), 0).astype(np.int64))
        return whole.to_frame().select(
            pl.when(pl.Series(there)).then(pl.col(column.name)).otherwise(None).alias(column.name)
        )[column.name]
    # The shortest spelling that is the same float32: 0.1, not 0.10000000149.
    return pl.Series(column.name, values.astype(np.float32)).fill_nan(None)


def _columns_there(opened: Source, schema: TableSchema) -> None:
    needed = [*schema.names, *schema.groups]
    needed += [name for name in (schema.target, schema.patient) if name]
    there = set(opened.columns)
    lacking = [name for name in dict.fromkeys(needed) if name not in there]
    if lacking:
        near = difflib.get_close_matches(lacking[0], opened.columns, n=1)
        raise PrivauditError(
            f"{opened.what} lacks {len(lacking)} of the columns: {_listed(lacking)}",
            f"the schema names them; {opened.what} has {len(opened.columns)} columns",
            f"did you mean {near[0]!r}? " if near else "give a table of the same columns",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more


def _read(
    opened: Source, schema: TableSchema, keys: dict[str, int], chosen: np.ndarray | None
) -> Records:
    """chosen: (rows of the file,) bool, which rows to keep; None for all."""
    wanted = [*schema.names, *schema.groups]
    wanted += [name for name in (schema.target, schema.patient) if name]
    wanted = list(dict.fromkeys(wanted))
    blocks: list[np.ndarray] = []
    outcomes: list[np.ndarray] = []
    patients: list[np.ndarray] = []
    groups: dict[str, list[np.ndarray]] = {name: [] for name in schema.groups}
    faults = _Faults(opened.what)
    seen = kept = 0
    for batch in opened.batches(wanted):
        rows = len(batch)
        if chosen is not None:
            mine = chosen[seen : seen + rows]
            batch = batch.filter(mine)
        seen += rows
        if not len(batch):
            continue
        kept += len(batch)
        if kept * len(schema.columns) > MOST_CELLS:
            raise PrivauditError(
                f"{opened.what} has more than {kept:,} rows of {len(schema.columns):,} columns",
                f"at most {MOST_CELLS:,} cells are kept in memory",
                "read a sample of its patients (--sample)",
            )
        block = np.empty((len(batch), len(schema.columns)), dtype=np.float32)
        for j, column in enumerate(schema.columns):
            block[:, j] = faults.values(batch[column.name], column)
        blocks.append(block)
        if schema.target:
            outcomes.append(faults.classes(batch[schema.target], schema))
        if schema.patient:
            patients.append(_numbers_of(batch[schema.patient], keys, faults))
        for name, parts in groups.items():
            parts.append(_group(batch[name]))
    if not kept:
        raise PrivauditError(
            f"{opened.what} has no rows", "there is nobody in it to audit", "give a table with rows"
        )
    faults.refuse(schema)
    if schema.patient:
        patient = np.concatenate(patients)
    else:
        first = keys.get(_ROWS, 0)
        keys[_ROWS] = first + kept
        patient = np.arange(first, first + kept)
    labels = {name: np.concatenate(parts) for name, parts in groups.items()}
    _refuse_many_groups(labels, opened.what)
    return Records(
        schema.columns,
        _stacked(blocks),
        np.concatenate(outcomes) if schema.target else np.zeros(kept, dtype=np.int64),
        patient,
        np.zeros(kept, dtype=np.int64),
        groups=labels,
        classes=schema.classes if schema.target else NO_TARGET,
    )


def _stacked(blocks: list[np.ndarray]) -> np.ndarray:
    """One array of all; each block is let go of once copied, so that memory never holds two tables."""
    rows = sum(len(block) for block in blocks)
    whole = np.empty((rows, blocks[0].shape[1]), dtype=np.float32)
    at = 0
    blocks.reverse()
    while blocks:
        block = blocks.pop()
        whole[at : at + len(block)] = block
        at += len(block)
    return whole


def _sample(
    opened: Source, schema: TableSchema, most: int, rng: np.random.Generator
) -> np.ndarray | None:
    """(rows,) bool: about `most` rows, whole patients drawn by lot; None where all fit."""
    if schema.patient:
        names: dict[str, int] = {}
        faults = _Faults(opened.what)
        parts = [
            _numbers_of(batch[schema.patient], names, faults)
            for batch in opened.batches([schema.patient])
        ]
        faults.refuse(schema)
        patient = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    else:
        name = schema.target or schema.names[0]
        rows = sum(len(batch) for batch in opened.batches([name]))
        patient = np.arange(rows)
    if len(patient) <= most:
        return None
    counts = np.bincount(patient)
    order = rng.permutation(len(counts))
    inside = np.cumsum(counts[order]) <= most
    inside[0] = True
    drawn = np.zeros(len(counts), dtype=bool)
    drawn[order[inside]] = True
    return drawn[patient]


def cleaned(series: pl.Series, spellings: Sequence[str] = NOT_RECORDED) -> pl.Series:
    """A column's texts without spaces around them, null where a spelling says not recorded."""
    import polars as pl

    texts = spelled(series)
    return (
        texts.to_frame("x")
        .select(
            pl.when(pl.col("x").str.to_lowercase().is_in(list(spellings)))
            .then(None)
            .otherwise(pl.col("x"))
        )
        .to_series()
    )


def spelled(series: pl.Series) -> pl.Series:
    """A column as texts: whole numbers without a point, true and false for booleans."""
    import polars as pl

    kind = series.dtype
    if kind == pl.String:
        return series.str.strip_chars()
    if kind.is_float():
        whole = (series.fill_nan(None).drop_nulls() % 1 == 0).all()
        numbers = series.fill_nan(None)
        if whole and len(numbers.drop_nulls()) and float(numbers.abs().max()) < 2**53:  # type: ignore[arg-type]
            return numbers.cast(pl.Int64).cast(pl.String)
        return numbers.cast(pl.String)
    if kind in (pl.Categorical, pl.Enum):
        return series.cast(pl.String).str.strip_chars()
    if kind == pl.Binary:
        return pl.Series(series.name, [None] * len(series), dtype=pl.String)
    return series.cast(pl.String)


def numbers(series: pl.Series) -> tuple[pl.Series, int]:
    """A column as float64, null where not recorded, and how many cells are no number."""
    import polars as pl

    kind = series.dtype
    if kind.is_numeric() or kind == pl.Boolean:
        found = series.cast(pl.Float64).fill_nan(None)
    elif kind == pl.Null:
        return series.cast(pl.Float64), 0
    else:
        texts = cleaned(series, (*NOT_RECORDED, *NO_NUMBER))
        found = texts.cast(pl.Float64, strict=False)
        bad = int(found.null_count() - texts.null_count())
        found = found.fill_nan(None)
        return _finite(found, bad)
    return _finite(found, 0)


def _finite(found: pl.Series, bad: int) -> tuple[pl.Series, int]:
    infinite = int(found.is_infinite().sum() or 0)
    if infinite:
        import polars as pl

        found = (
            found.to_frame("x")
            .select(pl.when(pl.col("x").is_infinite()).then(None).otherwise(pl.col("x")))
            .to_series()
        )
    return found, bad + infinite


class _Faults:
    """What has no place in the schema, counted over all batches and told at once, without a value."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.count: dict[tuple[str, str], int] = {}

    def add(self, kind: str, column: str, count: int) -> None:
        if count:
            self.count[kind, column] = self.count.get((kind, column), 0) + count

    def values(self, series: pl.Series, column: Column) -> np.ndarray:
        """(n,) float32 codes or numbers."""
        if column.levels:
            return self._codes(series, column)
        found, bad = numbers(series)
        self.add("are no number", column.name, bad)
        x = found.to_numpy().astype(np.float64)
        with np.errstate(invalid="ignore"):
            if column.kind == "binary":
                self.add(
                    "are neither 0 nor 1",
                    column.name,
                    int(((x != 0) & (x != 1) & ~np.isnan(x)).sum()),
                )
            if column.integer:
                self.add("are no whole number", column.name, int((x % 1 > 0).sum()))
            if column.bounds:
                low, high = column.bounds
                # float32 may round a bound itself outwards.
                slack = 1e-6 * max(abs(low), abs(high), 1e-30)
                self.add(
                    "lie outside the bounds",
                    column.name,
                    int(((x < low - slack) | (x > high + slack)).sum()),
                )
            if (np.abs(x) > np.finfo(np.float32).max).any():
                self.add(
                    "are too large a number",
                    column.name,
                    int((np.abs(x) > np.finfo(np.float32).max).sum()),
                )
                x = np.where(np.abs(x) > np.finfo(np.float32).max, np.nan, x)
        return x.astype(np.float32)

    def _codes(self, series: pl.Series, column: Column) -> np.ndarray:
        codes, unknown = coded(series, column.levels)
        if unknown.any():
            if OTHER in column.levels:
                codes[unknown] = column.levels.index(OTHER)
            else:
                self.add("are none of its levels", column.name, int(unknown.sum()))
        return codes

    def classes(self, series: pl.Series, schema: TableSchema) -> np.ndarray:
        codes, unknown = coded(series, schema.classes)
        self.add("have no outcome", schema.target, int((np.isnan(codes) & ~unknown).sum()))
        self.add("are none of the classes", schema.target, int(unknown.sum()))
        return np.nan_to_num(codes, nan=0).astype(np.int64)

    def refuse(self, schema: TableSchema) -> None:
        if not self.count:
            return
        (kind, name), count = next(iter(self.count.items()))
        more = len(self.count) - 1
        also = f", and {more} more faults of this sort" if more else ""
        column = {c.name: c for c in schema.columns}.get(name)
        because, fix = {
            "are no number": ("the schema says numeric", "correct them, or make the column a category in the schema"),
            "are neither 0 nor 1": ("the schema says binary", "make the column a category in the schema"),
            "are no whole number": ("the schema says integer", "remove `integer` in the schema"),
            "lie outside the bounds": (f"the schema allows {column.bounds if column else ''}", "widen `bounds` in the schema, or correct the cells"),
            "are too large a number": ("numbers are kept to 3.4e38", "rescale the column or leave it aside"),
            "are none of its levels": ("the schema lists every level", f"add the level to the schema, or a level {OTHER!r} that stands for every other"),
            "have no outcome": ("an audit needs to know every outcome", "drop these rows, or name another target"),
            "are none of the classes": (f"the classes are: {', '.join(schema.classes)}", "correct the cells, or `classes` in the schema"),
            "have no patient": ("each row belongs to a patient", "fill the patient's column in, or drop these rows"),
        }[kind]  # fmt: skip
        raise PrivauditError(
            f"{count:,} cells of {name!r} in {self.what} {kind}{also}", because, fix
        )


def coded(series: pl.Series, levels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float32 places in `levels`, NaN where not recorded; (n,) bool, recorded but not listed.

    A level spelled as one of the words for not recorded is that level. Levels that are all numbers
    are compared as numbers: 1, 1.0 and 01 are one.
    """
    import polars as pl

    words = [word for word in NOT_RECORDED if word not in {level.lower() for level in levels}]
    texts = cleaned(series, words)
    plain = [level for level in levels if level != OTHER]
    as_numbers = _all_numbers(plain)
    if as_numbers:
        spelled_again = texts.cast(pl.Float64, strict=False).cast(pl.String)
        # polars and Python may spell a float differently; polars' spelling is used on both sides.
        keys = pl.Series([float(level) for level in plain], dtype=pl.Float64).cast(pl.String)
        table = {key: levels.index(level) for key, level in zip(keys.to_list(), plain, strict=True)}
        codes = spelled_again.replace_strict(table, default=None, return_dtype=pl.Float64)
    else:
        table = {level.strip(): i for i, level in enumerate(levels) if level != OTHER}
        codes = texts.replace_strict(table, default=None, return_dtype=pl.Float64)
        if OTHER in levels:
            codes = codes.fill_null(
                pl.select(pl.when(texts == OTHER).then(float(levels.index(OTHER)))).to_series()
            )
    unknown = (codes.is_null() & texts.is_not_null()).to_numpy()
    return codes.to_numpy().astype(np.float32), unknown


def _all_numbers(levels: Sequence[str]) -> bool:
    try:
        return len({float(level) for level in levels}) == len(levels) > 0
    except ValueError:
        return False


def _numbers_of(series: pl.Series, keys: dict[str, int], faults: _Faults) -> np.ndarray:
    """(n,) int64: each patient's number, the next free one for a new name."""
    import polars as pl

    texts = cleaned(series, ("", "nan", "na", "null", "none"))
    faults.add("have no patient", series.name, int(texts.null_count()))
    texts = texts.fill_null("")
    # 17 and 17.0 are one patient, however a tool spelled them.
    texts = texts.str.replace(r"^(\d+)\.0+$", "$1")
    distinct = texts.unique(maintain_order=True)
    for name in distinct.to_list():
        if name not in keys:
            keys[name] = len(keys)
    codes = pl.Series([keys[name] for name in distinct.to_list()], dtype=pl.Int64)
    return texts.replace_strict(distinct, codes, return_dtype=pl.Int64).to_numpy()


def _group(series: pl.Series) -> np.ndarray:
    """(n,) labels; ages in years become bands, other numbers are labels as they are."""
    found, bad = numbers(series)
    texts = cleaned(series).str.replace(r"^(-?\d+)\.0+$", "$1").fill_null("not recorded")
    if bad or "age" not in series.name.lower().replace("-", "_").split("_"):
        return texts.to_numpy().astype(str)
    x = found.to_numpy()
    labels = np.full(len(x), "not recorded", dtype="<U12")
    for low, high in BANDS:
        name = f"{low}-{high}" if high < 200 else f"{low}+"
        labels[(x >= low) & (x < high + 1)] = name
    return labels


def group_labels(name: str, values: np.ndarray) -> np.ndarray:
    """The labels of a column of subgroups that is in memory already."""
    import polars as pl

    if values.dtype == object:
        values = np.array([None if x is None or x != x else str(x) for x in values], dtype=object)
        return _group(pl.Series(name, values.tolist(), dtype=pl.String))
    return _group(pl.Series(name, values))


def _refuse_many_groups(labels: dict[str, np.ndarray], what: str) -> None:
    for name, found in labels.items():
        many = len(np.unique(found))
        if many > MOST_GROUPS:
            raise PrivauditError(
                f"the group column {name!r} has {many:,} values in {what}",
                f"a subgroup table has at most {MOST_GROUPS} groups",
                "put its values into bands first, and name the column of bands",
            )


__all__ = ["records", "write"]
