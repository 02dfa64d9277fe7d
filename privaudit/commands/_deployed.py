"""Options of an audit of a deployed model, and its forecast of what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import option, several
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.inputs.deployed import Allot
    from privaudit.inputs.endpoints.endpoint import EndpointOptions

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


def read_model_option(text: str) -> Path | str:
    """An address as it is, anything else as a path."""
    from privaudit.inputs.endpoints.address import is_address

    return text if is_address(text) else Path(text)


def read_options(options: dict[str, Any]) -> EndpointOptions | None:
    """How the deployed model is asked; None for a file.

    Raises:
        PrivauditError: An option of deployed models, for a file.
    """
    from privaudit.commitments import load_key
    from privaudit.inputs.endpoints.endpoint import EndpointOptions
    from privaudit.inputs.endpoints.transport import Patience
    from privaudit.restricted import NAME

    if options["model"] is None or isinstance(read_model_option(options["model"]), Path):
        for name in ("token_env", "queries", "dry_run", "inputs", "output"):
            if options[name]:
                flag = f"--{name.replace('_', '-')}"
                raise PrivauditError(
                    f"{flag} for a model's file",
                    "it says how a deployed model is asked",
                    f"leave {flag} out, or give an address as --model",
                )
        return None
    # Who is drawn comes from the key: an audit that is broken off asks about the same rows again.
    load_key(options["out"])
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
    from privaudit.commitments import load_key
    from privaudit.engine.queries import make_planner

    return make_planner(
        several(options["attacks"]),
        profile=options["profile"],
        settings=options["settings"],
        seed=options["seed"],
        key=load_key(options["out"]),
        budget=options["queries"],
        dry=options["dry_run"],
        say=lambda line: click.echo(line, err=True),
    )


def say_asked(request: Request) -> None:
    """Print how many rows a deployed model was asked about."""
    from privaudit.inputs.endpoints.endpoint import EndpointModel
    from privaudit.inputs.user_release import UserRelease

    for entry in request.entries:
        if isinstance(entry.method, UserRelease) and isinstance(entry.method.held, EndpointModel):
            new, asked = entry.method.held.asked
            click.echo(f"the server was asked about {asked:,} rows, {new:,} of them new", err=True)


__all__ = ["OPTIONS", "plan_queries", "read_model_option", "read_options", "say_asked"]
