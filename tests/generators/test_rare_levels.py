"""What one patient alone has is in no schema, table, stored generator or line that is printed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.schema import OTHER, read_schema, write_schema
from privaudit.records import Column

RARE = "Zorblax"
Change = Callable[[pd.DataFrame], pd.DataFrame]


def frame(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i:05d}" for i in range(n)],
            "age": rng.integers(40, 80, n),
            "marker": rng.uniform(20, 90, n).round(1),
            "ward": rng.choice(["north", "south"], n),
            "smoker": rng.choice(["no", "yes"], n),
            "died": rng.choice(["no", "yes"], n, p=[0.8, 0.2]),
        }
    )


def put(column: str, value: object, rows: int = 1) -> Change:
    """The first so many rows hold this value in the column."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        cells = table[column].astype(object).to_numpy(copy=True)
        cells[:rows] = value
        return table.assign(**{column: cells})

    return change


def add(column: str, common: object, value: object = RARE, rows: int = 1) -> Change:
    """A column of one value, the first so many rows apart."""
    return lambda table: put(column, value, rows)(table.assign(**{column: common}))


def one_patient(change: Change, rows: int = 40) -> Change:
    """All of the rows that it changes are those of one patient."""

    def changed(table: pd.DataFrame) -> pd.DataFrame:
        table = change(table)
        return table.assign(patient_id=np.where(table.index < rows, "P0", table["patient_id"]))

    return changed


PLANTED: dict[str, Change] = {
    "one value and nothing else": add("flag", None),
    "one value beside another": add("flag", "plain"),
    "one level of three": put("ward", RARE),
    "nine levels of one patient each": put("ward", [f"{RARE}-{i}" for i in range(9)], 9),
    "forty rows of one patient": one_patient(put("ward", RARE, 40)),
    "nothing but rare levels": lambda t: t.assign(flag=[f"{RARE}-{i // 9}" for i in range(len(t))]),
    "a code among numbers": add("flag", "12", f"{RARE}7"),
    "a word for missing": one_patient(put("marker", RARE, 40)),
    "a date": add("flag", "never", "2151-03-07"),
    "a unit": add("marker_unit", "mg/l", RARE),
    "an identifier": add("case", "none", RARE),
}


def run(folder: Path, table: pd.DataFrame, *more: str) -> Result:
    table.to_csv(folder / "real.csv", index=False)
    return CliRunner().invoke(cli.app, [more[0], str(folder / "real.csv"), *more[1:]])


def read_all(folder: Path, *results: Result) -> str:
    """Everything that was written beside the real table, unpacked, and all that was printed."""
    found = [one.stdout + one.stderr for one in results]
    for path in folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                found += [archive.read(name).decode("latin1") for name in archive.namelist()]
        elif path.name != "real.csv":
            found.append(content.decode())
    return "\n".join(found)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("generator", ["copula", "medgan"])
def test_a_level_of_one_patient_is_nowhere(tmp_path: Path, planted: str, generator: str) -> None:
    table = PLANTED[planted](frame())
    asked = ("--outcome", "died", "--patient", "patient_id")
    quick = [f"--set=medgan.{key}=1" for key in ("epochs", "pretrain")]
    first = run(tmp_path, table, "schema", *asked, "--out", str(tmp_path / "s.toml"))
    assert first.exception is None
    second = run(
        tmp_path,
        table,
        *("synthesize", "--generator", generator, "--rows", "500", *asked),
        *("--out", str(tmp_path / "new.csv"), "--save", str(tmp_path / "new.zip")),
        *(quick if generator == "medgan" else ()),
    )
    if planted in ("a code among numbers", "a word for missing"):
        assert "column that can be read in several ways" in str(second.exception)
        assert RARE not in str(second.exception)
    else:
        assert second.exception is None, second.exception
    said = read_all(tmp_path, first, second).replace(str(tmp_path), "")
    assert RARE not in said
    assert "2151-03" not in said
    # No count under ten, and no exact one, of the real table.
    assert not re.search(r"\b[1-9] (rows|patients|cells)\b", said)
    assert str(len(table)) + " rows" not in said.replace("about 400 rows", "")


