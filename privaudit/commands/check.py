"""privaudit check."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from privaudit.commands._paint import print_verdicts

if TYPE_CHECKING:
    from privaudit.policy import Policy
    from privaudit.policy.baseline import Baseline

PATH = click.Path(path_type=Path)
TAMPERED = 4
"""Exit code: the evidence does not verify."""


@click.command("check")
@click.argument("run", type=PATH, metavar="RUN")
@click.option("--policy", required=True, type=PATH, metavar="FILE", help="The limits, as TOML.")
@click.option(
    "--baseline", type=PATH, metavar="FILE", help="What regressions are measured against."
)
@click.option(
    "--candidate",
    "candidates",
    type=PATH,
    multiple=True,
    metavar="RUN",
    help="A further run of what is judged, with another seed, for regressions. Repeatable.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME[=FILE]",
    help="text, json, junit, sarif, markdown or github; to a file where one is named. "
    "Repeatable. [default: text]",
)
@click.option(
    "--output",
    type=PATH,
    metavar="FILE",
    help="Write what would go to standard output into this file.",
)
@click.option("--unsealed", is_flag=True, help="Judge a run that has no checksums of its files.")
def command(
    run: Path,
    policy: Path,
    baseline: Path | None,
    candidates: tuple[Path, ...],
    formats: tuple[str, ...],
    output: Path | None,
    unsealed: bool,
) -> int:
    """Judge a finished RUN by a policy. Nothing is computed anew: the audit is read.

    \b
    Exit codes: 0 within; 1 exceeds; 2 wrong use, policy or run; 3 inconclusive;
    4 the run's files are not what was sealed; 5 the audit failed; 70 a bug; 130 interrupted.
    """
    from privaudit.engine.folder import find, read, write_text
    from privaudit.policy import judge
    from privaudit.policy import read as read_policy
    from privaudit.report.formats import render
    from privaudit.report.wording.nouns import use_words

    wanted = _choose_formats(formats, output)
    rules = read_policy(policy)
    before = _read_baseline(baseline, policy, rules)
    _refuse_unused(rules, baseline, candidates)
    faults = [fault for one in (run, *candidates) for fault in _check_seal(one, unsealed)]
    if faults:
        for fault in faults[:20]:
            click.echo(f"evidence: {fault}", err=True)
        if len(faults) > 20:
            click.echo(f"evidence: and {len(faults) - 20} more", err=True)
        click.echo(
            "error: the run is not what was sealed\n"
            "  because: files were changed, lost or added, or were never sealed\n"
            "  do this: take the run from where it was made, or run the audit again "
            "(--unsealed judges a run without sums)",
            err=True,
        )
        return TAMPERED
    audit = read(run)
    others = tuple(read(one) for one in candidates)
    digest = hashlib.sha256(find(run).read_bytes()).hexdigest()
    made = judge(
        rules,
        audit,
        audit_sha256=digest,
        baseline=before,
        candidates=others,
    )
    with use_words(audit.data.words):
        for name, file in wanted:
            if file is not None:
                write_text(file, render(made, name))
                continue
            print_verdicts(made, name)
    return made.code


def _choose_formats(formats: tuple[str, ...], output: Path | None) -> list[tuple[str, Path | None]]:
    """(format, file or None for standard output), checked before anything is read."""
    from privaudit.errors import PrivauditError
    from privaudit.policy.suggest import suggest
    from privaudit.report.formats import FORMATS

    found: list[tuple[str, Path | None]] = []
    for text in formats or ("text",):
        name, _, file = text.partition("=")
        if name not in FORMATS:
            raise PrivauditError(
                f"no format {name!r}",
                f"formats are: {', '.join(FORMATS)}",
                suggest(name, FORMATS) or "use --format text",
            )
        found.append((name, Path(file) if file else None))
    plain = [name for name, file in found if file is None]
    if len(plain) > 1:
        raise PrivauditError(
            f"{len(plain)} formats for standard output: {', '.join(plain)}",
            "one document goes there, or its reader cannot tell them apart",
            f"name files for the others, as in --format {plain[1]}=FILE",
        )
    if output is None:
        return found
    if not plain:
        raise PrivauditError(
            f"--output {output.name}",
            "every format names a file of its own",
            "leave --output away, or leave one format without a file",
        )
    return [(name, file or output) for name, file in found]


def _check_seal(run: Path, unsealed: bool) -> tuple[str, ...]:
    """What of a run's evidence does not hold; what a reader must know is printed."""
    from privaudit.engine.folder import find
    from privaudit.evidence.gate import check_gate

    faults, note = check_gate(run, find(run), unsealed)
    if note:
        click.echo(f"note: {note}", err=True)
    return faults


def _refuse_unused(rules: Policy, baseline: Path | None, candidates: Sequence[Path]) -> None:
    """Refuse runs and a baseline that no rule of the policy would look at."""
    from privaudit.errors import PrivauditError

    if rules.regressions or (baseline is None and not candidates):
        return
    given = "--candidate" if candidates else "--baseline"
    raise PrivauditError(
        f"{given} with a policy that has no [[regression]]",
        "limits are held against RUN alone; further runs and a baseline are read by rules on "
        "regressions, so that nothing would be said of them",
        f"add a [[regression]] to the policy, or leave {given} out and check every run by itself",
    )


def _read_baseline(given: Path | None, policy: Path, rules: Policy) -> Baseline | None:
    """The baseline named on the command line, else in the policy, relative to the policy's file."""
    from privaudit.errors import PrivauditError
    from privaudit.policy.baseline import read

    if given is not None:
        return read(given)
    named = list(dict.fromkeys(rule.baseline for rule in rules.regressions if rule.baseline))
    if len(named) > 1:
        raise PrivauditError(
            f"{len(named)} baselines in the policy: {', '.join(named)}",
            "a run is compared with one",
            "keep one, or give --baseline FILE",
        )
    return read(policy.parent / named[0]) if named else None
