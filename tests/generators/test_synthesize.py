"""`privaudit synthesize`: a user's table in, a synthetic one out; every fault a clear message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from pipelines.generators.copula import Copula
from privaudit import cli, plugins
from privaudit.contracts import Generator
from privaudit.errors import PrivauditError
from privaudit.inputs.infer_schema import propose_schema
from privaudit.inputs.schema import read_schema, write_schema


def frame(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sick = rng.normal(size=n)
    age = np.clip(60 + 14 * rng.normal(size=n), 18, 95).round()
    lactate = np.exp(0.4 + 0.5 * sick).round(3)
    lactate[rng.random(n) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "patient_id": [f"P{i // 2:06d}" for i in range(n)],
            "age": age.astype(int),
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "ward": rng.choice(["north", "south", "west"], n),
            "lactate": lactate,
            "always": 3,
            "note": [
                f"seen on day {rng.integers(1e9)} feeling {rng.integers(1e9)}" for _ in range(n)
            ],
            "died": np.where(rng.random(n) < 1 / (1 + np.exp(2 - 1.5 * sick)), "yes", "no"),
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame().to_csv(tmp_path / "real.csv", index=False)
    return tmp_path


def run(folder: Path, *more: str, table: str | None = "real.csv") -> tuple[int, Result]:
    """The exit code that `main` would give, and what was printed."""
    args = ["synthesize", *([str(folder / table)] if table else []), *more]
    found = CliRunner().invoke(cli.app, args)
    if found.exception is None:
        return found.return_value if isinstance(found.return_value, int) else 0, found
    if isinstance(found.exception, PrivauditError):
        return 2, found
    return found.exit_code, found


def refused(found: Result) -> str:
    assert isinstance(found.exception, PrivauditError), found.output
    return str(found.exception)


USUAL = ("--generator", "copula", "--rows", "400", "--outcome", "died", "--patient", "patient_id")


def test_a_table_without_a_schema(folder: Path) -> None:
    out = folder / "new.csv"
    code, found = run(folder, *USUAL, "--out", str(out), "--json", "--seed", "5")
    assert code == 0, found.exception
    told = json.loads(found.stdout)
    made = pd.read_csv(out)
    assert len(made) == told["rows"] == 400
    assert set(made.columns) == {"patient_id", "age", "sex", "ward", "lactate", "always", "died"}
    real = frame()
    assert set(made["ward"]) <= set(real["ward"])
    assert made["age"].dropna().between(0, 120).all()
    assert (made["age"].dropna() == made["age"].dropna().round()).all()
    assert not set(made["patient_id"].astype(str)) & set(real["patient_id"])
    assert made["lactate"].isna().mean() == pytest.approx(0.3, abs=0.08)
    assert told["proposed"] is True
    assert told["claim"] is None
    assert read_schema(out.with_name("new.schema.toml")).outcome == "died"
    said = found.stderr
    assert said.index("will: train on about 600 rows of about 300 patients") < said.index("done:")
    assert "a person must check" in said.lower()
    assert "leave aside note" in said
    assert "one value in every row, and so in the new table: always" in said
    assert "outcome 'yes': about " in said
    # Ten of 600 rows are more than one per cent of them.
    assert round(told["outcome"]["yes"]["real"] * 100) % 2 == 0
    assert not (folder / "restricted").exists()


def test_the_printed_words_hold_no_row(folder: Path) -> None:
    _, found = run(folder, *USUAL, "--out", str(folder / "new.csv"))
    said = found.stdout.replace(str(folder), "") + found.stderr
    assert not re.search(r"P\d{6}|seen on day", said)


def test_a_seed_makes_the_same_table_and_none_makes_another(folder: Path) -> None:
    tables = {}
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6"), ("d", ""), ("e", "")):
        out = folder / f"{name}.csv"
        more = ("--seed", seed) if seed else ()
        assert run(folder, *USUAL, "--out", str(out), *more)[0] == 0
        tables[name] = out.read_bytes()
    assert tables["a"] == tables["b"]
    assert len({tables[name] for name in "acde"}) == 4


def test_a_kept_generator_is_drawn_from_again(folder: Path) -> None:
    kept = folder / "copula.generator"
    run(folder, *USUAL, "--out", str(folder / "one.parquet"), "--save", str(kept), "--seed", "1")
    more = ("--rows", "50", "--from", str(kept), "--outcome", "died", "--out")
    code, found = run(folder, *more, str(folder / "two.csv"), table=None)
    assert code == 0, found.exception
    made = pd.read_csv(folder / "two.csv")
    assert len(made) == 50
    assert set(made["died"]) <= {"yes", "no"}
    told = (*more, str(folder / "three.csv"), "--schema", str(folder / "one.schema.toml"))
    assert run(folder, *told, table=None)[0] == 0
    assert "patient_id" in pd.read_csv(folder / "three.csv").columns


def test_settings_change_the_generator(folder: Path) -> None:
    told = ("--out", str(folder / "n.csv"))
    assert run(folder, *USUAL, *told, "--set", "copula.shrink=0.5")[0] == 0
    assert "share" in refused(run(folder, *USUAL, *told, "--set", "copula.shrink=7")[1])
    assert "copula.shrink" in refused(run(folder, *USUAL, *told, "--set", "copula.shrnk=1")[1])
    assert "copula.FIELD" in refused(run(folder, *USUAL, *told, "--set", "ctgan.epochs=1")[1])


def checked(folder: Path) -> Path:
    """The proposed schema after a person put in public bounds."""
    found, _ = propose_schema(folder / "real.csv", outcome="died", patient="patient_id")
    public = {"age": (0, 110), "lactate": (0, 40), "always": (0, 10)}
    columns = tuple(replace(c, bounds=public.get(c.name, c.bounds)) for c in found.columns)
    write_schema(replace(found, columns=columns, guessed={}), folder / "checked.toml")
    return folder / "checked.toml"


PRIVATE = ("--generator", "dp_histogram", "--rows", "300")


def test_a_private_generator_wants_public_bounds(folder: Path) -> None:
    out = ("--out", str(folder / "dp.csv"))
    assert "without --schema" in refused(run(folder, *PRIVATE, *out)[1])
    proposed, notes = propose_schema(folder / "real.csv", outcome="died", patient="patient_id")
    write_schema(proposed, folder / "proposed.toml", notes)
    told = (*PRIVATE, *out, "--schema", str(folder / "proposed.toml"))
    said = refused(run(folder, *told)[1])
    assert "read off the table" in said
    assert "4 columns: age, sex, ward, always" in said, "whole years were read off, too"
    # What is possible of a lactate is known by its name; no and yes are public.
    assert not (folder / "dp.csv").exists()
    assert run(folder, *told, "--checked", "all")[0] == 0


def test_one_line_that_a_person_put_right_leaves_the_others_unchecked(folder: Path) -> None:
    out = ("--out", str(folder / "dp.csv"))
    proposed, _ = propose_schema(folder / "real.csv", outcome="died", patient="patient_id")
    one = replace(proposed.columns[0], bounds=(0.0, 110.0))
    told = (*PRIVATE, *out, "--schema", str(folder / "edited.toml"))
    for guessed in (proposed.guessed, {}):
        marks = {name: marks for name, marks in guessed.items() if name != "age"}
        edited = replace(proposed, columns=(one, *proposed.columns[1:]), guessed=marks)
        write_schema(edited, folder / "edited.toml")
        said = refused(run(folder, *told)[1])
        assert "3 columns: sex, ward, always" in said
    # Each is said to be public by name; what is left out, or misspelled, is refused.
    names = ["sex", "ward"]
    named = [part for name in names for part in ("--checked", name)]
    assert "1 columns: always" in refused(run(folder, *told, *named)[1])
    assert "no column" in refused(run(folder, *told, *named, "--checked", "alwys")[1])
    assert run(folder, *told, *named, "--checked", "always")[0] == 0
    assert run(folder, *told, "--checked", ",".join([*names, "always"]))[0] == 0


def test_a_proposal_from_other_tables_is_as_little_checked(folder: Path) -> None:
    """Wider bounds than this table's own are no sign that a person looked at them."""
    frame(seed=1).assign(lactate=lambda f: f["lactate"] * 9).to_csv(
        folder / "more.csv", index=False
    )
    both = [folder / "real.csv", folder / "more.csv"]
    proposed, _ = propose_schema(both, outcome="died", patient="patient_id")
    alone, _ = propose_schema(folder / "real.csv", outcome="died", patient="patient_id")
    place = proposed.names.index("lactate")
    assert proposed.columns[place].bounds != alone.columns[place].bounds
    write_schema(proposed, folder / "both.toml")
    told = (*PRIVATE, "--out", str(folder / "dp.csv"), "--schema", str(folder / "both.toml"))
    assert "lactate" in refused(run(folder, *told)[1])
    assert not (folder / "dp.csv").exists()