def test_what_is_put_together_singles_nobody_out(tmp_path: Path) -> None:
    """One rare level alone would be `(other)`: the next smallest joins it."""
    for rows, levels in ((1, ("south", OTHER)), (12, ("north", RARE, "south"))):
        table = put("ward", RARE, rows)(frame()).assign(extra="x")
        table.loc[table["ward"] == "north", "ward"] = [
            *["north"] * 100,
            *["south"] * (int((table["ward"] == "north").sum()) - 100),
        ]
        table.to_csv(tmp_path / "t.csv", index=False)
        proposed, _ = propose_schema(
            tmp_path / "t.csv", outcome="died", patient="patient_id", pooled=True
        )
        found = {column.name: column.levels for column in proposed.columns}
        assert set(found["ward"]) == set(levels)
        assert found["extra"] == ("x",)


@pytest.mark.parametrize("planted", ["no", "yes", "No", "FALSE", "off"])
def test_a_boolean_is_proposed_alike_with_and_without_the_one_patient(
    tmp_path: Path, planted: str
) -> None:
    pairs = {"no": "yes", "yes": "no", "No": "Yes", "FALSE": "TRUE", "off": "on"}
    schemas = []
    for change in (add("flag", planted, planted), add("flag", planted, pairs[planted])):
        change(frame()).to_csv(tmp_path / "t.csv", index=False)
        schemas.append(propose_schema(tmp_path / "t.csv", outcome="died", pooled=True)[0])
    assert schemas[0] == schemas[1]
    assert sorted(schemas[0].columns[-1].levels) == sorted([planted, pairs[planted]])
    # A letter may be anything: of two of them the rare one is not named.
    add("flag", "N", "Y")(frame()).to_csv(tmp_path / "t.csv", index=False)
    letter = propose_schema(tmp_path / "t.csv", outcome="died", pooled=True)[0].columns[-1]
    assert letter == Column("flag", "category", levels=(OTHER,))


@pytest.mark.parametrize(
    ("change", "bounds", "integer"),
    [
        (put("marker", 7777.7), (0, 100), False),
        (put("marker", [7000.0 + i for i in range(9)], 9), (0, 100), False),
        (one_patient(put("marker", [7000.0 + i for i in range(40)], 40)), (0, 100), False),
        (put("marker", [7000.0 + i for i in range(10)], 10), (0, 10_000), False),
        (put("marker", -512.5), (0, 100), False),
        (lambda t: put("marker", 41.5)(t.assign(marker=t["marker"].round())), (0, 100), True),
        (lambda t: put("marker", 7777.7)(t.assign(marker=None)), None, False),
    ],
)
def test_bounds_follow_what_ten_patients_reach(
    tmp_path: Path, change: Change, bounds: tuple[float, float] | None, integer: bool
) -> None:
    change(frame()).to_csv(tmp_path / "t.csv", index=False)
    proposed, _ = propose_schema(
        tmp_path / "t.csv", outcome="died", patient="patient_id", pooled=True
    )
    column = proposed.columns[proposed.names.index("marker")]
    assert (column.bounds, column.integer) == (bounds, integer)


@pytest.mark.parametrize("rows", [1, 30])
@pytest.mark.parametrize("patients", [1, 9])
def test_a_proposal_is_the_same_with_and_without_nine_patients(
    tmp_path: Path, rows: int, patients: int
) -> None:
    """Of all but the levels of a category, of which `(other)` may show that there are more."""
    table = frame().assign(
        bit=lambda t: t["age"] % 2, whole=lambda t: t["age"] * 3.0, same=4.5, only="no", none=None
    )
    own = {"age": 109.5, "marker": -7777.7, "bit": 2, "whole": 7777.7, "same": 9e9}
    own |= {"only": "yes", "smoker": "yes", "died": "no", "ward": "north"}
    more = pd.DataFrame([own] * (rows * patients))
    more["patient_id"] = [f"Q{i // rows}" for i in range(len(more))]
    schemas = []
    for one in (table, pd.concat([table, more])):
        one.to_csv(tmp_path / "t.csv", index=False)
        schemas.append(
            propose_schema(tmp_path / "t.csv", outcome="died", patient="patient_id", pooled=True)
        )
    assert schemas[0] == schemas[1]


