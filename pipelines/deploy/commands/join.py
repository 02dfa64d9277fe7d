"""privaudit federation join."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.deploy.commands._verb import FILE, FOLDER, PAGE, PATH, Verb, enter

_ASK = ("name", "coordinator", "federation")
_DATA = ("task", "data", "cache", "settings", "least_patients", "refits")
_CONSENT = ("by", "yes", "accept_leak")


@click.command("join", cls=Verb)
@FOLDER
@click.option("--name", metavar="A", help="First: this hospital's name, to make a request.")
@click.option("--coordinator", metavar="H:P", help="With --name: the server's name and port.")
@click.option("--federation", metavar="NAME", help="With --name. [default: privaudit]")
@click.option(
    "--signed", metavar="ZIP", type=FILE, help="Then: the file that the coordinator sent back."
)
@click.option(
    "--fingerprint", metavar="SHA256:..", help="The root's, as the coordinator read it out."
)
@click.option("--task", metavar="TASK", help="What the records are used for.")
@click.option("--data", metavar="PATH", type=PATH, help="The source of the task's records.")
@click.option("--cache", metavar="DIR", type=PATH, help="Where tables that were read are kept.")
@click.option(
    "--set",
    "settings",
    metavar="task.FIELD=VALUE",
    multiple=True,
    help="A setting of the task; may be given more than once.",
)
@click.option(
    "--least-patients",
    metavar="N",
    type=click.IntRange(min=10),
    help="Take part with this many patients or more.",
)
@click.option(
    "--refits/--no-refits",
    default=None,
    help="Whether attacks that train again may run here at the end.",
)
@PAGE
@click.option("--check", is_flag=True, help="Look at everything, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.option("--consent", metavar="RUN", help="Show what this run would send, and consent.")
@click.option("--by", metavar="PERSON", help="With --consent: who consents. [default: this user]")
@click.option("--yes", is_flag=True, help="With --consent: ask nothing where no leak was found.")
@click.option("--accept-leak", is_flag=True, help="With --consent: consent although it leaks.")
def command(folder: Path, **options: Any) -> None:
    """Join a federation with the records of this hospital, in DIR.

    \b
    1. --name and --coordinator make a private key, which stays in DIR, and a
       request: send DIR/request/NAME.request.zip to the coordinator.
    2. --signed, --fingerprint, --task and --data check everything and start this
       hospital's client, which runs until Ctrl-C. `join DIR` alone starts it again.
    3. --consent RUN, in another terminal, shows what a run would send.

    Nothing of a run leaves before the consent to it.
    """
    home = enter(folder)
    given = {name for name, value in options.items() if value not in (None, (), False, 0)}
    if options["refits"] is False:
        given.add("refits")
    if given & {"name", "coordinator"}:
        _only(given, _ASK, "--name")
        if not options["name"] or not options["coordinator"]:
            raise click.UsageError("--name and --coordinator are given together")
        from pipelines.deploy.commands._ask import ask_to_join

        ask_to_join(home, options["name"], options["coordinator"], options["federation"])
        return
    if "consent" in given:
        _only(given, ("consent", *_CONSENT), "--consent")
        from pipelines.deploy.commands._consent import consent

        consent(home, options["consent"], *(options[name] for name in _CONSENT))
        return
    _only(given, ("signed", "fingerprint", "check", "as_json", "page", *_DATA), "--signed")
    if ("signed" in given) != ("fingerprint" in given):
        raise click.UsageError("--signed and --fingerprint are given together")
    from pipelines.deploy.commands._start import settle, start

    settle(home, options["signed"], options["fingerprint"], {n: options[n] for n in _DATA})
    start(home, options["check"], options["as_json"], options["page"])


def _only(given: set[str], known: tuple[str, ...], what: str) -> None:
    if extra := sorted(given - set(known)):
        flags = {"as_json": "--json", "settings": "--set"}
        shown = ", ".join(flags.get(name, f"--{name.replace('_', '-')}") for name in extra)
        raise click.UsageError(f"{what} cannot be given with {shown}")
