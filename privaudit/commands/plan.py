"""privaudit plan."""

from __future__ import annotations

import json
from typing import Any

import click

from privaudit.commands._options import audit_options, request_of


@click.command("plan")
@audit_options
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(**options: Any) -> None:
    """Say what `run` with the same options would train and attack, how long, and how much memory."""
    request = request_of("plan", options)
    from privaudit.commands._progress import listener
    from privaudit.engine.run import cores, forecast_only
    from privaudit.engine.work import announce, duration

    workers = options["jobs"] or cores()
    with listener() as listen:
        plan, expected, todo = forecast_only(
            request, out=options["out"], data=options["data"], workers=workers, listen=listen
        )
    subjects: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "seconds_per_fit": round(expected.methods[entry.name], 2),
            "refits": sum(
                len(group.refits)
                for group in plan.groups.values()
                if repr(group.method) == repr(entry.method)
            ),
        }
        for entry in request.entries
    ]
    told = {
        "subjects": subjects,
        "attacks": list(request.attacks),
        "models": len(plan.fits),
        "refits": plan.refits,
        "refits_asked_for": plan.wanted,
        "attack_runs": len(plan.steps),
        "steps_to_do": len(todo),
        "seconds": [round(expected.low, 4), round(expected.high, 4)],
        "memory_bytes": [expected.memory_low, expected.memory_high],
        "not_timed": list(expected.untimed),
        "jobs": workers,
    }
    if options["as_json"]:
        click.echo(json.dumps(told, indent=1))
        return
    click.echo(f"{'subject':<24}{'refits':>8}{'one fit':>10}")
    for subject in subjects:
        seconds = duration(subject["seconds_per_fit"])
        click.echo(f"{subject['name']:<24}{subject['refits']:>8}{seconds:>10}")
    click.echo(f"attacks: {', '.join(request.attacks)}")
    click.echo(f"in all: {announce(plan, expected, todo, workers)}")
