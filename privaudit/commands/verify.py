"""privaudit verify."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import click

from privaudit.commands._options import JOBS, JSON, PATH, option, several
from privaudit.errors import PrivauditError

SHOWN = 40
"""Faults printed for each check; an altered audit may have thousands."""

_REQUIRE = (
    "Checks that must be made: files, statement, signature, documents, pdf, numbers, claims, "
    "verdicts, attempts, retraining. [default: all that the run should have]"
)
REQUIRE = option("--require", "A,B", _REQUIRE)
_RETRAIN = (
    "Train N attacks and controls again, drawn at random, or `all`, and compare their evidence."
)
_MARK = "The mark of the folder's key, noted earlier: 12 hex digits that verify prints."
_HEAD = "A line that the ledger held, noted earlier: the sha256 that verify prints."
_DATA = "Source tables for --retrain, where the run was made of any."


@click.command("verify")
@click.argument("run", type=PATH, metavar="RUN")
@option("--key", "PUB", "The signer's public key, obtained elsewhere.", PATH)
@option("--policy", "FILE", "The policy that the run was judged by.", PATH)
@option("--quick", "", "Do not recompute the numbers.")
@REQUIRE
@option("--retrain", "N", _RETRAIN, default="")
@option("--data", "DIR", _DATA, PATH)
@option("--key-mark", "MARK", _MARK, default="")
@option("--head", "SHA256", _HEAD, default="")
@JOBS
@JSON
def command(
    run: Path,
    key: Path | None,
    policy: Path | None,
    quick: bool,
    require: str | None,
    retrain: str,
    data: Path | None,
    key_mark: str,
    head: str,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Verify RUN: files, statement, signature, documents, numbers, verdicts and attempts.

    \b
    Exit codes: 0 every required check holds; 4 a fault; 6 a required check was not made, as
    without restricted/, the ledger beside the run or --policy. What was not checked is named.
    """
    from privaudit.commands._asked import ask_again
    from privaudit.engine.folder import find
    from privaudit.evidence.attempts import Held
    from privaudit.evidence.verification import verify

    def progress(subject: str) -> None:
        click.echo(f"numbers of {subject}: recomputed", err=True)

    if data is not None and not retrain:
        raise PrivauditError(
            "--data without --retrain",
            "the data are read to train models again, and for nothing else",
            "add --retrain N, or leave --data out",
        )
    again = None
    if retrain:
        again = ask_again(find(run).resolve().parent.parent, _read_steps(retrain), data, jobs)
    found = verify(
        run,
        key=key,
        policy=policy,
        progress=progress,
        numbers=not quick,
        require=None if require is None else several(require),
        again=again,
        held=Held(
            _read_hex("--key-mark", key_mark, 12),
            _read_hex("--head", head, 64),
        ),
    )
    if as_json:
        click.echo(json.dumps({**asdict(found), "code": found.code}, indent=1))
        return found.code
    for one in found.checks:
        click.echo(f"{one.name + ':':<12} {one.state}")
        for fault in one.faults[:SHOWN]:
            click.echo(f"  fault: {fault}")
        if len(one.faults) > SHOWN:
            click.echo(f"  and {len(one.faults) - SHOWN} more faults (--json prints all)")
        for note in one.notes:
            click.echo(f"  {note}")
    left = ", ".join(one.name for one in found.checks if one.state == "not checked")
    if found.faults:
        result = f"{len(found.faults)} fault(s): do not rely on it"
    elif found.unmade:
        result = f"not verified: {', '.join(found.unmade)} required, and not checked"
    else:
        result = f"no fault found{f'; not checked: {left}' if left else ''}"
    click.echo(f"\n{found.run}: {result}")
    return found.code


def _read_hex(option: str, text: str, size: int) -> str:
    """Hex digits as `verify` printed them; nothing where none were given."""
    if text and not re.fullmatch(rf"[0-9a-f]{{{size}}}", text):
        raise PrivauditError(
            f"{option} {text:.20}",
            f"it is {size} digits of 0-9 and a-f, as `privaudit verify` prints them",
            "copy it from the output of an earlier `privaudit verify RUN`",
        )
    return text


def _read_steps(text: str) -> int | None:
    """A number of steps; None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise PrivauditError(
            f"--retrain {text:.20}",
            "it is a number of attacks and controls, at least 1, or all",
            "give --retrain 3, or --retrain all",
        )
    return int(text)
