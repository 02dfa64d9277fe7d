"""privaudit baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import CLUSTER, TRAINING, option, with_options

if TYPE_CHECKING:
    from privaudit.policy.baseline import Baseline
    from privaudit.results import Audit

PATH = click.Path(path_type=Path)
MAKING = (
    *("seeds", "folder", "data", "profile", "jobs", "methods", "learners", "generators"),
    *("attacks", "settings", "window", "cohort", "as_known", "confidence", "exact_counts"),
    "cluster",
)
"""Options of `create` about runs that it makes."""
RUNS = click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
REASON = click.option(
    "--reason", required=True, metavar="TEXT", help="Why these numbers are accepted."
)
BY = click.option("--by", metavar="NAME", help="Who accepts them. [default: the user logged in]")
POLICY = click.option(
    "--policy", type=PATH, metavar="FILE", help="The policy under which they are accepted."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")


@click.group("baseline")
def command() -> None:
    """Numbers of an accepted model over several seeds, for `check --baseline` to compare with.

    \b
    privaudit baseline create mortality --seeds 5 --out baseline.json --reason "first release"
    privaudit run mortality --like baseline.json --policy policy.toml
    privaudit baseline update baseline.json runs/F --reason "one more seed"
    privaudit baseline show baseline.json
    """


_SEEDS = "How many runs to make of TASK, each from a seed of its own."
_FOLDER = "Where the runs of TASK and finished steps are stored."


@command.command("create", short_help="Make a baseline from finished runs, or make the runs too.")
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="TASK|RUN...")
@click.option("--out", required=True, type=PATH, metavar="FILE", help="The baseline to write.")
@REASON
@BY
@POLICY
@option("--seeds", "N", _SEEDS, click.IntRange(min=2, max=1000), default=5)
@click.option(
    "--runs",
    "folder",
    type=PATH,
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help=_FOLDER,
)
@with_options(*TRAINING, CLUSTER)
@JSON
def create(
    runs: Sequence[Path],
    out: Path,
    reason: str,
    by: str | None,
    policy: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Make a baseline from finished runs that differ in their seed alone (5 or more), or make the
    runs of TASK too, from the seeds 1 to N under the key of the folder of runs.

    \b
    privaudit baseline create mortality --learners logreg --out baseline.json --reason "in use"
    privaudit baseline create runs/A runs/B runs/C --out baseline.json --reason "in use"

    `privaudit run TASK --like baseline.json` makes a candidate's runs on the same splits and seeds.
    """
    from privaudit.errors import PrivauditError
    from privaudit.policy import baseline

    if out.exists():
        raise PrivauditError(
            f"{out.name!r} is there already",
            "a baseline is never overwritten: its history would be lost",
            f"privaudit baseline update {out.name} RUN... --reason TEXT, or another --out",
        )
    policed, code = _policy(policy), 0
    if _names_task(runs):
        audits, code = _make(str(runs[0]), reason, options)
        if code == 5:
            raise PrivauditError(
                "runs that failed",
                "nothing can be accepted of an audit that is broken",
                "see what was printed above, mend it and run the same command again",
            )
    else:
        audits = _read(runs)
    made = baseline.create(audits, who=_who(by), when=_now(), reason=reason, policy=policed)
    _write(made, out, as_json)
    return 0


def _names_task(runs: Sequence[Path]) -> bool:
    """Whether a task is named, and no finished runs; options about runs to make go with it."""
    from privaudit.errors import PrivauditError

    context = click.get_current_context()
    own = click.core.ParameterSource.DEFAULT
    given = [name for name in MAKING if context.get_parameter_source(name) is not own]
    if len(runs) == 1 and not runs[0].exists():
        from privaudit.plugins import members

        return bool(given) or str(runs[0]) in members("tasks")
    if given:
        raise PrivauditError(
            f"options about runs to make ({', '.join(given)}) with finished runs",
            "they say how runs are made, and these are made already",
            "leave them out, or name a task in the place of the runs",
        )
    return False


def _make(task: str, reason: str, options: Mapping[str, Any]) -> tuple[list[Audit], int]:
    """The audits of runs that are made now, and the worst exit code of one of them."""
    from privaudit.commands._finish import audit_once, prepare
    from privaudit.commands._options import request_of
    from privaudit.policy.baseline import check_reason

    check_reason(reason)
    prepare(pdf=False)
    asked = {**options, "task": task, "seed": None}
    request = request_of("run", asked)
    made = []
    for seed in range(1, options["seeds"] + 1):
        click.echo(f"run {seed} of {options['seeds']}", err=True)
        one = audit_once(
            replace(request, seed=seed),
            out=options["folder"],
            data=options["data"],
            workers=options["jobs"],
            cluster=options["cluster"],
            rules=None,
            pdf=False,
            allow_near_cohort=False,
        )
        made.append(one)
        if one.code == 5:
            break
    return [one.audit for one in made], max(one.code for one in made)


