"""One judgement in the formats that people and machines read. All say the same of every verdict."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from privaudit.verdicts import Verdicts, to_json

FORMATS = ("text", "json", "junit", "sarif", "markdown", "github")


def find_renderer(name: str) -> Callable[[Verdicts], str]:
    """The function that writes this format."""
    if name == "json":
        return to_json
    found: Callable[[Verdicts], str] = import_module(f"privaudit.report.formats.{name}").render
    return found


def render(verdicts: Verdicts, name: str) -> str:
    """The judgement in this format, ending with a line break."""
    return find_renderer(name)(verdicts)


__all__ = ["FORMATS", "find_renderer", "render"]
