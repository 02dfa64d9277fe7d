"""The report as one self-contained page: no script, no network, one hashed style element."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from privaudit.report.blocks import (
    Badge,
    Block,
    Callout,
    Card,
    Code,
    Link,
    Prose,
    Questions,
    Section,
    Span,
    Strong,
    Terms,
    walk,
)
from privaudit.report.inert import words
from privaudit.report.page_header import get_header
from privaudit.report.sections import build_sections
from privaudit.report.wording import page as sentences
from privaudit.report.wording.knowledge import Term, glossary
from privaudit.report.wording.nouns import use_words
from privaudit.results import Audit
from privaudit.verdicts import Verdicts

HERE = Path(__file__).parent
_QUOTED = re.compile(
    r" (x|y|cx|cy|r|fill|stroke|stroke-width|font-size|font-weight|text-anchor|scope)"
    r'="([\w.#-]+)"(?=[ >])'
)


@cache
def style() -> str:
    """The stylesheet, without the line breaks that a page does not need."""
    text = (HERE / "page.css").read_text(encoding="utf-8")
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def style_hash() -> str:
    """What the page's policy allows: this style element and no other."""
    digest = hashlib.sha256(style().encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _finalize(value: Any) -> Any:
    return words(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        keep_trailing_newline=True,
    )
    env.filters["drawn"] = Markup
    env.tests |= {
        "strong": lambda span: isinstance(span, Strong),
        "code": lambda span: isinstance(span, Code),
        "badge": lambda span: isinstance(span, Badge),
    }
    return env


def render(audit: Audit, verdicts: Verdicts | None = None) -> str:
    """The page. The same audit and verdicts give the same bytes."""
    with use_words(audit.data.words):
        return render_page(
            build_sections(audit, verdicts),
            sentences.word_subtitle(audit.data),
            get_header(audit, verdicts),
            audit.manifest.created,
        )


def render_page(
    parts: tuple[Section, ...],
    subtitle: str,
    header: tuple[tuple[str, str], ...],
    created: str,
) -> str:
    """A page of these sections; words of the glossary are linked where it is one of them."""
    if any(isinstance(b, Terms) for part in parts for b in walk(part.blocks)):
        parts = tuple(_explained(part) for part in parts)
    page = _environment().get_template("page.html")
    text = page.render(
        say=sentences,
        subtitle=subtitle,
        meta=header,
        created=created,
        sections=parts,
        style=style(),
        hash=style_hash(),
        fresh=_numbered(),
    )
    return _lighter(text.lstrip())


def _lighter(text: str) -> str:
    """The page without end tags and quotation marks that HTML lets out (the standard, 13.1.2.3 and
    4): an eighth of a long report.

    What comes from outside is escaped, quotation marks too, so these letters stand for tags and
    attributes wherever they are found.
    """
    return _QUOTED.sub(r" \1=\2", re.sub(r"</t[dhr]>", "", text))


def _numbered() -> Callable[[str], str]:
    numbers = count(1)
    return lambda kind: f"{kind}-{next(numbers)}"


def _explained(part: Section) -> Section:
    """The section with each glossary word linked where it first stands in running text."""
    if part.anchor in ("glossary", "limitations"):
        return part
    met: set[str] = set()
    return replace(part, blocks=tuple(_linked(block, met) for block in part.blocks))


def _linked(block: Block, met: set[str]) -> Block:
    if isinstance(block, Callout | Card):
        return replace(block, body=tuple(_linked(inner, met) for inner in block.body))
    if isinstance(block, Questions):
        asked = (
            (anchor, question, tuple(_linked(inner, met) for inner in body))
            for anchor, question, body in block.entries
        )
        return replace(block, entries=tuple(asked))
    if not isinstance(block, Prose):
        return block
    spans = (block.text,) if isinstance(block.text, str) else block.text
    return replace(block, text=tuple(piece for span in spans for piece in _pieces(span, met)))


@cache
def _terms(terms: tuple[Term, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Words of the running text that lead to the glossary, and their anchors."""
    anchors = {word: term.anchor for term in terms for word in term.linked}
    longest = sorted(map(re.escape, anchors), key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(longest) + r")\b"), anchors


def _pieces(span: Span, met: set[str]) -> list[Span]:
    if not isinstance(span, str):
        return [span]
    found: list[Span] = []
    pattern, anchors = _terms(glossary())
    for i, piece in enumerate(pattern.split(span)):
        target = anchors.get(piece) if i % 2 else None
        if target is not None and target not in met:
            met.add(target)
            found.append(Link(piece, f"term-{target}"))
        elif piece:
            found.append(piece)
    return found
