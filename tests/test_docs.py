"""The documents agree with the repository: links, paths, commands, options, versions, the
catalogue."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import privaudit
from privaudit import cli, plugins
from privaudit.report.section_order import SECTIONS
from privaudit.report.wording.knowledge import glossary_markdown
from privaudit.report.wording.nouns import fill

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CHANGELOG = ROOT / "CHANGELOG.md"
"""It speaks of earlier states, so paths in it are not followed."""


PARENTS = tuple(ROOT / "docs" / name for name in ("", "howto", "design"))
GENERATED = {
    ROOT / "docs" / name
    for name in ("attacks.md", "contributing.md", "reference/attack-classes.md")
}
"""Pages that only the built site has, so that only pages of the site lead there."""


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {re.sub(r" +", "-", heading.strip()) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_no_link_is_dead(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if found in GENERATED and page.parent in PARENTS:
            continue
        assert found.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(found), f"{target} is no heading"


@pytest.mark.parametrize("page", [p for p in PAGES if p != CHANGELOG], ids=names)
def test_paths_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    tops = "privaudit|pipelines|mimic_demo|tests|benchmarks|docs"
    for path in re.findall(rf"`((?:{tops})/[\w./-]+)`", text):
        if not re.search(r"[A-Z]{3}", path):
            assert (ROOT / path).exists(), f"{path} is not there"
    for module in re.findall(r"`((?:privaudit|pipelines)(?:\.[a-z_]\w*)+)\b(?!\()", text):
        parts = module.split(".")
        exists = any(
            (ROOT.joinpath(*parts[:stop])).is_dir()
            or (ROOT.joinpath(*parts[:stop]).with_suffix(".py")).exists()
            for stop in range(len(parts), 1, -1)
        )
        assert exists or hasattr(privaudit, parts[1]), f"{module} is not there"


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line of ours that a page shows in a block."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE))
    indented = "\n".join(re.findall(r"^    .*$", text, re.MULTILINE))
    for line in re.findall(
        r"^[ -]*(?:run: )?(privaudit .*)$", f"{fenced}\n{indented}", re.MULTILINE
    ):
        for part in line.split("; "):
            words = shlex.split(part, comments=True)
            if words[0] == "privaudit" and len(words) > 1:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_and_options_that_a_page_shows_exist(page: Path) -> None:
    for words in commands(page):
        command: click.Command = cli.app
        context = click.Context(cli.app, info_name="privaudit")
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words[0])
            assert found is not None, f"no command {words[0]!r}"
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{command.name} has no {word}"


def test_one_version_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {privaudit.__version__}\n" in citation


def test_the_catalogue_holds_every_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    sys.modules.pop("catalogue", None)
    import catalogue

    page = catalogue.attack_catalogue()
    for name in plugins.members("attacks"):
        assert page.count(f"\n### {name} {{ #{name} }}\n") == 1
        (entry,) = re.findall(rf"\n### {name} .*?(?=\n### |\n## |\Z)", page, re.DOTALL)
        assert re.search(r"^- \*\*Access:\*\* \w+", entry, re.MULTILINE)
        assert re.search(r"(19|20)\d\d", entry), "no reference"
    assert re.search(r"\[`lira`\].*\| 16 \|", page)
    assert re.search(r"\[`threshold`\].*\| 0 \|", page)


def test_the_gallery_shows_a_report_of_demo_data() -> None:
    gallery = ROOT / "docs" / "gallery"
    page = (gallery / "report.html").read_text("utf-8")
    assert "Synthetic demo data: not results" in page
    assert "<script" not in page
    assert 10_000 < (gallery / "report.png").stat().st_size <= 300_000


def test_the_glossary_is_that_of_the_report() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    assert page == glossary_markdown(), "write it again: python docs/catalogue.py"


def test_the_guide_to_the_report_names_every_section() -> None:
    page = (ROOT / "docs" / "report.md").read_text("utf-8")
    assert [title for title in map(fill, SECTIONS.values()) if title not in page] == []


def test_links_of_root_files_lead_to_pages_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import site_hooks

    text = "[a](docs/ci.md#formats), [b](SECURITY.md), [c](https://x.org/docs/y.md), `docs/z.md`"
    turned = "[a](ci.md#formats), [b](security.md), [c](https://x.org/docs/y.md), `docs/z.md`"
    assert site_hooks.site_links(text) == turned
