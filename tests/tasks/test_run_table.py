"""The task `table`: what it refuses, what it makes of a table, and whom no shared file names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipelines.tasks.table import Table
from privaudit.cli import main
from privaudit.contracts import Prepared
from privaudit.engine.rare_names import join_rare_names
from privaudit.errors import PrivauditError
from privaudit.facts import ReasonCode
from privaudit.inputs.check_copies import has_twins
from privaudit.inputs.check_public import find_unchecked
from privaudit.inputs.infer_schema import round_bounds
from privaudit.inputs.schema import format_schema, read_schema
from privaudit.records import Column, Records
from privaudit.words import Words

SITE, LEVEL, OUTCOME = "Clinic Smith", "zebra loan", "unicorn ending"
"""A site of 7 people, a level that 4 have, and an outcome that 5 have."""

COLUMNS = """
[[column]]
name = "age"
bounds = [18, 100]
integer = true

[[column]]
name = "income"
bounds = [0, 250]

[[column]]
name = "owns"
kind = "category"
levels = ["rent", "own", "free", "zebra loan", "boat"]
sensitive = true
"""

WORDS = """
[words]
person = "customer"
people = "customers"
site = "branch"
sites = "branches"
"""


def make_table(path: Path, people: int = 420, rows: int = 1, seed: int = 3) -> Path:
    """A bank's table: who repays hangs on age and income; `people` customers of `rows` rows."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), rows)
    n = len(who)
    age = rng.integers(20, 80, n)
    income = np.round(rng.gamma(4, 10, n), 1)
    risk = (income - 40) / 12 + (age - 50) / 20 + rng.logistic(size=n)
    outcome = np.where(risk > 0.8, "repaid", np.where(risk > -0.8, "late", "lost")).astype(object)
    owns = rng.choice(["rent", "own", "free"], n).astype(object)
    place = rng.choice(["north", "south", "east"], people)[who].astype(object)
    place[who < 7], owns[(who > 9) & (who < 14)] = SITE, LEVEL
    outcome[(who > 19) & (who < 25)] = OUTCOME
    income[::50] = np.nan
    frame = pl.DataFrame(
        {
            "customer": [f"k{one}" for one in who],
            "age": age,
            "income": pl.Series(income).fill_nan(None),
            "owns": owns.tolist(),
            "place": place.tolist(),
            "ending": outcome.tolist(),
        }
    )
    frame.write_csv(path)
    return path


def make_schema(path: Path, head: str = "", words: str = WORDS) -> Path:
    roles = f"""
[table]
outcome = "ending"
classes = ["lost", "late", "repaid", "{OUTCOME}"]
patient = "customer"
site = "place"
groups = ["owns"]
"""
    path.write_text((head or roles) + COLUMNS + words)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return make_table(tmp_path / "t.csv")


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    return make_schema(tmp_path / "s.toml")


