"""The report in a real browser: axe-core finds nothing, and no page scrolls sideways."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ruled import mixed
from sample import every, sample
from supplied import AUDITS

from privaudit import report

HERE = Path(__file__).parent / "axe"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pinned node modules: that of PRIVAUDIT_AXE, else a fresh one."""
    given = os.environ.get("PRIVAUDIT_AXE")
    if given:
        return Path(given)
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("axe")
    shutil.copy(HERE / "package.json", folder)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        pytest.skip("npm could not fetch axe-core and playwright-core")
    return folder


@pytest.mark.slow
def test_no_violation_and_no_sideways_scrolling(modules: Path, tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no chromium is installed")
    pages = {
        "few.html": report.html(sample(), mixed(tuple(s.name for s in sample().subjects))),
        "every.html": report.html(every(), mixed(tuple(s.name for s in every().subjects))),
        "bare.html": report.html(sample()),
        "tables.html": report.html(AUDITS["mixed"], mixed(("synthetic-bootstrap", "baseline-mlp"))),
        "crowd.html": report.html(AUDITS["many"]),
        "shifted.html": report.html(AUDITS["shifted"]),
    }
    for name, page in pages.items():
        (tmp_path / name).write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            "node",
            str(HERE / "check.mjs"),
            str(modules),
            browser,
            *(str(tmp_path / p) for p in pages),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) == 4 * len(pages)
    for one in found:
        where = f"{Path(one['file']).name}, {one['media']}, {one['width']} px"
        assert one["violations"] == [], where
        assert one["overflow"] <= 0, where
        assert one["requests"] == 1, where
        assert one["passes"] > 30, where


@pytest.mark.slow
def test_the_browser_check_finds_what_it_looks_for(modules: Path, tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no chromium is installed")
    page = report.html(sample())
    page = page.replace('<html lang="en">', "<html>").replace(
        "<main>", '<main><div style="width:200vw;height:1px"></div>'
    )
    page = page.replace("default-src 'none'", "default-src * 'unsafe-inline'", 1)
    (tmp_path / "bad.html").write_text(page, encoding="utf-8")
    done = subprocess.run(
        ["node", str(HERE / "check.mjs"), str(modules), browser, str(tmp_path / "bad.html")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout)
    assert all("html-has-lang" in [v["id"] for v in one["violations"]] for one in found)
    assert any(one["overflow"] > 0 for one in found)
