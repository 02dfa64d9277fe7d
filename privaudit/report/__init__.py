"""An audit document as a page: the same blocks as HTML, as Markdown and, where asked, as PDF."""

from __future__ import annotations

import os
from pathlib import Path

from privaudit.report.render_html import render as html
from privaudit.report.render_markdown import render as markdown
from privaudit.report.render_pdf import render as pdf
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

HTML, MARKDOWN, PDF = "report.html", "report.md", "report.pdf"


def write(
    audit: Audit,
    folder: Path,
    verdicts: Verdicts | None = None,
    *,
    pdf: bool = False,
) -> tuple[Path, ...]:
    """Put report.html and report.md into the folder, and report.pdf where asked; returns their
    paths.

    verdicts: of this audit under a policy; without them the report says that there is none. Each
    file is replaced whole or not at all. A PDF needs the extra privaudit[pdf].
    """
    from privaudit import results
    from privaudit import verdicts as judged
    from privaudit.report import render_pdf

    # As they are stored: whoever renders them again must get the same bytes.
    audit = results.from_json(results.to_json(audit))
    if verdicts is not None:
        verdicts = judged.from_json(judged.to_json(verdicts))
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, bytes] = {
        HTML: html(audit, verdicts).encode(),
        MARKDOWN: markdown(audit, verdicts).encode(),
    }
    if pdf:
        made[PDF] = render_pdf.render(audit, verdicts)
    return tuple(_replace(folder / name, data) for name, data in made.items())


def _replace(path: Path, data: bytes) -> Path:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


__all__ = ["HTML", "MARKDOWN", "PDF", "html", "markdown", "pdf", "write"]
