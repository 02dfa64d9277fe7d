"""privaudit audit-dp."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from privaudit.commands._options import CONFIDENCE, JSON, PATH, option, with_options
from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    import numpy as np

    from privaudit.contracts import Scores
    from privaudit.dp.curves import NoiseCurves
    from privaudit.results import Estimate
    from privaudit.seeds import Seeds
    from privaudit.stats.epsilon import Kind
    from privaudit.stats.epsilon_bounds import Curves, Family

FAMILIES = ("approximate", "gaussian", "curve")

DECIDES = "epsilon_lower_bound_fdp"
"""The one bound that decides, fixed beforehand: the larger of two would be too large too often."""

TIED = 0.9
"""Of scores of which at least this share are equal, a low bound shows nothing of the training."""

BY_CHANCE = 0.001
"""Scores that know nothing are refused as pointing the other way at most this often."""

_SCORE = "The score of each canary, such as how sure the model is of it."
_HIGHER = (
    "What a higher score means: `member` where it looks more like a member, `nonmember` where it "
    "looks less like one, as a loss does. Never guessed."
)
_MEMBER = "1 where the canary was assigned to the training set, 0 where not."
_SEED = "Seed of the random stream that breaks ties."
_FAMILY = (
    "What is assumed of the mechanism: `approximate` nothing but (epsilon, delta); `gaussian` that "
    "it leaks as Gaussian noise does; `curve` that it is the one that the next three describe, "
    "with more or less noise."
)
_NOISE = "Of the claimed mechanism: noise over the clipping norm. For `curve`."
_SAMPLING = "Chance of each patient to join a step. For `curve`."
_STEPS = "Noisy steps of the training. For `curve`."
_EPSILON = "The epsilon that is claimed; of `curve` the accountant says it."


@click.command("audit-dp")
@click.argument("scores", type=PATH, metavar="SCORES")
@with_options(
    option("--epsilon", "E", _EPSILON, float),
    option("--delta", "D", "The delta that is claimed.", float, default=1e-5),
    option("--family", "FAMILY", _FAMILY, click.Choice(FAMILIES), default="approximate"),
    option("--noise-multiplier", "S", _NOISE, float),
    option("--sampling", "Q", f"{_SAMPLING} [default: 1]", float),
    option("--steps", "T", f"{_STEPS} [default: 1]", int),
    option("--score", "COLUMN", _SCORE, default="score"),
    option("--higher-is", "SIDE", _HIGHER, click.Choice(("member", "nonmember")), default="member"),
    option("--member", "COLUMN", _MEMBER, default="member"),
    option("--patient", "COLUMN", "Whose canary it is. [default: each its own]", default=""),
    CONFIDENCE,
    option("--seed", "N", _SEED, click.IntRange(min=0), default=0),
    JSON,
)
def command(
    scores: Path,
    epsilon: float | None,
    delta: float,
    family: Kind,
    noise_multiplier: float | None,
    sampling: float | None,
    steps: int | None,
    score: str,
    higher_is: str,
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
    canaries give low bounds; 1: it is above, so the guarantee does not hold; 2: scores that surely
    rank non-members above members, and other wrong use; 3: the canaries could not refute the
    claimed epsilon: too few, nearly all of one score, ranked the wrong way round by more than
    chance usually does, or of no bound that can be stated. Under --family gaussian, 1 holds for
    mechanisms that leak as Gaussian noise does, and for no others.
    """
    from privaudit import stats
    from privaudit.inputs.read_canaries import read_canaries
    from privaudit.seeds import Seeds

    noise = (noise_multiplier, sampling, steps)
    mechanism, curves = _read_mechanism(family, epsilon, noise, delta)
    claimed = curves.epsilon(1.0) if curves is not None else epsilon or 0.0
    _check_claim(claimed, delta, confidence)
    evidence, patients = read_canaries(scores, score=score, member=member, patient=patient)
    evidence = _orient(evidence, higher_is)
    seeds = Seeds(seed)
    asked: Asked = {"confidence": confidence, "delta": delta, "family": curves or _plain(family)}
    found = stats.estimates(
        evidence,
        patients=patients,
        rng=seeds.rng("audit-dp"),
        names={"auc", "epsilon_lower_bound", DECIDES},
        **asked,
    )
    _refuse_wrong_way(found, higher_is)
    bound = _find_bound(found)
    provable = _bound_if_always_right(evidence, patients, asked, seeds)
    tied = _measure_ties(evidence)
    code, why = 0, ""
    if bound is not None and bound > claimed:
        code = 1
    elif bound is None:
        code, why = 3, "not stated"
    elif tied >= TIED:
        code, why = 3, "tied"
    elif _looks_reversed(found):
        code, why = 3, "reversed"
    elif provable is None or provable <= claimed:
        code, why = 3, "too few"
    answer: dict[str, Any] = {
        "epsilon": claimed,
        "delta": delta,
        "family": family,
        "mechanism": mechanism,
        "p_value": None if curves is None else _refute(found, curves),
        "bound": bound,
        "most_provable": provable,
        "confidence": confidence,
        "tied": tied,
        "inconclusive": why,
        "code": code,
    }
    if as_json:
        from privaudit.results import to_tree

        answer["estimates"] = [to_tree(one) for one in found]
        click.echo(json.dumps(answer, indent=1))
    else:
        from privaudit.report.wording.reasons_and_caveats import ASSUMES

        click.echo("\n".join([*map(_describe, found), ASSUMES[family], _conclude(answer)]))
    return code


