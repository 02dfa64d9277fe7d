"""How every auditing command ends: the report, the verdicts, the evidence and the exit code."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import ENDING, PATH, ending
from privaudit.errors import PrivauditError
from privaudit.facts import CaveatCode

if TYPE_CHECKING:
    from privaudit.engine.configure import Request
    from privaudit.engine.run import Finished
    from privaudit.policy import Policy
    from privaudit.policy.baseline import Baseline
    from privaudit.results import Audit
    from privaudit.verdicts import Verdicts


def require_pdf() -> None:
    """Refuse a PDF that cannot be written before anything is trained for it."""
    from importlib.util import find_spec

    if find_spec("weasyprint") is None:
        raise PrivauditError(
            "--pdf without the library weasyprint, which is not installed",
            "report.pdf is made by it, and nothing else needs it",
            "pip install 'privaudit[pdf]', or leave out --pdf: report.html prints as well",
        )


@dataclass(frozen=True)
class Ended:
    """A finished run with its verdicts, where a policy was given. code: of the verdicts, else of
    the run itself."""

    finished: Finished
    judged: Verdicts | None
    code: int

    @property
    def audit(self) -> Audit:
        return self.finished.audit


def prepare(pdf: bool) -> None:
    """What costs nothing to find missing before anything is trained."""
    from privaudit.report.sections import load_sections

    # A worker that has grown is replaced between two jobs; nothing is lost, no one can act on it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    # Hours may pass before the report is written: what it needs is loaded now.
    load_sections()
    if pdf:
        require_pdf()


def read_rules(policy: Path | None, request: Request) -> Policy | None:
    """The policy, which fits the subjects that are asked for."""
    if policy is None:
        return None
    from privaudit.policy import expect_subjects, read

    rules = read(policy)
    expect_subjects(rules, [entry.name for entry in request.entries])
    return rules


def audit_once(
    request: Request,
    *,
    out: Path,
    data: Path | None,
    workers: int | None,
    cluster: str | None,
    rules: Policy | None,
    pdf: bool,
    allow_near_cohort: bool,
    baseline: Baseline | None = None,
    candidates: Sequence[Audit] = (),
    expect: Callable[[str, str], None] | None = None,
    fresh: bool = False,
) -> Ended:
    """Run one audit and write its report, its verdicts and its evidence.

    baseline, candidates: what regressions are measured against, and earlier runs of what is judged.
    expect, fresh: as `privaudit.engine.run.run` takes them.
    """
    from privaudit import report
    from privaudit.commands._progress import listener
    from privaudit.engine.cluster import connect
    from privaudit.engine.run import run
    from privaudit.evidence.account import account
    from privaudit.report.wording.nouns import use_words
    from privaudit.report.wording.reasons_and_caveats import word_caveat

    judged: list[Verdicts] = []

    def write(audit: Audit, folder: Path) -> None:
        if rules is not None:
            from privaudit import verdicts
            from privaudit.policy import judge

            digest = hashlib.sha256((folder / "audit.json").read_bytes()).hexdigest()
            judged.append(
                judge(rules, audit, audit_sha256=digest, baseline=baseline, candidates=candidates)
            )
            (folder / "verdicts.json").write_text(verdicts.to_json(judged[0]), encoding="utf-8")
        report.write(audit, folder, judged[0] if judged else None, pdf=pdf)

    with account(out, request.command) as witness, connect(cluster) as cores, listener() as listen:
        finished = run(
            request,
            out=out,
            data=data,
            workers=cores or workers,
            listen=listen,
            report=write,
            witness=witness,
            allow_near_cohort=allow_near_cohort,
            expect=expect,
            fresh=fresh,
        )
        code = judged[0].code if judged else finished.code
        witness.finish(finished.folder, code)
    with use_words(finished.audit.data.words):
        if finished.code:
            _print_causes(finished.audit, finished.code)
        for caveat in finished.audit.caveats:
            if caveat.code in (CaveatCode.NEAR_COHORT, CaveatCode.NEAR_GROUPS):
                click.echo(f"warning: {word_caveat(caveat)}", err=True)
    return Ended(finished, judged[0] if judged else None, code)


def describe(ended: Ended) -> dict[str, Any]:
    """What a machine is told of a finished run."""
    finished = ended.finished
    answer: dict[str, Any] = {
        "run": finished.audit.manifest.run,
        "report": str(finished.results / "report.html"),
        "audit": str(finished.results / "audit.json"),
        "code": ended.code,
        "refits_trained": finished.trained,
        "refits_reused": finished.reused,
    }
    if ended.judged is not None:
        answer["verdict"] = ended.judged.state
    return answer


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
    allow_near_cohort: bool = False,
) -> int:
    """Run the audit, write its report and verdicts, print where they are; the exit code.

    A policy is read before anything is trained, so that a faulty one costs nothing.
    """
    prepare(pdf)
    ended = audit_once(
        request,
        out=out,
        data=data,
        workers=workers,
        cluster=cluster,
        rules=read_rules(policy, request),
        pdf=pdf,
        allow_near_cohort=allow_near_cohort,
    )
    if ended.judged is not None:
        name = ended.judged.policy["name"]
        click.echo(f"verdict: {ended.judged.state} under {name}", err=True)
    answer = describe(ended)
    click.echo(json.dumps(answer, indent=1) if as_json else answer["report"])
    return ended.code


UNDECIDED = (CaveatCode.CONTROL_NOT_MADE, CaveatCode.PLANTED_LEAK_MISSED)
"""Caveats for which a run is inconclusive."""


def _print_causes(audit: Audit, code: int) -> None:
    """Why the audit failed or is inconclusive; what else is to be known is in the report."""
    from privaudit.report.wording.reasons_and_caveats import word_caveat, word_reason

    state = "inconclusive" if code == 3 else "the audit failed"
    for caveat in audit.caveats:
        if caveat.severity == "defect" or (code == 3 and caveat.code in UNDECIDED):
            click.echo(f"{state}: {word_caveat(caveat)}", err=True)
    reasons = (c.error for one in audit.subjects for c in one.controls if c.error is not None)
    for reason in dict.fromkeys(map(word_reason, reasons)):
        click.echo(f"why: {reason}", err=True)


__all__ = [
    "ENDING",
    "PATH",
    "Ended",
    "audit_once",
    "describe",
    "ending",
    "prepare",
    "read_rules",
    "require_pdf",
    "settle",
]