def test_classes_read_off_the_data_are_no_more_public_than_levels(folder: Path) -> None:
    real = frame().assign(died=lambda f: f["died"].map({"yes": "home", "no": "hospice"}))
    real.to_csv(folder / "real.csv", index=False)
    schema = checked(folder)
    told = (*PRIVATE, "--out", str(folder / "dp.csv"), "--schema", str(schema))
    names = ("--checked", "sex", "--checked", "ward")
    assert "1 columns: died" in refused(run(folder, *told, *names)[1])
    assert run(folder, *told, *names, "--checked", "died")[0] == 0


def test_a_private_table_comes_with_its_promise(folder: Path) -> None:
    told = (*PRIVATE, "--out", str(folder / "dp.csv"), "--schema", str(checked(folder)), "--json")
    told = (*told, "--checked", "sex", "--checked", "ward")
    code, found = run(folder, *told, "--set", "dp_histogram.epsilon=2")
    assert code == 0, found.exception
    claim = json.loads(found.stdout)["claim"]
    assert 1.9 < claim["epsilon"] <= 2
    assert claim["unit"] == "patient"
    assert "claimed: epsilon 2 " in found.stderr
    # What the real prevalence is, no noise covers.
    assert "real," not in found.stderr
    assert "subtract" not in found.stderr
    assert "subtract" in run(folder, *told, "--seed", "3")[1].stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.head(20), "a table of fewer than 50 rows"),
        (lambda f: f.head(0), "row"),
        (lambda f: f.drop(columns="died"), "died"),
        (lambda f: f.assign(ward=["elsewhere", *f["ward"][1:]]), "ward"),
        (lambda f: f.assign(age="young"), "age"),
        (lambda f: f.drop(columns="age"), "age"),
    ],
)
def test_tables_that_do_not_fit_are_refused(folder: Path, change: Any, said: str) -> None:
    file = checked(folder)
    change(frame()).to_csv(folder / "bad.csv", index=False)
    told = ("--generator", "copula", "--rows", "9", "--out", str(folder / "n.csv"))
    code, found = run(folder, *told, "--schema", str(file), table="bad.csv")
    assert code == 2
    assert said in refused(found)
    assert not (folder / "n.csv").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--generator", "copla", "--rows", "9", "--out", "n.csv"), "did you mean 'copula'"),
        (("--rows", "9", "--out", "n.csv"), "--generator copula"),
        (("--generator", "copula", "--rows", "9", "--out", "n.xlsx"), ".csv or .parquet"),
        (("--generator", "copula", "--rows", "9", "--out", "real.csv"), "to be read"),
        (("--generator", "copula", "--rows", "9", "--out", "n.csv", "--save", "n.csv"), "one file"),
        (("--generator", "copula", "--rows", "9", "--out", "n.csv", "--from", "m"), "both a TABLE"),
        (("--generator", "bootstrap", "--rows", "9", "--out", "n.csv"), "restricted"),
        (("--generator", "copula", "--rows", "9", "--out", "n.csv", "--outcome", "dead"), "dead"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_done(
    folder: Path, args: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(path.name for path in folder.iterdir())
    code, found = run(folder, *args)
    assert code == 2
    assert said in refused(found)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_copies_of_real_rows_go_into_a_restricted_folder_alone(folder: Path) -> None:
    out = folder / "restricted" / "copies.csv"
    told = ("--generator", "bootstrap", "--rows", "30", "--outcome", "died", "--out")
    assert run(folder, *told, str(out))[0] == 0
    kept = folder / "restricted" / "b.generator"
    assert run(folder, *told, str(out), "--save", str(kept))[0] == 0
    again = ("--rows", "9", "--from", str(kept), "--out", str(folder / "n.csv"))
    assert "restricted" in refused(run(folder, *again, table=None)[1])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04cos\nsystem\n(S'false'\ntR."])
def test_other_files_are_no_kept_generators(folder: Path, content: bytes) -> None:
    (folder / "m").write_bytes(content)
    told = ("--rows", "9", "--from", str(folder / "m"), "--out", str(folder / "n.csv"))
    assert "no stored generator" in refused(run(folder, *told, table=None)[1])


@dataclass(frozen=True)
class Halting(Generator):
    """Trains in ten steps that it keeps; the fourth is interrupted once."""

    costly: ClassVar[bool] = True
    seen: ClassVar[list[tuple[int, int]]] = []

    def fit(self, records: Any, rng: Any, *, checkpoint: Any = None, progress: Any = None) -> Any:
        first = rng.integers(1 << 30)
        step = int(checkpoint.read_text()) if checkpoint.exists() else 0
        self.seen.append((step, int(first)))
        for now in range(step, 10):
            if now == 4 and len(self.seen) == 1:
                raise KeyboardInterrupt
            checkpoint.write_text(str(now + 1))
            progress("train", (now + 1) / 10)
        return Copula().fit(records, rng)

    @classmethod
    def load(cls, file: bytes) -> Any:
        raise NotImplementedError


def test_an_interrupted_training_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = plugins.load
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: Halting if name == "halting" else load(kind, name)
    )
    args = ["synthesize", str(folder / "real.csv"), "--generator", "halting", *USUAL[2:]]
    args += ["--out", str(folder / "n.csv")]
    assert cli.main(args) == 130
    assert not (folder / "n.csv").exists()
    (state,) = (p for p in (folder / "restricted").iterdir() if p.is_dir())
    assert state.stat().st_mode & 0o777 == 0o700
    assert cli.main(args) == 0
    assert len(pd.read_csv(folder / "n.csv")) == 400
    # From where it stopped, by the same secret seed; then nothing of it is left.
    assert [step for step, _ in Halting.seen] == [0, 4]
    assert len({first for _, first in Halting.seen}) == 1
    assert not (folder / "restricted").exists()
