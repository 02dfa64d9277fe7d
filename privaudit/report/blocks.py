"""What a report is made of: a few kinds of block, which every renderer turns into its own form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal[
    "detected",
    "learnt",
    "unconfirmed",
    "undetected",
    "stated",
    "small",
    "underpowered",
    "untested",
    "shifted",
    "reversed",
    "invalid",
    "within",
    "exceeds",
    "plain",
]


@dataclass(frozen=True)
class Strong:
    """Words that carry the weight of a sentence."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text to be copied letter by letter: a command, a version, a fingerprint."""

    text: str


@dataclass(frozen=True)
class Link:
    """A way to another place of the same report."""

    text: str
    to: str


@dataclass(frozen=True)
class Badge:
    """A reading in one word, with a shape and a colour: never by colour alone."""

    text: str
    state: State = "plain"


Span = str | Strong | Code | Link | Badge
Text = str | tuple[Span, ...]


@dataclass(frozen=True)
class Heading:
    """A heading under the section's own; level 3 or 4."""

    text: str
    anchor: str
    level: int = 3
    block: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Prose:
    """A paragraph. tone "lead" is set larger; "small" is an aside."""

    text: Text
    tone: Literal["", "lead", "small"] = ""
    block: Literal["prose"] = "prose"


@dataclass(frozen=True)
class Bullets:
    """A list of short sentences."""

    items: tuple[Text, ...]
    block: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and what it is."""

    pairs: tuple[tuple[Text, Text], ...]
    block: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Terms:
    """Glossary entries: (anchor, term, meaning)."""

    entries: tuple[tuple[str, str, str], ...]
    block: Literal["terms"] = "terms"


@dataclass(frozen=True)
class Table:
    """A table with a caption. The first column heads its rows.

    numeric: the columns set to the right, by index. notes: printed under it. wide: it scrolls in
    its own box on a narrow screen.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    numeric: tuple[int, ...] = ()
    notes: tuple[Text, ...] = ()
    block: Literal["table"] = "table"

    @property
    def wide(self) -> bool:
        return len(self.columns) > 3

    @property
    def figures(self) -> int:
        """Where the numbers begin, if every column from there on holds numbers; else 0."""
        if not self.numeric or not 1 <= self.numeric[0] <= 3:
            return 0
        tail = tuple(range(self.numeric[0], len(self.columns)))
        return self.numeric[0] if self.numeric == tail else 0

    @property
    def short(self) -> bool:
        """Few enough rows to be kept on one page."""
        return len(self.rows) <= 8


def make_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Text]],
    figures: int | None = None,
    notes: Iterable[Text] = (),
) -> Table:
    """A table whose columns hold numbers from the index `figures` on; None for none that does."""
    numeric = () if figures is None else tuple(range(figures, len(columns)))
    return Table(caption, tuple(columns), tuple(tuple(r) for r in rows), numeric, tuple(notes))


def embolden(text: str, strong: bool) -> Text:
    """The text, in bold where it is to stand out."""
    return (Strong(text),) if strong else text


def mark_code(text: str) -> tuple[Span, ...]:
    """Words between backquotes as code."""
    return tuple(Code(part) if i % 2 else part for i, part in enumerate(text.split("`")) if part)


BROAD = 6
"""Columns of numbers that fit beside each other on paper; of more, a table becomes several."""


def split_table(table: Table) -> tuple[Table, ...]:
    """The table, or several beside each other where it has more numbers in a row than fit on
    paper."""
    heads = table.figures
    width = len(table.columns) - heads
    if not heads or width <= BROAD:
        return (table,)
    count = -(-width // BROAD)
    step = -(-width // count)
    cuts = [(at, min(at + step, len(table.columns))) for at in range(heads, heads + width, step)]
    return tuple(
        Table(
            f"{table.caption} ({i} of {len(cuts)})",
            (*table.columns[:heads], *table.columns[at:end]),
            tuple((*row[:heads], *row[at:end]) for row in table.rows),
            tuple(range(heads, heads + end - at)),
            table.notes if i == len(cuts) else (),
        )
        for i, (at, end) in enumerate(cuts, 1)
    )


@dataclass(frozen=True)
class Chart:
    """A drawing with its take-away sentence and the table of what it draws.

    svg: made by `privaudit.report.charts`, which escapes every name it writes. open: the table
    says more than the drawing and is not folded away.
    """

    title: str
    svg: str
    table: Table
    half: bool = False
    open: bool = False
    block: Literal["chart"] = "chart"


@dataclass(frozen=True)
class Callout:
    """Something that must not be overlooked. kind chooses word, shape and colour."""

    kind: Literal["stop", "warn", "note"]
    title: str
    body: tuple[Block, ...]
    block: Literal["callout"] = "callout"


@dataclass(frozen=True)
class Card:
    """One model's answer: its name, its reading, and the sentences."""

    title: str
    anchor: str
    badge: Badge
    body: tuple[Block, ...]
    block: Literal["card"] = "card"


@dataclass(frozen=True)
class Banner:
    """What an officer reads first: the verdict by shape, word and colour, and what to do."""

    badge: Badge
    title: str
    body: tuple[Block, ...]
    block: Literal["banner"] = "banner"


@dataclass(frozen=True)
class Questions:
    """Questions with their answers, in the order given: (anchor, question, answer)."""

    entries: tuple[tuple[str, str, tuple[Block, ...]], ...]
    block: Literal["questions"] = "questions"


@dataclass(frozen=True)
class Details:
    """Matter for those who want it, folded away on a screen and printed in full on paper."""

    summary: str
    body: tuple[Block, ...]
    block: Literal["details"] = "details"


@dataclass(frozen=True)
class Row:
    """Blocks side by side where there is room."""

    body: tuple[Block, ...]
    block: Literal["row"] = "row"


Block = (
    Heading
    | Prose
    | Bullets
    | Facts
    | Terms
    | Table
    | Chart
    | Callout
    | Card
    | Banner
    | Questions
    | Details
    | Row
)


@dataclass(frozen=True)
class Section:
    """One numbered part of the report."""

    anchor: str
    title: str
    blocks: tuple[Block, ...] = field(default_factory=tuple)


def walk(blocks: tuple[Block, ...]) -> Iterator[Block]:
    """Every block, those inside others included, in reading order."""
    for block in blocks:
        yield block
        if isinstance(block, Callout | Card | Banner | Details | Row):
            yield from walk(block.body)
        elif isinstance(block, Questions):
            for _, _, body in block.entries:
                yield from walk(body)
        elif isinstance(block, Chart):
            yield block.table


def plain(text: Text) -> str:
    """The words alone."""
    spans = (text,) if isinstance(text, str) else text
    return "".join(span if isinstance(span, str) else span.text for span in spans)
