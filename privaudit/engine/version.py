"""What code made a number: stored results are found again only while that code is the same."""

from __future__ import annotations

import hashlib
import importlib
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
    "adversarial-robustness-toolbox",
    "polars",
    "joblib",
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
    beside them, those of every dataclass they are made of, the contracts, and package versions."""
    modules: set[str] = set()
    for part in parts:
        _collect(part, modules)
    digest = hashlib.sha256(repr(sorted(packages().items())).encode())
    for name in sorted(modules | {f"privaudit.{core}" for core in _CORE}):
        digest.update(_source(name).encode())
    return digest.hexdigest()


def code_of_package(name: str) -> str:
    """sha256 of every Python file of a package."""
    where = Path(str(importlib.import_module(name).__file__)).parent
    return _hash(tuple(sorted(where.rglob("*.py"))))


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
