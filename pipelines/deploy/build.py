"""The parts that the terms of a run name, and the digest of the code that runs them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from privaudit.contracts import Method, Task
from privaudit.engine import profiles
from privaudit.engine.configure import request
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.terms import RunTerms


def build(terms: RunTerms) -> tuple[Task, Method]:
    """The task and the method of these terms; see `RunTerms.build`."""
    made = request(
        terms.task,
        profiles.PROFILES["smoke"],
        methods=(terms.method,),
        attacks=("threshold",),
        settings=terms.settings,
    )
    if made.untrained or len(made.entries) != 1:
        raise PrivauditError(
            f"{terms.method} for the task {terms.task}",
            "a library that it needs is not installed here",
            "pip install 'privaudit[federation]'",
        )
    method = made.entries[0].method
    method.check()
    from pipelines.deploy.deployable import check_deployable

    check_deployable(method, len(terms.roster))
    return made.task, method


@lru_cache(maxsize=1)
def source_digest() -> str:
    """sha256 of the installed code, so that both sides know whether they run the same."""
    digest = hashlib.sha256()
    for package in ("privaudit", "pipelines"):
        for path, file in sorted(_walk(resources.files(package), package)):
            digest.update(path.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _walk(folder: Traversable, at: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for part in folder.iterdir():
        if part.is_dir():
            if part.name != "__pycache__":
                found += _walk(part, f"{at}/{part.name}")
        elif part.name.endswith((".py", ".csv", ".json", ".toml")):
            found.append((f"{at}/{part.name}", part))
    return found


__all__ = ["build", "source_digest"]
