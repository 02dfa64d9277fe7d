"""privaudit plan."""

from __future__ import annotations

import json
from typing import Any

import click

from privaudit.commands._options import JSON, audit_options, request_of


@click.command("plan")
@audit_options
@JSON
def command(**options: Any) -> None:
    """Forecast what `run` with the same options would do: models, attacks, time and memory.

    Nothing is trained, except a method whose cost is not known: once, on a few records.
    """
    request = request_of("plan", options)
    from privaudit.commands._progress import listener
    from privaudit.engine.forecast import announce, duration
    from privaudit.engine.run import cores, forecast_only

    workers = options["jobs"] or cores()
    with listener() as listen:
        plan, expected, todo = forecast_only(
            request, out=options["out"], data=options["data"], workers=workers, listen=listen
        )
    refits = {entry.name: 0 for entry in request.entries}
    for group in plan.groups.values():
        for entry in request.entries:
            if repr(entry.method.twin) == repr(group.method):
                refits[entry.name] += len(group.refits)
                break
    subjects: list[dict[str, Any]] = [
        {"name": name, "seconds_per_fit": round(seconds, 2), "refits": refits[name]}
        for name, seconds in expected.methods.items()
    ]
    left_out = [one.name for one in request.entries if one.name not in expected.methods]
    answer = {
        "subjects": subjects,
        "attacks": list(expected.attacks),
        "not_applicable": [name for name in request.attacks if name not in expected.attacks],
        "models": len(plan.fits),
        "refits": plan.refits,
        "refits_asked_for": plan.wanted,
        "attack_runs": expected.steps,
        "steps_to_do": len(todo),
        "seconds_expected": round(expected.seconds, 2),
        "seconds": [round(expected.low, 4), round(expected.high, 4)],
        "memory_bytes": [expected.memory_low, expected.memory_high],
        "not_timed": list(expected.untimed),
        "left_out": left_out,
        "jobs": workers,
    }
    if options["as_json"]:
        click.echo(json.dumps(answer, indent=1))
        return
    width = max(len("subject"), *(len(one["name"]) for one in subjects))
    click.echo(f"{'subject':<{width}}  shadow models  one fit")
    for one in subjects:
        seconds = duration(one["seconds_per_fit"])
        click.echo(f"{one['name']:<{width}}  {one['refits']:>13}  {seconds:>7}")
    if left_out:
        click.echo(f"left out, as nothing would be guaranteed: {', '.join(left_out)}")
    click.echo(f"attacks: {', '.join(expected.attacks)}")
    click.echo(announce(expected, workers))
