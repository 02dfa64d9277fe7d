"""Columns cut into cells by public knowledge alone, and the noisy tables of cells that are drawn
from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.federated.encode import CLIP, PublicEncoding, Scale
from pipelines.generators._saved import SavedGenerator, damaged
from pipelines.generators._valid import Shape
from privaudit.contracts import Access, Claim
from privaudit.errors import PrivauditError
from privaudit.records import Column, Records

COVERS = frozenset({Access.TABLE, Access.FILE, Access.ANSWERS, Access.WEIGHTS})
"""The table, the file, and whatever is trained on the table: all of it is made from the noisy
counts."""
WIDE = 1000
"""Bounds from 0 or more whose upper end is this many times the rest are cut on a log scale."""
ROWS = (
    "How many {people} there were is private too (the relation is add-remove): of it the delta "
    "shows the power of ten, unless it is set, and the noisy counts give an estimate. Choose the "
    "number of rows to draw by that, not by the real number."
)
USUAL = 3.0
"""Cells of equal width cover so many usual spreads around the textbook's usual value; two more the
rest."""


@dataclass(frozen=True)
class Cells:
    """How every released column is cut. Nothing here is read off the data.

    Args:
        released: Indices of the columns that are counted. The others of a measured variable repeat
            what is counted of it; any other is missing. Cells of a column come in the order of its
            values, then one for missing where it may be.
        bins: Cells of a number at most, without the missing one.
    """

    columns: tuple[Column, ...]
    released: tuple[int, ...]
    bins: int

    @classmethod
    def of(cls, columns: Sequence[Column], statistics: Sequence[str], bins: int) -> Cells:
        """Columns that are such summaries ("" for columns that summarise nothing).

        Raises:
            PrivauditError: Where one has no public bounds, or none is left.
        """
        if bins < 2:
            raise PrivauditError(
                f"bins={bins}", "a number is cut into two cells at least", "use 8 to 24"
            )
        gauged = {
            c.variable
            for c in columns
            if c.variable
            and c.statistic in statistics
            and c.statistic not in ("count", "measured", "")
        }
        released = tuple(
            j
            for j, c in enumerate(columns)
            if c.statistic in statistics
            # Whether a variable was measured is among the cells of its summary.
            and not (c.statistic == "measured" and c.variable in gauged)
        )
        if not released:
            raise PrivauditError(
                f"statistics={tuple(statistics)!r}",
                "no column of this table is such a summary",
                "name some of '', first, last, min, max, mean, count, measured",
            )
        made = cls(tuple(columns), released, bins)
        made._check()
        return made

    def _check(self) -> None:
        priors = PublicEncoding(self.columns)
        known = dict(zip(priors.numbers, priors.scales, strict=True))
        open_ended = [
            self.columns[j].name
            for j in self.released
            if self.columns[j].kind == "numeric"
            and self.columns[j].bounds is None
            and known[j].shape == "asinh"
            and self.columns[j].statistic != "measured"
        ]
        if open_ended:
            named = ", ".join(open_ended[:5]) + (" and more" if len(open_ended) > 5 else "")
            raise PrivauditError(
                f"{len(open_ended)} columns without bounds: {named}",
                "where to cut must be public knowledge; bounds read off the data would tell its "
                "extremes",
                "give each numeric column `bounds` in the schema, from a textbook or the device's "
                "range",
            )
        nameless = [
            self.columns[j].name
            for j in self.released
            if self.columns[j].kind == "category" and not self.columns[j].levels
        ]
        if nameless:
            raise PrivauditError(
                f"{len(nameless)} categories without levels: {', '.join(nameless[:5])}",
                "which values there are must be public knowledge",
                "list the levels of each category in the schema",
            )

    @cached_property
    def edges(self) -> tuple[np.ndarray, ...]:
        """For each released column (cells + 1,) ends of its cells, float64; empty for codes."""
        scales = dict(
            zip(
                PublicEncoding(self.columns).numbers,
                PublicEncoding(self.columns).scales,
                strict=True,
            )
        )
        return tuple(
            np.empty(0)
            if _levels(self.columns[j])
            else _edges(self.columns[j], scales[j], self.bins)
            for j in self.released
        )

    @cached_property
    def sizes(self) -> np.ndarray:
        """(released,) how many cells each has, the missing one included."""
        return np.array(
            [
                (_levels(self.columns[j]) or len(e) - 1) + self._may_lack(j)
                for j, e in zip(self.released, self.edges, strict=True)
            ],
            dtype=np.int64,
        )

    def _may_lack(self, j: int) -> int:
        return int(self.columns[j].statistic not in ("count", "measured"))

    def code(self, records: Records) -> np.ndarray:
        """(n, released) int64: which cell each value is in."""
        out = np.empty((len(records), len(self.released)), dtype=np.int64)
        for i, (j, edges) in enumerate(zip(self.released, self.edges, strict=True)):
            values = records.X[:, j].astype(np.float64)
            missing = np.isnan(values)
            last = int(self.sizes[i]) - self._may_lack(j) - 1
            if len(edges):
                cell = np.searchsorted(edges[1:-1], np.where(missing, edges[0], values), "right")
            else:
                cell = np.rint(np.where(missing, 0, values)).astype(np.int64)
            # A count that is missing where none may be counts as none.
            out[:, i] = np.where(missing, last + 1 if self._may_lack(j) else 0, cell.clip(0, last))
        return out

    def values(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, columns) values drawn evenly inside these cells (n, released); NaN in all other
        columns."""
        out = np.full((len(cells), len(self.columns)), np.nan)
        place = rng.random(cells.shape)
        for i, (j, edges) in enumerate(zip(self.released, self.edges, strict=True)):
            cell = cells[:, i]
            missing = (
                (cell == self.sizes[i] - 1) if self._may_lack(j) else np.zeros(len(cell), bool)
            )
            if len(edges):
                at = np.minimum(cell, len(edges) - 2)
                value = edges[at] + place[:, i] * (edges[at + 1] - edges[at])
                if _whole(self.columns[j]):
                    value = np.floor(value + 0.5)
            else:
                value = cell.astype(np.float64)
            out[:, j] = np.where(missing, np.nan, value)
            column = self.columns[j]
            if column.variable and column.statistic not in ("", "count", "measured"):
                self._repeat(out, j, ~missing)
        return out

    def _repeat(self, out: np.ndarray, counted: int, seen: np.ndarray) -> None:
        """Let the variable's other columns say what the one counted says, where they are not
        counted."""
        for j, other in enumerate(self.columns):
            if other.variable != self.columns[counted].variable or j in self.released:
                continue
            if other.statistic in ("measured", "count"):
                out[:, j] = seen
            elif other.statistic and other.kind == self.columns[counted].kind:
                out[:, j] = out[:, counted]

    @property
    def cuts(self) -> dict[str, np.ndarray]:
        """Where the numbers among the released columns are cut, by name."""
        return {
            self.columns[j].name: edges[1:-1]
            for j, edges in zip(self.released, self.edges, strict=True)
            if len(edges)
        }

    def noisy(self, tables: Sequence[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """What was measured of each released column: name -> (cuts between ranges, shares of ranges
        or levels in order and then of missing). tables: (classes, cells) noisy counts, before any
        repair."""
        found = {}
        for i, (j, edges) in enumerate(zip(self.released, self.edges, strict=True)):
            counts = np.maximum(tables[i].sum(axis=0), 0.0)
            shares = counts / max(counts.sum(), 1e-9)
            if not self._may_lack(j):
                shares = np.append(shares, 0.0)
            found[self.columns[j].name] = (edges[1:-1], shares)
        return found


def _levels(column: Column) -> int:
    """How many codes a column has; 0 for a number that is cut."""
    if column.kind == "category":
        return len(column.levels)
    return 2 if column.kind == "binary" or column.statistic == "measured" else 0


def _whole(column: Column) -> bool:
    return column.integer or column.statistic == "count"


def _edges(column: Column, scale: Scale, bins: int) -> np.ndarray:
    """Ends of the cells of a number: one a whole number where there are few, else even steps in the
    public scale: all of it for bounds alone, the usual values in finer ones where a textbook tells
    them."""
    low, high = column.bounds if column.bounds is not None else (-np.inf, np.inf)
    if column.statistic == "count" and column.bounds is None:
        low, high = 0.0, 1000.0
    if _whole(column) and high - low < bins:
        return np.arange(np.ceil(low), np.floor(high) + 2) - 0.5
    textbook = not _from_bounds(column, scale)
    if textbook or scale.shape == "log1p":
        ends = np.clip(_scaled(np.array([low, high]), scale), -CLIP, CLIP)
        if scale.shape != "log1p" and bins >= 4:
            inner = np.linspace(max(ends[0], -USUAL), min(ends[1], USUAL), bins - 1)
            z = np.unique(np.concatenate([ends[:1], inner, ends[1:]]))
        else:
            z = np.linspace(ends[0], ends[1], bins + 1)
        edges = _unscaled(z, scale)
    elif low >= 0 and high > WIDE * max(low, 1.0):
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), bins + 1))
    else:
        edges = np.linspace(low, high, bins + 1)
    if _whole(column):
        edges = (
            np.unique(np.concatenate([[np.ceil(low)], np.round(edges[1:-1]), [np.floor(high) + 1]]))
            - 0.5
        )
    return edges if len(np.unique(edges)) > 1 else np.array([low, low + 1.0])


