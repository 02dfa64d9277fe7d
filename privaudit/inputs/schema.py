"""What the columns of a user's table are: a schema that a person checks, stored as TOML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from privaudit.errors import PrivauditError
from privaudit.inputs.cell_text import OTHER
from privaudit.inputs.documents import json_schema, parse_toml, structure
from privaudit.inputs.number_text import PLAIN, Spelling
from privaudit.inputs.series import SeriesSchema, format_series, refuse_series_roles
from privaudit.records import Column, OutcomeKind
from privaudit.words import Words

MAX_CLASSES = 20
"""An outcome with more classes is taken for a number or an identifier."""

MAX_BYTES = 64 << 20
Guess = Literal["bounds", "integer", "kind", "levels", "classes"]
"""What of a column, or of the outcome, was read off a sample and not checked."""

_FIX = "correct it, or make a schema with: privaudit schema TABLE --out schema.toml"


@dataclass(frozen=True)
class TableSchema:
    """Which columns of a table are features, which is the outcome, and who the patient is.

    Args:
        columns: The features, in file order. A category's `levels` are its values as spelled in the
            file; `(other)` among them stands for every value not listed.
        outcome: The outcome's column, "" for none.
        classes: The outcome's values as spelled, in the order of the class codes.
        patient: The column that names the unit of privacy, "" where each row is its own patient.
        groups: Columns whose subgroups are reported.
        ignored: Columns left aside: identifiers, dates, free text.
        outcome_kind: "number" for an outcome such as a length of stay, "time" for the time to an
            event; neither has classes.
        spelling: How numbers and missing values are written in the whole table.
        spelled: The same of single columns, by name.
        guessed: By name, what of a column or of the outcome was read off a sample: a value of a
            column that breaks it is a note and no fault.
        event: Of a time, the column that says whether the event happened (1) or the record was
            censored (0).
        ordered: Whether the classes are listed in an order that means something, as those of a
            length of stay are; said by a person, never guessed.
        series: What a long table of measurements beside this one is, None for none.
        site: The column that says which site holds a record, "" for none.
        words: What a report calls people and sites; None for patients and hospitals.
        states_patient: Whether the file says who the patient is, were it that each row is one:
            `patient = ""`.

    Raises:
        PrivauditError: A column with two roles or described twice, no feature, an outcome that
            is a class without 2 to 20 different ones, or classes said to be ordered that nobody
            listed.
    """

    columns: tuple[Column, ...]
    outcome: str = ""
    classes: tuple[str, ...] = ()
    patient: str = ""
    groups: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    outcome_kind: OutcomeKind = "class"
    spelling: Spelling = PLAIN
    spelled: Mapping[str, Spelling] = field(default_factory=dict)
    guessed: Mapping[str, tuple[Guess, ...]] = field(default_factory=dict)
    event: str = ""
    ordered: bool = False
    series: SeriesSchema | None = None
    site: str = ""
    words: Words | None = None
    states_patient: bool = True

    def __post_init__(self) -> None:
        names = self.names
        if self.series is not None:
            self.series.check()
            refuse_series_roles(
                self.series,
                names,
                {
                    "outcome": self.outcome,
                    "patient": self.patient,
                    "event": self.event,
                    "site": self.site,
                },
            )
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise PrivauditError(
                f"a schema that describes {', '.join(twice)} twice",
                "each column is described once",
                "keep one [[column]] of that name",
            )
        if not names and self.series is None:
            raise PrivauditError(
                "a schema without feature columns",
                "a model needs something to read",
                "describe at least one [[column]]",
            )
        for role, name in (
            ("outcome", self.outcome),
            ("patient", self.patient),
            ("event", self.event),
            ("site", self.site),
        ):
            if name and name in names:
                raise PrivauditError(
                    f"the {role} {name!r} is also a feature",
                    "a column has one role",
                    f"remove the [[column]] {name!r}, or name another {role}",
                )
        if self.outcome_kind != "class" and self.classes:
            raise PrivauditError(
                f"an outcome {self.outcome!r} that is a number, with {len(self.classes)} classes",
                "a number has no classes",
                'remove `classes`, or `outcome_kind = "number"`',
            )
        if (self.outcome_kind == "time") != bool(self.event):
            raise PrivauditError(
                f"an outcome {self.outcome!r} of the kind {self.outcome_kind}, "
                f"{'with' if self.event else 'without'} a column of events",
                "a time to an event comes with whether the event happened (1) or the record was "
                "censored (0), and no other outcome does",
                'name the column of events beside `outcome_kind = "time"`, or neither',
            )
        of_classes = self.outcome and self.outcome_kind == "class"
        if of_classes and not 2 <= len(self.classes) <= MAX_CLASSES:
            raise PrivauditError(
                f"an outcome {self.outcome!r} of {len(self.classes)} classes",
                f"an outcome has 2 to {MAX_CLASSES} classes; more are usually a number or an "
                "identifier",
                'if it is a number such as a length of stay, write `outcome_kind = "number"`; else '
                "name another outcome, or put its values into classes first",
            )
        if len(set(self.classes)) != len(self.classes):
            raise PrivauditError(
                "an outcome with one class listed twice",
                "the place in the list is the class code",
                "list each class once",
            )
        self._check_order()

    def _check_order(self) -> None:
        if not self.ordered:
            return
        if self.outcome_kind != "class" or not self.outcome:
            raise PrivauditError(
                f"an outcome {self.outcome!r} of the kind {self.outcome_kind}, said to be ordered",
                "an order is one of classes; a number and a time have their own",
                "remove `ordered`",
            )
        if self.is_guessed(self.outcome, "classes"):
            raise PrivauditError(
                f"the classes of {self.outcome!r} are said to be ordered, and were read off a "
                "sample",
                "their order is that of the list, which nobody has checked",
                'put `classes` into their order, lowest first, and remove `guessed = ["classes"]`',
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(column.name for column in self.columns)

    def get_spelling(self, name: str) -> Spelling:
        """How the numbers and missing values of a column are written."""
        return self.spelled.get(name, PLAIN).over(self.spelling)

    def is_guessed(self, name: str, what: Guess) -> bool:
        """Whether this of a column was read off a sample."""
        return what in self.guessed.get(name, ())


_MISSING = "More texts that say that nothing was recorded."
_DECIMAL = 'The decimal mark, "." or ",".'
_THOUSANDS = 'What stands between groups of three digits: "," or "." or " " for every blank.'
_GUESSED = "What was read off a sample; remove what you have checked."
_CENSORED = "How a number behind < or > is read: as that number (bound), or as missing."


@dataclass(frozen=True)
class _Roles:
    """The table [table] of the file."""

    outcome: str = field(default="", metadata={"description": "The outcome's column."})
    classes: tuple[str, ...] = field(
        default=(), metadata={"description": "Its values, in the order of the class codes."}
    )
    patient: str = field(default="", metadata={"description": "The column that names patients."})
    groups: tuple[str, ...] = field(
        default=(), metadata={"description": "Columns whose subgroups are reported."}
    )
    ignored: tuple[str, ...] = field(default=(), metadata={"description": "Columns left aside."})
    outcome_kind: OutcomeKind = field(
        default="class",
        metadata={"description": "What the outcome is: a class, a number, or a time to an event."},
    )
    event: str = field(
        default="",
        metadata={"description": "Of a time, the column of 1 (the event happened) and 0."},
    )
    ordered: bool = field(
        default=False,
        metadata={"description": "Whether the classes are listed in their order, lowest first."},
    )
    site: str = field(
        default="",
        metadata={"description": "The column of the site (hospital, branch) that holds a record."},
    )
    guessed: tuple[Literal["classes"], ...] = field(default=(), metadata={"description": _GUESSED})
    missing: tuple[str, ...] = field(default=(), metadata={"description": _MISSING})
    decimal: Literal["", ".", ","] = field(default="", metadata={"description": _DECIMAL})
    thousands: Literal["", ",", ".", " "] = field(default="", metadata={"description": _THOUSANDS})
    censored: Literal["", "bound", "missing"] = field(
        default="", metadata={"description": _CENSORED}
    )


@dataclass(frozen=True)
class _Described(Column):
    """A table [[column]] of the file: the column, and how its cells are written."""

    missing: tuple[str, ...] = field(default=(), metadata={"description": _MISSING})
    decimal: Literal["", ".", ","] = field(default="", metadata={"description": _DECIMAL})
    thousands: Literal["", ",", ".", " "] = field(default="", metadata={"description": _THOUSANDS})
    censored: Literal["", "bound", "missing"] = field(
        default="", metadata={"description": _CENSORED}
    )
    suffix: str = field(
        default="", metadata={"description": "A text after every number, such as %, left out."}
    )
    guessed: tuple[Guess, ...] = field(default=(), metadata={"description": _GUESSED})

    @property
    def column(self) -> Column:
        """The column alone."""
        return Column(*(getattr(self, one.name) for one in fields(Column)))

    @property
    def spelling(self) -> Spelling:
        """How its cells are written."""
        return Spelling(self.missing, self.decimal, self.thousands, self.censored, self.suffix)


@dataclass(frozen=True)
class _File:
    """The file as TOML holds it."""

    table: _Roles = _Roles()
    column: tuple[_Described, ...] = ()
    series: SeriesSchema | None = None
    words: Words | None = None


def read_schema(path: Path | str) -> TableSchema:
    """Read the schema in a TOML file as `write_schema` makes it.

    Args:
        path: The file.

    Returns:
        The schema.

    Raises:
        PrivauditError: A file that cannot be read, or a fault in it, named with its place.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig")
        tree = parse_toml(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise PrivauditError(
            f"a schema that cannot be read: {why}",
            "a schema is a TOML file as `privaudit schema` proposes it",
            "make one with: privaudit schema TABLE --out schema.toml",
        ) from None
    table = tree.get("table")
    if isinstance(table, dict) and "target" in table and "outcome" not in table:
        # Accepted as `--target` is: schema files outlive a version.
        table["outcome"] = table.pop("target")
    found = structure(tree, _File, document="a schema", fix=_FIX)
    roles = found.table
    _check_spelling("[table]", Spelling(roles.missing, roles.decimal, roles.thousands))
    for column in found.column:
        _check_column(column)
        _check_spelling(f"[[column]] {column.name!r}", column.spelling)
    return TableSchema(
        tuple(one.column for one in found.column),
        roles.outcome,
        roles.classes,
        roles.patient,
        roles.groups,
        roles.ignored,
        roles.outcome_kind,
        Spelling(roles.missing, roles.decimal, roles.thousands, roles.censored),
        {one.name: one.spelling for one in found.column if one.spelling != PLAIN},
        {
            **{one.name: one.guessed for one in found.column if one.guessed},
            **({roles.outcome: roles.guessed} if roles.guessed else {}),
        },
        roles.event,
        roles.ordered,
        series=_find_series(found.series, Path(path)),
        site=roles.site,
        words=found.words,
        states_patient=isinstance(table, dict) and "patient" in table,
    )


def _find_series(series: SeriesSchema | None, schema: Path) -> SeriesSchema | None:
    """The series with their file as seen from here, not from the schema's folder."""
    if series is None or not series.file:
        return series
    return replace(series, file=str(schema.parent / series.file))


def _check_spelling(place: str, spelling: Spelling) -> None:
    if spelling.thousands and spelling.thousands == (spelling.decimal or "."):
        raise PrivauditError(
            f"a schema with a fault at {place}: thousands",
            "one mark cannot stand for decimals and between thousands",
            f"give the other mark as `decimal`, such as decimal = "
            f"{_toml(',' if spelling.thousands == '.' else '.')}",
        )


def name_roles(schema: TableSchema, **roles: str) -> TableSchema:
    """The schema with the outcome and the patient as asked for; refused where it names others."""
    for role, asked in roles.items():
        named = getattr(schema, role)
        if asked and named and asked != named:
            raise PrivauditError(
                f"--{role} {asked} with a schema whose {role} is {named!r}",
                "the schema says what each column is",
                f"leave --{role} out, or change {role} in the schema",
            )
        if asked and not named:
            named_role: dict[str, Any] = {role: asked}
            schema = replace(schema, **named_role)
    return schema


def refuse_numbers(schema: TableSchema) -> TableSchema:
    """The schema; refused where its outcome is a number, or series stand beside the table, for what
    is made of a synthetic table alone."""
    if schema.series is not None:
        raise PrivauditError(
            "a schema with [series], for a synthetic table",
            "series are not modelled, so nothing would be said of what they give away",
            "give a schema without [series], of the other columns alone",
        )
    if schema.outcome_kind != "class":
        raise PrivauditError(
            f"the outcome {schema.outcome!r} is a number, and a synthetic table has one of classes",
            "a number such as a length of stay is a column like any other there",
            f"describe {schema.outcome!r} as a numeric [[column]], and name no outcome or one of "
            "classes",
        )
    return schema


def _check_column(column: Column) -> None:
    levels = column.levels
    faults = {
        "name": not column.name and "the column's name in the file",
        "bounds": column.bounds is not None
        and column.bounds[0] > column.bounds[1]
        and "[least, most]: the least comes first",
        "levels": (column.kind == "category" and not levels and "a category lists its levels")
        or (
            column.kind == "binary"
            and len(levels) not in (0, 2)
            and "a binary column has two levels, or none for 0 and 1"
        )
        or (
            column.kind == "numeric"
            and bool(levels)
            and "a numeric column has none; its kind may be category"
        )
        or (len(set(levels)) != len(levels) and "each level once: its place is its code"),
    }
    for key, needed in faults.items():
        if needed:
            raise PrivauditError(
                f"a schema with a fault at [[column]] {column.name!r}: {key}",
                f"needed there: {needed}",
                _FIX,
            )


def write_schema(schema: TableSchema, path: Path | str, notes: Sequence[str] = ()) -> None:
    """Write the schema as TOML, the notes as comments on top.

    The file appears complete or not at all.

    Args:
        schema: What to write.
        path: The file.
        notes: What a person has to check.
    """
    from privaudit.inputs.table_file import write_atomically

    with write_atomically(Path(path)) as part:
        part.write_text(format_schema(schema, notes), encoding="utf-8")


def format_schema(schema: TableSchema, notes: Sequence[str] = ()) -> str:
    """The text of the schema's file."""
    lines = [
        "# What the columns of a table are. Check every line before it is used:",
        "# kind (numeric, binary or category), bounds (what is possible, not what was seen),",
        "# levels, sensitive (worth inferring about a patient), mutable (false: cannot be changed",
        '# about a patient). A level "(other)" stands for every value that is not listed.',
        "# guessed: what was read off these tables; remove it where you know that it holds.",
        '# How cells are written, here or in a column: missing = ["-999"], decimal = ",",',
        '# thousands = ".", censored = "bound" (> 89 is 89) or "missing"; in a column suffix = "%"',
        *(f"# NOTE: {note}" for note in notes),
        "",
        "[table]",
        *(
            f"{role} = {_toml(getattr(schema, role))}"
            for role in ("outcome", "classes", "patient", "groups", "ignored")
        ),
        *([] if schema.outcome_kind == "class" else [f'outcome_kind = "{schema.outcome_kind}"']),
        *_format_spelling(schema.spelling),
        *(['guessed = ["classes"]'] if schema.is_guessed(schema.outcome, "classes") else []),
        *([f"event = {_toml(schema.event)}"] if schema.event else []),
        *(["ordered = true"] if schema.ordered else []),
        *([f"site = {_toml(schema.site)}"] if schema.site else []),
        *(_format_words(schema.words) if schema.words is not None else ()),
    ]
    default = Column("")
    for column in schema.columns:
        lines += ["", "[[column]]", f"name = {_toml(column.name)}", f"kind = {_toml(column.kind)}"]
        lines += [
            f"{key} = {_toml(getattr(column, key))}"
            for key in _OPTIONAL
            if getattr(column, key) != getattr(default, key)
        ]
        lines += _format_spelling(schema.spelled.get(column.name, PLAIN))
        if schema.guessed.get(column.name):
            lines.append(f"guessed = {_toml(schema.guessed[column.name])}")
    if schema.series is not None:
        lines += format_series(schema.series, _toml)
    return "\n".join(lines) + "\n"


def _format_words(words: Words) -> list[str]:
    own = [f"{one.name} = {_toml(getattr(words, one.name))}" for one in fields(words)]
    return ["", "[words]", *own]


def _format_spelling(spelling: Spelling) -> list[str]:
    return [
        f"{one.name} = {_toml(getattr(spelling, one.name))}"
        for one in fields(spelling)
        if getattr(spelling, one.name)
    ]


_OPTIONAL = (
    *("bounds", "levels", "integer", "sensitive", "mutable"),
    *("unit", "variable", "statistic", "at_most"),
)


def schema_as_json_schema() -> dict[str, Any]:
    """The JSON Schema of a schema file, for editors."""
    return json_schema(_File, title="The schema of a table for privaudit")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if not value.is_integer() or abs(value) > 1e15 else str(int(value))
    if isinstance(value, int):
        return str(value)
    return "[" + ", ".join(_toml(part) for part in value) + "]"


__all__ = [
    "MAX_CLASSES",
    "OTHER",
    "TableSchema",
    "format_schema",
    "name_roles",
    "read_schema",
    "refuse_numbers",
    "schema_as_json_schema",
    "write_schema",
]