@command.command("update", short_help="Add runs to a baseline, or start it over.")
@click.argument("file", type=PATH, metavar="BASELINE")
@RUNS
@REASON
@click.option("--anew", is_flag=True, help="Put these runs in the place of all others.")
@BY
@POLICY
@JSON
def update(
    file: Path,
    runs: Sequence[Path],
    reason: str,
    anew: bool,
    by: str | None,
    policy: Path | None,
    as_json: bool,
) -> None:
    """Add runs of further seeds, or start over with others; the history stays."""
    from privaudit.policy import baseline

    made = baseline.update(
        baseline.read(file),
        _read(runs),
        who=_who(by),
        when=_now(),
        reason=reason,
        anew=anew,
        policy=_policy(policy),
    )
    _write(made, file, as_json)


@command.command("show", short_help="Show what a baseline rests on.")
@click.argument("file", type=PATH, metavar="BASELINE")
@JSON
def show(file: Path, as_json: bool) -> None:
    """Show what a baseline rests on, its numbers, and who accepted them why."""
    from privaudit.policy import baseline

    _print(baseline.read(file), as_json)


def _read(runs: Sequence[Path]) -> list[Audit]:
    """The audits of finished runs, none of which was changed since or failed."""
    from privaudit.engine.folder import find, read
    from privaudit.engine.run import exit_code
    from privaudit.errors import PrivauditError
    from privaudit.evidence.gate import check_gate

    audits = []
    for run in runs:
        faults, _ = check_gate(run, find(run), unsealed=False)
        if faults:
            raise PrivauditError(
                f"the run {run.name}, whose evidence does not hold: {faults[0]}",
                "a baseline of numbers that were made larger lets every candidate pass",
                "take the run from where it was made, or run the audit again",
            )
        audits.append(read(run))
        if exit_code(audits[-1]) == 5:
            raise PrivauditError(
                f"the run {run.name}, which failed",
                "nothing can be accepted of an audit that is broken",
                "see the summary of its report, mend it and run it again",
            )
    return audits


def _who(by: str | None) -> str:
    import getpass

    if by and by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _policy(path: Path | None) -> tuple[str, str]:
    if path is None:
        return "", ""
    from privaudit.policy import read

    found = read(path)
    return found.name, found.sha256


def _write(made: Baseline, path: Path, as_json: bool) -> None:
    from privaudit.engine.folder import write_text
    from privaudit.errors import PrivauditError
    from privaudit.policy import baseline

    try:
        write_text(path, baseline.write(made))
    except OSError as error:
        raise PrivauditError(
            f"the baseline {path.name!r} cannot be written",
            f"the system says: {error.strerror}",
            "give another file",
        ) from None
    _print(made, as_json)


def _print(made: Baseline, as_json: bool) -> None:
    from privaudit.policy.alike import describe_split
    from privaudit.policy.baseline import summarise, warnings

    for warning in warnings(made):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(_tree(made), indent=1))
        return
    basis = made.basis
    about = {
        "task": basis.task,
        "data": f"{basis.source}, {basis.data or 'not committed to'}",
        "split": describe_split(basis.split),
        "profile": f"{basis.profile}, intervals of {basis.confidence:.0%}, "
        f"statistics {basis.statistics}",
        "attacks": ", ".join(sorted(basis.attacks)),
        "seeds": f"{len({run.seed for run in made.runs})} different ones",
    }
    for name, text in about.items():
        click.echo(f"{name + ':':<9} {text}")
    click.echo(f"\n{'subject':<28}{'attack':<18}{'number':<22}{'mean':>9}{'spread':>9}{'runs':>6}")
    for line in summarise(made):
        spread = "" if line.spread is None else f"{line.spread:.2g}"
        click.echo(
            f"{line.subject:<28}{line.attack or '-':<18}{line.metric!s:<22}"
            f"{line.mean:>9.3g}{spread:>9}{line.runs:>6}"
        )
    click.echo("")
    for step in made.history:
        under = f" (policy {step.policy})" if step.policy else ""
        click.echo(
            f"{step.when}  {step.who}: {step.action} {len(step.runs)} run(s): {step.reason}{under}"
        )


def _tree(made: Baseline) -> dict[str, Any]:
    from dataclasses import asdict

    from privaudit.policy.baseline import digest, summarise, warnings

    return {
        "name": made.name,
        "basis": asdict(made.basis),
        "basis_sha256": digest(made.basis),
        "runs": [{k: v for k, v in asdict(run).items() if k != "numbers"} for run in made.runs],
        "numbers": [{**asdict(line), "name": str(line.metric)} for line in summarise(made)],
        "history": [asdict(step) for step in made.history],
        "warnings": list(warnings(made)),
    }
