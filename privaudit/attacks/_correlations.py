"""What a table's means and correlations say of one record more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.attacks._marginals import Coded
from privaudit.attacks._tables import columns_of, values_of
from privaudit.records import Records

SHRINK = 0.2
"""Share by which correlations are drawn towards none before they are inverted."""
FAR = 5.0
"""Standard deviations beyond which no value counts for more."""
RARE = 0.01
"""Levels and gaps rarer than this have no column of their own: they correlate with nothing."""


def score_correlations(coded: Coded, tables: Sequence[Records]) -> np.ndarray:
    """(n,) the log likelihood ratio, to first order, of each record being one of those whose
    correlations the table has.

    Every column is made normal by its ranks among the attacker's own records, gaps and levels are
    columns of 0 and 1. With S the pooled correlations, D the table's less the attacker's and
    w = x S^-1, the score is w D w' / 2: one record adds x x' to the table's sums. tables: the
    records that are asked about, the table and the attacker's own, as in `coded`.
    """
    asked, drawn, own = _make_normal(coded, tables)
    both = np.concatenate([drawn, own])
    spread = both.std(axis=0)
    varies = spread > 1e-6
    centre, spread = both.mean(axis=0)[varies], spread[varies]
    asked, drawn, own = (
        np.clip((part[:, varies] - centre) / spread, -FAR, FAR) for part in (asked, drawn, own)
    )
    first, second = drawn.T @ drawn, own.T @ own
    pooled = (first + second) / len(both)
    pooled = (1.0 - SHRINK) * pooled + SHRINK * np.eye(len(pooled))
    away = first / len(drawn) - second / len(own)
    weighed = np.linalg.solve(pooled, asked.T).T
    result: np.ndarray = 0.5 * np.einsum("ni,ni->n", weighed @ away, weighed)
    return result


def _make_normal(coded: Coded, tables: Sequence[Records]) -> list[np.ndarray]:
    """(n, w) float64 a table: normal scores of numbers, and 0 or 1 for gaps and levels."""
    from scipy.special import ndtri

    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for j, (name, column) in enumerate(
        zip(coded.names, columns_of(tables[0], coded.names), strict=True)
    ):
        last = int(coded.sizes[j]) - 1
        codes = [part[:, j] for part in coded.codes]
        if column.kind == "numeric":
            values = [values_of(table, name) for table in tables]
            seen = np.sort(values[-1][np.isfinite(values[-1])])
            if len(seen):
                for part, v in zip(parts, values, strict=True):
                    below = np.searchsorted(seen, v, "left") + np.searchsorted(seen, v, "right")
                    normal = ndtri((below + 1.0) / (2.0 * len(seen) + 2.0))
                    part.append(np.where(np.isnan(v), 0.0, normal))
            levels = [last]
        else:
            levels = list(range(1, last + 1))
        for level in levels:
            if RARE < (codes[-1] == level).mean() < 1.0 - RARE:
                for part, code in zip(parts, codes, strict=True):
                    part.append((code == level).astype(np.float64))
    return [
        np.stack(part, axis=1) if part else np.zeros((len(table), 1))
        for part, table in zip(parts, tables, strict=True)
    ]


__all__ = ["score_correlations"]