def test_a_guess_of_an_older_schema_is_fitted_to_ten_patients(tmp_path: Path) -> None:
    table = put("marker", 7777.7)(add("flag", None)(frame()))
    table.to_csv(tmp_path / "real.csv", index=False)
    old, _ = propose_schema(tmp_path / "real.csv", outcome="died", patient="patient_id")
    assert old.columns[-1].levels == (RARE,)
    narrow = tuple(replace(c, bounds=(30, 60)) if c.name == "marker" else c for c in old.columns)
    write_schema(replace(old, columns=narrow), tmp_path / "old.toml")
    out = tmp_path / "out"
    out.mkdir()
    asked = ("--schema", str(tmp_path / "old.toml"), "--generator", "copula", "--rows", "2000")
    files = ("--out", str(out / "new.csv"), "--save", str(out / "new.zip"))
    found = run(tmp_path, table, "synthesize", *asked, *files)
    assert found.exception is None
    assert RARE not in read_all(out, found)
    made = pd.read_csv(out / "new.csv")["marker"]
    assert 80 < made.max() <= 100
    # What a person checked stays: nothing is drawn beyond it, and a value beyond it is refused.
    write_schema(replace(old, columns=narrow, guessed={}), tmp_path / "old.toml")
    found = run(tmp_path, table, "synthesize", *asked, *files)
    assert isinstance(found.exception, PrivauditError)
    assert "marker" in found.exception.what


@pytest.mark.parametrize("command", ["schema", "synthesize"])
def test_an_outcome_of_a_few_patients_is_refused_and_not_named(
    tmp_path: Path, command: str
) -> None:
    more = ("--generator", "copula", "--rows", "9") if command == "synthesize" else ()
    asked = (*more, "--outcome", "died", "--out", str(tmp_path / "x.csv"))
    for change in (put("died", RARE), one_patient(put("died", RARE, 40))):
        found = run(tmp_path, change(frame()), command, *asked)
        assert isinstance(found.exception, PrivauditError)
        assert "1 classes of fewer than 10 patients" in found.exception.what
        assert RARE not in str(found.exception) + found.output
        assert not (tmp_path / "x.csv").exists()


def test_a_schema_of_ones_own_names_classes_but_draws_from_none_of_a_few(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    own, _ = propose_schema(tmp_path / "t.csv", outcome="died", patient="patient_id")
    write_schema(replace(own, classes=("no", "yes", "moved")), tmp_path / "s.toml")
    asked = ("--schema", str(tmp_path / "s.toml"), "--rows", "60", "--out", str(tmp_path / "x.csv"))
    found = run(
        tmp_path, put("died", "moved")(frame()), "synthesize", "--generator", "copula", *asked
    )
    assert isinstance(found.exception, PrivauditError)
    assert "fewer than 10 patients" in found.exception.what
    private = (*asked, "--generator", "dp_histogram", "--checked", "all")
    table = put("died", "moved")(frame())
    assert run(tmp_path, table, "synthesize", *private).exception is None


def test_levels_are_those_of_columns_and_not_of_sites_or_groups(tmp_path: Path) -> None:
    """A stored generator knows nothing of where a patient lay beside its columns."""
    from pipelines.generators.copula import Copula
    from pipelines.generators.medgan import MedGAN
    from privaudit.inputs.read_table import read_table

    frame().to_csv(tmp_path / "t.csv", index=False)
    write_schema(propose_schema(tmp_path / "t.csv", outcome="died")[0], tmp_path / "s.toml")
    records = read_table(tmp_path / "t.csv", read_schema(tmp_path / "s.toml"))
    site = np.zeros(len(records), dtype=int)
    site[0] = 1
    group = np.where(site == 1, RARE, "usual")
    named = replace(records, site=site, sites=("usual", RARE), groups={"unit": group})
    for generator in (Copula(), MedGAN(epochs=1, pretrain=1)):
        file = generator.fit(named, np.random.default_rng(0)).save()
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            assert all(RARE.encode() not in archive.read(name) for name in archive.namelist())