def _from_bounds(column: Column, scale: Scale) -> bool:
    if column.bounds is None or scale.shape != "linear":
        return False
    low, high = column.bounds
    return scale.centre == (low + high) / 2 and scale.scale == (high - low) / 2


def _scaled(x: np.ndarray, scale: Scale) -> np.ndarray:
    with np.errstate(divide="ignore"):
        t = {"log": np.log, "log1p": np.log1p}.get(scale.shape, lambda v: v)(
            np.maximum(x, 0) if "log" in scale.shape else x
        )
    return (t - scale.centre) / scale.scale


def _unscaled(z: np.ndarray, scale: Scale) -> np.ndarray:
    t = z * scale.scale + scale.centre
    return {"log": np.exp, "log1p": np.expm1}.get(scale.shape, lambda v: v)(t)


def counts(cells: np.ndarray, y: np.ndarray, sizes: np.ndarray, classes: int) -> list[np.ndarray]:
    """For each released column (classes, cells) counts: a patient is in one cell of each."""
    return [
        np.bincount(y * size + cells[:, i], minlength=classes * size)
        .reshape(classes, size)
        .astype(float)
        for i, size in enumerate(sizes.tolist())
    ]


def totals(tables: Sequence[np.ndarray]) -> np.ndarray:
    """(classes,) how many patients each class has, from all noisy tables; at least one."""
    weight = np.array([1 / table.shape[1] for table in tables])
    sums = np.stack([table.sum(axis=1) for table in tables])
    return np.maximum((weight[:, None] * sums).sum(axis=0) / weight.sum(), 1.0)


