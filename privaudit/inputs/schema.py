"""What the columns of a user's table are: proposed from the file, checked by a person, kept as TOML."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.records import Column

OTHER = "(other)"
"""The level that stands for every value not listed, where a category lists it."""

MOST_CLASSES = 20
"""An outcome with more classes is taken for a number or an identifier."""

_TABLE = ("target", "classes", "patient", "groups", "ignored")
_COLUMN = (
    "name", "kind", "bounds", "levels", "integer", "sensitive", "mutable", "unit", "variable",
    "statistic", "at_most",
)  # fmt: skip
_KINDS = ("numeric", "binary", "category")
_STATISTICS = ("", "first", "last", "min", "max", "mean", "count", "measured")


@dataclass(frozen=True)
class TableSchema:
    """Which columns of a table are features, which is the outcome, and who the patient is.

    columns: the features, in file order (a category's `levels` are its values as spelled in the file;
    `(other)` among them stands for every value not listed); target: the outcome's column, "" for
    none; classes: its values as spelled, in the order of the class codes; patient: the column that
    names the unit of privacy, "" where each row is its own patient; groups: columns to tell apart in
    subgroup tables; ignored: columns left aside (identifiers, dates, free text).
    """

    columns: tuple[Column, ...]
    target: str = ""
    classes: tuple[str, ...] = ()
    patient: str = ""
    groups: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        twice = sorted({name for name in names if names.count(name) > 1}) if _repeats(names) else []
        if twice:
            raise PrivauditError(
                f"a schema that describes {', '.join(twice)} twice",
                "each column is described once",
                "keep one [[column]] of that name",
            )
        if not names:
            raise PrivauditError(
                "a schema without feature columns",
                "a model needs something to read",
                "describe at least one [[column]]",
            )
        roles = {"target": self.target, "patient": self.patient}
        for role, name in roles.items():
            if name and name in names:
                raise PrivauditError(
                    f"the {role} {name!r} is also a feature",
                    "a column has one role",
                    f"remove the [[column]] {name!r}, or name another {role}",
                )
        if self.target and not 2 <= len(self.classes) <= MOST_CLASSES:
            raise PrivauditError(
                f"an outcome {self.target!r} of {len(self.classes)} classes",
                f"an outcome has 2 to {MOST_CLASSES} classes; more are usually a number or an identifier",
                "name another target, or put its values into classes first",
            )
        if len(set(self.classes)) != len(self.classes):
            raise PrivauditError(
                "an outcome with one class listed twice",
                "the place in the list is the class code",
                "list each class once",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(column.name for column in self.columns)


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) != len(names)


def propose(
    path: Path | str | Sequence[Path | str], *, target: str = "", patient: str = ""
) -> tuple[TableSchema, tuple[str, ...]]:
    """A schema for the table in this file, with notes for a person to check.

    path: one CSV or Parquet file, or several of the same columns that are to share a schema. target:
    the outcome's column; patient: the column that names patients (guessed by its name if not given).
    Identifiers, dates and free text are left aside; levels that fewer than 10 rows have are put
    together as `(other)`. No note quotes a value of the table.
    """
    from privaudit.inputs.infer_schema import proposal

    paths = [path] if isinstance(path, Path | str) else list(path)
    return proposal([Path(p) for p in paths], target=target, patient=patient)


def read(path: Path | str) -> TableSchema:
    """The schema in a TOML file as `write` makes it; every fault is named with its place."""
    try:
        text = Path(path).read_bytes()[: 64 << 20].decode("utf-8-sig")
        tree = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise PrivauditError(
            f"a schema that cannot be read: {said}",
            "a schema is a TOML file as `privaudit schema` proposes it",
            "make one with: privaudit schema TABLE --out schema.toml",
        ) from None
    _known(tree, ("table", "column"), "the schema")
    table = tree.get("table", {})
    _known(table, _TABLE, "[table]")
    columns = tree.get("column", [])
    if not isinstance(columns, list) or not all(isinstance(c, dict) for c in columns):
        raise _fault("column", "a list of [[column]] tables")
    return TableSchema(
        columns=tuple(_column(entry, i) for i, entry in enumerate(columns)),
        target=_text(table, "target", "[table]"),
        classes=_texts(table, "classes", "[table]"),
        patient=_text(table, "patient", "[table]"),
        groups=_texts(table, "groups", "[table]"),
        ignored=_texts(table, "ignored", "[table]"),
    )


def write(schema: TableSchema, path: Path | str, notes: Sequence[str] = ()) -> None:
    """Write the schema as TOML, with the notes as comments on top; the file appears whole or not at all."""
    from privaudit.inputs.table_file import appear

    with appear(Path(path)) as part:
        part.write_text(to_toml(schema, notes), encoding="utf-8")


def to_toml(schema: TableSchema, notes: Sequence[str] = ()) -> str:
    """The text of the schema's file."""
    lines = [
        "# What the columns of a table are. Check every line before it is used:",
        "# kind (numeric, binary or category), bounds (what is possible, not what was seen),",
        "# levels, sensitive (worth inferring about a patient), mutable (false: cannot be changed",
        '# about a patient). A level "(other)" stands for every value that is not listed.',
        *(f"# NOTE: {note}" for note in notes),
        "",
        "[table]",
        f"target = {_toml(schema.target)}",
        f"classes = {_toml(schema.classes)}",
        f"patient = {_toml(schema.patient)}",
        f"groups = {_toml(schema.groups)}",
        f"ignored = {_toml(schema.ignored)}",
    ]
    usual = Column("")
    for column in schema.columns:
        lines += ["", "[[column]]", f"name = {_toml(column.name)}", f"kind = {_toml(column.kind)}"]
        lines += [
            f"{field} = {_toml(getattr(column, field))}"
            for field in _COLUMN[2:]
            if getattr(column, field) != getattr(usual, field)
        ]
    return "\n".join(lines) + "\n"


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


