"""privaudit run."""

from __future__ import annotations

import json
from typing import Any

import click

from privaudit.commands._options import audit_options, request_of


@click.command("run")
@audit_options
def command(**options: Any) -> int:
    """Audit every model of TASK and print where the report is.

    Standard output holds the path of report.html alone. The same command after Ctrl-C goes on where
    it stopped.
    """
    request = request_of("run", options)
    from privaudit import report
    from privaudit.commands._progress import listener
    from privaudit.engine.run import run

    with listener() as listen:
        finished = run(
            request,
            out=options["out"],
            data=options["data"],
            workers=options["jobs"],
            listen=listen,
            report=report.write,
        )
    shareable = finished.folder / "shareable"
    if finished.code:
        state = "inconclusive" if finished.code == 3 else "the audit failed"
        for caveat in finished.audit.caveats:
            click.echo(f"{state}: {caveat}", err=True)
    if options["as_json"]:
        told = {
            "run": finished.audit.manifest.run,
            "report": str(shareable / "report.html"),
            "audit": str(shareable / "audit.json"),
            "code": finished.code,
            "refits_trained": finished.trained,
            "refits_reused": finished.reused,
        }
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo(str(shareable / "report.html"))
    return finished.code