def prepare(data: Path | None, **settings: object) -> Prepared:
    made = Table(**settings)  # type: ignore[arg-type]
    return made.prepare(data, Path(), lambda what, share: None)


Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """A function that calls the command line and gives the exit code and both outputs."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


# --- what is refused


def test_without_a_schema_the_command_that_proposes_one_is_named(table: Path, ask: Ask) -> None:
    code, out, err = ask("run", "table", "--data", table)
    assert code == 2
    assert not out
    assert "privaudit schema TABLE" in err
    assert "Traceback" not in err


def test_without_data_and_with_a_folder(schema: Path, tmp_path: Path) -> None:
    for data, what in ((None, "without --data"), (tmp_path, "a folder")):
        with pytest.raises(PrivauditError, match=what):
            prepare(data, schema=str(schema))


@pytest.mark.parametrize(
    ("roles", "what"),
    [
        ('outcome = "ending"\nclasses = ["late", "lost"]', "who the person is"),
        ('patient = "customer"', "without an outcome"),
        ('outcome = "income"\noutcome_kind = "number"\npatient = "customer"', "is a number"),
    ],
)
def test_what_the_schema_leaves_open_is_refused(
    table: Path, tmp_path: Path, roles: str, what: str
) -> None:
    text = COLUMNS.replace('name = "income"\nbounds', 'name = "wage"\nbounds')
    path = tmp_path / "open.toml"
    path.write_text(f"[table]\n{roles}\n{text}")
    with pytest.raises(PrivauditError, match=what):
        prepare(table, schema=str(path))


def test_each_row_is_a_person_only_where_nobody_has_two(tmp_path: Path, schema: Path) -> None:
    schema.write_text(
        schema.read_text().replace('patient = "customer"', 'patient = ""'), encoding="utf-8"
    )
    once = make_table(tmp_path / "once.csv")
    pl.read_csv(once).rename({"customer": "patient_id"}).write_csv(once)
    assert len(np.unique(prepare(once, schema=str(schema)).records.patient)) == 420
    twice = make_table(tmp_path / "twice.csv", people=210, rows=2)
    pl.read_csv(twice).rename({"customer": "patient_id"}).write_csv(twice)
    with pytest.raises(PrivauditError, match="several rows"):
        prepare(twice, schema=str(schema))


def test_too_few_people_and_one_outcome_are_refused(tmp_path: Path, schema: Path) -> None:
    few = make_table(tmp_path / "few.csv", people=30, rows=20)
    with pytest.raises(PrivauditError, match="a table of 30 people"):
        prepare(few, schema=str(schema))
    alike = make_table(tmp_path / "alike.csv")
    pl.read_csv(alike).with_columns(pl.lit("late").alias("ending")).write_csv(alike)
    with pytest.raises(PrivauditError, match="everybody has one outcome"):
        prepare(alike, schema=str(schema))


def test_a_role_that_the_schema_gives_to_another_column_is_refused(
    table: Path, schema: Path
) -> None:
    with pytest.raises(PrivauditError, match="leave the setting out"):
        prepare(table, schema=str(schema), target="owns")


def test_a_word_that_is_no_noun_is_refused(schema: Path) -> None:
    schema.write_text(schema.read_text().replace('"customer"\npeople', '"Jane Doe 7"\npeople'))
    with pytest.raises(PrivauditError, match="the word for 'person'"):
        read_schema(schema)


# --- what is read


def test_a_table_becomes_records_of_people_at_sites(table: Path, schema: Path) -> None:
    made = prepare(table, schema=str(schema))
    records = made.records
    assert made.real
    assert made.words == Words("customer", "customers", "branch", "branches")
    assert [column.name for column in records.columns] == ["age", "income", "owns"]
    assert set(records.sites) == {"north", "south", "east", SITE}
    assert join_rare_names(made).records.sites == ("east", "north", "south", "(other)")
    # The fourth class has five people, of whom its name would tell.
    assert records.classes == ("lost", "late", "repaid", "class 3")
    assert np.isnan(records.X[:, 1]).sum() == 9
    assert made.patients is not None
    assert len(made.patients) == 420


def test_people_and_not_rows_are_counted(tmp_path: Path, schema: Path) -> None:
    made = prepare(make_table(tmp_path / "rows.csv", people=100, rows=3), schema=str(schema))
    assert len(made.records) == 300
    assert len(np.unique(made.records.patient)) == 100
    assert made.flow[-1].patients == 100
    drawn = prepare(
        make_table(tmp_path / "more.csv", people=400, rows=3), schema=str(schema), sample=300
    )
    ids, rows = np.unique(drawn.records.patient, return_counts=True)
    assert len(ids) <= 100
    assert (rows == 3).all()
    assert any("sample" in str(note) for note in drawn.notes)


def test_rows_without_a_site_are_a_site_of_their_own(table: Path, schema: Path) -> None:
    frame = pl.read_csv(table)
    gone = pl.when(pl.int_range(pl.len()) % 4 == 1).then(None).otherwise(pl.col("place"))
    frame.with_columns(gone.alias("place")).write_csv(table)
    made = prepare(table, schema=str(schema))
    assert "not recorded" in made.records.sites


def test_a_column_that_was_never_recorded_is_told(table: Path, schema: Path) -> None:
    pl.read_csv(table).with_columns(pl.lit(None).alias("income")).write_csv(table)
    made = prepare(table, schema=str(schema))
    assert np.isnan(made.records.X[:, 1]).all()
    assert "Never recorded in these rows: income." in made.notes


def test_settings_name_what_the_schema_does_not(table: Path, tmp_path: Path) -> None:
    head = '[table]\noutcome = ""\n'
    path = make_schema(tmp_path / "bare.toml", head, words="")
    with pytest.raises(PrivauditError, match="without an outcome"):
        prepare(table, schema=str(path))
    full = path.read_text().replace('outcome = ""', 'classes = ["lost", "late"]\noutcome = ""')
    path.write_text(full)
    with pytest.raises(PrivauditError):
        prepare(table, schema=str(path), target="ending")


def test_site_and_words_survive_writing(schema: Path) -> None:
    read = read_schema(schema)
    again = schema.with_name("again.toml")
    again.write_text(format_schema(read))
    assert read_schema(again) == read
    assert read.site == "place"


# --- guarantees


def test_no_epsilon_is_claimed_of_what_was_read_off_the_table(
    table: Path, schema: Path, ask: Ask
) -> None:
    # The classes are those that would be read off the table, whatever the schema marks.
    alike = prepare(table, schema=str(schema)).unguaranteed
    assert alike is not None
    assert alike.params == {"columns": ("ending",)}
    assert prepare(table, schema=str(schema), checked=("ending",)).unguaranteed is None
    frame = pl.read_csv(table)
    frame.filter(pl.col("ending") != OUTCOME).write_csv(table)
    code, out, err = ask("schema", table, "--outcome", "ending", "--patient", "customer")
    assert code == 0, err
    proposed = schema.with_name("proposed.toml")
    proposed.write_text(out)
    why = prepare(table, schema=str(proposed)).unguaranteed
    assert why is not None
    assert why.code is ReasonCode.SCHEMA_NOT_CHECKED
    assert "income" in why.params["columns"]  # type: ignore[operator]


def test_a_private_method_alone_is_refused_and_beside_others_left_out(
    table: Path, schema: Path, tmp_path: Path, ask: Ask
) -> None:
    text = schema.read_text().replace(
        "bounds = [0, 250]", 'bounds = [0, 250]\nguessed = ["bounds"]'
    )
    schema.write_text(text)
    asked = ["table", "--data", table, "--schema", schema, "--profile", "smoke", "--jobs", "1"]
    asked += ["--out", tmp_path / "runs", "--methods", "synthetic", "--attacks", "copies"]
    code, out, err = ask("run", *asked, "--generators", "dp_histogram")
    assert code == 2
    assert not out
    assert "income" in err
    assert "--checked" in err
    code, out, err = ask("run", *asked, "--generators", "dp_histogram,marginals", "--json")
    assert code in (0, 3), err
    assert "synthetic-dp_histogram: skipped (the schema is not checked)" in err
    assert "failed" not in err
    folder = next((tmp_path / "runs").glob("2*"))
    shown = json.loads((folder / "shareable" / "audit.json").read_text())
    (left,) = shown["untrained"]
    assert left["name"] == "synthetic-dp_histogram"
    assert left["reason"]["code"] == "schema_not_checked"
    assert not left["failed"]
    assert [one["claim"]["epsilon"] for one in shown["subjects"]] == [None]
    report = (folder / "shareable" / "report.md").read_text()
    assert "synthetic-dp_histogram" in report
    assert "may have been read off the table" in report


def test_the_plan_tells_what_would_be_left_out(
    table: Path, schema: Path, tmp_path: Path, ask: Ask
) -> None:
    text = schema.read_text().replace(
        "bounds = [0, 250]", 'bounds = [0, 250]\nguessed = ["bounds"]'
    )
    schema.write_text(text)
    code, out, err = ask(
        *("plan", "table", "--data", table, "--schema", schema, "--profile", "smoke"),
        *("--methods", "synthetic", "--generators", "dp_histogram,marginals", "--json"),
        *("--out", tmp_path / "runs", "--attacks", "copies", "--jobs", "1"),
    )
    assert code == 0, err
    answer = json.loads(out)
    assert answer["left_out"] == ["synthetic-dp_histogram"]
    assert [one["name"] for one in answer["subjects"]] == ["synthetic-marginals"]
    assert answer["seconds_expected"] > 0


def test_bounds_are_never_widened_by_the_data_that_a_guarantee_covers(
    table: Path, schema: Path
) -> None:
    narrow = 'bounds = [0, 60]\nguessed = ["bounds"]'
    schema.write_text(schema.read_text().replace("bounds = [0, 250]", narrow))
    (bounds,) = (c.bounds for c in prepare(table, schema=str(schema)).records.columns[1:2])
    assert bounds is not None
    assert bounds[1] > 60
    with pytest.raises(PrivauditError, match="income"):
        prepare(table, schema=str(schema), checked=("all",))


# --- whom no shared file names


def test_no_file_that_may_leave_names_a_few(
    table: Path, schema: Path, tmp_path: Path, ask: Ask
) -> None:
    out = tmp_path / "runs"
    code, printed, err = ask(
        *("run", "table", "--data", table, "--schema", schema, "--profile", "smoke"),
        *("--methods", "baseline,federated,local_only,split_learning,synthetic"),
        *("--learners", "logreg", "--generators", "marginals", "--jobs", "1", "--out", out),
        *("--attacks", "threshold,attribute,copies,stored_records,leaf_facts,label_leakage"),
    )
    assert code in (0, 3), err
    texts = {"stdout": printed, "stderr": err}
    for path in out.rglob("*"):
        if path.is_file() and "restricted" not in path.parts:
            texts[str(path)] = path.read_bytes().decode("utf-8", "ignore")
    assert any(name.endswith("report.html") for name in texts)
    for name, text in texts.items():
        for secret in (SITE, LEVEL, OUTCOME, str(schema), str(table)):
            assert secret not in text, (secret, name)
    shown = json.loads((out / "latest" / "shareable" / "audit.json").read_text())
    assert shown["data"]["title"] == "ending"
    assert "--schema FILE" in shown["manifest"]["command"]
    assert [one for one in shown["subjects"] if one["utility_everybody"]]


# --- what of a schema was read off the table


def test_one_bound_put_in_does_not_make_the_other_public(table: Path, schema: Path) -> None:
    income = pl.read_csv(table)["income"].drop_nulls()
    given = schema.read_text()

    def find(bounds: str, levels: str = '"rent", "own", "free", "zebra loan", "boat"') -> bool:
        text = given.replace("[0, 250]", bounds)
        schema.write_text(text.replace('"rent", "own", "free", "zebra loan", "boat"', levels))
        unchecked = find_unchecked(read_schema(schema), table, ("ending",))
        assert set(unchecked) <= {"income", "owns"}
        return bool(unchecked)

    assert not find("[0, 250]")
    assert not find("[0, 1000]")
    # The one who earns most, and what would be proposed, both ends or one of them.
    for bound in (float(income.max()), round_bounds(0, float(income.max()))[1]):
        assert find(f"[0, {bound}]")
        assert find(f"[-5, {bound}]")
    assert find(f"[{income.min()}, 250]")
    # Levels of which each occurs, whatever was put together.
    assert find("[0, 250]", '"rent", "own", "free", "zebra loan"')
    assert find("[0, 250]", '"rent", "own", "(other)"')


# --- people who stand in the table under two names


def twice(path: Path, share: float) -> Path:
    """The table with a share of its people a second time, under another name."""
    one = pl.read_csv(make_table(path, people=600))
    other = ("x" + pl.col("customer")).alias("customer")
    again = one.head(int(share * len(one))).with_columns(other)
    pl.concat([one, again]).write_csv(path)
    return path


def test_people_under_two_names_are_refused_unless_they_are_said_to_be_different(
    tmp_path: Path, schema: Path
) -> None:
    path = twice(tmp_path / "t.csv", 0.5)
    with pytest.raises(PrivauditError, match="equal in every column") as caught:
        prepare(path, schema=str(schema))
    assert not any(letter.isdigit() for letter in str(caught.value))
    made = prepare(path, schema=str(schema), equal_rows=True)
    assert made.flow[-1].patients == 900


def test_people_who_are_alike_by_chance_are_no_twins(tmp_path: Path, schema: Path) -> None:
    prepare(twice(tmp_path / "t.csv", 0.0), schema=str(schema))
    rng = np.random.default_rng(4)
    for levels in (2, 5, 40):
        common = rng.dirichlet(np.full(levels, 0.4), size=3)
        X = np.column_stack([rng.choice(levels, 900, p=shares) for shares in common])
        assert not has_twins(of_columns(X))
    X = rng.normal(size=(300, 3))
    # Three names each; and of a person's several rows each stands twice.
    assert has_twins(of_columns(np.repeat(X, 3, axis=0)))
    assert has_twins(of_columns(np.vstack([X, X]), np.repeat(np.arange(200), 3)))
    assert not has_twins(of_columns(np.vstack([X, X]), np.tile(np.arange(300), 2)))


def of_columns(X: np.ndarray, patient: np.ndarray | None = None) -> Records:
    """Records of these numbers, each a person of its own unless said."""
    n = len(X)
    columns = tuple(Column(f"c{i}") for i in range(X.shape[1]))
    who = np.arange(n) if patient is None else patient
    nothing = np.zeros(n, dtype=np.int64)
    return Records(columns, X.astype(np.float64), nothing, who, nothing)
