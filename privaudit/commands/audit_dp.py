"""privaudit audit-dp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.commands._options import CONFIDENCE, JSON, PATH, option, with_options
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    import numpy as np

    from privaudit.results import Estimate
    from privaudit.seeds import Seeds

DECIDES = "epsilon_lower_bound_fdp"
"""The one bound that decides, fixed beforehand: the larger of two would be too large too often."""

_SCORE = "How member-like each canary looks: higher is more likely a member."
_MEMBER = "1 where the canary was assigned to the training set, 0 where not."
_SEED = "Seed of the random stream that breaks ties."


@click.command("audit-dp")
@click.argument("scores", type=PATH, metavar="SCORES")
@with_options(
    option("--epsilon", "E", "The epsilon that is claimed.", float, required=True),
    option("--delta", "D", "The delta that is claimed.", float, default=1e-5),
    option("--score", "COLUMN", _SCORE, default="score"),
    option("--member", "COLUMN", _MEMBER, default="member"),
    option("--patient", "COLUMN", "Whose canary it is. [default: each its own]", default=""),
    CONFIDENCE,
    option("--seed", "N", _SEED, click.IntRange(min=0), default=0),
    JSON,
)
def command(
    scores: Path,
    epsilon: float,
    delta: float,
    score: str,
    member: str,
    patient: str,
    confidence: float,
    seed: int,
    as_json: bool,
) -> int:
    """Bound the epsilon of a training run from its canaries.

    SCORES is a CSV or Parquet table with one row for each canary. Each patient must have been
    assigned to the training set or not with equal chance; the neighbours are then those of
    add-or-remove.

    Exit code 0: the lower bound is at or below the claim, which is no evidence for it, as weak
    canaries give low bounds; 1: it is above, so the guarantee does not hold; 3: too few canaries to
    refute the claimed epsilon, even if every guess were right.
    """
    from privaudit import stats
    from privaudit.inputs.read_canaries import read_canaries
    from privaudit.seeds import Seeds

    _check_claim(epsilon, delta, confidence)
    evidence, patients = read_canaries(scores, score=score, member=member, patient=patient)
    seeds = Seeds(seed)
    found = stats.estimates(
        evidence,
        patients=patients,
        confidence=confidence,
        delta=delta,
        rng=seeds.rng("audit-dp"),
        names={"auc", "epsilon_lower_bound", DECIDES},
    )
    bound = _find_bound(found)
    provable = _bound_if_always_right(patients, delta, confidence, seeds)
    code = 0
    if bound is not None and bound > epsilon:
        code = 1
    elif provable is None or provable <= epsilon:
        code = 3
    answer: dict[str, Any] = {
        "epsilon": epsilon,
        "delta": delta,
        "bound": bound,
        "most_provable": provable,
        "confidence": confidence,
        "code": code,
    }
    if as_json:
        from privaudit.results import to_tree

        answer["estimates"] = [to_tree(one) for one in found]
        click.echo(json.dumps(answer, indent=1))
    else:
        click.echo("\n".join([*map(_describe, found), _conclude(answer)]))
    return code


def _check_claim(epsilon: float, delta: float, confidence: float) -> None:
    for name, value, low, high in (
        ("an epsilon", epsilon, 0.0, 1000.0),
        ("a delta", delta, 0.0, 1.0),
        ("a confidence", confidence, 0.5, 1.0),
    ):
        above = value > low if name == "an epsilon" else value >= low
        if not (above and value < high):
            raise PrivauditError(
                f"{name} of {value:g}",
                f"it lies {'above' if name == 'an epsilon' else 'at least at'} {low:g} and below "
                f"{high:g}",
                "give what is claimed",
            )


def _bound_if_always_right(
    patients: tuple[np.ndarray, np.ndarray], delta: float, confidence: float, seeds: Seeds
) -> float | None:
    """The bound that these canaries would prove if every guess were right."""
    import numpy as np

    from privaudit import stats
    from privaudit.contracts import Scores

    perfect = Scores(np.ones(len(patients[0])), np.zeros(len(patients[1])), randomised=True)
    found = stats.estimates(
        perfect,
        patients=patients,
        confidence=confidence,
        delta=delta,
        rng=seeds.rng("most"),
        names={DECIDES},
    )
    return _find_bound(found)


def _find_bound(found: tuple[Estimate, ...]) -> float | None:
    return next((one.value for one in found if one.metric.name == DECIDES), None)


def _describe(estimate: Estimate) -> str:
    from privaudit.report.wording.metrics import name_metric
    from privaudit.report.wording.reasons_and_caveats import word_reason

    name = name_metric(estimate.metric)
    if estimate.value is None:
        return f"{name}: not stated: {word_reason(estimate.refusal)}"
    if estimate.high is None:
        return f"{name}: at least {estimate.value:.3g} ({estimate.confidence:.0%} confidence)"
    interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{name}: {estimate.value:.3f} ({interval}; chance 0.5)"


def _conclude(answer: dict[str, Any]) -> str:
    claim = f"epsilon {answer['epsilon']:g} at delta {answer['delta']:g}"
    if answer["code"] == 1:
        return f"The guarantee of {claim} does not hold as implemented."
    if answer["code"] == 0:
        return (
            f"The lower bound is not above the claim of {claim}. That is no evidence for the "
            "claim: "
            "stronger canaries may prove more."
        )
    return (
        "Inconclusive: with so few canaries even an attack that is always right proves no more "
        "than "
        f"{answer['most_provable'] or 0:.3g}, so {claim} cannot be tested."
    )
