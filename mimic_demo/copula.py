"""How sick a generated patient is: summaries of the first 48 hours and the risk of dying.

A Gaussian copula with shifts by type of unit, its marginals and the label's weights come from
aggregates.json, which names its source. No patient's row is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]

UNITS = ("CCU", "CSRU", "MICU", "SICU", "TSICU")
_TYPES = np.array([0, 1, 2, 3, 3])


@dataclass(frozen=True, eq=False)
class Copula:
    """Latent scores to summaries. names: one a latent column, "kind:variable" or a bare trait."""

    names: tuple[str, ...]
    shift: Array
    root: Array
    table: dict[str, Any]

    def draw(self, unit: NDArray[np.int64], noise: Array) -> Array:
        """Latent scores (n, d) from standard normal noise (n, d) and each stay's unit code."""
        return self.centre(unit) + noise @ self.root.T

    def centre(self, unit: NDArray[np.int64]) -> Array:
        """Where each stay's type of unit lies, (n, d)."""
        return np.asarray(self.shift[_TYPES[unit]])

    def column(self, name: str) -> int:
        return self.names.index(name)

    def counts(self, Z: Array) -> dict[str, Array]:
        """Hours with a value in the first 48, by variable."""
        own = {
            name[2:]: _count(self.table["marginals"][name], Z[:, j])
            for j, name in enumerate(self.names)
            if name.startswith("n:")
        }
        own["weight"] = np.ones(len(Z))
        # Charted at every bedside hour in MIMIC, unlike in the source of the aggregates.
        return own | dict.fromkeys(("resp_rate", "spo2"), own["heart_rate"])

    def value(self, name: str, Z: Array) -> Array | None:
        """A summary on its bent scale, None where the source had too few to say."""
        if name not in self.names:
            return None
        knots = self.table["marginals"][name]
        z, x = np.asarray(knots["z"]), np.asarray(knots["value"])
        score = Z[:, self.column(name)]
        inside = np.interp(score, z, x)
        low, high = (x[1] - x[0]) / (z[1] - z[0]), (x[-1] - x[-2]) / (z[-1] - z[-2])
        tail = low * np.minimum(score - z[0], 0) + high * np.maximum(score - z[-1], 0)
        return np.asarray(inside + (tail if name.startswith("level") else 0.0))

    def risk(self, Z: Array, counts: dict[str, Array]) -> Array:
        """The label's linear predictor without its intercept, already at its final slope."""
        total = np.zeros(len(Z))
        weights, follows = self.table["weights"], self.table["follows"]
        for name, weight in weights.items():
            kind, _, variable = name.partition(":")
            if kind == "n":
                column = np.log1p(counts[variable])
            elif kind == "some":
                column = (counts[variable] > 0).astype(float)
            elif not variable:
                score = Z[:, self.column(name)]
                column = score if name == "age" else (score > 0).astype(float)
            else:
                score = Z[:, self.column(f"level:{variable}" if kind == "square" else name)]
                seen = counts[follows.get(variable, variable)] >= _NEED[kind]
                column = np.where(seen, score**2 - 1 if kind == "square" else score, 0.0)
            total += weight * column
        return np.asarray(total * self.table["scale"])

    def intercept(self, unit: NDArray[np.int64], long: NDArray[np.bool_]) -> Array:
        table = self.table["intercept"]
        both = np.array([[table[f"{u}:short"], table[f"{u}:long"]] for u in UNITS])
        return np.asarray(both[unit, long.astype(int)])


_NEED = {"level": 1, "square": 1, "change": 2, "spread": 3}


@cache
def load() -> Copula:
    """The shipped aggregates, read once."""
    table = json.loads((files(__package__) / "aggregates.json").read_text())
    names = tuple(table["names"])
    root = np.zeros((len(names), len(names)))
    for i, row in enumerate(table["root"]):
        root[i, : i + 1] = row
    return Copula(names, np.asarray(table["shift"]), root, table)


def _count(marginal: dict[str, list[float]], z: Array) -> Array:
    share, top = np.asarray(marginal["share"]), np.asarray(marginal["top"])
    u = ndtr(z)
    bin_ = np.searchsorted(share, u).clip(max=len(share) - 1)
    below, floor = np.r_[0.0, share][bin_], np.r_[-1.0, top][bin_]
    width = top[bin_] - floor
    part = (u - below) / (share[bin_] - below)
    return np.asarray(floor + np.ceil(part * width).clip(1, width))