def _plain(family: Kind) -> Family:
    return "gaussian" if family == "gaussian" else "approximate"


def _read_mechanism(
    family: Kind,
    epsilon: float | None,
    noise: tuple[float | None, float | None, int | None],
    delta: float,
) -> tuple[dict[str, float] | None, NoiseCurves | None]:
    """What is claimed of the noise, and its curves; none for families without a mechanism."""
    sigma, sampling, steps = noise
    if family != "curve":
        if any(value is not None for value in noise):
            raise PrivauditError(
                f"a noise multiplier, sampling rate or steps with --family {family}",
                "they describe the mechanism whose trade-off curve is tested",
                "add --family curve, or leave them out",
            )
        if epsilon is None:
            raise PrivauditError(
                f"--family {family} without --epsilon",
                "the bound is held against an epsilon that is claimed",
                "give --epsilon, or --family curve with the claimed mechanism",
            )
        return None, None
    if epsilon is not None or sigma is None:
        raise PrivauditError(
            f"--family curve {'with --epsilon' if sigma else 'without --noise-multiplier'}",
            "its claim is a mechanism, of which the accountant says the epsilon",
            "give --noise-multiplier, and --sampling and --steps where it is not 1 each; no "
            "--epsilon",
        )
    from privaudit.dp import accounting
    from privaudit.dp.curves import NoiseCurves

    q, times = 1.0 if sampling is None else sampling, 1 if steps is None else steps
    claim = accounting.poisson_gaussian(sigma, q, times, delta)
    mechanism = {"noise_multiplier": sigma, "sampling": q, "steps": times}
    return mechanism, NoiseCurves.of(claim)


def _refute(found: tuple[Estimate, ...], curves: NoiseCurves) -> float | None:
    """The p-value of the claimed curve; None where no bound can be stated."""
    from privaudit.stats.epsilon import refute

    bounds = (one.bound for one in found if one.metric.name == DECIDES and one.value is not None)
    bound = next(bounds, None)
    return None if bound is None else refute(bound, curves.least(1.0))


class Asked(TypedDict):
    """How bounds are asked for."""

    confidence: float
    delta: float
    family: Family | Curves


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


def _orient(evidence: Scores, higher_is: str) -> Scores:
    """The scores so that higher looks more like a member; refused where one is not finite."""
    import numpy as np

    sides = (evidence.members, evidence.nonmembers)
    wild = sum(int((~np.isfinite(side)).sum()) for side in sides)
    if wild:
        raise PrivauditError(
            f"{wild:,} canaries whose score is not a finite number",
            "such scores come of an overflow, and rank canaries by that alone",
            "compute the scores again in double precision, or on the log scale",
        )
    if higher_is == "member":
        return evidence
    return replace(evidence, members=-evidence.members, nonmembers=-evidence.nonmembers)


