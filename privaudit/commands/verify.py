"""privaudit verify."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("run", type=PATH, metavar="RUN")
@click.option(
    "--key", type=PATH, metavar="PUB", help="The signer's public key, had from elsewhere."
)
@click.option("--policy", type=PATH, metavar="FILE", help="The policy that the verdicts are of.")
@click.option("--quick", is_flag=True, help="Leave out making every number again.")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(run: Path, key: Path | None, policy: Path | None, quick: bool, as_json: bool) -> int:
    """Tell whether RUN still says what it said: files, signature, numbers, verdicts, attempts.

    Exit code 0 where all that was checked holds, 4 where anything does not. Without restricted/, as a
    run is handed on, the numbers are not made again, and it says so.
    """
    from privaudit.evidence import checks

    def say(subject: str) -> None:
        click.echo(f"numbers of {subject}: made again", err=True)

    found = checks.verify(run, key=key, policy=policy, say=say, numbers=not quick)
    if as_json:
        click.echo(checks.tree(found))
        return found.code
    for one in found.checks:
        click.echo(f"{one.name + ':':<12} {one.state}")
        for fault in one.faults[:SHOWN]:
            click.echo(f"  fault: {fault}")
        if len(one.faults) > SHOWN:
            click.echo(f"  and {len(one.faults) - SHOWN} more faults (all of them with --json)")
        for note in one.notes:
            click.echo(f"  {note}")
    faults = len(found.faults)
    click.echo(
        f"\n{found.run}: {'no fault found' if not faults else f'{faults} fault(s): do not rely on it'}"
    )
    return found.code


SHOWN = 40
"""Faults told of each check; a tampered audit may have thousands."""