def onto(table: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """(rows, cells) the nearest table without negative cells whose rows have these sums.

    The projection onto a scaled simplex: what noise put into empty cells is taken away from all
    alike. Source: Wang and Carreira-Perpiñán 2013 (arXiv 1309.1541); "norm-sub" of Wang et al. 2020
    (NDSS).
    """
    ordered = np.sort(table, axis=1)[:, ::-1]
    excess = np.cumsum(ordered, axis=1) - sums[:, None]
    rank = np.arange(1, table.shape[1] + 1)
    last = (ordered - excess / rank > 0).sum(axis=1) - 1
    rows = np.arange(len(table))
    return np.maximum(table - (excess[rows, last] / (last + 1))[:, None], 0.0)


@dataclass(frozen=True, eq=False)
class CellSampler:
    """Draws from noisy tables: the outcome, then each column given the outcome and at most one
    other column.

    Args:
        prior: (classes,) chances.
        parent: (released,) which released column each depends on, -1 for none.
        tables: For each (classes, cells of the parent or 1, cells) chances.
        noisy: See `Cells.noisy`.
        total: How many patients there were, by the noisy counts: a table of about so many rows
            tells nothing that the guarantee does not cover, one of exactly as many as there were
            does, since the relation is add-remove.
    """

    name: str
    shape: Shape
    cells: Cells
    prior: np.ndarray
    parent: np.ndarray
    tables: tuple[np.ndarray, ...]
    noisy: dict[str, tuple[np.ndarray, np.ndarray]]
    claim: Claim
    notes: tuple[str, ...]
    total: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of a table that is to be about as long as the private one."""
        return max(1, round(self.total))

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        y = _pick(self.prior[None], np.zeros(rows, dtype=np.int64), rng)
        cells = np.zeros((rows, len(self.parent)), dtype=np.int64)
        for i in order(self.parent):
            table = self.tables[i]
            above = self.parent[i]
            row = y if above < 0 else y * table.shape[1] + cells[:, above]
            cells[:, i] = _pick(table.reshape(-1, table.shape[2]), row, rng)
        return self.shape.records(self.cells.values(cells, rng), y)

    def save(self) -> bytes:
        arrays = {"prior": self.prior, "parent": self.parent}
        arrays |= {f"table_{i:05}": table for i, table in enumerate(self.tables)}
        arrays["noisy"] = np.concatenate([shares for _, shares in self.noisy.values()])
        arrays["total"] = np.array([self.total])
        facts = {"released": self.cells.released, "bins": self.cells.bins}
        return SavedGenerator(self.shape, self.claim, self.notes, facts, arrays).save(self.name)

    @classmethod
    def load(cls, file: bytes, name: str) -> CellSampler:
        saved = SavedGenerator.load(file, name)
        d, k = len(saved.shape.columns), len(saved.shape.classes)
        try:
            released = tuple(int(j) for j in saved.facts["released"])
            bins = int(saved.facts["bins"])
        except (KeyError, TypeError, ValueError):
            raise damaged("its header lacks the layout of its columns") from None
        if not released or len(set(released)) < len(released) or not 2 <= bins <= 10_000:
            raise damaged("its header misstates the layout of its columns")
        if min(released) < 0 or max(released) >= d:
            raise damaged("its header misstates the layout of its columns")
        cells = Cells(saved.shape.columns, released, bins)
        cells._check()
        sizes = cells.sizes
        parent = saved.array("parent", 1, shape=(len(released),)).astype(np.int64)
        if parent.min() < -1 or parent.max() >= len(released) or len(order(parent)) < len(released):
            raise damaged("its columns depend on each other in a circle")
        tables = tuple(
            _chances(
                saved.array(
                    f"table_{i:05}", 3, shape=(k, 1 if p < 0 else int(sizes[p]), int(sizes[i]))
                )
            )
            for i, p in enumerate(parent.tolist())
        )
        prior = _chances(saved.array("prior", 1, shape=(k,)))
        widths = [
            int(size) + 1 - cells._may_lack(j) for size, j in zip(sizes, released, strict=True)
        ]
        noisy = np.split(saved.array("noisy", 1, shape=(sum(widths),)), np.cumsum(widths)[:-1])
        named = {
            saved.shape.columns[j].name: (edges[1:-1], shares)
            for j, edges, shares in zip(released, cells.edges, noisy, strict=True)
        }
        total = float(saved.array("total", 1, shape=(1,))[0])
        return cls(
            *(name, saved.shape, cells, prior, parent, tables),
            *(named, saved.claim, saved.notes, total),
        )


def order(parent: np.ndarray) -> list[int]:
    """Columns so that each comes after the one it depends on; those in a circle are left out."""
    found: list[int] = []
    layer = np.flatnonzero(parent < 0)
    while len(layer) and len(found) <= len(parent):
        found += layer.tolist()
        layer = np.flatnonzero(np.isin(parent, layer))
    return found


def _pick(table: np.ndarray, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) one column of each of these rows of chances (rows, cells)."""
    edges = np.cumsum(table, axis=1)
    edges /= edges[:, -1:]
    place = rng.random(len(row))
    return np.minimum((place[:, None] >= edges[row]).sum(axis=1), table.shape[1] - 1)


def _chances(table: np.ndarray) -> np.ndarray:
    if table.dtype.kind != "f" or np.isnan(table).any() or table.min() < 0:
        raise damaged("its tables hold other things than chances")
    if (table.sum(axis=-1) <= 0).any():
        raise damaged("its tables hold rows without any chance")
    return table
