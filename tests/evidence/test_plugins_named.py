"""Packages that provide attacks: named with their content, and never in the place of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from privaudit import plugins
from privaudit.cli import main
from privaudit.engine.folder import read
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, verify
from privaudit.results import Plugin

CODE = '"""Says nothing."""\n\n__all__ = ["Threshold"]\n'


def forget() -> None:
    """What is installed is looked up once in a process."""
    for one in (plugins.folders, plugins.packages):
        one.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Makes a package that provides one attack of this name; the attack's file."""

    def make(attack: str) -> Path:
        about = tmp_path / "ward-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ward\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text("[privaudit.plugins]\nattacks = ward_attacks\n")
        folder = tmp_path / "ward_attacks"
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        path = folder / f"{attack}.py"
        path.write_text(CODE)
        monkeypatch.syspath_prepend(tmp_path)
        forget()
        return path

    yield make
    monkeypatch.undo()
    forget()


def test_verify_refuses_it_too(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def doubled(kind: str) -> dict[str, str]:
        raise PrivauditError(f"two {kind} called 'x'", "one name, one attack", "rename one")

    monkeypatch.setattr(plugins, "members", doubled)
    assert main(["verify", str(run), "--quick"]) == 2
    assert "called 'x'" in capsys.readouterr().err
    with pytest.raises(PrivauditError, match="called 'x'"):
        verify(run)


def test_a_package_is_named_by_version_and_content(package: Callable[[str], Path]) -> None:
    path = package("ward_round")
    before = {one[0]: one for one in plugins.packages()}
    assert before["ward"][1] == "1.2"
    assert "privaudit" in before
    path.write_text(CODE + "# another\n")
    forget()
    after = {one[0]: one for one in plugins.packages()}
    assert after["ward"][2] != before["ward"][2]
    assert after["privaudit"] == before["privaudit"]


def test_run_and_bill_of_materials_name_it(run: Path) -> None:
    audit = read(run)
    assert {one.name for one in audit.manifest.plugins} >= {"privaudit"}
    named = replace(audit, manifest=replace(audit.manifest, plugins=(Plugin("ward", "1.2", "ab"),)))
    text = bom.render(named)
    assert '"plugin:ward@1.2"' in text
    assert '"content": "ab"' in text
