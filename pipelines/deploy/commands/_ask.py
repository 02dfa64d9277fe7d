"""The first step of a hospital: a key of its own and a request for a certificate."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipelines.deploy.commands._verb import say
from privaudit.errors import PrivauditError


def ask_to_join(home: Path, name: str, coordinator: str, federation: str | None) -> None:
    """Make the request in `home/request`, once; its path goes to standard output."""
    from pipelines.deploy.certificates import make_request, read_request
    from pipelines.deploy.homes import HospitalHome, check_folder, make_private
    from pipelines.deploy.members import Federation, check_hospital
    from pipelines.deploy.private_files import write_json

    host, colon, port = coordinator.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal():
        raise PrivauditError(
            f"the coordinator {coordinator[:80]!r}",
            "it is a name and a port",
            "give it as the coordinator tells it, such as fed.example.org:8102",
        )
    project = federation or "privaudit"
    others = tuple(sorted({name, "other-1", "other-2"}))
    check_hospital(name, host)
    Federation(project, host, int(port), "operator@coordinator.org", others).check()
    check_folder(home)
    if HospitalHome(home).config.exists():
        raise PrivauditError(
            "a folder of a hospital that has joined",
            "a second key would not be the one that the coordinator signed",
            "start it with `privaudit federation join DIR`, or give another folder",
        )
    wanted = {"name": name, "host": host, "port": int(port), "federation": project}
    asked = home / ".asked.json"
    if asked.is_file():
        if read_asked(home) != wanted:
            raise PrivauditError(
                "a folder in which another request was begun",
                "its name, federation or coordinator differ",
                "give the same options, or another folder",
            )
    elif home.exists() and any(home.iterdir()):
        raise PrivauditError(
            "a folder that is not empty",
            "a hospital's part of a federation has a folder of its own",
            "give a folder that does not exist",
        )
    make_private(home)
    write_json(asked, wanted)
    request = make_request(home, home / "request", project, name, "client")
    _, key = read_request(request, (name,), project)
    say(f"send this file to the coordinator of {host}; it holds no key")
    say(f"and read this out by telephone: {key}")
    click.echo(str(request))


def read_asked(home: Path) -> dict[str, object]:
    """What the request was made for; PrivauditError where none was made here."""
    try:
        made = json.loads((home / ".asked.json").read_text("utf-8"))
        return {name: made[name] for name in ("name", "host", "port", "federation")}
    except (OSError, ValueError, KeyError, TypeError):
        raise PrivauditError(
            "a folder in which no request was made",
            "the private key is not here",
            "begin with `privaudit federation join DIR --name A --coordinator H:P`",
        ) from None


__all__ = ["ask_to_join", "read_asked"]
