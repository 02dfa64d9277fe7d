"""privaudit federation provision."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.deploy.commands._verb import FILE, FOLDER, PATH, Verb, enter, say
from privaudit.errors import PrivauditError


@click.command("provision", cls=Verb)
@FOLDER
@click.option("--host", metavar="NAME", help="The name by which hospitals reach this machine.")
@click.option("--port", metavar="P", type=click.IntRange(1, 65535), help="Its one TCP port.")
@click.option("--hospitals", metavar="A,B,C", help="The names of the hospitals: three at least.")
@click.option(
    "--federation",
    "name",
    metavar="NAME",
    default="privaudit",
    show_default=True,
    help="The name of the federation.",
)
@click.option(
    "--operator",
    metavar="ADDRESS",
    default="operator@coordinator.org",
    show_default=True,
    help="Who signs the terms of runs.",
)
@click.option("--ca", metavar="DIR", type=PATH, help="Where the root's key is. [default: DIR/ca]")
@click.option(
    "--approve",
    metavar="ZIP",
    type=FILE,
    multiple=True,
    help="Sign this request of a hospital; may be given more than once.",
)
@click.argument("more", metavar="[ZIP]...", nargs=-1, type=FILE)
def command(
    folder: Path,
    host: str | None,
    port: int | None,
    hospitals: str | None,
    name: str,
    operator: str,
    ca: Path | None,
    approve: tuple[Path, ...],
    more: tuple[Path, ...],
) -> None:
    """Make the certificates of a federation in DIR, or sign hospitals' requests.

    Standard output holds the root's fingerprint alone, which hospitals are told by telephone; with
    --approve, a line for each request: the signed file to send back, and the fingerprint of the
    hospital's key, which it reads out. For a federation that is there, DIR alone prints the
    root's fingerprint again.

    The root's key is DIR/ca/rootCA.key. Move DIR/ca to a medium that you take out of the machine,
    and give it with --ca when you approve.
    """
    home = enter(folder)
    if more and not approve:
        raise click.UsageError("requests are signed with --approve")
    if approve:
        if host or port or hospitals:
            raise click.UsageError("--approve takes the host, port and hospitals from DIR")
        _approve(home, enter(ca) if ca else home / "ca", (*approve, *more))
        return
    if not (host or port or hospitals) and (home / "federation.toml").is_file():
        _remind(home)
        return
    if not (host and port and hospitals):
        raise click.UsageError("give --host, --port and --hospitals, or --approve")
    names = tuple(sorted(part.strip() for part in hospitals.split(",")))
    _provision(home, enter(ca) if ca else None, (name, host, port, operator, names))


def _provision(
    home: Path, ca: Path | None, said: tuple[str, str, int, str, tuple[str, ...]]
) -> None:
    from dataclasses import asdict

    from pipelines.deploy.certificates import make_own_kit, make_root
    from pipelines.deploy.configure import configure_operator, configure_server
    from pipelines.deploy.homes import CoordinatorHome, check_folder, make_private
    from pipelines.deploy.members import Federation, state_build
    from pipelines.deploy.private_files import write_toml

    name, host, port, operator, names = said
    federation = Federation(name, host, port, operator, names)
    federation.check()
    check_folder(home)
    config = CoordinatorHome(home).config
    if config.exists():
        raise PrivauditError(
            "a folder that has a federation already",
            "its certificates would be worth nothing with a new root",
            "give another folder, or sign requests with --approve",
        )
    _begin(home, federation)
    root = make_root(home, federation)
    federation = state_build(federation, root)
    folder = ca or home / "ca"
    say("making the server's and the operator's certificates")
    server = make_own_kit(home, folder, federation, "server")
    configure_server(server, len(names))
    configure_operator(make_own_kit(home, folder, federation, "operator"))
    for part in ("requests", "signed", "runs"):
        make_private(home / part)
    write_toml(config, asdict(federation))
    (home / ".begun.json").unlink(missing_ok=True)
    say(f"federation {name}: {len(names)} hospitals, server {host}:{port}")
    say("read the root's fingerprint to each hospital by telephone")
    say("move ca/ to a medium that you take out of this machine; --approve finds it with --ca")
    click.echo(root.fingerprint)


def _remind(home: Path) -> None:
    from pipelines.deploy.homes import CoordinatorHome
    from pipelines.deploy.members import read_federation

    federation = read_federation(CoordinatorHome(home).read())
    say(f"federation {federation.name}: server {federation.host}:{federation.port},")
    say(f"operator {federation.operator}, hospitals {', '.join(federation.hospitals)}")
    click.echo(federation.root)


def _begin(home: Path, federation: object) -> None:
    """A folder that is new, empty, or one that the same command was interrupted in."""
    import json
    from dataclasses import asdict

    from pipelines.deploy.homes import make_private
    from pipelines.deploy.private_files import write_json

    begun = home / ".begun.json"
    wanted = json.loads(json.dumps(asdict(federation)))  # type: ignore[call-overload]
    if begun.is_file():
        try:
            same = json.loads(begun.read_text("utf-8")) == wanted
        except ValueError:
            same = False
        if not same:
            raise PrivauditError(
                "a folder in which another federation was begun",
                "its name, host, port, operator or hospitals differ",
                "give the same options, or another folder",
            )
    elif home.exists() and any(home.iterdir()):
        raise PrivauditError(
            "a folder that is not empty",
            "a federation is made in a folder of its own",
            "give a folder that does not exist",
        )
    make_private(home)
    write_json(begun, wanted)


def _approve(home: Path, ca: Path, requests: tuple[Path, ...]) -> None:
    from pipelines.deploy.certificates import approve, read_request
    from pipelines.deploy.homes import CoordinatorHome
    from pipelines.deploy.members import read_federation

    federation = read_federation(CoordinatorHome(home).read())
    # All of them are looked at before the first is signed.
    for request in requests:
        read_request(request, federation.hospitals, federation.name)
    for request in requests:
        made, key = approve(home, ca, federation, request)
        click.echo(f"{made} {key}")
    say("compare each key's fingerprint with its hospital by telephone before you send the file")
