"""privaudit list."""

from __future__ import annotations

import json

import click


@click.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(kind: str | None, as_json: bool) -> None:
    """List tasks, methods, learners, attacks and profiles, or one KIND of them."""
    from privaudit.engine.configure import known_name
    from privaudit.engine.profiles import PROFILES
    from privaudit.plugins import KINDS, members, summary

    kinds = [*KINDS, "profiles"]
    if kind is not None:
        wanted = kind if kind in kinds else f"{kind}s"
        kinds = [known_name("kinds", wanted if wanted in kinds else kind, kinds)]
    found = {}
    for each in kinds:
        if each == "profiles":
            found[each] = {name: profile.summary for name, profile in PROFILES.items()}
        else:
            found[each] = {name: summary(each, name) for name in members(each)}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for each, names in found.items():
        click.echo(f"{each}:")
        for name, line in names.items():
            click.echo(f"  {name:<20} {line}")