def _refuse_wrong_way(found: tuple[Estimate, ...], higher_is: str) -> None:
    """Refuse scores that surely rank non-members above members: a bound of them reads 0."""
    from privaudit.stats import onesided

    auc = _find_auc(found)
    known = None if auc is None else onesided.bounds(auc)
    upper = None if known is None else known.upper(BY_CHANCE)
    if auc is None or upper is None or upper >= 0.5:
        return
    other = "nonmember" if higher_is == "member" else "member"
    raise PrivauditError(
        f"scores by which non-members look more like members than members do: an AUC of "
        f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}), surely below one half",
        "the score points the other way, or the two sides of the membership column are swapped, "
        "and the bound would read 0 whatever leaks",
        f"add --higher-is {other} if that is what a higher score means (of a loss: nonmember); "
        "else check that the membership column holds 1 for canaries that were trained on",
    )


def _looks_reversed(found: tuple[Estimate, ...]) -> bool:
    """Whether the whole interval of the AUC lies below one half, which chance does 1 time in 40."""
    auc = _find_auc(found)
    return auc is not None and auc.high is not None and auc.high < 0.5


def _find_auc(found: tuple[Estimate, ...]) -> Estimate | None:
    return next((one for one in found if one.metric.name == "auc"), None)


def _measure_ties(evidence: Scores) -> float:
    """The share of canaries that have the most frequent score."""
    import numpy as np

    every = np.concatenate([evidence.members, evidence.nonmembers])
    return float(np.unique(every, return_counts=True)[1].max() / len(every)) if len(every) else 1.0


def _bound_if_always_right(
    evidence: Scores,
    patients: tuple[np.ndarray, np.ndarray],
    asked: Asked,
    seeds: Seeds,
) -> float | None:
    """The bound that these canaries would prove if every guess were right that their scores allow:
    those that share the most frequent score cannot be told from each other."""
    import numpy as np

    from privaudit import stats
    from privaudit.contracts import Scores

    values, counts = np.unique(
        np.concatenate([evidence.members, evidence.nonmembers]), return_counts=True
    )
    usual = values[counts.argmax()] if len(values) and counts.max() > 1 else np.nan
    perfect = Scores(
        np.where(evidence.members == usual, 0.5, 1.0),
        np.where(evidence.nonmembers == usual, 0.5, 0.0),
        randomised=True,
    )
    found = stats.estimates(
        perfect,
        patients=patients,
        rng=seeds.rng("most"),
        names={DECIDES},
        **asked,
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
    if answer["mechanism"] is not None:
        noise = answer["mechanism"]
        claim = (
            f"noise multiplier {noise['noise_multiplier']:g} at sampling rate "
            f"{noise['sampling']:g} for {noise['steps']:,} steps ({claim})"
        )
    if answer["code"] == 1 and answer["family"] == "gaussian":
        return (
            f"If the mechanism leaks as Gaussian noise does, the guarantee of {claim} does not "
            "hold as implemented."
        )
    if answer["code"] == 1:
        return f"The guarantee of {claim} does not hold as implemented."
    if answer["code"] == 0:
        return (
            f"The lower bound is not above the claim of {claim}. That is no evidence for the "
            "claim: "
            "stronger canaries may prove more."
        )
    if answer["inconclusive"] == "not stated":
        return f"Inconclusive: no bound can be stated, so {claim} cannot be tested."
    if answer["inconclusive"] == "reversed":
        return (
            "Inconclusive: non-members rank above members by more than chance usually does. Check "
            f"which way the score points (--higher-is) before {claim} is tested by it."
        )
    if answer["inconclusive"] == "tied":
        return (
            f"Inconclusive: {answer['tied']:.0%} of the canaries have the same score, so hardly "
            f"any can be told from the others and {claim} cannot be tested. Scores that are cut "
            "off or rounded (a probability of 1.0) lose what tells canaries apart: give log odds "
            "or losses in double precision."
        )
    return (
        "Inconclusive: with these canaries, at this delta and confidence, even an attack that is "
        "always right proves no more than "
        f"{answer['most_provable'] or 0:.3g}, so {claim} cannot be tested."
    )
