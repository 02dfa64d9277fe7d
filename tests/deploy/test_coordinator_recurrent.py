"""Hospitals apart train an LSTM on their own series, and it is the simulation's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

pytest.importorskip("cryptography")

from coordinator_lab import MemoryWire, events, run
from deploy.hospital_lab import Lab, write_home

from pipelines.federated.kernel import Job, federate, streams

NAMES = ("a", "b", "c")
STEPS = 6

SCHEMA = """\
[table]
outcome = "ending"
classes = ["no", "yes"]
patient = "who"

[[column]]
name = "age"
bounds = [18, 100]

[series]
file = "measured.csv"
record = "stay"
time = "hour"
channel = "what"
value = "value"
every = 1
steps = 6

[[series.channels]]
name = "pulse"
bounds = [20, 300]
"""


def write_tables(folder: Path, patients: int, seed: int) -> None:
    """Whose pulse rises has the outcome."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    y = rng.random(patients) < 0.4
    hours = np.arange(STEPS)
    pulse = 90 + 10 * rng.normal(size=(patients, STEPS)) + np.where(y, 6, -6)[:, None] * hours
    stays = [f"s{i}" for i in range(patients)]
    pl.DataFrame(
        {
            "stay": stays,
            "who": [f"p{i}" for i in range(patients)],
            "age": rng.integers(18, 100, patients),
            "ending": np.where(y, "yes", "no"),
        }
    ).write_csv(folder / "stays.csv")
    pl.DataFrame(
        {
            "stay": np.repeat(stays, STEPS),
            "hour": np.tile(hours, patients),
            "what": "pulse",
            "value": np.round(pulse.ravel(), 1),
        }
    ).write_csv(folder / "measured.csv")
    (folder / "schema.toml").write_text(SCHEMA)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    made = Lab(folder, 30, NAMES)
    for place, name in enumerate(NAMES):
        own = folder / f"series-{name}"
        write_tables(own, 60 + 10 * place, place)
        made.homes[name] = write_home(
            folder / f"home-{name}",
            name,
            made.root,
            NAMES,
            path=str(own / "stays.csv"),
            settings=[f"task.schema={own / 'schema.toml'}", "task.checked=all"],
        )
    return made


@pytest.mark.parametrize("method", ["federated", "federated_secure"])
def test_hospitals_apart_train_the_lstm_of_the_simulation(
    lab: Lab, tmp_path: Path, method: str
) -> None:
    settings = ("front=LSTM(4, 2)", "hidden=4", "rounds=2", "steps=2", "rows=16")
    lines = tuple(f"{method}.{one}" for one in settings)
    terms = lab.terms(method, *lines, run=method.replace("_", "-"), seed=5, grade=())
    wards: Any = lab.all(terms)
    found = run(terms, tmp_path, MemoryWire(wards))
    made: Any = terms.build()[1]
    tables = [wards[name].data.trained for name in NAMES]
    assert made.find_shape(tables[0]) == (3, 3, 2, 2)
    parts = [made.encode(table) for table in tables]
    ends = np.cumsum([len(part) for part in parts])
    rows = tuple(np.split(np.arange(ends[-1]), ends[:-1]))
    own, network = streams(np.random.default_rng(terms.seed)), made.make_network(tables[0])
    y = np.concatenate([table.y for table in tables])
    job = Job(np.concatenate(parts), y, rows, network.start(own["start"]), own)
    (same,) = federate(made.make_plan(), network, [job])
    moved = np.abs(same.weights - job.start).max()
    assert moved > 0.01
    if method == "federated":
        assert np.array_equal(found.weights, same.weights), "bit for bit: clients train one by one"
    else:
        assert np.abs(found.weights - same.weights).max() < 1e-6
    assert not events(tmp_path, "bad_answer")
