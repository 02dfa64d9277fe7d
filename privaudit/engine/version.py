"""What code made a number: stored results are found again only while that code is the same."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "torch",
    "xgboost",
    "xgboost-cpu",
    "catboost",
    "polars",
    "joblib",
    "dp-accounting",
    "diffprivlib",
    "opacus",
    "ctgan",
    "mbi",
    "jax",
    "tenseal",
    "cryptography",
)
"""The packages whose version may move a number."""

_CORE = ("records", "contracts", "signals", "seeds")


@cache
def packages() -> dict[str, str]:
    """name -> version of the installed packages that a number may depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code(*parts: Any) -> str:
    """sha256 of the source behind these values: their classes' modules with the private modules
    beside them, those of every dataclass they are made of, the project's modules that these import,
    the contracts, and package versions."""
    modules: set[str] = set()
    for part in parts:
        _collect(part, modules)
    digest = hashlib.sha256(repr(sorted(packages().items())).encode())
    for name in sorted(_reached(frozenset(modules)) | {f"privaudit.{core}" for core in _CORE}):
        digest.update(_source(name).encode())
    return digest.hexdigest()


def code_of_package(name: str) -> str:
    """sha256 of every Python file of a package."""
    where = Path(str(importlib.import_module(name).__file__)).parent
    return _hash(tuple(sorted(where.rglob("*.py"))))


def code_of_modules(*names: str) -> str:
    """sha256 of the files of these modules."""
    return _hash(tuple(Path(str(importlib.import_module(name).__file__)) for name in names))


def _collect(part: Any, modules: set[str]) -> None:
    modules.update(
        base.__module__
        for base in type(part).__mro__
        if not base.__module__.startswith(("builtins", "abc", "typing", "privaudit.contracts"))
    )
    if is_dataclass(part):
        for field in fields(part):
            value = getattr(part, field.name)
            if is_dataclass(value):
                _collect(value, modules)


@cache
def _reached(modules: frozenset[str]) -> set[str]:
    """These modules and those of the same projects that they import, near or far, also when
    called."""
    roots = {name.partition(".")[0] for name in modules} | {"privaudit"}
    found: set[str] = set()
    waiting = sorted(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += sorted(i for i in _imports(name) if i.partition(".")[0] in roots)
    return found


@cache
def _imports(module: str) -> frozenset[str]:
    """The modules that this one names in an import, anywhere in its file."""
    file = getattr(sys.modules.get(module) or importlib.import_module(module), "__file__", None)
    if file is None:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            if node.module.partition(".")[0] in {module.partition(".")[0], "privaudit"}:
                # Whether this process has imported the package yet may not matter.
                spec = importlib.util.find_spec(node.module)
                for folder in (spec and spec.submodule_search_locations) or ():
                    names = (alias.name for alias in node.names)
                    found.update(
                        f"{node.module}.{n}" for n in names if Path(folder, f"{n}.py").is_file()
                    )
    return frozenset(found)


@cache
def _source(module: str) -> str:
    file = getattr(sys.modules.get(module) or importlib.import_module(module), "__file__", None)
    if file is None:
        return module
    path = Path(file)
    beside = sorted(path.parent.glob("_*.py")) if (path.parent / "__init__.py").exists() else []
    return _hash((path, *beside))


def _hash(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
