"""An audit document as a page: the same blocks as HTML and as Markdown."""

from __future__ import annotations

import os
from pathlib import Path

from privaudit.report.render_html import render as html
from privaudit.report.render_markdown import render as markdown
from privaudit.results import Audit

HTML, MARKDOWN = "report.html", "report.md"


def write(audit: Audit, folder: Path) -> tuple[Path, Path]:
    """Put report.html and report.md into the folder, each whole or not at all; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _replace(folder / HTML, html(audit)),
        _replace(folder / MARKDOWN, markdown(audit)),
    )


def _replace(path: Path, text: str) -> Path:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


__all__ = ["HTML", "MARKDOWN", "html", "markdown", "write"]
