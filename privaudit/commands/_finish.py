"""How every auditing command ends: the report, the verdicts, the evidence and the exit code."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts

PATH = click.Path(path_type=Path)

ENDING = (
    click.option("--cluster", metavar="URL",
                 help="Spread the work over dask://HOST or ray://HOST instead of this machine's cores."),
    click.option("--policy", type=PATH, metavar="FILE",
                 help="Judge the audit by these limits; the exit code is that of `check`."),
    click.option("--pdf", is_flag=True, help="Also print the report as PDF (needs privaudit[pdf])."),
    click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output."),
)  # fmt: skip


def ending(command: Callable[..., Any]) -> Callable[..., Any]:
    """Attach the options about how an audit ends."""
    for option in reversed(ENDING):
        command = option(command)
    return command


def printable() -> None:
    """Refuse a PDF that cannot be printed before anything is trained for it."""
    from importlib.util import find_spec

    if find_spec("weasyprint") is None:
        raise PrivauditError(
            "a PDF was asked for, and the library weasyprint is not installed",
            "it is not needed for anything else",
            "pip install 'privaudit[pdf]', or leave out --pdf: report.html prints as well",
        )


def settle(
    request: Request,
    *,
    out: Path,
    data: Path | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    policy: Path | None = None,
    pdf: bool = False,
    as_json: bool = False,
) -> int:
    """Run the audit, write what comes of it, and say where the report is; the exit code.

    A policy is read before anything is trained, so that a faulty one costs nothing.
    """
    from privaudit import report
    from privaudit.commands._progress import listener
    from privaudit.engine.cluster import cluster as joined
    from privaudit.engine.run import run
    from privaudit.evidence.account import account
    from privaudit.report.sections import ordered

    # A worker that has grown is replaced between two jobs; nothing is lost, and nobody can act on it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    # Hours may pass before it is written: what it needs is loaded, and found to be there, now.
    ordered()
    if pdf:
        printable()
    rules = None
    if policy is not None:
        from privaudit.policy import expect_subjects, read

        rules = read(policy)
        expect_subjects(rules, [entry.name for entry in request.entries])
    judged: list[Verdicts] = []

    def write(audit: Audit, folder: Path) -> None:
        if rules is not None:
            from privaudit import verdicts
            from privaudit.policy import judge

            digest = hashlib.sha256((folder / "audit.json").read_bytes()).hexdigest()
            judged.append(judge(rules, audit, audit_sha256=digest))
            (folder / "verdicts.json").write_text(verdicts.to_json(judged[0]), encoding="utf-8")
        report.write(audit, folder, judged[0] if judged else None, pdf=pdf)

    with account(out, request.command) as witness, joined(cluster) as cores, listener() as listen:
        finished = run(
            request, out=out, data=data, workers=cores or workers, listen=listen, report=write,
            witness=witness,
        )  # fmt: skip
        code = judged[0].code if judged else finished.code
        witness.finish(finished.folder, code)
    shareable = finished.folder / "shareable"
    if finished.code:
        state = "inconclusive" if finished.code == 3 else "the audit failed"
        for caveat in finished.audit.caveats:
            click.echo(f"{state}: {caveat}", err=True)
    if judged:
        click.echo(f"verdict: {judged[0].state} under {judged[0].policy['name']}", err=True)
    told: dict[str, Any] = {
        "run": finished.audit.manifest.run,
        "report": str(shareable / "report.html"),
        "audit": str(shareable / "audit.json"),
        "code": code,
        "refits_trained": finished.trained,
        "refits_reused": finished.reused,
    }
    if judged:
        told["verdict"] = judged[0].state
    click.echo(json.dumps(told, indent=1) if as_json else told["report"])
    return code
