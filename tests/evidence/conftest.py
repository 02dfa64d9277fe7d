"""One small sealed run of toy parts, made once and copied for every test that spoils it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from sealed_lab import POLICY, ask, install, make_run


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy attacks are installed where their runs are verified."""
    install(monkeypatch)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one sealed run, its ledger and its policy."""
    out = tmp_path_factory.mktemp("runs")
    (out / "policy.toml").write_text(POLICY, encoding="utf-8")
    make_run(out, ask())
    return out


@pytest.fixture
def copied(shelf: Path, tmp_path: Path) -> Path:
    """A copy of the shelf to spoil."""
    shutil.copytree(shelf, tmp_path / "runs", symlinks=True)
    return tmp_path / "runs"


@pytest.fixture
def run(copied: Path) -> Path:
    """The run in a copy of the shelf."""
    (found,) = (
        path
        for path in copied.iterdir()
        if path.is_dir() and "-toy-" in path.name and not path.is_symlink()
    )
    return found
