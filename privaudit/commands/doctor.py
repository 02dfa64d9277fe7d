"""privaudit doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("doctor")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="Source tables to look at."
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(data: Path | None, as_json: bool) -> None:
    """Check this machine and, with --data, what the folder holds."""
    told: dict[str, Any] = {"machine": _machine(), "packages": _packages(), "plugins": _plugins()}
    if data is not None:
        told["data"] = _data(data)
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    for part, facts in told.items():
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


def _packages() -> dict[str, str]:
    """Every package that this one requires, with its version or that it is missing."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    from privaudit import __version__

    found = {"privaudit": __version__}
    for text in requires("privaudit") or ():
        requirement, _, marker = text.partition(";")
        name = re.split(r"[^A-Za-z0-9_.-]", requirement.strip())[0]
        if "extra ==" in marker or (marker and not _applies(marker)):
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = f"missing: install {requirement.strip()}"
    return found


def _applies(marker: str) -> bool:
    from packaging.markers import Marker

    return Marker(marker.strip()).evaluate()


def _plugins() -> dict[str, str]:
    from privaudit.plugins import KINDS, members

    return {kind: ", ".join(members(kind)) or "none" for kind in KINDS}


def _data(data: Path) -> dict[str, str]:
    """What a folder is, by the tasks that can tell (`Task.check`), and its size."""
    from privaudit.contracts import Task
    from privaudit.errors import PrivauditError
    from privaudit.plugins import load, members

    if not data.is_dir():
        raise PrivauditError(
            "the data folder is not there, or is no folder",
            "--data names a folder of source tables",
            "give the folder that holds the tables, such as the one with ICUSTAYS.csv.gz",
        )
    files = [path for path in data.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    found = {"files": f"{len(files)}, {size:,.1f} MB"}
    asked = set()
    for name in members("tasks"):
        task: Task = load("tasks", name)()
        if task.check.__qualname__ not in asked:
            asked.add(task.check.__qualname__)
            found |= task.check(data)
    if len(found) == 1:
        found["source"] = "no installed task can tell what a folder is"
    return found
