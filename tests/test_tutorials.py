"""The tutorials, run as they stand: every block, in order, in one empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
REAL = Path(os.environ.get("PRIVAUDIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
NEEDS = re.compile(r"^<!-- needs: ([\w-]+) -->$", re.MULTILINE)
BLOCK = re.compile(r"^```(sh|python)(?: exit=([\d,]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[tuple[str, set[int], str]]:
    """(language, exit codes allowed, text) of every block that is to be run."""
    return [
        (kind, {int(code) for code in (codes or "0").split(",")}, text)
        for kind, codes, text in BLOCK.findall(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_tutorial_has_blocks_and_no_other_fences(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(blocks(path)) * 2 == len(re.findall(r"^```", text, re.MULTILINE)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_tutorial_does_what_it_says(path: Path, tmp_path: Path) -> None:
    for name in NEEDS.findall(path.read_text(encoding="utf-8")):
        if not (REAL / name).is_dir():
            pytest.skip(f"no {name}: PRIVAUDIT_DATA names the folder of open data")
        (tmp_path / name).symlink_to((REAL / name).resolve())
    home = Path(sys.executable).parent
    path_variable = f"{home}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path_variable, "OMP_NUM_THREADS": "1"}
    for kind, codes, text in blocks(path):
        command = ["bash", "-ec", text] if kind == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode in codes, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert "Traceback" not in done.stderr
