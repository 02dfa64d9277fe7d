"""privaudit compare."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from privaudit.evidence.stored import Stored
    from privaudit.policy.compare import Comparison, Difference
    from privaudit.results import Audit

PATH = click.Path(path_type=Path)

SHOWN = (
    "auroc",
    "brier",
    "r2",
    "mae",
    "auc",
    "tpr",
    "attack_minus_control",
    "attack_minus_guess",
    "epsilon_lower_bound",
)
"""Numbers that are asked for first."""


@click.command("compare")
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", type=PATH, metavar="B")
@click.option(
    "--every", is_flag=True, help="Print every number, not those alone that are asked for first."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
def command(first: Path, second: Path, every: bool, as_json: bool) -> None:
    """Show how run B differs from run A: every shared number, with the interval of the difference.

    Record by record where both were made on the same split and restricted/ can be read; else from
    the stored intervals. Refused where the cohorts differ by fewer than 10 patients, of whom the
    differences would speak. To block on a difference, use a baseline of several seeds (`privaudit
    baseline`).
    """
    from privaudit.engine.folder import find, read
    from privaudit.policy.compare import compare

    one, other = read(first), read(second)
    runs = (_find_run(find(first)), _find_run(find(second)))
    doubt = _refuse_near(one, other, *runs)
    stored, why = _stored(*runs)
    found = compare(one, other, stored, why=why)
    found = replace(found, notes=(*found.notes, *doubt))
    if as_json:
        rows = [{**asdict(row), "name": str(row.metric)} for row in found.rows]
        click.echo(json.dumps({**asdict(found), "rows": rows}, indent=1))
    else:
        from privaudit.report.wording.nouns import use_words

        with use_words(other.data.words):
            _print(found, every)


def _find_run(audit: Path) -> Path:
    return audit.resolve().parent.parent


def _refuse_near(one: Audit, other: Audit, first: Path, second: Path) -> tuple[str, ...]:
    """Refuse differences that speak of 1 to 9 patients.

    By the cohorts that the folder of runs keeps; else by the stored splits, where patients go by
    the names of the source in both; else by the counts in the documents.

    Returns:
        What a reader must know where nothing shows how much the cohorts differ.
    """
    from privaudit.disclosure_limits import MIN_CELL
    from privaudit.engine.cohorts import read_two
    from privaudit.engine.overlap import find_near
    from privaudit.errors import PrivauditError
    from privaudit.policy import alike

    if (alike.is_open(one) and alike.is_open(other)) or alike.are_same_patients(one, other):
        return ()
    cohorts = read_two(first, second)
    if cohorts is not None:
        known, is_near = True, find_near(*cohorts) is not None
    else:
        found = _compare_names(one, other, first, second)
        known, is_near = found is not None, bool(found)
    if known and not is_near:
        return ()
    if not known and not alike.have_near_counts(one, other):
        return (
            f"whether the cohorts differ by fewer than {MIN_CELL} patients cannot be known: the "
            "documents commit to other records, and their patients are not stored where both "
            "can be read",
        )
    raise PrivauditError(
        f"two runs whose cohorts {'differ' if known else 'may differ'} by fewer than {MIN_CELL} "
        "patients",
        "every difference of their numbers speaks of these few patients",
        "compare runs of one cohort, or of cohorts that differ by more",
    )


def _compare_names(one: Audit, other: Audit, first: Path, second: Path) -> bool | None:
    """Whether 1 to 9 patients differ, by the patients of both splits; None where it is not known:
    patients of supplied tables are numbered anew in each audit."""
    import numpy as np

    from privaudit.disclosure_limits import MIN_CELL
    from privaudit.evidence.stored import Stored, Unreadable

    if not (one.data.random_split and other.data.random_split):
        return None
    try:
        splits = [Stored(run).split for run in (first, second)]
    except Unreadable:
        return None
    a, b = (
        np.concatenate([s.members.patient, s.nonmembers.patient, s.reference.patient])
        for s in splits
    )
    differing = max(len(np.setdiff1d(a, b)), len(np.setdiff1d(b, a)))
    # The same patients with other records: how many of them differ is not stored.
    return None if differing == 0 else differing < MIN_CELL


def _stored(first: Path, second: Path) -> tuple[tuple[Stored, Stored] | None, str]:
    """The records of both runs where their splits are the same, and why or why not."""
    import numpy as np

    from privaudit.evidence.stored import Stored, Unreadable

    runs = [Stored(path) for path in (first, second)]
    try:
        pools = zip(
            *((s.members, s.nonmembers, s.reference) for s in (run.split for run in runs)),
            strict=True,
        )
    except Unreadable as error:
        return None, f"from the stored intervals: restricted/split.npz of a run is {error}"
    if not all(
        np.array_equal(one.patient, other.patient) and np.array_equal(one.y, other.y)
        for one, other in pools
    ):
        return None, (
            "from the stored intervals: the runs were made on different splits (the same --seed in "
            "one folder of runs gives the same one)"
        )
    why = "record by record where marked: both runs were made on the same split"
    return (runs[0], runs[1]), why


def _print(found: Comparison, every: bool) -> None:
    click.echo(f"A: {found.first}\nB: {found.second}\n{found.why}\n")
    rows = [row for row in found.rows if every or row.metric.name in SHOWN]
    wide = max((len(str(row.metric)) for row in rows), default=0) + 2
    subject = ""
    for row in rows:
        if row.subject != subject:
            subject = row.subject
            click.echo(f"{subject}\n  {'':<18}{'':<{wide}}{'A':>9}{'B':>9}  B minus A")
        click.echo(f"  {row.attack or 'utility':<18}{row.metric!s:<{wide}}{_line(row)}")
    for name, only in (("A", found.only_first), ("B", found.only_second)):
        if only:
            click.echo(f"only in {name}: {', '.join(only)}")
    click.echo("")
    for note in found.notes:
        click.echo(f"note: {note}")


def _line(row: Difference) -> str:
    first, second = (_number(value) for value in (row.first, row.second))
    line = f"{first:>9}{second:>9}  "
    if row.value is None or row.low is None or row.high is None:
        from privaudit.report.wording.reasons_and_caveats import word_reason

        gap = "-" if row.value is None else f"{row.value:+.3g}"
        return f"{line}{gap} ({word_reason(row.refusal)})"
    clear = " *" if row.low > 0 or row.high < 0 else ""
    paired = ", paired" if row.paired else ""
    return f"{line}{row.value:+.3g} [{row.low:+.3g}, {row.high:+.3g}]{paired}{clear}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
