"""Utility of a synthetic table: models trained on it, tested on real patients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from privaudit import stats
from privaudit.contracts import Learner
from privaudit.errors import PrivauditError
from privaudit.fidelity._align import Pools
from privaudit.records import Records
from privaudit.results import Utility
from privaudit.seeds import Seeds
from privaudit.stats.paired import auroc_loss


def split_learners(learners: Mapping[str, Learner]) -> tuple[dict[str, Learner], tuple[str, ...]]:
    """The learners that read a table, and the names of those that need the hourly series."""
    able = {name: one for name, one in learners.items() if getattr(one, "reads", "") != "series"}
    return able, tuple(name for name in learners if name not in able)


@lru_cache(maxsize=32)
def _real_answers(pools: Pools, learner: Learner, name: str, seeds: Seeds) -> np.ndarray:
    """(non-members, k): answers of the learner trained on the real members."""
    model = learner.fit(pools.members, seeds.rng("usefulness", "real", name))
    return np.asarray(model.predict_proba(pools.nonmembers), dtype=np.float64)


def utility(
    name: str,
    learner: Learner,
    synthetic: Records,
    pools: Pools,
    own: np.ndarray | None,
    confidence: float,
    seeds: Seeds,
) -> tuple[Utility, np.ndarray, np.ndarray]:
    """One learner trained on synthetic and on real records, both tested on the non-members.

    Args:
        name: the learner's name.
        learner: what is trained.
        synthetic: the table, its columns those of the pools.
        pools: the real records.
        own: (non-members, k), answers of this learner trained on the table already, if it was.
        confidence: of the intervals.
        seeds: the streams.

    Returns:
        The estimates, and the answers (n, k) of the synthetic-trained and the real-trained model.

    Raises:
        PrivauditError: the learner refuses the table.
    """
    if own is None:
        model = learner.fit(synthetic, seeds.rng("usefulness", "synthetic", name))
        own = np.asarray(model.predict_proba(pools.nonmembers), dtype=np.float64)
    real = _real_answers(pools, learner, name, seeds)
    outside = pools.nonmembers
    drawn, trained = (
        stats.utility(
            answers,
            outside.y,
            patients=outside.patient,
            confidence=confidence,
            rng=seeds.rng("usefulness", "intervals", name),
            classes=outside.classes,
            ordered=outside.ordered,
        )
        for answers in (own, real)
    )
    loss = auroc_loss(real, own, outside.y, patients=outside.patient, confidence=confidence)
    return Utility(name, drawn, trained, loss), own, real


def check_outcomes(table: Records) -> None:
    """Refuse what no learner could be trained on, or tested."""
    if len(table.classes) < 2:
        raise PrivauditError(
            "a table without an outcome",
            "a model is trained to tell one outcome from another",
            "name the outcome's column",
        )
