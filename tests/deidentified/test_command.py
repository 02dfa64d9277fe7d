"""privaudit audit-release: exit codes, files, refusals, and what may be shared."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import privaudit
from privaudit import cli
from privaudit.deidentified.document import DOUBTS, NoteCode
from privaudit.report.wording.page import find_forbidden
from privaudit.report.wording.release import RULES, STATES
from privaudit.report.wording.tables import read_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "patient_id": [f"secret-{i:04d}" for i in range(400)],
            "age": rng.integers(20, 90, 400),
            "sex": rng.choice(["f", "m"], 400),
            "born": pd.date_range("1930-01-01", periods=400).strftime("%Y-%m-%d"),
            "town": rng.choice(["zz-lonely", *["large"] * 99], 400),
            "diagnosis": rng.choice(list("abc"), 400),
        }
    )
    path = tmp_path_factory.mktemp("release") / "table.csv"
    frame.to_csv(path, index=False)
    return path


def run(table: Path, out: Path, *more: str, columns: str = "age,sex,town") -> int:
    args = ["audit-release", str(table), "--quasi-identifiers", columns, "--out", str(out), *more]
    return cli.main(args)


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ((), 0),
        (("--max-risk", "0.1"), 1),
        (("--max-average-risk", "0.99"), 3),
        (("--max-average-risk", "0.99", "--not-known", "born"), 0),
    ],
)
def test_exit_codes(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    limit: tuple[str, ...],
    code: int,
) -> None:
    assert run(table, tmp_path / "out", *limit) == code
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "out" / "shareable" / "report.html")
    assert ("No limit was asked for" in err) == (not limit)


def test_what_is_shared_names_no_patient_and_what_is_not_is_the_owners(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(table, out, "--sensitive", "diagnosis", "--max-risk", "0.2", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["code"] == 1
    assert answer["release"]["schema"] == "privaudit.release/1"
    shared = "".join(p.read_text("utf-8") for p in (out / "shareable").iterdir())
    assert "secret-" not in shared
    assert "lonely" not in shared
    assert str(table.parent) not in shared
    page = (out / "shareable" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "src=" not in page
    assert 'href="http' not in page
    assert find_forbidden(page.split("<main>")[1]) == []
    private = out / "restricted"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    listed = pd.read_csv(private / "patients_at_risk.csv")
    assert listed["patient"].str.startswith("secret-").all()
    frame = pd.read_csv(table)
    sizes = frame.groupby(["age", "sex", "town"])["age"].transform("size")
    expected = frame.loc[sizes < 10].assign(k=sizes).set_index("patient_id")["k"]
    assert listed.set_index("patient")["alike_by_all_records"].to_dict() == expected.to_dict()
    assert (out / ".gitignore").read_text("utf-8") == "*\n"


@pytest.mark.parametrize(
    ("more", "columns", "told"),
    [
        ((), "age,sexx", "did you mean 'sex'?"),
        ((), "", "no quasi-identifiers"),
        ((), "age,age", "named twice"),
        (("--sensitive", "age"), "age,sex", "two roles"),
        (("--sensitive", "diagnosys"), "age", "did you mean 'diagnosis'?"),
        (("--not-known", "bron"), "age", "did you mean 'born'?"),
        (("--sampling-fraction", "1.2"), "age", "at most 1"),
        (("--sampling-fraction", "0"), "age", "above 0"),
        (("--population-size", "399"), "age", "population of 399"),
        (("--population-size", "999", "--sampling-fraction", "0.5"), "age", "several of them"),
        (("--max-risk", "0"), "age", "a share"),
        (("--max-risk", "nan"), "age", "a share"),
        (("--max-disclosed", "0.1"), "age", "without a sensitive column"),
        (("--tolerance", "age"), "age", "COLUMN=WIDTH"),
        (("--tolerance", "sex=1"), "age,sex", "a column of texts"),
        (("--tolerance", "town=1"), "age,sex", "the quasi-identifiers are"),
        (("--tolerance", "age=-1"), "age,sex", "0 or more"),
        (("--confidence", "0.2"), "age", "a confidence"),
        (("--patient", "nobody"), "age", "lacks 1 of the columns"),
        (("--patient", "patient_id"), "patient_id,age", "two roles"),
        (("--min-k", "0"), "age", "--min-k"),
        (("--missing", "guess"), "age", "--missing"),
    ],
)
def test_bad_input_exits_2_and_says_what_to_do(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    columns: str,
    told: str,
) -> None:
    assert run(table, tmp_path / "out", *more, columns=columns) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "do this:" in err
    assert "secret-" not in err
    assert not (tmp_path / "out").exists()


def test_direct_identifiers_and_tiny_tables_are_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(table)
    named = tmp_path / "named.csv"
    frame.assign(first_name="ann").to_csv(named, index=False)
    assert run(named, tmp_path / "out") == 2
    assert "'first_name' looks like a name" in capsys.readouterr().err
    assert run(named, tmp_path / "out", "--pseudonyms", "first_name") == 0
    few = tmp_path / "few.csv"
    frame.head(9).to_csv(few, index=False)
    assert run(few, tmp_path / "out") == 2
    gaps = tmp_path / "gaps.csv"
    frame.assign(patient_id=frame["patient_id"].where(frame.index > 3)).to_csv(gaps, index=False)
    assert run(gaps, tmp_path / "out") == 2


def test_parquet_frames_and_csv_give_the_same_numbers(table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    frame.to_parquet(tmp_path / "table.parquet")
    states = [
        privaudit.audit_release(given, ["age", "sex", "town"], max_risk=0.3).audit.risks
        for given in (table, tmp_path / "table.parquet", frame)
    ]
    assert states[0] == states[1] == states[2]


def test_the_same_seed_gives_the_same_document(table: Path) -> None:
    first, second, other = (
        privaudit.audit_release(table, ["age", "sex"], seed=seed, register_error=0.3).audit
        for seed in (1, 1, 2)
    )
    assert first.linkages == second.linkages
    assert first.linkages != other.linkages
    assert first.risks == other.risks


def test_every_code_has_its_sentence() -> None:
    notes = read_table("release")["notes"]
    assert set(notes) == {code.value for code in NoteCode}
    assert set(DOUBTS) <= set(NoteCode)
    assert len(STATES) == 4
    assert set(RULES) == {*("max_risk", "min_k", "max_average_risk", "max_unique", "max_disclosed")}
