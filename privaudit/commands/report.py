"""privaudit report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts

VERDICTS = "verdicts.json"


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge by these limits; without it, by the verdicts.json of the run, if there is one.",
)
@click.option("--pdf", is_flag=True, help="Also print report.pdf (needs privaudit[pdf]).")
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(run: Path, policy: Path | None, pdf: bool, as_json: bool) -> None:
    """Render report.html and report.md again, from the audit.json of a finished RUN alone.

    Nothing is computed. The report goes where the run's own report lies; with --policy the verdicts
    are written beside it. A sealed run is sealed again; a signature made before no longer fits it.
    """
    from privaudit import report, verdicts
    from privaudit.engine.folder import find, read, write_text
    from privaudit.evidence import resealed

    audit, document = read(run), find(run)
    folder = document.parent
    judged = _judged(audit, document, policy)
    made = [report.HTML, report.MARKDOWN, *([report.PDF] if pdf else [])]
    made += [VERDICTS] if policy is not None else []
    with resealed(folder.parent, [f"{folder.name}/{name}" for name in made]):
        if judged is not None and policy is not None:
            write_text(folder / VERDICTS, verdicts.to_json(judged))
        paths = report.write(audit, folder, judged, pdf=pdf)
    if as_json:
        names = {"report.html": "report", "report.md": "markdown", "report.pdf": "pdf"}
        told = {names[path.name]: str(path) for path in paths}
        if judged is not None:
            told["verdict"] = judged.state
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo(str(folder / "report.html"))


def _judged(audit: Audit, document: Path, policy: Path | None) -> Verdicts | None:
    """Verdicts under the policy given, else those that lie beside the audit; None without either."""
    from privaudit import verdicts

    digest = hashlib.sha256(document.read_bytes()).hexdigest()
    if policy is not None:
        from privaudit.policy import judge, read

        return judge(read(policy), audit, audit_sha256=digest)
    kept = document.parent / VERDICTS
    if not kept.is_file():
        return None
    found = verdicts.from_json(kept.read_bytes().decode("utf-8", "replace"))
    if found.audit_sha256 != digest:
        from privaudit.errors import PrivauditError

        raise PrivauditError(
            "verdicts.json was made of another audit.json than the one beside it",
            "a report never shows verdicts that do not belong to its numbers",
            "judge again with `privaudit report RUN --policy FILE`",
        )
    return found
