"""Reads a rendered report back: the page's tree and every table's words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> list[Element]:
        found = [self]
        for child in self.children:
            if isinstance(child, Element):
                found += child.walk()
        return found

    def all(self, *tags: str) -> list[Element]:
        return [e for e in self.walk() if e.tag in tags]

    @property
    def text(self) -> str:
        parts = [c if isinstance(c, str) else c.text for c in self.children]
        return "".join(parts)

    @property
    def words(self) -> str:
        """The text with a space between elements, as a reader sees cells apart."""
        parts = [c if isinstance(c, str) else c.words for c in self.children]
        return " ".join(parts)


CLOSES = {
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tr": ("td", "th", "tr"),
    "/thead": ("td", "th", "tr"),
    "/tbody": ("td", "th", "tr"),
}
"""End tags that HTML lets out: what a tag closes on its way."""


class Page(HTMLParser):
    """A strict reader: a tag closed out of order is an error, as it is not for a browser."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("", {})
        self.feed(html)
        self.close()
        assert self.at is self.root, f"<{self.at.tag}> was never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self._close(tag)
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def _close(self, tag: str) -> None:
        for _ in range(2):
            if self.at.tag in CLOSES.get(tag, ()):
                assert self.at.parent is not None
                self.at = self.at.parent

    def handle_endtag(self, tag: str) -> None:
        self._close(f"/{tag}")
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def squeeze(text: str) -> str:
    return re.sub(r"[\s\u00a0]+", " ", text).strip()


def html_tables(html: str) -> list[list[list[str]]]:
    """Every table of the page: rows of cells of words."""
    return [
        [[squeeze(cell.text) for cell in row.all("th", "td")] for row in table.all("tr")]
        for table in Page(html).root.all("table")
    ]


def markdown_tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)


def inline(token: Token) -> str:
    """The words of an inline token, without marks."""
    parts = [
        t.content if t.type in ("text", "code_inline") else " "
        for t in token.children or ()
        if t.type in ("text", "code_inline", "softbreak", "hardbreak")
    ]
    return squeeze("".join(parts))


def markdown_tables(text: str) -> list[list[list[str]]]:
    tables: list[list[list[str]]] = []
    inside = False
    for token in markdown_tokens(text):
        if token.type == "table_open":
            tables.append([])
            inside = True
        elif token.type == "table_close":
            inside = False
        elif token.type == "tr_open":
            tables[-1].append([])
        elif inside and token.type == "inline":
            tables[-1][-1].append(inline(token))
    return tables
