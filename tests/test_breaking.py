"""What users supply by mistake: refused in words, exit code 2, nothing left half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from privaudit import cli


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"subject_id": np.arange(120), "heart": rng.normal(80, 9, 120).round(1)})
    frame["died"] = (rng.random(120) < 0.3).astype(int)
    return frame


def synthesize(frame: pd.DataFrame) -> int:
    frame.to_csv("t.csv", index=False)
    words = ["synthesize", "t.csv", "--generator", "marginals", "--rows", "50", "--outcome", "died"]
    return cli.main([*words, "--out", "new.csv"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heart": [np.inf, *range(60, 179)]}, "(fewer than 10 of the cells: words)"),
        ({"heart": [-np.inf, *range(60, 179)]}, "(fewer than 10 of the cells: words)"),
        ({"heart": [1e300] + [80.0] * 119}, "too large a number"),
        ({"subject_id": 1}, "120 rows of fewer than 50 patients"),
        ({"died": 1}, "nothing to predict"),
        ({"died": np.nan}, "nothing to predict"),
        ({"died": ["rare"] + ["no", "yes"] * 59 + ["no"]}, "classes of fewer than 10 patients"),
    ],
)
def test_tables_are_refused_and_nothing_is_written(
    table: pd.DataFrame, change: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synthesize(table.assign(**change)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "do this:" in err
    assert not Path("new.csv").exists()


@pytest.mark.parametrize("command", ["schema", "report", "verify", "compare"])
def test_paths_too_long_are_no_bug(
    table: pd.DataFrame, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "x" * 300 + ".csv"
    assert cli.main([command, long, *([long] if command == "compare" else [])]) == 2
    err = capsys.readouterr().err
    assert "File name too long" in err
    assert long not in err


def test_a_bug_never_makes_a_folder_of_the_file_to_be_written(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from privaudit.inputs import read_table

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(read_table, "read_table", broken)
    assert synthesize(table) == 70
    assert not Path("new.csv").exists()
    assert list(Path("restricted").glob("bug-*.txt"))


def test_policies_in_odd_encodings(table: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--release", "internal"]) == 0
    good = Path("policy.toml").read_bytes()
    for name, raw, code in (
        ("bom", b"\xef\xbb\xbf" + good, 0),
        ("crlf", good.replace(b"\n", b"\r\n"), 0),
        ("utf16", good.decode().encode("utf-16"), 2),
        ("deep", b"a=" + b"[" * 20_000 + b"]" * 20_000, 2),
        ("binary", bytes(range(256)), 2),
    ):
        Path("p.toml").write_bytes(raw)
        assert cli.main(["policy", "validate", "p.toml"]) == code, name


@pytest.mark.parametrize("raw", [bytes(range(256)), b"[" * 100_000, b"null", b""])
def test_documents_that_are_none(table: pd.DataFrame, raw: bytes) -> None:
    Path("run/shareable").mkdir(parents=True)
    Path("run/shareable/audit.json").write_bytes(raw)
    assert cli.main(["report", "run"]) == 2
    assert cli.main(["compare", "run", "run"]) == 2
