"""A schema proposed from a table, and stored as TOML."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from privaudit import cli
from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.read_table import read_table
from privaudit.inputs.schema import OTHER, TableSchema, read_schema, write_schema
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
        *("outcome", "classes", "patient", "groups", "ignored", "outcome_kind", "event")
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