def _column(entry: Mapping[str, Any], index: int) -> Column:
    where = f"[[column]] {entry.get('name', index + 1)!r}"
    _known(entry, _COLUMN, where)
    name = _text(entry, "name", where)
    if not name:
        raise _fault(f"{where}: name", "the column's name in the file")
    kind = entry.get("kind", "numeric")
    if kind not in _KINDS:
        raise _fault(f"{where}: kind = {kind!r}", f"one of {', '.join(_KINDS)}")
    statistic = entry.get("statistic", "")
    if statistic not in _STATISTICS:
        raise _fault(f"{where}: statistic = {statistic!r}", f"one of {', '.join(_STATISTICS[1:])}")
    levels = _texts(entry, "levels", where)
    if kind == "category" and not levels:
        raise _fault(f"{where}: no levels", "a category lists its levels")
    if kind == "binary" and levels and len(levels) != 2:
        raise _fault(
            f"{where}: {len(levels)} levels", "a binary column has two levels, or none for 0 and 1"
        )
    if kind == "numeric" and levels:
        raise _fault(f"{where}: levels", "a numeric column has none; its kind may be category")
    if len(set(levels)) != len(levels):
        raise _fault(f"{where}: a level listed twice", "the place in the list is the level's code")
    return Column(
        name=name,
        kind=kind,
        bounds=_bounds(entry, where),
        levels=levels,
        sensitive=_flag(entry, "sensitive", False, where),
        mutable=_flag(entry, "mutable", True, where),
        unit=_text(entry, "unit", where),
        variable=_text(entry, "variable", where),
        statistic=statistic,
        integer=_flag(entry, "integer", False, where),
        at_most=_text(entry, "at_most", where),
    )


def _bounds(entry: Mapping[str, Any], where: str) -> tuple[float, float] | None:
    came = entry.get("bounds")
    if came is None:
        return None
    number = isinstance(came, list) and len(came) == 2
    if not number or not all(
        isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in came
    ):
        raise _fault(f"{where}: bounds", "two finite numbers, [least, most]")
    if came[0] > came[1]:
        raise _fault(f"{where}: bounds = {came}", "the least comes first")
    return float(came[0]), float(came[1])


def _known(tree: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(tree, dict):
        raise _fault(where, "a table of settings")
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise PrivauditError(
                f"{key!r} in {where} of a schema",
                f"known there: {', '.join(known)}",
                f"did you mean {near[0]!r}?" if near else "remove it",
            )


def _text(tree: Mapping[str, Any], key: str, where: str) -> str:
    value = tree.get(key, "")
    if not isinstance(value, str):
        raise _fault(f"{where}: {key}", "a text in quotes")
    return value


def _texts(tree: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = tree.get(key, [])
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise _fault(f"{where}: {key}", "a list of texts in quotes")
    return tuple(value)


def _flag(tree: Mapping[str, Any], key: str, usual: bool, where: str) -> bool:
    value = tree.get(key, usual)
    if not isinstance(value, bool):
        raise _fault(f"{where}: {key}", "true or false")
    return value


def _fault(what: str, allowed: str) -> PrivauditError:
    return PrivauditError(
        f"a schema with {what}",
        f"allowed is: {allowed}",
        "correct it, or make one with: privaudit schema TABLE --out schema.toml",
    )


__all__ = ["MOST_CLASSES", "OTHER", "TableSchema", "propose", "read", "write"]
