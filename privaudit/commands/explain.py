"""privaudit explain."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command("explain")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(name: str, as_json: bool) -> None:
    """Say what a task, method, learner or attack called NAME does, its settings, and its source."""
    import inspect
    from dataclasses import MISSING, fields, is_dataclass

    from privaudit.engine.configure import known_name
    from privaudit.plugins import KINDS, load, members

    places = {member: kind for kind in KINDS for member in members(kind)}
    known_name("names", name, places)
    kind = places[name]
    made = load(kind, name)
    settings = [
        {
            "name": field.name,
            "type": field.type if isinstance(field.type, str) else field.type.__name__,
            "default": None if field.default is MISSING else repr(field.default),
        }
        for field in (fields(made) if is_dataclass(made) else ())
    ]
    told: dict[str, Any] = {
        "name": name,
        "kind": kind[:-1],
        "about": inspect.getdoc(made) or "",
        "settings": settings,
    }
    needs = getattr(made, "needs", None)
    if needs is not None:
        told["needs"] = sorted(need.value for need in needs)
        told["family"] = getattr(made, "family", "")
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    click.echo(f"{name} ({told['kind']})\n\n{told['about']}\n")
    if needs is not None:
        click.echo(f"family: {told['family']}\nthe attacker can: {'; '.join(told['needs'])}\n")
    click.echo("settings:" if settings else "no settings")
    component = "task" if kind == "tasks" else name
    for setting in settings:
        default = setting["default"]
        value = "must be given" if default is None else default
        click.echo(f"  --set {component}.{setting['name']}={value}   ({setting['type']})")
