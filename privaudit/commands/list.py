"""privaudit list."""

from __future__ import annotations

import json

import click

from privaudit.commands._options import JSON


@click.command("list")
@click.argument("kind", required=False)
@JSON
def command(kind: str | None, as_json: bool) -> None:
    """List tasks, methods, learners, generators, attacks and profiles, or one KIND of them."""
    from privaudit.engine.configure import known_name
    from privaudit.engine.profiles import PROFILES
    from privaudit.plugins import KINDS, members, summary

    kinds = [*KINDS, "profiles"]
    if kind is not None:
        plural = kind if kind in kinds else f"{kind}s"
        kinds = [known_name("kinds", plural if plural in kinds else kind, kinds)]
    found = {
        each: {name: profile.summary for name, profile in PROFILES.items()}
        if each == "profiles"
        else {name: summary(each, name) for name in members(each)}
        for each in kinds
    }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    width = max((len(name) for names in found.values() for name in names), default=0)
    for each, names in found.items():
        click.echo(f"{each}:")
        for name, line in names.items():
            click.echo(f"  {name:<{width}}  {line}")
