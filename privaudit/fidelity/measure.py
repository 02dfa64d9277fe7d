"""How like the real table a synthetic one is, what it is good for, and whom it forgets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privaudit.contracts import Learner
from privaudit.errors import PrivauditError
from privaudit.fidelity import _marginals, _minorities, _nearness
from privaudit.fidelity._align import Pools, align
from privaudit.fidelity._association import association
from privaudit.fidelity._detection import detection
from privaudit.fidelity._usefulness import check_outcomes, judges, usefulness
from privaudit.records import Records, Split
from privaudit.results import Estimate, Fidelity, GroupResult, Utility
from privaudit.seeds import Seeds
from privaudit.stats import rates, resample
from privaudit.stats.groups import suppressed


def fidelity(
    table: Records,
    split: Split,
    *,
    learners: Mapping[str, Learner],
    confidence: float = 0.95,
    seeds: Seeds,
    own: tuple[str, np.ndarray] | None = None,
    noisy: _marginals.Noisy | None = None,
) -> Fidelity:
    """What a synthetic table is like and good for, beside the real one, with intervals by patient.

    table: synthetic records; its columns are matched with the real ones by name and may be fewer. learners:
    name -> learner, each trained on the synthetic and on the members' table (of the columns shared) and
    asked about the non-members; those that need hourly series are left out, with a note. own: a learner's name
    and the (non-members, k) answers of one that was trained on the table already. noisy: column name ->
    (cuts between ranges, shares of ranges or levels in order and then of not recorded), what a private
    generator had to work from.

    Seeds name their own streams: with the same seeds, learners and pools, what rests on real records
    alone is computed once a process for all tables. Nothing returned rests on 1 to 9 real patients.
    Raises PrivauditError for a table whose columns, levels or classes are not the real one's.
    """
    synthetic, pools, lacking = align(table, split)
    notes: list[str] = []
    if lacking:
        named = ", ".join(lacking[:5]) + (" and more" if len(lacking) > 5 else "")
        notes.append(
            f"{len(lacking)} columns of the real table are not in the synthetic one ({named}); every "
            "comparison is of the columns that both have"
        )
    notes += _sizes(synthetic, pools)
    counted = _marginals.count(synthetic, pools, noisy)
    columns = _marginals.columns(counted, seeds.rng("columns"), noisy)
    estimates = [*prevalence(synthetic, pools, confidence)]
    estimates.append(_marginals.distance(counted, columns, pools.members.patient, confidence))
    estimates += association(synthetic, pools, counted, confidence, seeds)
    estimates += detection(synthetic, pools, confidence, seeds)
    copied, told = _nearness.counted(synthetic, pools, confidence, seeds)
    estimates += [*copied, *_nearness.described(synthetic, pools, confidence, seeds)]
    notes += [*told, _nearness.SETTINGS]
    useful, answers, refused = _useful(synthetic, pools, learners, own, confidence, seeds)
    notes += refused
    return Fidelity(
        rows=len(table),
        estimates=tuple(estimates),
        columns=columns,
        usefulness=useful,
        groups=_groups(synthetic, pools, answers, confidence),
        notes=tuple(notes),
    )


SHARE = "share of rows, Wilson's interval on the effective number of rows, patients as clusters"


def prevalence(synthetic: Records, pools: Pools, confidence: float) -> tuple[Estimate, ...]:
    """The outcome's share, synthetic beside real, and their difference: before anything else is read.

    With more than two classes every class has its three numbers, named `...@class`. A class of fewer
    than 10 real patients is not told, nor is what would give it by subtraction.
    """
    real = pools.members
    k = len(real.classes)
    if k < 2:
        return ()
    sizes = {
        name: (resample.count(real.patient[real.y == c]),) for c, name in enumerate(real.classes)
    }
    hidden = suppressed(sizes)
    n = {"members": len(real), "patients": resample.count(real.patient)}
    rows = np.arange(len(synthetic))
    found = []
    for c in [1] if k == 2 else range(k):
        at = "" if k == 2 else f"@{real.classes[c]}"
        drawn, true = (synthetic.y == c).astype(float), (real.y == c).astype(float)
        two = rates.rate(drawn, rows, confidence)
        m = {"synthetic_rows": len(synthetic)}
        names = [f"prevalence_{part}{at}" for part in ("synthetic", "real", "gap")]
        if real.classes[c] in hidden:
            why = "fewer than 10 real patients have this outcome, or would be told by subtraction"
            found.append(Estimate(names[0], *two, None, m, confidence, SHARE))
            found += [
                Estimate(name, None, None, None, None, n, confidence, SHARE, why)
                for name in names[1:]
            ]
            continue
        one = rates.rate(true, real.patient, confidence)
        gap = rates.difference(drawn, true, rows, real.patient, confidence)
        how = "Newcombe's interval of two independent shares, patients as clusters"
        found += [
            Estimate(names[0], *two, one[0], m, confidence, SHARE),
            Estimate(names[1], *one, None, n, confidence, SHARE),
            Estimate(names[2], *gap, 0.0, {**n, **m}, confidence, how),
        ]
    return tuple(found)


def _sizes(synthetic: Records, pools: Pools) -> list[str]:
    """What to know where the tables are of unlike length."""
    if len(synthetic) <= 1.5 * len(pools.nonmembers):
        return []
    return [
        f"The synthetic table has {len(synthetic):,} rows and the real non-members "
        f"{len(pools.nonmembers):,}: reference distances of columns, being of fewer rows, read a little high"
    ]


def _useful(
    synthetic: Records,
    pools: Pools,
    learners: Mapping[str, Learner],
    own: tuple[str, np.ndarray] | None,
    confidence: float,
    seeds: Seeds,
) -> tuple[tuple[Utility, ...], tuple[np.ndarray, np.ndarray] | None, list[str]]:
    """Every learner's usefulness, the first one's answers, and notes of those that could not be trained."""
    try:
        check_outcomes(pools.members)
    except PrivauditError as error:
        return (), None, [f"Usefulness was not measured: {error.what}"]
    able, unable = judges(learners)
    notes = [f"{name} reads hourly series, which a synthetic table has none of" for name in unable]
    if len(np.unique(synthetic.y)) < 2:
        only = pools.members.classes[int(synthetic.y[0])]
        return (
            (),
            None,
            [
                *notes,
                f"No model can be trained on the synthetic table: every row has the outcome {only!r}",
            ],
        )
    if len(synthetic) > len(pools.members):
        some = seeds.rng("usefulness", "rows").permutation(len(synthetic))[: len(pools.members)]
        notes.append(
            f"Models learn from {len(some):,} of the {len(synthetic):,} synthetic rows, as many as there are real ones"
        )
        synthetic = synthetic.take(np.sort(some))
    found, answers = [], None
    for name, learner in able.items():
        given = own[1] if own is not None and own[0] == name else None
        try:
            one, drawn, real = usefulness(
                name, learner, synthetic, pools, given, confidence, seeds
            )  # fmt: skip
        except PrivauditError as error:
            notes.append(f"{name} could not be trained: {error.what}; {error.because}")
            continue
        found.append(one)
        answers = (drawn, real) if answers is None else answers
    return tuple(found), answers, notes


def _groups(
    synthetic: Records,
    pools: Pools,
    answers: tuple[np.ndarray, np.ndarray] | None,
    confidence: float,
) -> tuple[GroupResult, ...]:
    return _minorities.groups(synthetic, pools, answers, confidence)


__all__ = ["fidelity", "prevalence"]
