"""privaudit run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from privaudit.commands._finish import settle
from privaudit.commands._options import audit_options, ending, request_of


@click.command("run")
@audit_options
@ending
def command(*, out: Path, data: Path | None, jobs: int | None, **options: Any) -> int:
    """Train models for TASK, attack them and write the report.

    Standard output holds the path of report.html alone. After Ctrl-C the same command resumes
    where it stopped.
    """
    request = request_of("run", {**options, "data": data})
    endings = {
        name: options[name] for name in ("cluster", "policy", "pdf", "as_json", "allow_near_cohort")
    }
    return settle(request, out=out, data=data, workers=jobs, **endings)
