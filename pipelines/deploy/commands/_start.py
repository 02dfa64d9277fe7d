"""The second step of a hospital: its kit, its records, everything looked at, and the client."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pipelines.deploy.commands._ask import read_asked
from pipelines.deploy.commands._verb import say
from pipelines.deploy.homes import HospitalHome
from privaudit.errors import PrivauditError


def settle(
    root: Path, signed: Path | None, fingerprint: str | None, data: Mapping[str, Any]
) -> None:
    """Make the kit of a signed file, and write hospital.toml.

    Args:
        signed: None for a hospital that has joined already.
        data: The options of the records; what is None stays as it was.

    Raises:
        PrivauditError: Anything that does not fit; then the kit and hospital.toml are as before.
    """
    from pipelines.deploy.private_files import write_toml

    home = HospitalHome(root)
    before = home.read() if home.config.is_file() else {}
    if signed is None and not before:
        read_asked(root)
        raise PrivauditError(
            "a hospital that has not joined yet",
            "the coordinator has to sign its request first",
            "give the file that came back: --signed FILE --fingerprint SHA256:..",
        )
    said = {name: value for name, value in before.items() if name != "data"}
    # First what may be wrong without the kit, so that an error leaves no kit behind.
    records = _settle_data(before.get("data", {}), data)
    if signed is not None and fingerprint is not None:
        said = _take_kit(home, signed, fingerprint)
    made = {**said, "data": records}
    if made != before:
        write_toml(home.config, made)


def start(root: Path, check: bool, as_json: bool, page: int) -> None:
    """Look at everything, and run the client in the foreground.

    Raises:
        PrivauditError: The first check that failed; all of them are shown.
    """
    from pipelines.deploy.commands._foreground import alone, run_foreground
    from pipelines.deploy.configure import configure_hospital
    from pipelines.deploy.preflight import read_hospital

    home = HospitalHome(root)
    said = read_hospital(home)
    if check:
        _look(home, as_json)
        return
    with alone(root, "client"):
        configure_hospital(root / "kit", said["host"], said["port"])
        _look(home, as_json)
        say(f"hospital {said['name']} takes part; nothing of a run leaves before the consent to it")
        say(f"in another terminal: privaudit federation status {root.name}; Ctrl-C ends it here")
        run_foreground(home, "client", page)


def _look(home: HospitalHome, as_json: bool) -> None:
    """Show every check; PrivauditError for the first that failed."""
    from pipelines.deploy.preflight import Outcome, run_preflight

    made = []
    for one in run_preflight(home, home.root / "kit"):
        made.append(one)
        if not as_json:
            say(_line(one))
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in made], indent=1))
    for one in made:
        if one.outcome is Outcome.FAILED and one.error is not None:
            raise one.error


def _take_kit(home: HospitalHome, signed: Path, fingerprint: str) -> dict[str, Any]:
    from pipelines.deploy.certificates import make_kit, read_signed
    from pipelines.deploy.configure import configure_hospital
    from pipelines.deploy.identity import Identity, Root

    asked = read_asked(home.root)
    name = str(asked["name"])
    federation, inner, root = read_signed(signed, name, fingerprint)
    for key, found in (("host", federation.host), ("port", federation.port)):
        if found != asked[key]:
            raise PrivauditError(
                f"a signed file for the {key} {found}",
                f"this hospital asked to join {asked[key]}",
                "telephone the coordinator",
            )
    if name not in federation.hospitals:
        raise PrivauditError(
            "a roster without this hospital",
            f"it names {', '.join(federation.hospitals)}",
            "ask the coordinator to sign this hospital's request",
        )
    kit = home.root / "kit"
    made = {"name": name, **_of_federation(asdict(federation))}
    if kit.is_dir():
        from pipelines.deploy.certificates import key_of, public_digest

        own = Identity.load(kit)
        if Root.load(kit) == root and public_digest(own.certificate) == key_of(inner, name):
            return made
        raise PrivauditError(
            "a folder with the kit of another certificate",
            "it was made of another signed file",
            "give another folder, or stop the client and remove kit/",
        )
    part = make_kit(home.root, name, federation, inner, root)
    try:
        configure_hospital(part, federation.host, federation.port)
        os.rename(part, kit)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    say(f"kit of {name} made; the root is the one that was read out")
    return made


def _of_federation(made: dict[str, Any]) -> dict[str, Any]:
    name = made.pop("name")
    return {"federation": name, **made}


def _settle_data(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    from pipelines.deploy.site_data import LEAST

    made = dict(before)
    if given["task"] is not None:
        from privaudit import plugins

        plugins.load("tasks", given["task"])
        if made.get("task") not in (None, given["task"]):
            made = {}
        made["task"] = given["task"]
    if "task" not in made:
        raise PrivauditError(
            "no task", "it says what the records are used for", "give one with --task"
        )
    for name, key in (("data", "path"), ("cache", "cache")):
        if given[name] is not None:
            path = Path(os.path.abspath(given[name]))
            if name == "data" and not path.exists():
                raise PrivauditError(
                    "a path of --data that is not there",
                    "this machine has no such file or folder",
                    "check the path",
                )
            made[key] = str(path)
    if "path" not in made:
        # A task without a source makes records up, which no hospital has.
        raise PrivauditError(
            "no source of records", "this hospital trains on its own", "give one with --data PATH"
        )
    if given["settings"]:
        made["settings"] = [_settle_setting(part) for part in given["settings"]]
    if given["least_patients"] is not None:
        made["least_patients"] = given["least_patients"]
    if given["refits"] is not None:
        made["refits"] = given["refits"]
    made.setdefault("settings", [])
    made.setdefault("refits", False)
    made.setdefault("least_patients", LEAST)
    return made


def _settle_setting(asked: str) -> str:
    """A setting of the task, whose file has an absolute path: the client works in its kit."""
    typed, equals, value = asked.partition("=")
    if not equals or typed[:5] != "task.":
        raise PrivauditError(
            f"the setting {typed[:60]!r}",
            "a hospital sets its task alone",
            "write it as task.FIELD=VALUE",
        )
    if typed == "task.schema":
        value = os.path.abspath(value)
    return f"{typed}={value}"


def _line(check: Any) -> str:
    from pipelines.deploy.preflight import WORDS

    marks = {"ok": "ok    ", "failed": "FAILED", "noted": "noted ", "skipped": "-     "}
    facts = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in check.facts.items()
        if value is not None
    )
    tail = f"  ({facts})" if facts else ""
    if check.error is not None:
        tail = f"\n        {check.error.what}: {check.error.because}"
    return f"{marks[check.outcome]}  {WORDS[check.code]}{tail}"


__all__ = ["settle", "start"]
