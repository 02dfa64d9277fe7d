"""privaudit federation server."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.deploy.commands._verb import FOLDER, PAGE, Verb, enter, say
from privaudit.errors import PrivauditError


@click.command("server", cls=Verb)
@FOLDER
@PAGE
def command(folder: Path, page: int) -> None:
    """Run the coordinator's server of the federation in DIR until Ctrl-C.

    Its configuration is written anew first, and its certificate is checked.
    """
    from pipelines.deploy.commands._foreground import alone, run_foreground
    from pipelines.deploy.configure import configure_server
    from pipelines.deploy.homes import CoordinatorHome
    from pipelines.deploy.identity import SERVER, Identity, Root
    from pipelines.deploy.members import read_federation

    home = CoordinatorHome(enter(folder))
    federation = read_federation(home.read())
    kit = home.root / "server"
    own = Identity.load(kit)
    found = Root.load(kit, federation.root).vouch(own.certificate)
    if (found.name, found.role) != (federation.host, SERVER):
        raise PrivauditError(
            f"a kit of {found.name}, whose role is {found.role}",
            f"the server is {federation.host}",
            "use the folder that `privaudit federation provision` made",
        )
    with alone(home.root, "server"):
        configure_server(kit, len(federation.hospitals))
        _check_port(federation.port)
        say(f"server of {federation.name} for {federation.host}:{federation.port}; Ctrl-C ends it")
        run_foreground(home, "server", page)


def _check_port(port: int) -> None:
    import socket

    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(("", port))
        except OSError as error:
            raise PrivauditError(
                f"the port {port} cannot be used",
                "another process listens there, or it needs more rights",
                "end that process, or make the federation with another port",
            ) from error
