"""privaudit audit-dp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from privaudit.contracts import Scores
    from privaudit.results import Estimate

DECIDES = "epsilon_lower_bound_fdp"
PATH = click.Path(path_type=Path)


@click.command("audit-dp")
@click.argument("scores", type=PATH, metavar="SCORES")
@click.option(
    "--epsilon", type=float, required=True, metavar="E", help="The epsilon that was promised."
)
@click.option(
    "--delta", type=float, default=1e-5, show_default=True, metavar="D", help="Its delta."
)
@click.option(
    "--score",
    default="score",
    show_default=True,
    metavar="COLUMN",
    help="How member-like each canary looks: higher is more surely a member.",
)
@click.option(
    "--member",
    default="member",
    show_default=True,
    metavar="COLUMN",
    help="1 where the coin let it be trained on, 0 where not.",
)
@click.option(
    "--patient", default="", metavar="COLUMN", help="Whose canary it is. [default: each its own]"
)
@click.option("--confidence", type=float, default=0.95, show_default=True, metavar="P")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Entropy for breaking ties.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(scores: Path, epsilon: float, delta: float, score: str, member: str, patient: str,
            confidence: float, seed: int, as_json: bool) -> int:  # fmt: skip
    """Test a promised epsilon on the scores of canaries from one training run.

    SCORES is a CSV or Parquet table with one row for each canary. A fair coin must have decided for
    each patient whether training saw it; the neighbours are then those of add-or-remove.

    Exit code 0: the bound proved is at or below the promise (which proves nothing more: weak canaries
    give low bounds); 1: it is above, so the promise does not hold; 3: too few canaries to prove
    the promised epsilon, even if every guess were right.
    """
    from privaudit import stats
    from privaudit.seeds import Seeds

    _check(epsilon, delta, confidence)
    evidence, patients = _read(scores, score, member, patient)
    seeds = Seeds(seed)
    found = stats.estimates(
        evidence, patients=patients, confidence=confidence, delta=delta, rng=seeds.rng("audit-dp"),
        names={"auc", "epsilon_lower_bound", "epsilon_lower_bound_fdp"},
    )  # fmt: skip
    highest = _bound(found)
    best = _most(patients, delta, confidence, seeds)
    code = 0
    if highest is not None and highest > epsilon:
        code = 1
    elif best is None or best <= epsilon:
        code = 3
    told = {"epsilon": epsilon, "delta": delta, "bound": highest, "most_provable": best,
            "confidence": confidence, "code": code,
            "estimates": [_plain(e) for e in found]}  # fmt: skip
    click.echo(json.dumps(told, indent=1) if as_json else _text(told, found))
    return code


def _check(epsilon: float, delta: float, confidence: float) -> None:
    from privaudit.errors import PrivauditError

    for name, value, low, high in (
        ("an epsilon", epsilon, 0.0, 1000.0),
        ("a delta", delta, 0.0, 1.0),
        ("a confidence", confidence, 0.5, 1.0),
    ):
        if not (low <= value < high) or (name == "an epsilon" and value == 0):
            raise PrivauditError(
                f"{name} of {value:g}",
                f"it lies {'above' if name == 'an epsilon' else 'at least at'} {low:g} and below {high:g}",
                "give what was promised",
            )


def _read(
    path: Path, score: str, member: str, patient: str
) -> tuple[Scores, tuple[np.ndarray, np.ndarray]]:
    """The scores of members and non-members, and whose they are."""
    import numpy as np
    import polars as pl

    from privaudit.contracts import Scores
    from privaudit.errors import PrivauditError
    from privaudit.inputs.table_file import source

    wanted = [score, member, *([patient] if patient else [])]
    with source(path, "the table of scores") as opened:
        missing = [name for name in wanted if name not in opened.columns]
        if missing:
            raise PrivauditError(
                f"no column {', '.join(map(repr, missing))} in the table of scores",
                f"it has: {', '.join(opened.columns[:12])}",
                "name the columns with --score, --member and --patient",
            )
        table = pl.concat(list(opened.batches(wanted)))
    values = table[score].cast(pl.Float64, strict=False).to_numpy()
    inside = table[member].cast(pl.String).str.to_lowercase().replace(
        {"true": "1", "false": "0", "1.0": "1", "0.0": "0"}
    )  # fmt: skip
    bad = int((~np.isfinite(values)).sum())
    odd = int((~inside.is_in(["0", "1"])).fill_null(True).sum())
    if bad or odd:
        raise PrivauditError(
            f"{bad} scores that are no finite number, {odd} memberships that are neither 0 nor 1",
            "every canary needs a score and a coin",
            "repair the table, or leave out whole patients by a rule that knows no coin",
        )
    seen = (inside == "1").to_numpy()
    whose = np.arange(len(table))
    if patient:
        whose = table[patient].cast(pl.String).rank("dense").to_numpy().astype(np.int64)
    split = set(whose[seen].tolist()) & set(whose[~seen].tolist())
    if split:
        raise PrivauditError(
            f"{len(split)} patients are both members and not",
            "one coin decides about all canaries of a patient",
            "flip the coin for each patient, or leave --patient out if each canary had its own",
        )
    return Scores(values[seen], values[~seen], randomised=True), (whose[seen], whose[~seen])


def _most(
    patients: tuple[np.ndarray, np.ndarray], delta: float, confidence: float, seeds: Any
) -> float | None:
    """The bound that these coins would prove if every guess were right."""
    import numpy as np

    from privaudit import stats
    from privaudit.contracts import Scores

    perfect = Scores(np.ones(len(patients[0])), np.zeros(len(patients[1])), randomised=True)
    found = stats.estimates(
        perfect, patients=patients, confidence=confidence, delta=delta, rng=seeds.rng("most"),
        names={DECIDES},
    )  # fmt: skip
    return _bound(found)


def _bound(found: tuple[Estimate, ...]) -> float | None:
    """The one bound that decides, fixed beforehand: the larger of two would be too large too often."""
    return next((e.value for e in found if e.name == DECIDES), None)


def _plain(estimate: Estimate) -> dict[str, Any]:
    from privaudit.results import to_tree

    tree: dict[str, Any] = to_tree(estimate)
    return tree


def _text(told: dict[str, Any], found: tuple[Estimate, ...]) -> str:
    lines = []
    for e in found:
        if e.value is None:
            lines.append(f"{e.name}: not stated: {e.refusal}")
        elif e.high is None:
            lines.append(f"{e.name}: at least {e.value:.3g} ({e.confidence:.0%} confidence)")
        else:
            lines.append(f"{e.name}: {e.value:.3f} ({e.low:.3f} to {e.high:.3f}; chance 0.5)")
    promise = f"epsilon {told['epsilon']:g} at delta {told['delta']:g}"
    lines.append({
        0: f"The bound is not above the promise of {promise}. That does not prove the promise: "
           "stronger canaries may prove more.",
        1: f"The promise of {promise} does not hold as implemented.",
        3: f"Inconclusive: with so few coins even an attack that is always right proves no more than "
           f"{told['most_provable'] or 0:.3g}, so {promise} cannot be tested.",
    }[told["code"]])  # fmt: skip
    return "\n".join(lines)
