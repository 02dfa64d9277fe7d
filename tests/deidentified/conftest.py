"""Tables made here, with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def coarse() -> pd.DataFrame:
    """1,200 patients in classes of 20 or more, one sensitive column that nobody's class gives
    away."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.repeat([30, 40, 50, 60, 70, 80], 200),
            "sex": np.tile(["f", "m"], 600),
            "diagnosis": rng.choice(list("abcd"), 1200),
        }
    )


@pytest.fixture(scope="session")
def fine() -> pd.DataFrame:
    """600 patients, nearly all of them alone."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(20, 95, 600),
            "sex": rng.choice(["f", "m"], 600),
            "zip3": rng.choice([f"{i}" for i in range(100, 160)], 600),
            "diagnosis": rng.choice(list("abcd"), 600),
        }
    )
