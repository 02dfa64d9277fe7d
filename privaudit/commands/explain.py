"""privaudit explain."""

from __future__ import annotations

import json
from typing import Any

import click

from privaudit.commands._options import JSON


@click.command("explain")
@click.argument("name")
@JSON
def command(name: str, as_json: bool) -> None:
    """Explain the task, method, learner, generator, attack or attack family called NAME.

    What it does, its settings and its reference. A family is explained by its attacks.
    """
    from privaudit.engine.configure import known_name
    from privaudit.plugins import KINDS, load, members, summary

    kinds = {member: kind for kind in KINDS for member in members(kind)}
    families: dict[str, dict[str, str]] = {}
    for attack in members("attacks"):
        family = getattr(load("attacks", attack), "family", "")
        families.setdefault(family, {})[attack] = summary("attacks", attack)
    known_name("names", name, [*kinds, *families])
    answer: dict[str, Any] = {"name": name}
    if name in kinds:
        answer |= _member(kinds[name], name)
    if name in families:
        answer |= {"attacks": families[name]} | ({} if name in kinds else {"kind": "family"})
    click.echo(json.dumps(answer, indent=1) if as_json else _text(answer))


def _member(kind: str, name: str) -> dict[str, Any]:
    """What one member's class says of itself."""
    import inspect
    from dataclasses import MISSING, fields, is_dataclass

    from privaudit.plugins import load

    made = load(kind, name)
    settings = [
        {
            "name": field.name,
            "type": field.type if isinstance(field.type, str) else field.type.__name__,
            "default": None if field.default is MISSING else repr(field.default),
        }
        for field in (fields(made) if is_dataclass(made) else ())
    ]
    answer = {"kind": kind[:-1], "about": inspect.getdoc(made) or "", "settings": settings}
    needs = getattr(made, "needs", None)
    if needs is not None:
        answer["needs"] = sorted(need.value for need in needs)
        answer["family"] = getattr(made, "family", "")
    return answer


def _text(answer: dict[str, Any]) -> str:
    lines = [f"{answer['name']} ({answer['kind']})", ""]
    if "about" in answer:
        lines += [answer["about"], ""]
    if "needs" in answer:
        needs = "; ".join(answer["needs"]) or "hold the release"
        lines += [f"family: {answer['family']}", f"the attacker can: {needs}", ""]
    if "settings" in answer:
        component = "task" if answer["kind"] == "task" else answer["name"]
        lines.append("settings:" if answer["settings"] else "no settings")
        for one in answer["settings"]:
            value = "(required)" if one["default"] is None else one["default"]
            lines.append(f"  --set {component}.{one['name']}={value}   ({one['type']})")
    if "attacks" in answer:
        attacks = answer["attacks"]
        width = max(map(len, attacks))
        if "about" in answer:
            lines.append("")
        lines.append(f"attacks of the family {answer['name']}:")
        lines += [f"  {attack:<{width}}  {line}" for attack, line in attacks.items()]
    return "\n".join(lines)
