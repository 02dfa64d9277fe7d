"""privaudit federation stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.deploy.commands._verb import FOLDER, Verb, enter, say
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from pipelines.deploy.commands._foreground import Side


@click.command("stop", cls=Verb)
@FOLDER
@click.option("--run", metavar="RUN", help="End this run alone, at the coordinator.")
@click.option(
    "--withdraw",
    metavar="RUN",
    help="Withdraw a hospital's consent to this run: nothing more leaves.",
)
def command(folder: Path, run: str | None, withdraw: str | None) -> None:
    """End what runs in DIR: the runs and the server, or a hospital's client.

    A run that was ended goes on with the `run` command that began it. With --withdraw the client
    goes on, and training goes on without this hospital.
    """
    from pipelines.deploy.homes import HospitalHome
    from pipelines.deploy.status import find_home

    home = find_home(enter(folder))
    if isinstance(home, HospitalHome):
        if run:
            raise click.UsageError("--run is for the coordinator; a hospital withdraws")
        if withdraw is not None:
            from pipelines.deploy.consent import withdraw as take_back

            take_back(home, _name(withdraw))
            say(f"consent to {withdraw} withdrawn: nothing more of this run leaves")
            return
        _stop_process(home.root, "client")
        return
    if withdraw is not None:
        raise click.UsageError("--withdraw is for a hospital; the coordinator stops a run")
    runs = [_name(run)] if run else _running(home.root / "runs")
    for name in runs:
        if not home.run(name).is_dir():
            raise PrivauditError(
                f"no run {name!r}",
                "this federation has none",
                "see privaudit federation status DIR",
            )
        (home.run(name) / "stop").touch(mode=0o600)
        say(f"run {name}: asked to stop; the command that began it goes on")
    if not run:
        _stop_process(home.root, "server")


def _name(run: str) -> str:
    from pipelines.deploy.terms import NAME

    if not NAME.fullmatch(run):
        raise PrivauditError(
            f"the run {run[:40]!r}",
            "no run can have this name",
            "see privaudit federation status DIR",
        )
    return run


def _running(folder: Path) -> list[str]:
    """Runs that have begun and are not done."""
    from pipelines.deploy.journal import Event, Journal

    found = []
    for path in sorted(folder.glob("*/terms.json")):
        events = [line.get("event") for line in Journal(path.parent / "journal.jsonl").read()]
        if Event.DONE not in events:
            found.append(path.parent.name)
    return found


def _stop_process(root: Path, side: Side) -> None:
    from pipelines.deploy.commands._foreground import end_foreground

    say(f"the {side} has ended" if end_foreground(root, side) else f"no {side} was running")
