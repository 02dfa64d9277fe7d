"""Tables and questions for the attacks on what is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privaudit import cli
from privaudit.inputs.models.open_model import bind, open_model
from privaudit.inputs.schema import TableSchema
from privaudit.records import Column, Records

NAMES = ("a", "b", "c")
SCHEMA = TableSchema(tuple(Column(name) for name in NAMES), "died", ("0", "1"))


def made(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) inputs and (n,) outcomes that depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)).round(3)
    return X, (X[:, 0] + rng.normal(size=rows) > 0).astype(int)


def records(rows: int = 300) -> Records:
    X, y = made(rows)
    return Records(SCHEMA.columns, X, y, np.arange(rows), np.zeros(rows), classes=("0", "1"))


def answer(path: Path, rows: int = 300, **how: Any) -> np.ndarray:
    """What a model's file answers, opened and asked as an audit does it."""
    answers = how.pop("answers", "")
    opened, _ = open_model(path, **how)
    p: np.ndarray = bind(opened, SCHEMA, answers=answers).predict_proba(records(rows))
    return p


def audit(path: Path, *words: str) -> int:
    """The exit code of an audit of a model's file, by the command."""
    home = path.parent
    for name, seed in (("members", 1), ("heldout", 2)):
        X, y = made(200, seed)
        frame = pd.DataFrame(X, columns=list(NAMES)).assign(
            pid=seed * 1000 + np.arange(200), died=y
        )
        frame.to_csv(home / f"{name}.csv", index=False)
    tables = ("--members", str(home / "members.csv"), "--nonmembers", str(home / "heldout.csv"))
    roles = ("--outcome", "died", "--patient", "pid", "--attacks", "threshold", "--jobs", "1")
    where = ("--profile", "smoke", "--out", str(home / "runs"))
    return cli.main(["audit", "--model", str(path), *tables, *roles, *where, *words])
