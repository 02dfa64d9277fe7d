"""Records as a server is handed them: cells that JSON can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.models.layout import Layout
from privaudit.inputs.models.trained_dtypes import restore_decimals
from privaudit.records import Column, Records

WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


@dataclass(frozen=True)
class Cells:
    """Rows in the order of the server's inputs.

    names: of the inputs; X: (n, d) float32, levels as codes; columns: what they are, none where all
    are numbers of a matrix.
    """

    names: tuple[str, ...]
    X: np.ndarray
    columns: tuple[Column, ...] = ()

    def take(self, rows: np.ndarray) -> Cells:
        """These rows alone."""
        return Cells(self.names, self.X[rows], self.columns)

    def column(self, j: int, *, whole: bool = False) -> list[Any]:
        """The values of one column; None where nothing was recorded.

        whole: whole numbers as such; a fraction is never cut off.
        """
        x = self.X[:, j]
        there = ~np.isnan(x)
        levels = self.columns[j].levels if self.columns else ()
        if levels:
            names = [*spell_levels(levels), None]
            return [names[code] for code in np.where(there, x, len(levels)).astype(np.int64)]
        found = restore_decimals(x)
        cells = [v if ok else None for v, ok in zip(found.tolist(), there, strict=True)]
        if whole:
            return [int(v) if v is not None and v.is_integer() else v for v in cells]
        return cells

    def rows(self) -> list[list[Any]]:
        """The values row by row; whole numbers of columns that hold nothing else as such."""
        whole = [bool(self.columns) and self.columns[j].integer for j in range(self.X.shape[1])]
        made = [self.column(j, whole=w) for j, w in enumerate(whole)]
        return [list(row) for row in zip(*made, strict=True)]


def spell_levels(levels: tuple[str, ...]) -> tuple[Any, ...]:
    """What a server is handed for each level: booleans for true and false, else texts."""
    words = tuple(level.strip().lower() for level in levels)
    return tuple(word == "true" for word in words) if set(words) == {"true", "false"} else levels


def choose_cells(records: Records, columns: tuple[Column, ...], layout: Layout | None) -> Cells:
    """The cells of records: laid out as a matrix, or column by column.

    Args:
        records: The records.
        columns: What the columns were when the model was bound.
        layout: Where each number of the matrix comes from; None for columns.

    Raises:
        PrivauditError: Records of other columns.
    """
    own = {column.name: (j, column.levels) for j, column in enumerate(records.columns)}
    if any(own.get(c.name, (0, None))[1] != c.levels for c in columns):
        raise PrivauditError(
            "records whose columns are not those that the model was asked with",
            "another column, or other levels of one, would be another question",
            "ask about the same columns",
        )
    at = [own[column.name][0] for column in columns]
    X = records.X if at == list(range(records.X.shape[1])) else records.X[:, at]
    if layout is None:
        return Cells(tuple(c.name for c in columns), np.asarray(X, dtype=np.float32), columns)
    matrix = layout.matrix(np.asarray(X, dtype=np.float32))
    return Cells((), np.asarray(matrix, dtype=np.float32))


__all__ = ["WHOLE", "Cells", "choose_cells", "spell_levels"]
