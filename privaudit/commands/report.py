"""privaudit report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from privaudit.commands._options import JSON, PATH, PDF, option
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts

VERDICTS = "verdicts.json"

_POLICY = "Judge by this policy. [default: the verdicts stored in the run, if any]"


@click.command("report")
@click.argument("run", type=PATH, metavar="RUN")
@option("--policy", "FILE", _POLICY, PATH)
@PDF
@JSON
def command(run: Path, policy: Path | None, pdf: bool, as_json: bool) -> None:
    """Render report.html and report.md of a finished RUN again, from its audit.json alone.

    Nothing is computed. The files replace those of the run; with --policy the verdicts are
    stored too. A sealed run is sealed again: an earlier signature no longer matches it.
    """
    from privaudit import report, verdicts
    from privaudit.engine.folder import find, read, write_text
    from privaudit.evidence import resealed

    audit, document = read(run), find(run)
    folder = document.parent
    judged = _judge(audit, document, policy)
    made = [report.HTML, report.MARKDOWN, *([report.PDF] if pdf else [])]
    made += [VERDICTS] if policy is not None else []
    with resealed(folder.parent, [f"{folder.name}/{name}" for name in made]):
        if judged is not None and policy is not None:
            write_text(folder / VERDICTS, verdicts.to_json(judged))
        paths = report.write(audit, folder, judged, pdf=pdf)
    if as_json:
        names = {report.HTML: "report", report.MARKDOWN: "markdown", report.PDF: "pdf"}
        answer = {names[path.name]: str(path) for path in paths}
        if judged is not None:
            answer["verdict"] = judged.state
        click.echo(json.dumps(answer, indent=1))
    else:
        click.echo(str(folder / report.HTML))


def _judge(audit: Audit, document: Path, policy: Path | None) -> Verdicts | None:
    """Verdicts by the policy given, else those stored beside the audit; None without either."""
    from privaudit import verdicts

    digest = hashlib.sha256(document.read_bytes()).hexdigest()
    if policy is not None:
        from privaudit.policy import judge, read

        return judge(read(policy), audit, audit_sha256=digest)
    stored = document.parent / VERDICTS
    if not stored.is_file():
        return None
    found = verdicts.from_json(stored.read_bytes().decode("utf-8", "replace"))
    if found.audit_sha256 != digest:
        raise PrivauditError(
            "verdicts.json was made of another audit.json than the one beside it",
            "a report never shows verdicts that do not belong to its numbers",
            "judge again with `privaudit report RUN --policy FILE`",
        )
    return found
