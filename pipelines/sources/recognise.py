"""Says which ICU source a folder holds, before anything is read.

A source is a module of this folder that lists a subclass of `Source` in its `__all__`; a new one is
added as a file alone.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from functools import cache
from pathlib import Path

import pipelines.sources
from pipelines.sources.source import Source
from pipelines.sources.tables import FORMS
from privaudit.errors import PrivauditError

_KNOWN_FORMS = (
    *FORMS,
    ".tar.gz",
    ".txt",
    ".csv.zst",
    ".zip",
    ".csv.bz2",
    ".csv.xz",
    ".ndjson.gz",
    ".ndjson",
    ".json",
)


@cache
def sources() -> tuple[type[Source], ...]:
    """Every kind of source, in order of their names."""
    found = set()
    for module in pkgutil.iter_modules(pipelines.sources.__path__):
        loaded = importlib.import_module(f"pipelines.sources.{module.name}")
        for name in getattr(loaded, "__all__", ()):
            kind = getattr(loaded, name)
            if inspect.isclass(kind) and issubclass(kind, Source) and not inspect.isabstract(kind):
                found.add(kind)
    return tuple(sorted(found, key=lambda kind: kind.name))


def recognise(data: Path) -> Source:
    """What a folder holds, by the names of its files and, where two sources share them, a header.

    Raises:
        PrivauditError: Naming no file but known tables, for a path that is missing or no folder, a
            folder one level too high or too low, one that holds two sources, and anything else.
    """
    name = data.resolve().name
    if not data.exists():
        raise PrivauditError(
            f"nothing exists at {name!r}",
            f"a source is a folder of one of: {_titles()}",
            "check the path for a typing error, or leave it out to use the generated demo",
        )
    if not data.is_dir():
        raise PrivauditError(
            f"{_form(data)} is a file, not a folder",
            "a source is the folder that holds all the tables",
            "give the folder that the file lies in",
        )
    try:
        return _look(data, name)
    except PermissionError:
        raise PrivauditError(
            f"{name!r} may not be listed",
            "the folder's permissions do not let you read it",
            "ask for read permission on the folder",
        ) from None


def _look(data: Path, name: str) -> Source:
    found = [kind for kind in sources() if kind.recognise(data)]
    if len(found) > 1:
        raise PrivauditError(
            f"{name!r} holds {' and '.join(kind.title for kind in found)}",
            "which of them is meant cannot be told",
            "give each source a folder of its own",
        )
    if found:
        return found[0](data)
    for kind in sources():
        if kind.recognise(data.resolve().parent):
            raise PrivauditError(
                f"{name!r} is one level too low",
                f"the folder that it lies in looks like {kind.title}",
                "give the folder that it lies in",
            )
        kind.refuse(data)
    for sub in sorted(p for p in data.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for kind in sources():
            if kind.recognise(sub):
                raise PrivauditError(
                    f"{name!r} is one level too high",
                    f"its subfolder {sub.name!r} looks like {kind.title}",
                    f"give the subfolder {sub.name!r}",
                )
    raise PrivauditError(
        f"{name!r} holds no source that can be read",
        f"looked for {'; '.join(kind.looked_for for kind in sources())}; found {_contents(data)}",
        f"give a folder of one of: {_titles()}",
    )


def _titles() -> str:
    return ", ".join(kind.title for kind in sources())


def _form(path: Path) -> str:
    name = path.name.lower()
    form = next((f for f in _KNOWN_FORMS if name.endswith(f)), None)
    return f"a *{form}" if form else "what was given"


def _contents(folder: Path) -> str:
    """What lies in a folder, by kind: file names may themselves be private."""
    counts: Counter[str] = Counter()
    for path in folder.iterdir():
        form = next((f for f in _KNOWN_FORMS if path.name.lower().endswith(f)), None)
        counts["folders" if path.is_dir() else f"*{form}" if form else "other files"] += 1
    counted = [f"{n} {kind}" for kind, n in sorted(counts.items())]
    return ", ".join(counted) or "nothing"
