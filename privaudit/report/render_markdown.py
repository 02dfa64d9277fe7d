"""The report as GitHub-flavoured Markdown: the same blocks, charts replaced by their tables."""

from __future__ import annotations

from collections.abc import Iterable

from privaudit.report.blocks import (
    Badge,
    Banner,
    Block,
    Bullets,
    Callout,
    Card,
    Chart,
    Code,
    Details,
    Facts,
    Heading,
    Link,
    Prose,
    Questions,
    Row,
    Section,
    Span,
    Strong,
    Table,
    Terms,
    Text,
)
from privaudit.report.inert import markdown as inert
from privaudit.report.inert import words
from privaudit.report.page_header import get_header
from privaudit.report.sections import build_sections
from privaudit.report.wording import page as say
from privaudit.report.wording.nouns import use_words
from privaudit.results import Audit
from privaudit.verdicts import Verdicts


def render(audit: Audit, verdicts: Verdicts | None = None) -> str:
    """The document. The same audit and verdicts give the same bytes."""
    with use_words(audit.data.words):
        return render_page(
            build_sections(audit, verdicts),
            say.word_subtitle(audit.data),
            get_header(audit, verdicts),
        )


def render_page(
    parts: tuple[Section, ...], subtitle: str, header: tuple[tuple[str, str], ...]
) -> str:
    """A document of these sections."""
    lines = [f"# {inert(say.TITLE)}: {inert(subtitle)}", ""]
    lines += [*_facts(header), ""]
    lines += [f"## {say.CONTENTS}", ""]
    lines += [f"{i}. [{inert(p.title)}](#{p.anchor})" for i, p in enumerate(parts, 1)]
    for i, part in enumerate(parts, 1):
        lines += ["", _anchor(part.anchor), "", f"## {i}. {inert(part.title)}"]
        lines += _blocks(part.blocks)
    return "\n".join([*lines, "", "---", "", inert(say.PRINTED), ""])


def _anchor(name: str) -> str:
    return f'<a id="{name}"></a>'


def _blocks(blocks: Iterable[Block]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        lines += ["", *_block(block)]
    return lines


def _block(block: Block) -> list[str]:
    if isinstance(block, Prose):
        return [_text(block.text, start=True)]
    if isinstance(block, Heading):
        return [_anchor(block.anchor), "", f"{'#' * block.level} {inert(block.text)}"]
    if isinstance(block, Bullets):
        return [f"- {_text(item, start=True)}" for item in block.items]
    if isinstance(block, Facts):
        return _facts(block.pairs)
    if isinstance(block, Terms):
        return [f"- **{inert(term)}**: {inert(meaning)}" for _, term, meaning in block.entries]
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Chart):
        return [_text(block.title, start=True), "", *_table(block.table)]
    if isinstance(block, Callout):
        title = f"**{say.MARKS[block.kind]} {inert(block.title)}**"
        return [f"> {line}".rstrip() for line in [title, *_blocks(block.body)]]
    if isinstance(block, Card):
        head = f"### {inert(block.title)}: {inert(block.badge.text)}"
        return [_anchor(block.anchor), "", head, *_blocks(block.body)]
    if isinstance(block, Banner):
        head = f"**{inert(block.badge.text)}: {inert(block.title)}**"
        return [f"> {line}".rstrip() for line in [head, *_blocks(block.body)]]
    if isinstance(block, Questions):
        lines: list[str] = []
        for anchor, question, body in block.entries:
            lines += [_anchor(anchor), "", f"### {inert(question)}", *_blocks(body), ""]
        return lines[:-1]
    if isinstance(block, Details | Row):
        return _blocks(block.body)[1:]
    raise TypeError(f"no Markdown for {type(block).__name__}")


def _facts(pairs: Iterable[tuple[Text, Text]]) -> list[str]:
    return [f"- **{_text(name)}**: {_text(value)}" for name, value in pairs]


def _table(table: Table) -> list[str]:
    lines = [f"**{inert(table.caption)}**", ""]
    lines.append("| " + " | ".join(inert(column) for column in table.columns) + " |")
    rule = ("---:" if i in table.numeric else "---" for i in range(len(table.columns)))
    lines.append("| " + " | ".join(rule) + " |")
    lines += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in table.rows]
    for note in table.notes:
        lines += ["", _text(note, start=True)]
    return lines


def _text(text: Text, start: bool = False) -> str:
    spans = (text,) if isinstance(text, str) else text
    return "".join(_span(span, start and i == 0) for i, span in enumerate(spans))


def _span(span: Span, start: bool) -> str:
    if isinstance(span, str):
        return inert(span, start)
    if isinstance(span, Strong | Badge):
        return f"**{inert(span.text)}**"
    if isinstance(span, Link):
        return f"[{inert(span.text)}](#{span.to})"
    assert isinstance(span, Code)
    return _code(words(span.text))


def _code(text: str) -> str:
    """A code span that no backtick in the text can end. Not for table cells."""
    longest = max(
        (len(run) for run in "".join(c if c == "`" else " " for c in text).split()), default=0
    )
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
