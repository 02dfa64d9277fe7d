"""The folder is the registry: one file an addition, listed without being imported.

A folder is announced by an entry point of the group `privaudit.plugins` whose name is the kind
(tasks, methods, learners, generators, attacks) and whose value is a package; every module in it
that does not start with an underscore is a member, named by its file. `__all__` of the module names
one class.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from privaudit.errors import PrivauditError

GROUP = "privaudit.plugins"
KINDS = ("tasks", "methods", "learners", "generators", "attacks")


@cache
def folders(kind: str) -> tuple[str, ...]:
    """The packages that hold members of this kind."""
    own = ("privaudit.attacks",) if kind == "attacks" else ()
    found = {point.value for point in entry_points(group=GROUP, name=kind)}
    return own + tuple(sorted(found - set(own)))


@cache
def members(kind: str) -> dict[str, str]:
    """name -> module, sorted by name; nothing is imported but the folders themselves."""
    found: dict[str, str] = {}
    for package in folders(kind):
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or [] if spec else []:
            for name, module in _modules(Path(folder), package):
                if name in found:
                    raise PrivauditError(
                        f"two {kind} called {name!r}: {found[name]} and {module}",
                        "a name stands for one of them, and neither may silently replace the other",
                        "rename one, or uninstall the package that provides it",
                    )
                found[name] = module
    return dict(sorted(found.items()))


def _modules(folder: Path, package: str) -> Iterator[tuple[str, str]]:
    """(name, module) of every public module of a package and of its public sub-packages."""
    for module in pkgutil.iter_modules([str(folder)]):
        if module.name.startswith("_"):
            continue
        if module.ispkg:
            yield from _modules(folder / module.name, f"{package}.{module.name}")
        else:
            yield module.name, f"{package}.{module.name}"


@cache
def packages() -> tuple[tuple[str, str, str], ...]:
    """(name, version, sha256) of every package that announces a folder of members, sorted; the
    hash is over all files of its folders, whatever their names."""
    announced: dict[tuple[str, str], set[str]] = {}
    for point in entry_points(group=GROUP):
        name, version = ("", "") if point.dist is None else (point.dist.name, point.dist.version)
        announced.setdefault((name, version), set()).add(point.value)
    return tuple((*one, _hash_folders(announced[one])) for one in sorted(announced))


def _hash_folders(values: set[str]) -> str:
    digest = hashlib.sha256()
    for value in sorted(values):
        spec = importlib.util.find_spec(value)
        for folder in spec.submodule_search_locations or [] if spec else []:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    name = f"{value}/{path.relative_to(folder).as_posix()}"
                    digest.update(name.encode() + b"\0")
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def refuse_doubles() -> None:
    """PrivauditError where two members of any kind have one name."""
    for kind in KINDS:
        members(kind)


def load(kind: str, name: str) -> type:
    """The class of the member of this name; an unknown name is an error with a suggestion."""
    known = members(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise PrivauditError(
            f"no {kind[:-1]} called {name!r}",
            f"known {kind}: {', '.join(known) or 'none'}",
            f"did you mean {near[0]!r}?" if near else "choose one of these",
        )
    module = importlib.import_module(known[name])
    (only,) = module.__all__
    found: type = getattr(module, only)
    return found


def summary(kind: str, name: str) -> str:
    """The first docstring line of the member's module, read without importing it."""
    import ast

    spec = importlib.util.find_spec(members(kind)[name])
    if spec is None or spec.origin is None:
        return ""
    with open(spec.origin, encoding="utf-8") as file:
        doc = ast.get_docstring(ast.parse(file.read()))
    return (doc or "").split("\n", 1)[0]
