"""Values from texts, by the annotated type of what they are for. Nothing is evaluated."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pkgutil
import sys
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from privaudit.errors import PrivauditError


def settable(kind: Any) -> list[str]:
    """The fields of a dataclass that its constructor takes."""
    return [f.name for f in fields(kind) if f.init] if is_dataclass(kind) else []


def parse_value(text: str, hint: Any, where: str) -> Any:
    """A value of the annotated type from text: numbers, yes/no, texts, choices, and lists of
    them."""
    try:
        return _parse(text, hint)
    except (ValueError, TypeError, KeyError, SyntaxError):
        raise PrivauditError(
            f"{where}={text}",
            f"it must be {_describe(hint)}",
            f"write {where}=VALUE with such a value",
        ) from None


def _parse(text: str, hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for kind in sorted(args, key=lambda kind: kind is str):
            try:
                return _parse(text, kind)
            except (ValueError, TypeError, KeyError, SyntaxError):
                continue
        raise ValueError(text)
    if hint is type(None):
        if text.lower() in ("none", ""):
            return None
        raise ValueError(text)
    if origin is Literal:
        for choice in args:
            if text == str(choice):
                return choice
        raise ValueError(text)
    if origin is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        kinds = [args[0]] * len(parts) if len(args) == 2 and args[1] is ... else list(args)
        return tuple(_parse(part, kind) for part, kind in zip(parts, kinds, strict=True))
    if hint is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
            text.lower()
        ]
    if hint in (int, float, str):
        return hint(text)
    if isinstance(hint, type) and choices(hint):
        return _build(ast.parse(text, mode="eval").body, hint)
    raise TypeError(hint)


def choices(kind: type) -> dict[str, type]:
    """name -> dataclass, of everything beside `kind` that is one of it: what `Median` may stand
    for."""
    package = kind.__module__.rpartition(".")[0]
    if package and package in sys.modules:
        for module in pkgutil.iter_modules(getattr(sys.modules[package], "__path__", ())):
            if not module.name.startswith("_"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(f"{package}.{module.name}")
    found: dict[str, type] = {}
    waiting = [kind]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if is_dataclass(one) and not inspect.isabstract(one):
            found[one.__name__] = one
    return dict(sorted(found.items()))


def _build(node: ast.expr, kind: type | None) -> Any:
    """A value from `Name`, `Name(...)` or a literal. Only constructors of known parts are
    called."""
    if isinstance(node, ast.Name) and kind is not None:
        return choices(kind)[node.id]()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and kind is not None:
        part = choices(kind)[node.func.id]
        hints = typing.get_type_hints(part)
        names = settable(part)
        given = dict(zip(names, node.args, strict=False))
        given |= {word.arg: word.value for word in node.keywords if word.arg is not None}
        if len(node.args) > len(names) or not set(given) <= set(names):
            raise ValueError(node.func.id)
        return part(**{name: _build(value, _part(hints[name])) for name, value in given.items()})
    return ast.literal_eval(node)


def _part(hint: Any) -> type | None:
    """The class among what a field may hold, if there is one."""
    kinds = get_args(hint) or (hint,)
    return next((k for k in kinds if isinstance(k, type) and k not in (type(None),)), None)


def _describe(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(kind) for kind in args)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in args)
    if origin is tuple:
        return f"a comma-separated list, each {_describe(args[0])}"
    if isinstance(hint, type) and hint not in (int, float, bool, str, type(None)):
        known = choices(hint)
        if known:
            return f"one of {', '.join(known)}, or one with its fields, such as NAME(FIELD=VALUE)"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, "none" if hint is type(None) else "a value that cannot be given as text")


__all__ = ["choices", "parse_value", "settable"]
