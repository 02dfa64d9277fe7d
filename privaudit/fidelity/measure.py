"""Fidelity and utility of a synthetic table: how like the real one, and good for what."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from privaudit.contracts import Learner
from privaudit.errors import PrivauditError
from privaudit.facts import (
    Bound,
    BoundMethod,
    Caveat,
    CaveatCode,
    Metric,
    Param,
    Setting,
)
from privaudit.fidelity import _marginals, _minorities, _nearness
from privaudit.fidelity._align import Pools, align
from privaudit.fidelity._association import association
from privaudit.fidelity._detection import detection
from privaudit.fidelity._utility import check_outcomes, split_learners, utility
from privaudit.records import Records, Split
from privaudit.results import Estimate, Fidelity, Utility
from privaudit.seeds import Seeds
from privaudit.stats import rates, resample

Answers = tuple[np.ndarray, np.ndarray]
"""(n, k) of the synthetic-trained and of the real-trained model."""


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

    Seeds name their own streams: with the same seeds, learners and pools, what rests on real
    records alone is computed once a process for all tables. Nothing returned rests on 1 to 9 real
    patients.

    Args:
        table: synthetic records; its columns are matched with the real ones by name and may be
            fewer.
        split: the real records: members, and the non-members that are the test set.
        learners: name -> learner, each trained on the synthetic and on the members' table (of the
            columns shared) and tested on the non-members; those that need hourly series are left
            out, with a note.
        confidence: of every interval.
        seeds: the streams.
        own: a learner's name and the (non-members, k) answers of one that was trained on the table
            already.
        noisy: column name -> (cuts between ranges, shares of ranges or levels in order and then of
            not recorded), what a private generator had to work from.

    Returns:
        Estimates named as in `privaudit.stats.catalogue.FIDELITY`, columns, utility and groups.

    Raises:
        PrivauditError: the table's columns, levels or classes are not the real one's.
    """
    synthetic, pools, lacking = align(table, split)
    counted = _marginals.count(synthetic, pools, noisy)
    columns = _marginals.columns(counted, seeds.rng("columns"), noisy)
    copied, by_record, few = _nearness.counted(synthetic, pools, confidence, seeds)
    useful, answers, untrained = _useful(synthetic, pools, learners, own, confidence, seeds)
    return Fidelity(
        rows=len(table),
        estimates=(
            *prevalence(synthetic, pools, confidence),
            _marginals.distance(counted, columns, pools.members.patient, confidence),
            *association(synthetic, pools, counted, confidence, seeds),
            *detection(synthetic, pools, confidence, seeds),
            *copied,
            *_nearness.described(synthetic, pools, confidence, seeds),
        ),
        columns=columns,
        utility=useful,
        groups=_minorities.groups(synthetic, pools, answers, confidence),
        notes=(*_shape(synthetic, pools, lacking), *few, *untrained),
        by_record=by_record,
    )


def prevalence(synthetic: Records, pools: Pools, confidence: float) -> tuple[Estimate, ...]:
    """The outcome's share, synthetic beside real, and their difference: to be read first.

    With more than two classes every class has its three numbers, each at its `Metric.at`.
    """
    real = pools.members
    k = len(real.classes)
    if k < 2:
        return ()
    of_real = {"members": len(real), "patients": resample.count(real.patient)}
    of_drawn = {"synthetic_rows": len(synthetic)}
    share, apart = Bound(BoundMethod.WILSON), Bound(BoundMethod.NEWCOMBE_INDEPENDENT)
    rows = np.arange(len(synthetic))
    found = []
    for c in [1] if k == 2 else range(k):
        at = None if k == 2 else Setting("outcome", real.classes[c])
        drawn_at, real_at, gap_at = (
            Metric(f"prevalence_{part}", at=at) for part in ("synthetic", "real", "gap")
        )
        drawn, true = (synthetic.y == c).astype(float), (real.y == c).astype(float)
        two = rates.rate(drawn, rows, confidence)
        one = rates.rate(true, real.patient, confidence)
        gap = rates.difference(drawn, true, rows, real.patient, confidence)
        found += [
            Estimate(drawn_at, *two, one[0], of_drawn, confidence, share),
            Estimate(real_at, *one, None, of_real, confidence, share),
            Estimate(gap_at, *gap, 0.0, {**of_real, **of_drawn}, confidence, apart),
        ]
    return tuple(found)


def _note(code: CaveatCode, **params: Param) -> Caveat:
    return Caveat(code, "note", params)


def _shape(synthetic: Records, pools: Pools, lacking: tuple[str, ...]) -> list[Caveat]:
    """What to know where the tables differ in columns or in length."""
    notes = []
    if lacking:
        notes.append(_note(CaveatCode.COLUMNS_MISSING, count=len(lacking), columns=lacking[:5]))
    held_out = len(pools.nonmembers)
    if len(synthetic) > 1.5 * held_out:
        sizes = {"synthetic_rows": len(synthetic), "held_out_rows": held_out}
        notes.append(_note(CaveatCode.MORE_SYNTHETIC_ROWS, **sizes))
    return notes


def _useful(
    synthetic: Records,
    pools: Pools,
    learners: Mapping[str, Learner],
    own: tuple[str, np.ndarray] | None,
    confidence: float,
    seeds: Seeds,
) -> tuple[tuple[Utility, ...], Answers | None, list[Caveat]]:
    """Every learner's utility, the first one's answers, and notes of those not trained."""
    try:
        check_outcomes(pools.members)
    except PrivauditError as error:
        return (), None, [_note(CaveatCode.UTILITY_NOT_MEASURED, what=error.what)]
    able, unable = split_learners(learners)
    notes = [_note(CaveatCode.LEARNER_READS_SERIES, learner=name) for name in unable]
    if len(np.unique(synthetic.y)) < 2:
        only = pools.members.classes[int(synthetic.y[0])]
        return (), None, [*notes, _note(CaveatCode.ONE_SYNTHETIC_OUTCOME, outcome=only)]
    rows = len(pools.members)
    if len(synthetic) > rows:
        sizes = {"rows": rows, "synthetic_rows": len(synthetic)}
        notes.append(_note(CaveatCode.UTILITY_ON_FEWER_ROWS, **sizes))
        some = seeds.rng("usefulness", "rows").permutation(len(synthetic))[:rows]
        synthetic = synthetic.take(np.sort(some))
    found, answers = [], None
    for name, learner in able.items():
        given = own[1] if own is not None and own[0] == name else None
        try:
            one, *both = utility(name, learner, synthetic, pools, given, confidence, seeds)
        except PrivauditError as error:
            refused = {"learner": name, "what": error.what, "because": error.because}
            notes.append(_note(CaveatCode.LEARNER_REFUSED, **refused))
            continue
        found.append(one)
        answers = answers or (both[0], both[1])
    return tuple(found), answers, notes


__all__ = ["fidelity", "prevalence"]
