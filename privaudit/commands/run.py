"""privaudit run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from privaudit.commands._finish import ending, settle
from privaudit.commands._options import audit_options, request_of


@click.command("run")
@audit_options
@ending
def command(*, out: Path, data: Path | None, jobs: int | None, cluster: str | None,
            policy: Path | None, pdf: bool, as_json: bool, **options: Any) -> int:  # fmt: skip
    """Audit every model of TASK and print where the report is.

    Standard output holds the path of report.html alone. The same command after Ctrl-C goes on where
    it stopped.
    """
    request = request_of("run", {**options, "data": data})
    return settle(
        request, out=out, data=data, workers=jobs, cluster=cluster, policy=policy, pdf=pdf,
        as_json=as_json,
    )  # fmt: skip
