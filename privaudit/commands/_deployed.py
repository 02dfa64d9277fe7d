"""Options of an audit of a deployed model, and its forecast of what is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import option, several
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.inputs.deployed import Allot
    from privaudit.inputs.endpoints.endpoint import Allotted, EndpointOptions
    from privaudit.inputs.user_release import UserRelease
    from privaudit.records import Split

_TOKEN = "Of a deployed model: the environment variable that holds the token of the server."
_QUERIES = (
    "Of a deployed model: rows that it may be asked about. Attacks that do not fit are not made, "
    "and said to be not tested. [default: any number]"
)
_DRY = "Of a deployed model: print how many rows would be asked about, by attack, and ask none."
_INPUTS = "Of a deployed model: rows are sent as one input a column (columns) or a matrix (tensor)."
_OUTPUT = "Of a deployed model: the output that holds the probabilities. [default: predict_proba]"
_TIMEOUT = "Of a deployed model: seconds until an answer is complete."
_BATCH = "Of a deployed model: rows of one question."

OPTIONS = (
    option("--token-env", "NAME", _TOKEN, default=""),
    option("--queries", "N", _QUERIES, click.IntRange(min=1)),
    option("--dry-run", "", _DRY),
    option("--inputs", "HOW", _INPUTS, default=""),
    option("--output", "NAME", _OUTPUT, default=""),
    option("--timeout", "SECONDS", _TIMEOUT, float, default=60.0),
    option("--batch", "ROWS", _BATCH, click.IntRange(min=1), default=500),
)


class Forecast(Exception):
    """A forecast was asked for, and nothing else."""


def read_model_option(text: str) -> Path | str:
    """An address as it is, anything else as a path."""
    from privaudit.inputs.endpoints.address import is_address

    return text if is_address(text) else Path(text)


def read_options(options: dict[str, Any]) -> EndpointOptions | None:
    """How the deployed model is asked; None for a file.

    Raises:
        PrivauditError: An option of deployed models, for a file.
    """
    from privaudit.inputs.endpoints.endpoint import EndpointOptions
    from privaudit.inputs.endpoints.transport import Patience
    from privaudit.restricted import NAME

    if isinstance(read_model_option(options["model"]), Path):
        for name in ("token_env", "queries", "dry_run", "inputs", "output"):
            if options[name]:
                flag = f"--{name.replace('_', '-')}"
                raise PrivauditError(
                    f"{flag} for a model's file",
                    "it says how a deployed model is asked",
                    f"leave {flag} out, or give an address as --model",
                )
        return None
    return EndpointOptions(
        options["out"] / NAME,
        options["token_env"],
        options["queries"],
        options["inputs"],
        options["output"],
        options["batch"],
        Patience(options["timeout"]),
    )


def plan_queries(options: dict[str, Any]) -> Allot | None:
    """What forecasts the rows that are asked about; None where nobody asks for that."""
    if options["queries"] is None and not options["dry_run"]:
        return None
    return make_planner(
        several(options["attacks"]),
        profile=options["profile"],
        settings=options["settings"],
        seed=options["seed"],
        out=options["out"],
        budget=options["queries"],
        dry=options["dry_run"],
        say=lambda line: click.echo(line, err=True),
    )


def make_planner(
    attacks: tuple[str, ...],
    *,
    profile: str,
    settings: Any,
    seed: int | None,
    out: Path,
    budget: int | None,
    dry: bool,
    say: Callable[[str], None],
) -> Allot:
    """See `plan_queries`. say: is told the forecast, line by line."""
    from privaudit.commitments import load_key
    from privaudit.engine.configure import Entry, given
    from privaudit.engine.profiles import profile as find_profile
    from privaudit.engine.queries import allot_budget, count_queries, describe_queries
    from privaudit.engine.run import derive_streams
    from privaudit.inputs.endpoints.endpoint import Allotted
    from privaudit.inputs.pools import find_applicable_attacks
    from privaudit.inputs.user_task import UserTask

    how = find_profile(profile)

    def decide(release: UserRelease, split: Split, try_readings: Callable[[], None]) -> Allotted:
        names = attacks or how.keep(find_applicable_attacks(split)[0])
        request = given(
            "own",
            UserTask("", "", ""),
            [Entry("own-model", "own", "", release)],
            how,
            seed=seed,
            attacks=names,
            settings=settings,
        )
        request = derive_streams(request, load_key(out))
        queries = count_queries(request, release, split, try_readings)
        allotted = Allotted() if budget is None else allot_budget(queries, budget)
        for line in describe_queries(queries, allotted, budget):
            say(line)
        if dry:
            raise Forecast
        return allotted

    return decide


def say_asked(request: Request) -> None:
    """Print how many rows a deployed model was asked about."""
    from privaudit.inputs.endpoints.endpoint import EndpointModel
    from privaudit.inputs.user_release import UserRelease

    for entry in request.entries:
        if isinstance(entry.method, UserRelease) and isinstance(entry.method.held, EndpointModel):
            new, asked = entry.method.held.asked
            click.echo(f"the server was asked about {asked:,} rows, {new:,} of them new", err=True)


__all__ = ["OPTIONS", "Forecast", "make_planner", "plan_queries", "read_options", "say_asked"]
