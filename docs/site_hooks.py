"""Pages of the documentation site that are made from the repository itself.

MkDocs calls `on_files` before it reads the pages. The catalogue of attacks comes from the attacks,
the command line's help from the commands, and the project's own files (changelog, contributing,
...) are shown where they are, with their links turned towards the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import catalogue  # noqa: E402

SHOWN = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
    "code-of-conduct.md": "CODE_OF_CONDUCT.md",
}
"""Page of the site -> file at the root of the repository."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are generated; MkDocs checks their links like those of any other page."""
    pages = {
        "attacks.md": catalogue.attack_catalogue(),
        "reference/command-line.md": catalogue.command_line(),
        "reference/attack-classes.md": catalogue.attack_classes(),
        **{page: site_links((ROOT / file).read_text("utf-8")) for page, file in SHOWN.items()},
    }
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def site_links(text: str) -> str:
    """A root file's text with its links as the site has them: `docs/ci.md` is `ci.md` there."""
    pages = {file: page for page, file in SHOWN.items()}

    def turned(match: re.Match[str]) -> str:
        path, anchor = match["path"], match["anchor"] or ""
        return f"]({pages.get(path, path.removeprefix('docs/'))}{anchor})"

    return re.sub(r"\]\((?P<path>[\w./-]+\.(?:md|html|png))(?P<anchor>#[\w-]+)?\)", turned, text)
