"""privaudit compare."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from privaudit.evidence.stored import Stored
    from privaudit.policy.compare import Comparison, Difference

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
    the stored intervals. To block on a difference, use a baseline of several seeds (`privaudit
    baseline`).
    """
    from privaudit.engine.folder import find, read
    from privaudit.policy.compare import compare

    one, other = read(first), read(second)
    stored, why = _stored(find(first), find(second))
    found = compare(one, other, stored, why=why)
    if as_json:
        rows = [{**asdict(row), "name": str(row.metric)} for row in found.rows]
        click.echo(json.dumps({**asdict(found), "rows": rows}, indent=1))
    else:
        _print(found, every)


def _stored(first: Path, second: Path) -> tuple[tuple[Stored, Stored] | None, str]:
    """The records of both runs where their splits are the same, and why or why not."""
    import numpy as np

    from privaudit.evidence.stored import Stored, Unreadable

    runs = [Stored(path.resolve().parent.parent) for path in (first, second)]
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
