"""A schema proposed from a table, and stored as TOML."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.inputs.fit_guesses import fit_guesses
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import OTHER, TableSchema, format_schema, read_schema, write_schema
from privaudit.records import Column

CANARY = "Zebediah"


def ward(path: Path, rows: int = 300) -> Path:
    rng = np.random.default_rng(0)
    lines = [
        "subject_id,Name,e-mail,admit,zip,age,sex,insurance,lactate_min,lactate_max,smoker,note,city,died"
    ]
    for i in range(rows):
        lactate = rng.gamma(2.0)
        lines.append(
            f"{1000 + i // 2},{CANARY} {i},p{i}@x.org,2020-01-{i % 28 + 1:02d},{10000 + i},"
            f"{rng.integers(18, 95)},{'M' if i % 3 else 'F'},{'Public' if i > 3 else 'Rare plan'},"
            f"{lactate:.2f},{'NA' if i % 7 == 0 else f'{lactate + 1:.2f}'},"
            f"{'yes' if i % 2 else 'no'},"
            f'"{CANARY} came in, with words that nobody else has written number {i}",'
            f"{'A' if i % 2 else 'B'},{i % 5 == 0:d}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def test_proposal_names_roles_kinds_and_identifiers(tmp_path: Path) -> None:
    proposed, notes = propose_schema(ward(tmp_path / "t.csv"), outcome="died")
    columns = {c.name: c for c in proposed.columns}
    assert proposed.patient == "subject_id"
    assert proposed.classes == ("0", "1")
    assert set(proposed.ignored) == {"Name", "e-mail", "admit", "zip", "note"}
    assert columns["age"] == Column(
        "age", "numeric", (0.0, 120.0), integer=True, sensitive=True, mutable=False
    )
    assert columns["sex"].levels == ("F", "M")
    assert columns["sex"].sensitive
    assert not columns["sex"].mutable
    assert columns["insurance"].levels == ("Public", OTHER)
    assert columns["smoker"].kind == "binary"
    assert columns["smoker"].levels == ("no", "yes")
    assert (columns["lactate_max"].variable, columns["lactate_max"].statistic) == ("lactate", "max")
    told = "\n".join(notes)
    for said in ("a name", "e-mail", "a date", "geographic", "above 89"):
        assert said in told
    assert CANARY not in told
    assert "Rare plan" not in told


def test_toml_round_trip(tmp_path: Path) -> None:
    kept = TableSchema(
        (
            Column('a "quoted"', "numeric", (-0.5, 1e6), integer=True, at_most="b", unit="µmol/l"),
            Column("b", "category", levels=("x", "\\ü", OTHER), sensitive=True, mutable=False),
            Column("lab_min", variable="lab", statistic="min"),
        ),
        outcome="died",
        classes=("no", "yes"),
        patient="id",
        groups=("b",),
        ignored=("note",),
    )
    write_schema(kept, tmp_path / "s.toml", notes=["look"])
    assert read_schema(tmp_path / "s.toml") == kept
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[table", "cannot be read"),
        ("[table]\noutcome = 3\n[[column]]\nname = 'a'", "outcome"),
        ("[tabel]\n", "did you mean 'table'"),
        ("[[column]]\nname = 'a'\nkind = 'number'", "kind"),
        ("[[column]]\nname = 'a'\nkind = 'category'", "lists its levels"),
        ("[[column]]\nname = 'a'\nbounds = [3, 1]", "bounds"),
        ("[[column]]\nname = 'a'\nbounds = [nan, 1]", "bounds"),
        ("[[column]]\nname = 'a'\nlevel = ['x']", "did you mean 'levels'"),
        ("[[column]]\nname = 'a'\n[[column]]\nname = 'a'", "twice"),
        ("[table]\noutcome = 'a'\nclasses = ['0', '1']\n[[column]]\nname = 'a'", "also a feature"),
        ("[table]\noutcome = 'b'\n[[column]]\nname = 'a'", "0 classes"),
        ("[table]\n", "without feature columns"),
    ],
)
def test_bad_schema_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(PrivauditError) as caught:
        read_schema(tmp_path / "s.toml")
    assert said in str(caught.value)


def test_targets_that_are_none(tmp_path: Path) -> None:
    table = ward(tmp_path / "t.csv")
    with pytest.raises(PrivauditError, match="different values"):
        propose_schema(table, outcome="age")
    with pytest.raises(PrivauditError, match="did you mean 'died'"):
        propose_schema(table, outcome="dead")
    table.write_text("x,y\n1,1\n2,1\n")
    with pytest.raises(PrivauditError, match="1 different values"):
        propose_schema(table, outcome="y")


def test_several_files_share_a_schema(tmp_path: Path) -> None:
    for name, level in (("a", "x"), ("b", "y")):
        rows = "\n".join(f"{level},{i % 2}" for i in range(40))
        (tmp_path / f"{name}.csv").write_text(f"kind,died\n{rows}\n")
    proposed, _ = propose_schema([tmp_path / "a.csv", tmp_path / "b.csv"], outcome="died")
    assert proposed.columns[0].levels == ("x", "y")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ward(tmp_path / "t.csv")
    assert (
        cli.main(["schema", str(table), "--outcome", "died", "--out", str(tmp_path / "s.toml")])
        == 0
    )
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "s.toml")
    assert "check:" in err
    assert read_schema(tmp_path / "s.toml").outcome == "died"
    assert cli.main(["schema", str(table), "--outcome", "died", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"]["patient"] == "subject_id"
    assert cli.main(["schema", str(tmp_path / "absent.csv")]) == 2
    assert str(tmp_path) not in capsys.readouterr().err


def test_the_outcome_has_a_second_spelling_that_help_does_not_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ward(tmp_path / "t.csv")
    assert cli.main(["schema", str(table), "--target", "died", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"]["outcome"] == "died"
    for command in ("schema", "audit", "audit-table", "synthesize"):
        cli.main([command, "--help"])
        shown = capsys.readouterr().out
        assert "--outcome COLUMN" in shown
        assert "--target" not in shown


def test_json_schema_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", "--json-schema"]) == 0
    tree = json.loads(capsys.readouterr().out)
    column = tree["properties"]["column"]["items"]
    assert column["required"] == ["name"]
    assert column["properties"]["kind"] == {"enum": ["numeric", "binary", "category"]}
    assert column["properties"]["bounds"]["minItems"] == 2
    assert not column["additionalProperties"]
    assert set(tree["properties"]["table"]["properties"]) == {
        *("outcome", "classes", "patient", "groups", "ignored", "outcome_kind", "event"),
        "ordered",
        "site",
        *("guessed", "missing", "decimal", "thousands", "censored"),
    }
    assert cli.main(["schema"]) == 2


def test_a_frame_is_read_as_its_file_is(tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl

    path = ward(tmp_path / "t.csv")
    frame = pd.read_csv(path)
    proposed, _ = propose_schema(path, outcome="died")
    of_file = read_table(path, proposed)
    assert propose_schema(frame, outcome="died")[0] == proposed
    assert read_table(frame, proposed).fingerprint == of_file.fingerprint
    assert read_table(pl.read_csv(path), proposed).fingerprint == of_file.fingerprint
    frame.loc[3, "subject_id"] = None
    with pytest.raises(PrivauditError, match="have no patient"):
        read_table(frame, proposed)
    with pytest.raises(PrivauditError, match="twice: 'age'"):
        propose_schema(frame.rename(columns={"sex": "age"}))
    with pytest.raises(PrivauditError, match="lists or structures"):
        propose_schema(pl.DataFrame({"a": [[1], [2]]}))


def test_a_schema_file_may_call_the_outcome_target(tmp_path: Path) -> None:
    text = '[table]\nclasses = ["0", "1"]\n{}\n[[column]]\nname = "a"\nkind = "numeric"\n'
    file = tmp_path / "schema.toml"
    file.write_text(text.format('target = "died"'))
    assert read_schema(file).outcome == "died"
    file.write_text(text.format('target = "died"\noutcome = "died"'))
    with pytest.raises(PrivauditError, match="target"):
        read_schema(file)


def table(path: Path, cells: list[str], separator: str = ",", name: str = "x") -> Path:
    """A table of this column, an unremarkable one and an outcome."""
    lines = [separator.join((name, "z", "died"))]
    lines += [separator.join((cell, f"{i % 7}.5", str(i % 2))) for i, cell in enumerate(cells)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LAB = [f"{i % 61 + 0.25:.2f}" for i in range(200)]


def every(step: int, mark: str) -> list[str]:
    """The laboratory values, each of so many one in other words."""
    return [mark.format(x) if i % step == 0 else x for i, x in enumerate(LAB)]


@pytest.mark.parametrize(
    ("cells", "said", "keys"),
    [
        (every(9, "> {}"), "bounds such as", {"censored": "bound"}),
        (every(9, "<{}"), "bounds such as", {"censored": "bound"}),
        (every(9, "≥ {}"), "bounds such as", {"censored": "bound"}),
        (every(9, "{}+"), "bounds such as", {"censored": "bound"}),
        (every(1, "{}%"), "a text after", {"suffix": "%"}),
        (every(1, "{} mmol/l"), "a text after", {"suffix": "mmol/l"}),
        (every(9, "pending"), "words", {"missing": ("pending",)}),
        ([f'"{i},{i:03d}"' for i in range(1, 200)], "thousands", {"thousands": ","}),
        ([f"{i} {i:03d}" for i in range(1, 200)], "thousands", {"thousands": " "}),
        ([f'"{x}"'.replace(".", ",") for x in LAB], "decimal commas", {"decimal": ","}),
    ],
)
def test_numbers_with_marks_are_asked_about_and_never_categories(
    tmp_path: Path, cells: list[str], said: str, keys: dict[str, object]
) -> None:
    path = table(tmp_path / "t.csv", cells)
    with pytest.raises(PrivauditError) as caught:
        propose_schema(path, outcome="died")
    assert said in caught.value.what
    assert "'x'" in caught.value.what
    proposed, notes = propose_schema(path, outcome="died", unclear="propose")
    assert proposed.columns[0].kind == "numeric"
    assert any(said in note for note in notes)
    spelling = proposed.get_spelling("x")
    assert {key: getattr(spelling, key) for key in keys} == keys
    write_schema(proposed, tmp_path / "s.toml", notes)
    assert read_schema(tmp_path / "s.toml") == proposed
    values = read_table(path, proposed).X[:, 0]
    assert np.isnan(values).sum() == cells.count("pending")


@pytest.mark.parametrize("cells", [every(9, "{}-"), every(9, "({})"), every(1, "${}")])
def test_marks_that_no_key_explains_are_refused_until_they_are_corrected(
    tmp_path: Path, cells: list[str]
) -> None:
    path = table(tmp_path / "t.csv", cells)
    proposed, _ = propose_schema(path, outcome="died", unclear="propose")
    with pytest.raises(PrivauditError, match="are no number"):
        read_table(path, proposed)


def test_all_columns_in_question_and_all_faults_stand_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{'>' if i % 9 else ''}{i};{i},5;{i}%;{i % 2}" for i in range(100)]
    path.write_text("a;b;c;died\n" + "\n".join(lines) + "\n")
    with pytest.raises(PrivauditError) as caught:
        propose_schema(path, outcome="died")
    assert all(f"'{name}'" in caught.value.what for name in "abc")
    strict = TableSchema(
        tuple(Column(name, bounds=(0.0, 10.0)) for name in "abc"), "died", ("0", "1")
    )
    with pytest.raises(PrivauditError) as caught:
        read_table(path, strict)
    assert all(f"'{name}'" in caught.value.what for name in "abc")
    assert "outside the bounds" in caught.value.what
    assert "decimal commas" in caught.value.what


def test_words_for_missing_are_counted_and_read_alike(tmp_path: Path) -> None:
    read = []
    for word in ("", "NULL", "\\N", "#NULL!", "n/a", "#N/A", "NaN", "<NA>", "None", "-", "."):
        path = table(tmp_path / "t.csv", every(5, word))
        proposed, notes = propose_schema(path, outcome="died")
        read.append(read_table(path, proposed))
        if word not in ("", "None", "-"):
            assert any("'x' (40 cells)" in note for note in notes), word
    assert len({one.fingerprint for one in read}) == 1
    _, notes = propose_schema(table(tmp_path / "t.csv", every(50, "NULL")), outcome="died")
    assert any("'x' (fewer than 10 cells)" in note for note in notes)


def test_a_sentinel_is_missing_where_the_schema_says_so(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", every(5, "-999.0"))
    for place in ("[table]", "[[column]]"):
        key = 'missing = ["-999"]\n'
        text = '[table]\noutcome = "died"\nclasses = ["0", "1"]\n{}[[column]]\nname = "x"\n{}'
        given = (key, "") if place == "[table]" else ("", key)
        (tmp_path / "s.toml").write_text(text.format(*given))
        found = read_table(path, read_schema(tmp_path / "s.toml")).X[:, 0]
        assert np.isnan(found).sum() == 40
        assert np.nanmin(found) > 0


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["007", "12", "030"], ("007", "030", "12")),
        (["18_44", "45_64", "65_79"], ("18_44", "45_64", "65_79")),
        (["0_1", "1_3"], ("0_1", "1_3")),
        (["5E1", "100", "2E3"], ("100", "2E3", "5E1")),
        (["038.9", "486", "0010"], ("0010", "038.9", "486")),
        (["infinity", "high"], ("high", "infinity")),
        (["<18", "18-44", "45+"], ("18-44", "45+", "<18")),
        (["b", "A", "_", "a"], ("A", "_", "a", "b")),
    ],
)
def test_codes_are_categories_sorted_as_texts(
    tmp_path: Path, cells: list[str], said: tuple[str, ...]
) -> None:
    path = table(tmp_path / "t.csv", cells * 40)
    if "A" in cells:
        path.write_text(path.read_text().replace("A,", "B,"))
        said = ("B", "_", "a", "b")
        with pytest.raises(PrivauditError, match="differ by case"):
            propose_schema(path, outcome="died")
    proposed, _ = propose_schema(path, outcome="died", unclear="propose")
    assert proposed.columns[0].levels == said
    codes = read_table(path, proposed).X[:, 0]
    names = [said[int(code)] for code in codes[: len(cells)]]
    assert names == [cell.replace("A", "B") for cell in cells]


DATES = (
    *("01-FEB-2102", "01FEB2150", "01FEB2150:12:30:00", "1. Januar 2150", "Jan 1, 2150"),
    *("1/31/2150", "31/1/50", "31.01.2150 12:30", "2150-01-31T12:30:00+02:00", "15 août 2150"),
    *("1 de enero de 2150", "26-OKT-2101", "Monday, February 1, 2102", "Feb 2150", "2150-01"),
    *("2150-01-01 - 2150-02-01", "3-Jan", "21500101T120000", "2150年1月3日", "150131", "2015031"),
    *("20150131", "31012015", "20150131123000", "2150Q1", "Mon Jan 31 12:30:00 UTC 2150"),
)


@pytest.mark.parametrize("date", DATES)
def test_dates_in_every_dress_are_left_aside_and_never_printed(tmp_path: Path, date: str) -> None:
    path = table(tmp_path / "t.csv", [f'"{date}"'] * 190 + ["unknown", ""] * 5)
    if date.isdigit():
        path = table(tmp_path / "t.csv", [date] * 200)
    proposed, notes = propose_schema(path, outcome="died")
    assert proposed.ignored == ("x",)
    assert any("a date" in note for note in notes)
    assert date not in format_schema(proposed, notes)
    if not date.isdigit():
        with pytest.raises(PrivauditError) as caught:
            propose_schema(path, outcome="died", always=("x",))
        assert date not in str(caught.value)


def test_a_date_among_levels_and_numbers_among_dates(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", ["2150-01-01", *"abcdefg"] * 20)
    for list_rare in (False, True):
        proposed, notes = propose_schema(path, outcome="died", list_rare=list_rare)
        assert proposed.columns[0].levels == (*"abcdefg", OTHER)
        assert "2150" not in format_schema(proposed, notes)
    days = [str(20150101 + 100 * (i % 12) + i % 28) if i % 9 else "99999999" for i in range(300)]
    assert propose_schema(table(tmp_path / "t.csv", days), outcome="died")[0].ignored == ("x",)


def test_guesses_are_widened_by_other_tables_and_checked_values_are_not(tmp_path: Path) -> None:
    first, other = tmp_path / "a.csv", tmp_path / "b.csv"
    whole = "\n".join(f"{i % 90},{i % 2},{i % 2}" for i in range(100))
    first.write_text(f"x,flag,died\n{whole}\n")
    other.write_text(f"x,flag,died\n{whole}\n150.5,2,1\n")
    proposed, _ = propose_schema(first, outcome="died")
    assert proposed.guessed == {
        **{"x": ("bounds", "integer"), "flag": ("kind",)},
        **{"died": ("classes",)},
    }
    fitted, notes = fit_guesses(proposed, [first, other])
    assert fitted.columns == (
        Column("x", bounds=(0, 200)),
        Column("flag", bounds=(0, 2), integer=True),
    )
    assert "x, flag" in notes[0]
    assert len(read_table(other, proposed)) == 101
    assert propose_schema([first, other], outcome="died")[0].columns == fitted.columns
    with pytest.raises(PrivauditError) as caught:
        read_table(other, replace(proposed, guessed={}))
    for said in ("neither 0 nor 1", "no whole number", "outside the bounds"):
        assert said in caught.value.what


def test_the_command_takes_several_tables_and_warns_of_what_gives_the_outcome_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, top in (("a", 1.5), ("b", 60.25)):
        lines = [
            f"{i % 2},{i % 3 + top},{'home' if i % 2 else 'morgue'},{(i % 2) * 9 + i % 3},{i * 7}"
            for i in range(200)
        ]
        head = "died,lactate,discharge_location,secret,sample_tag"
        (tmp_path / f"{name}.csv").write_text(head + "\n" + "\n".join(lines) + "\n")
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert cli.main(["schema", *files, "--outcome", "died", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "must not read it: discharge_location" in "\n".join(told["notes"])
    assert "by another name: secret" in "\n".join(told["notes"])
    assert "may identify a person (many or only different values): sample_tag" in told["notes"]
    assert told["schema"]["columns"][0]["bounds"][1] >= 62
    (tmp_path / "c.csv").write_text("died,lactate\n0,1\n1,2\n")
    assert cli.main(["schema", *files, str(tmp_path / "c.csv"), "--outcome", "died"]) == 0
