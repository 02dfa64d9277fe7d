"""How a model file and two tables are asked in the tests of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privaudit.contracts import Prepared, Release
from privaudit.inputs.class_order import StatedOrder
from privaudit.inputs.model_tables import TablePaths
from privaudit.inputs.read_model import ModelOptions, read_model
from privaudit.inputs.user_release import get_part
from privaudit.records import Records
from privaudit.seeds import Seeds


def stay(rows: int, seed: int, first: int = 0, labels: tuple[Any, ...] = (0, 1)) -> pd.DataFrame:
    """One row a patient: numbers, whole-number codes, a flag, texts whose order of listing is not
    the sorted one, and an outcome that depends on them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "pid": first + np.arange(rows),
            "age": rng.integers(18, 95, rows),
            "lab": rng.gamma(2, 1, rows).round(2),
            "adm": rng.integers(1, 9, rows),
            "flag": rng.integers(0, 2, rows).astype(bool),
            "spread": rng.choice(["no", "metastatic", "yes"], rows),
            "site": rng.choice(["alpha", "beta", "gamma", "delta"], rows),
        }
    )
    z = 0.03 * (frame.age - 60) + 1.5 * frame.adm.isin([2, 5, 7]) + frame.flag - 1.5
    z += 0.7 * (frame.lab - 2) + 1.5 * (frame.spread == "metastatic")
    died = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(int)
    frame["y"] = np.array(labels, dtype=object)[died]
    return frame


class Asked:
    """What was read: answers for the members, classes, notes, caveats, how to train again."""

    def __init__(self, task: Any, release: Any, notes: tuple[Any, ...]) -> None:
        prepared = get_part(task, "prepared", Prepared)
        self.members: Records = prepared.split.members
        self.classes = self.members.classes
        self.p = get_part(release, "release", Release).model.predict_proba(self.members)
        self.notes = notes
        self.codes = [caveat.code for caveat in prepared.caveats]
        self.twin = release.twin

    def of(self, label: Any) -> np.ndarray:
        """(n,) the probability of a class."""
        result: np.ndarray = self.p[:, self.classes.index(str(label))]
        return result


def ask(
    path: Path,
    members: pd.DataFrame,
    nonmembers: pd.DataFrame,
    *,
    estimator: str = "none",
    schema: Path | None = None,
    classes: tuple[str, ...] = (),
    event: str = "",
    expected: pd.DataFrame | None = None,
    **options: Any,
) -> Asked:
    """Read a model and its tables from files, as the command does."""
    home = path.parent
    members.to_csv(home / "members.csv", index=False)
    nonmembers.to_csv(home / "nonmembers.csv", index=False)
    if expected is not None:
        expected.to_csv(home / "expected.csv", index=False)
    how = ModelOptions(
        trust_pickle=True,
        order=StatedOrder(classes, event),
        expected=None if expected is None else home / "expected.csv",
        **options,
    )
    tables = TablePaths(
        home / "members.csv", home / "nonmembers.csv", outcome="y", patient="pid", schema=schema
    )
    return Asked(
        *read_model(path, tables, options=how, estimator=estimator, seeds=Seeds(0), confidence=0.95)
    )
