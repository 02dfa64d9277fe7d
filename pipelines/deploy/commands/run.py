"""privaudit federation run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipelines.deploy.commands._verb import FOLDER, Verb, enter, report_address, say


@click.command("run", cls=Verb)
@click.argument("task", metavar="TASK")
@FOLDER
@click.option(
    "--method", metavar="NAME", default="federated_secure", show_default=True, help="How to train."
)
@click.option(
    "--set",
    "settings",
    metavar="PART.FIELD=VALUE",
    multiple=True,
    help="A setting of the task, the method or the learner; may be given more than once.",
)
@click.option("--run", "name", metavar="RUN", help="Its name. [default: made of the terms]")
@click.option("--hospitals", metavar="A,B,C", help="Who may take part. [default: all]")
@click.option(
    "--quorum", metavar="N", type=int, default=3, show_default=True, help="Fewest in a round."
)
@click.option(
    "--timeout",
    metavar="S",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Seconds in which a hospital answers.",
)
@click.option(
    "--least-patients",
    metavar="N",
    type=click.IntRange(min=10),
    default=50,
    show_default=True,
    help="A hospital with fewer to train on does not take part.",
)
@click.option(
    "--grade",
    metavar="A,B",
    default="threshold",
    show_default=True,
    help="Attacks that hospitals make on the final model.",
)
@click.option(
    "--schema", metavar="SHA256", default="", help="Columns that every hospital must have."
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="For tests alone: whoever knows it can tell every hospital's random numbers.",
)
def command(
    task: str,
    folder: Path,
    method: str,
    settings: tuple[str, ...],
    name: str | None,
    hospitals: str | None,
    quorum: int,
    timeout: float,
    least_patients: int,
    grade: str,
    schema: str,
    seed: int | None,
) -> None:
    """Train TASK between the hospitals of the federation in DIR, and write the report.

    The terms are signed with the operator's key and sent to the hospitals, each of which consents
    to them or not. Training begins when the quorum has consented. Standard output holds the
    report's path alone. After Ctrl-C, and after a power cut, the same command goes on.
    """
    from dataclasses import replace

    from pipelines.deploy.homes import CoordinatorHome
    from pipelines.deploy.members import read_federation
    from pipelines.deploy.sign_terms import check_operator, keep_terms, name_run
    from pipelines.deploy.terms import RunTerms
    from privaudit import plugins

    home = CoordinatorHome(enter(folder))
    federation = read_federation(home.read())
    plugins.load("tasks", task)
    roster = federation.hospitals if hospitals is None else _split(hospitals)
    _refuse_strangers(roster, federation.hospitals)
    terms = RunTerms(
        run=name or "unnamed",
        task=task,
        method=method,
        roster=tuple(sorted(roster)),
        settings=settings,
        quorum=quorum,
        timeout=timeout,
        least_patients=least_patients,
        seed=seed,
        grade=_split(grade),
        schema=schema,
    )
    for attack in terms.grade:
        plugins.load("attacks", attack)
    if name is None:
        terms = replace(terms, run=name_run(terms))
    # What cannot work is refused before any hospital is asked.
    terms.build()
    report_address(federation.host, federation.port)
    check_operator(home)
    there = keep_terms(home, terms)
    (home.run(terms.run) / "stop").unlink(missing_ok=True)
    say(f"run {terms.run}: {'goes on' if there else 'begins'}; terms {terms.fingerprint}")
    say(f"hospitals consent with: privaudit federation join DIR --consent {terms.run}")
    from pipelines.deploy.commands._progress import describe
    from pipelines.deploy.finish import finish_run
    from pipelines.deploy.flare.supervise import Ended, supervise

    def tell(event: Mapping[str, Any]) -> None:
        if line := describe(event):
            say(line)

    if supervise(home, terms, tell) is not Ended.DONE:
        say(f"run {terms.run} was asked to stop")
        raise KeyboardInterrupt
    click.echo(str(finish_run(home, terms)))


def _split(names: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in names.split(",") if part.strip())


def _refuse_strangers(roster: tuple[str, ...], known: tuple[str, ...]) -> None:
    from privaudit.errors import PrivauditError

    if extra := sorted(set(roster) - set(known)):
        raise PrivauditError(
            f"hospitals that are not of this federation: {', '.join(extra)[:120]}",
            f"its hospitals are {', '.join(known)}",
            "name some of them",
        )
