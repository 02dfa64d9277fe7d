"""privaudit run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from privaudit.commands._finish import settle
from privaudit.commands._like import LIKE, PAIRS, refuse_pairs, settle_like, take_over
from privaudit.commands._options import audit_options, ending, request_of


@click.command("run")
@audit_options
@LIKE
@PAIRS
@ending
def command(
    *,
    out: Path,
    data: Path | None,
    jobs: int | None,
    like: Path | None,
    pairs: int | None,
    **options: Any,
) -> int:
    """Train models for TASK, attack them and write the report.

    Standard output holds the path of report.html alone; with --like and --policy, the verdicts.
    After Ctrl-C the same command resumes where it stopped.
    """
    endings = {
        name: options[name] for name in ("cluster", "policy", "pdf", "as_json", "allow_near_cohort")
    }
    refuse_pairs(like, pairs)
    if like is None:
        request = request_of("run", {**options, "data": data})
        return settle(request, out=out, data=data, workers=jobs, **endings)
    from privaudit.policy.baseline import read

    held = read(like)
    request = request_of("run", {**take_over(options, held), "data": data})
    return settle_like(request, held, out=out, data=data, workers=jobs, pairs=pairs, **endings)
