"""Documents that people write as TOML: strict dataclasses, and their JSON Schema."""

from __future__ import annotations

import difflib
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from privaudit.errors import PrivauditError

T = TypeVar("T")

_PLAIN = {str: "a text in quotes", bool: "true or false", int: "a whole number"}


MAX_DEPTH = 40
"""Tables and lists within one another, in a document that people write."""


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML document.

    Raises:
        ValueError: It is no TOML, or has a number or a depth that no document needs; the message
            holds a place, and nothing of the document.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except (ValueError, RecursionError, OverflowError):
        # A number of thousands of digits, or brackets within brackets.
        raise ValueError("a number too long or tables too deep") from None
    # A dotted key makes a table of each dot.
    refuse_depth(tree, MAX_DEPTH)
    return tree


def refuse_depth(tree: Any, most: int) -> None:
    """ValueError for tables and lists that lie more than so deep within one another."""
    level = [tree] if isinstance(tree, dict | list) else []
    for _ in range(most):
        if not level:
            return
        level = [
            part
            for node in level
            for part in (node.values() if isinstance(node, dict) else node)
            if isinstance(part, dict | list)
        ]
    raise ValueError("tables too deep")


def structure(tree: Any, kind: type[T], *, document: str, fix: str) -> T:
    """Read a tree of tables into a dataclass: every key known, every value of its type.

    Args:
        tree: What `tomllib` made of the file.
        kind: A frozen dataclass of texts, numbers, booleans, literals, tuples and dataclasses.
        document: What messages call the document, such as "a schema".
        fix: What to do where the document has a fault.

    Returns:
        The dataclass.

    Raises:
        PrivauditError: An unknown key, a missing key, or a value of another type, with its place.
    """
    try:
        return _CONVERTER.structure(tree, kind)
    except BaseValidationError as error:
        path, fault = _find_fault(error, [])
        if isinstance(fault, PrivauditError):
            raise fault from None
        place = describe_place(tree, path)
        if isinstance(fault, ForbiddenExtraKeysError):
            key = sorted(fault.extra_fields)[0]
            known = [one.name for one in fields(fault.cl)]
            near = difflib.get_close_matches(key, known, n=1)
            raise PrivauditError(
                f"{key!r} in {place or 'the top level'} of {document}",
                f"known there: {', '.join(known)}",
                f"did you mean {near[0]!r}?" if near else "remove it",
            ) from None
        allowed = str(fault) if isinstance(fault, _Fault) else "a table of keys"
        raise PrivauditError(
            f"{document} with a fault at {place or 'the top level'}",
            f"needed there: {allowed}",
            fix,
        ) from None


def describe_place(tree: Any, path: Sequence[str | int]) -> str:
    """Where in a document a path leads: `[[column]] 'age': bounds`."""
    place = ""
    for step in path:
        if isinstance(step, int):
            tree = tree[step] if isinstance(tree, list) and step < len(tree) else None
            if isinstance(tree, Mapping):
                name = tree.get("name", tree.get("id", step + 1))
                place = f"[[{place}]] {name if isinstance(name, str | int) else step + 1!r}"
                continue
            place += f"[{step + 1}]"
        else:
            tree = tree.get(step) if isinstance(tree, Mapping) else None
            place = f"{place}: {step}" if place else step
    return place


def json_schema(kind: Any, **more: Any) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what `structure` reads into this dataclass.

    Args:
        kind: The dataclass; `metadata={"description": ...}` of a field describes its key.
        **more: Further keys of the schema, such as `title`.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **more, **_describe(kind)}


def _describe(kind: Any) -> dict[str, Any]:
    origin, parts = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        keys: dict[str, Any] = {}
        for one in fields(kind):
            keys[one.name] = _describe(hints[one.name])
            if "description" in one.metadata:
                keys[one.name]["description"] = one.metadata["description"]
        needed = [
            one.name
            for one in fields(kind)
            if one.default is MISSING and one.default_factory is MISSING
        ]
        return {
            "type": "object",
            "properties": keys,
            "required": needed,
            "additionalProperties": False,
        }
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return {"type": "array", "items": _describe(parts[0])}
    if origin is tuple:
        size = len(parts)
        each = [_describe(part) for part in parts]
        return {"type": "array", "prefixItems": each, "minItems": size, "maxItems": size}
    if origin in (types.UnionType, typing.Union):
        (one,) = (part for part in parts if part is not type(None))
        return _describe(one)
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[kind]}


class _Fault(ValueError):
    """A value of another type. Its text says what is allowed."""


def _find_fault(
    error: BaseException, path: list[str | int]
) -> tuple[list[str | int], BaseException]:
    """The first fault and where it is."""
    if not isinstance(error, BaseValidationError):
        if isinstance(error, KeyError):
            return [*path, str(error.args[0])], _Fault("a value: the key is missing")
        return path, error
    first = error.exceptions[0]
    for note in getattr(first, "__notes__", ()):
        if isinstance(note, AttributeValidationNote) and not isinstance(first, KeyError):
            path = [*path, note.name]
        elif isinstance(note, IterableValidationNote):
            path = [*path, int(note.index)]
    return _find_fault(first, path)


def _has_origin(*origins: Any) -> Callable[[Any], bool]:
    def check(kind: Any) -> bool:
        return get_origin(kind) in origins

    return check


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def plain(value: Any, kind: Any) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Fault(_PLAIN[kind])
        return value

    def number(value: Any, _: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Fault("a number")
        if not math.isfinite(value):
            raise _Fault("a finite number")
        return float(value)

    def literal(value: Any, kind: Any) -> Any:
        if not isinstance(value, str) or value not in get_args(kind):
            raise _Fault(f"one of {', '.join(word for word in get_args(kind) if word)}")
        return value

    def optional(value: Any, kind: Any) -> Any:
        (one,) = (part for part in get_args(kind) if part is not type(None))
        return converter.structure(value, one)

    def strict_list(kind: Any) -> Any:
        parts = get_args(kind)
        size = None if parts[1:] == (Ellipsis,) else len(parts)

        def structure_list(value: Any, _: Any) -> Any:
            if not isinstance(value, list):
                raise _Fault("a list")
            if size is not None and len(value) != size:
                raise _Fault(f"a list of {size}")
            found, faults = [], []
            for index, part in enumerate(value):
                try:
                    found.append(converter.structure(part, parts[0 if size is None else index]))
                except Exception as error:
                    note = IterableValidationNote(f"at {index}", index, kind)
                    error.__notes__ = [*getattr(error, "__notes__", []), note]
                    faults.append(error)
            if faults:
                raise cattrs.IterableValidationError(f"in {kind}", faults, kind)
            return tuple(found)

        return structure_list

    for kind in (str, bool, int):
        converter.register_structure_hook(kind, plain)
    converter.register_structure_hook(float, number)
    converter.register_structure_hook_func(_has_origin(Literal), literal)
    converter.register_structure_hook_func(_has_origin(types.UnionType, typing.Union), optional)
    converter.register_structure_hook_factory(_has_origin(tuple), strict_list)
    return converter


_CONVERTER = _make_converter()

__all__ = ["describe_place", "json_schema", "parse_toml", "refuse_depth", "structure"]
