"""A made-up ward: mixed columns, missing values, patients with several rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def ward(rows: int = 600, seed: int = 0, first: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 95, rows)
    sex = rng.choice(["F", "M"], rows)
    unit = rng.choice(["medical", "surgical", "cardiac"], rows)
    lactate = rng.gamma(2.0, 1.0, rows).round(2)
    heart = rng.normal(85, 15, rows).round(1)
    risk = 0.04 * (age - 60) + 0.7 * (lactate - 2) + 0.8 * (unit == "cardiac") - 1
    died = (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    frame = pd.DataFrame(
        {
            "subject_id": first + np.arange(rows) // 2,
            "age": age,
            "sex": sex,
            "unit": unit,
            "lactate": lactate,
            "heart": heart,
            "died": died,
        }
    )
    frame.loc[rng.random(rows) < 0.15, "lactate"] = np.nan
    frame.loc[rng.random(rows) < 0.05, "unit"] = None
    return frame


@pytest.fixture
def make_ward() -> Callable[..., pd.DataFrame]:
    return ward


@pytest.fixture
def wards(tmp_path: Path) -> tuple[Path, Path]:
    """members.csv and heldout.csv: 300 patients of two rows each, on either side."""
    members, heldout = tmp_path / "members.csv", tmp_path / "heldout.csv"
    ward(600, 1).to_csv(members, index=False)
    ward(600, 2, first=5000).to_csv(heldout, index=False)
    return members, heldout
