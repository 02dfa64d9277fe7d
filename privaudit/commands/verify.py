"""privaudit verify."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from privaudit.commands._options import JSON, PATH, option

SHOWN = 40
"""Faults printed for each check; an altered audit may have thousands."""


@click.command("verify")
@click.argument("run", type=PATH, metavar="RUN")
@option("--key", "PUB", "The signer's public key, obtained elsewhere.", PATH)
@option("--policy", "FILE", "The policy that the run was judged by.", PATH)
@option("--quick", "", "Do not recompute the numbers.")
@JSON
def command(run: Path, key: Path | None, policy: Path | None, quick: bool, as_json: bool) -> int:
    """Verify RUN: files, statement, signature, documents, numbers, verdicts and attempts.

    Exit code 0 where every check that was made holds, 4 where one does not. Without restricted/,
    which stays in the hospital, the numbers are not recomputed, and the answer says so.
    """
    from privaudit.evidence.verification import verify

    def progress(subject: str) -> None:
        click.echo(f"numbers of {subject}: recomputed", err=True)

    found = verify(run, key=key, policy=policy, progress=progress, numbers=not quick)
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
    faults = len(found.faults)
    result = f"{faults} fault(s): do not rely on it" if faults else "no fault found"
    click.echo(f"\n{found.run}: {result}")
    return found.code
