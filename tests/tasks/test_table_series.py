"""The task `table` with series beside the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.tasks.table import Table
from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode
from privaudit.inputs.check_public import find_unchecked
from privaudit.inputs.schema import read_schema
from privaudit.results import Finding
from privaudit.results import from_json as read_audit
from privaudit.verdicts import from_json

PEOPLE = 60
SCHEMA = """[table]
outcome = "apnoea"
classes = ["no", "yes"]
{person}

[series]
file = "long.csv"
record = "night"
time = "minute"
channel = "sensor"
value = "reading"
every = 30
steps = 4

[[series.channels]]
name = "pulse"
bounds = [{bounds}]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two nights each of 60 people; nothing but outcome and person beside their series."""
    rng = np.random.default_rng(0)
    nights = [f"n{i}" for i in range(2 * PEOPLE)]
    pl.DataFrame(
        {
            "night": nights,
            "subject_id": [f"p{i // 2}" for i in range(2 * PEOPLE)],
            "apnoea": ["no", "yes"] * PEOPLE,
        }
    ).write_csv(tmp_path / "nights.csv")
    at = np.indices((2 * PEOPLE, 4)).reshape(2, -1)
    pl.DataFrame(
        {
            "night": np.array(nights)[at[0]],
            "minute": at[1] * 30.0,
            "sensor": ["pulse"] * at.shape[1],
            "reading": rng.uniform(50, 90, at.shape[1]).round(1),
        }
    ).write_csv(tmp_path / "long.csv")
    return tmp_path


def write(home: Path, *, person: str = 'patient = "subject_id"', bounds: str = "20, 300") -> Path:
    path = home / "schema.toml"
    path.write_text(SCHEMA.format(person=person, bounds=bounds), encoding="utf-8")
    return path


def prepare(home: Path, schema: Path):  # type: ignore[no-untyped-def]
    task = Table(schema=str(schema), checked=("all",))
    return task.prepare(home / "nights.csv", home, lambda what, share: None)


def test_the_records_of_a_task_hold_their_series(home: Path) -> None:
    prepared = prepare(home, write(home))
    records = prepared.records
    assert records.series is not None
    assert records.series.shape == (2 * PEOPLE, 4, 1)
    assert np.isfinite(records.series).all()
    assert len(np.unique(records.patient)) == PEOPLE
    read = pl.read_csv(home / "long.csv").filter(pl.col("night") == "n7")
    np.testing.assert_allclose(records.series[7, :, 0], read["reading"], rtol=1e-6)


def test_what_the_series_leave_out_is_noted(home: Path) -> None:
    more = pl.read_csv(home / "long.csv").with_columns(minute=pl.col("minute") + 500.0)
    pl.concat([pl.read_csv(home / "long.csv"), more]).write_csv(home / "long.csv")
    notes = [one for one in prepare(home, write(home)).notes if not isinstance(one, str)]
    (told,) = [one for one in notes if one.code is CaveatCode.SERIES_LEFT_OUT]
    assert told.params["late"] == 4 * 2 * PEOPLE


def test_each_row_is_no_person_of_its_own_where_there_are_series(home: Path) -> None:
    # Said of rows whose column of people has another name, too.
    frame = pl.read_csv(home / "nights.csv").rename({"subject_id": "wearer"})
    frame.write_csv(home / "nights.csv")
    with pytest.raises(PrivauditError, match="names the person"):
        prepare(home, write(home, person='patient = ""'))


@pytest.mark.parametrize(
    ("bounds", "unsure"), [("20, 300", ()), ("0, 100", ("pulse",))], ids=["public", "read off"]
)
def test_bounds_of_a_channel_that_were_read_off_are_no_public_knowledge(
    bounds: str, unsure: tuple[str, ...], home: Path
) -> None:
    schema = read_schema(write(home, bounds=bounds))
    assert find_unchecked(schema, home / "nights.csv") == unsure
    assert find_unchecked(schema, home / "nights.csv", ("pulse",)) == ()


POLICY = """schema = "privaudit.policy/1"
name = "Toy"
review_by = 2099-01-01
[context]
release = "public-api"
[[limit]]
id = "ranking"
metric = "membership.auc"
max = 0.6
[[limit]]
id = "rebuilt"
metric = "inversion.advantage"
max = 0.5
"""


@pytest.mark.slow
def test_a_network_that_remembers_series_is_found_and_not_cleared_by_its_columns(
    home: Path,
) -> None:
    """Outcomes that nothing explains: whoever fits them remembers."""
    rng = np.random.default_rng(5)
    frame = pl.read_csv(home / "nights.csv")
    frame.with_columns(
        apnoea=pl.Series(np.array(["no", "yes"])[rng.integers(0, 2, len(frame))]),
        age=pl.Series(rng.integers(20, 80, len(frame))),
        weight=pl.Series(rng.integers(50, 120, len(frame))),
    ).write_csv(home / "nights.csv")
    schema = write(home)
    columns = "\n".join(
        f'[[column]]\nname = "{name}"\nbounds = [0, 200]\n' for name in ("age", "weight")
    )
    schema.write_text(schema.read_text() + columns, encoding="utf-8")
    (home / "policy.toml").write_text(POLICY, encoding="utf-8")
    settings = ("epochs=150", "dropout=0", "held_out=0", "decay=0", "rate=0.01")
    words = ["run", "table", "--data", str(home / "nights.csv"), "--schema", str(schema)]
    words += ["--methods", "baseline", "--learners", "lstm,logreg", "--profile", "smoke"]
    words += [part for one in settings for part in ("--set", f"lstm.{one}")]
    words += ["--attacks", "threshold,model_inversion", "--seed", "1", "--jobs", "1"]
    words += ["--policy", str(home / "policy.toml"), "--out", str(home / "runs")]
    assert cli.main(words) == 1
    (shared,) = (home / "runs").glob("2*/shareable/verdicts.json")
    found = {(v.subject, v.rule): v for v in from_json(shared.read_text()).verdicts}
    assert found["baseline-lstm", "ranking"].state == "EXCEEDS"
    assert found["baseline-lstm", "rebuilt"].state != "WITHIN"
    audit = read_audit(shared.with_name("audit.json").read_text())
    blind = {
        one.name: [o.is_blind for o in one.outcomes if isinstance(o, Finding)]
        for one in audit.subjects
    }
    # A model of the columns is judged by what looks at columns.
    assert blind == {"baseline-lstm": [True, False], "baseline-logreg": [False, False]}
