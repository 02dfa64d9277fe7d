"""Reader of the tables beside this file: knowledge and sentences as data."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_table(name: str) -> dict[str, Any]:
    """The table of this name; line breaks within a text are spaces, lists are tuples."""
    text = files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return {key: _clean(value) for key, value in tomllib.loads(text).items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, dict):
        return {key: _clean(part) for key, part in value.items()}
    return tuple(map(_clean, value)) if isinstance(value, list) else value
