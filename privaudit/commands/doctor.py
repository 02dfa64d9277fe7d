"""privaudit doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import JSON, PATH, option
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


@click.command("doctor")
@option("--data", "DIR", "A folder of source tables to check.", PATH)
@JSON
def command(data: Path | None, as_json: bool) -> None:
    """Check this machine, the installed packages and extras and, with --data, a data folder."""
    packages, extras = _requirements()
    answer = {"machine": _machine(), "packages": packages, "extras": extras, "plugins": _plugins()}
    if data is not None:
        answer["data"] = _data(data)
    if as_json:
        click.echo(json.dumps(answer, indent=1))
        return
    for part, facts in answer.items():
        click.echo(f"{part}:")
        for name, value in facts.items():
            click.echo(f"  {name:<32} {value}")


def _machine() -> dict[str, str]:
    import os
    import platform
    import shutil

    from privaudit.engine.run import cores

    memory = "unknown"
    if hasattr(os, "sysconf"):
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    threads = [
        f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if n in os.environ
    ]
    return {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cores": str(cores()),
        "memory": memory,
        "disk free here": f"{shutil.disk_usage('.').free / 1e9:.1f} GB",
        "threads": ", ".join(threads) or "not limited outside (each worker uses one)",
    }


def _requirements() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of what privaudit requires, and whether each extra can be used."""
    from importlib.metadata import metadata

    from packaging.requirements import Requirement

    from privaudit import __version__

    about = metadata("privaudit")
    every = [Requirement(text) for text in about.get_all("Requires-Dist") or ()]
    packages = {"privaudit": __version__}
    for one in every:
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            packages[one.name] = _version(one) or f"missing: pip install '{one.name}'"
    extras = {}
    for extra in about.get_all("Provides-Extra") or ():
        asked = [
            one
            for one in every
            if one.name != "privaudit"
            and one.marker is not None
            and one.marker.evaluate({"extra": extra})
            and not one.marker.evaluate({"extra": ""})
        ]
        if extra == "dev" or not asked:
            continue
        missing = [one.name for one in asked if not _version(one)]
        fix = f"missing {', '.join(missing)}: pip install 'privaudit[{extra}]'"
        extras[extra] = fix if missing else "installed"
    return packages, extras


def _version(requirement: Requirement) -> str:
    """The installed version, empty where there is none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(requirement.name)
    except PackageNotFoundError:
        return ""


def _plugins() -> dict[str, str]:
    from privaudit.plugins import KINDS, members

    return {kind: ", ".join(members(kind)) or "none" for kind in KINDS}


def _data(data: Path) -> dict[str, str]:
    """What a folder holds, by the tasks that recognise it (`Task.check`), and its size."""
    from privaudit.plugins import load, members

    if not data.is_dir():
        raise PrivauditError(
            "the data folder is not there, or is no folder",
            "--data names a folder of source tables",
            "give the folder that holds the tables, such as the one with ICUSTAYS.csv.gz",
        )
    files = [path for path in data.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    found = {"files": f"{len(files)}, {size:,.1f} MB"}
    checks: dict[str, Any] = {}
    for name in members("tasks"):
        task: Any = load("tasks", name)()
        checks.setdefault(task.check.__qualname__, task.check)
    refused: list[PrivauditError] = []
    told: dict[str, str] = {}
    for check in checks.values():
        try:
            told |= check(data)
        except PrivauditError as error:
            refused.append(error)
    if refused and not told:
        raise refused[0]
    return found | (told or {"source": "no installed task recognises this folder"})
