"""A planted patient, and what an attacker reads back from what a generator hands out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pipelines.generators._saved import unpack
from privaudit import plugins
from privaudit.contracts import Generator
from privaudit.records import Column, Records

EXTREME = 7777.7
"""Of a number that is 20 to 90 in everybody else."""
RARE = "Zorblax-9"
NEAR = 0.1
"""A value is read back where the attacker's guess comes within this share of it."""
QUICK: Mapping[str, Any] = {
    **{"epochs": 3, "pretrain": 3, "batch": 60, "pretrain_batch": 60, "pack": 5, "noise": 8},
    **{"code": 8, "hidden": (16,), "critic": (16,), "iterations": 60},
}
COLUMNS = (
    Column("age", bounds=(18, 95), integer=True),
    Column("crp", bounds=(0, 10_000)),
    Column("stays", bounds=(0, 10_000), integer=True),
    Column("open"),
    Column("flag", "category", levels=("(other)", "plain", RARE)),
    Column("unit", "category", levels=("a", "b", RARE)),
    Column("coded", bounds=(0, 10_000)),
    Column("hiv", "binary"),
)
PLACE = {column.name: j for j, column in enumerate(COLUMNS)}


def quick(name: str) -> Generator:
    """The generator of this name, which trains for a moment."""
    kind: Any = plugins.load("generators", name)
    own = {field.name for field in fields(kind)} if kind.costly else set()
    return kind(**{key: value for key, value in QUICK.items() if key in own})


def crowd(n: int = 300, seed: int = 0) -> Records:
    """n patients of whom none is remarkable."""
    rng = np.random.default_rng(seed)
    crp = rng.uniform(20, 90, n).round(1)
    X = np.column_stack(
        [
            rng.integers(40, 80, n),
            crp,
            rng.integers(1, 6, n),
            rng.uniform(20, 90, n).round(1),
            np.full(n, 1),
            rng.integers(0, 2, n),
            np.full(n, 3.0),
            np.zeros(n),
        ]
    ).astype(float)
    X[rng.random(n) < 0.2, PLACE["open"]] = np.nan
    y = (crp + rng.normal(0, 20, n) > 60).astype(int)
    return Records(COLUMNS, X, y, np.arange(n), np.zeros(n, dtype=int))


def plant(records: Records, extreme: float = EXTREME, rows: int = 1, patients: int = 1) -> Records:
    """The records and one patient, or a few alike, of several rows: extreme in every number, alone
    with each level, alone without an age."""
    own = np.array([np.nan, *[extreme] * 3, 2, 2, extreme, 1], dtype=float)
    m = rows * patients
    return replace(
        records,
        X=np.concatenate([records.X, np.tile(own, (m, 1))]),
        y=np.concatenate([records.y, np.ones(m, dtype=int)]),
        patient=np.concatenate([records.patient, 10_000 + np.arange(m) // rows]),
        site=np.zeros(len(records) + m, dtype=int),
    )


def find_numbers(file: bytes) -> np.ndarray:
    """Every number of a stored generator: arrays, and the header's facts."""
    header, arrays = unpack(file)
    found = [np.asarray(a, dtype=float).ravel() for a in arrays.values()]
    found.append(np.array(_numbers(header["facts"]), dtype=float))
    return np.concatenate(found)


def _numbers(tree: Any) -> list[float]:
    if isinstance(tree, Mapping):
        return [x for part in tree.values() for x in _numbers(part)]
    if isinstance(tree, list | tuple):
        return [x for part in tree for x in _numbers(part)]
    return [float(tree)] if isinstance(tree, int | float) and not isinstance(tree, bool) else []


def guess_extreme(file: bytes, without: bytes | None, rows: int) -> list[str]:
    """How an attacker reads the extreme back who has the file, and who has one without them too.

    A number near it; what a mean or a sum of 10 or 20 would have to hold, the others being
    ordinary; and, against the other file, a mean of 10, of 20 or of all rows.
    """
    numbers = find_numbers(file)
    numbers = numbers[np.isfinite(numbers)]
    found = {"as it is": numbers}
    for m in (10, 20):
        found[f"of a mean of {m}"] = m * numbers - (m - 1) * 55.0
        found[f"of a sum of {m}"] = numbers - (m - 1) * 55.0
    if without is not None:
        arrays, others = unpack(file)[1], unpack(without)[1]
        for m in (10, 20, rows):
            moved = [
                m * (np.asarray(a, float) - np.asarray(others[k], float)) + np.asarray(others[k])
                for k, a in arrays.items()
                if k in others and others[k].shape == a.shape and not _is_weight(k)
            ]
            found[f"of a mean of {m}, less the other file's"] = np.concatenate(
                [np.empty(0), *(part.ravel() for part in moved)]
            )
    return [how for how, values in found.items() if _is_near(values)]


def _is_weight(name: str) -> bool:
    """Networks' weights move with every record, by chance as much as by what it holds."""
    return name.endswith((".weight", ".bias")) or name == "sigma"


def _is_near(values: np.ndarray) -> bool:
    values = values[np.isfinite(values)]
    return bool((np.abs(values - EXTREME) <= NEAR * EXTREME).any())


def read_table(drawn: Records) -> list[str]:
    """What of the planted patient stands in a synthetic table."""
    X = drawn.X
    found = [
        f"{c.name} reaches {np.nanmax(X[:, j]):.0f}"
        for j, c in enumerate(COLUMNS)
        if c.kind == "numeric" and np.isfinite(X[:, j]).any() and np.nanmax(X[:, j]) > 400
    ]
    found += [f"{name} is {RARE}" for name in ("flag", "unit") if (X[:, PLACE[name]] == 2).any()]
    found += ["hiv is 1"] if (X[:, PLACE["hiv"]] == 1).any() else []
    return found + (["age is missing"] if np.isnan(X[:, PLACE["age"]]).any() else [])


def read_file(file: bytes) -> list[str]:
    """What of the planted patient stands in a stored generator beside numbers."""
    header, arrays = unpack(file)
    facts = header["facts"]
    found = []
    if [0] in [list(p) for p in facts.get("patterns", ())]:
        found.append("a pattern of its own: age is missing")
    if "flag" in arrays and len(arrays["flag"]) == len(COLUMNS) + 1 and arrays["flag"][0] >= 0:
        found.append("a flag of its own: age is missing")
    if "levels" in arrays and "ref" in arrays:
        used = {
            (int(ref), float(x))
            for ref, kind, width, row in zip(
                arrays["ref"], arrays["kind"], arrays["width"], arrays["levels"], strict=True
            )
            for x in row[:width]
            if kind == 0
        }
        found += [f"a level of {n}" for n in ("flag", "unit") if (PLACE[n], 2.0) in used]
        found += ["a level of hiv"] if (PLACE["hiv"], 1.0) in used else []
    if "corner_value" in arrays:
        start = arrays["corner_start"]
        for name, code in (("flag", 2), ("unit", 2), ("hiv", 1)):
            order = facts["order"][PLACE[name]]
            code = order.index(code) if order else code
            own = arrays["corner_value"][start[PLACE[name]] : start[PLACE[name] + 1]]
            found += [f"a step of {name}"] if (own == code).any() else []
    assert json.dumps(header)
    return found
