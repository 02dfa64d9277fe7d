"""Shadow models: refits on complementary halves of the audit patients, shared between attacks."""

from __future__ import annotations

import numpy as np

from privaudit.contracts import Refit, Target
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.seeds import Seeds

FEWEST = 4
"""Two complementary pairs: each record is in two refits and out of two, or there is no variance."""

GROUP = 8
"""The engine trains this many consecutive refits as one batch and shares whole batches."""


def half_samples(target: Target, count: int, seeds: Seeds) -> list[Refit]:
    """`count` refits, each on half of the audit patients; pairs 2j, 2j + 1 complement each other.

    Where a user supplied shadow models, these, whatever the count.

    So every record is trained on in exactly half of any even number of refits, and a refit is as
    large as the target's own training set. The halves are named by their number alone: the first 8
    of 64 are the 8 of a run with 8. docs/design/003-shadow-models.md says why the attacker's
    reference pool is left out. Carlini et al. 2022 (arXiv 2112.03570), section V.A.

    Raises:
        PrivauditError: a count that is neither 4 nor a multiple of 8, or fewer than two patients.
    """
    if target.method is None:
        raise ValueError("a target whose method is unknown cannot be trained again")
    audit = target.split.audit
    if target.method.shadows:
        return supplied_shadows(target)
    check_count(count)
    return [
        Refit(target.method, audit, included, audit, f"half-sample {place}")
        for place, included in enumerate(halves_of(audit, count, seeds))
    ]


def halves_of(records: Records, count: int, seeds: Seeds) -> list[np.ndarray]:
    """`count` masks of half of the patients' records; 2j, 2j + 1 complement each other.

    Raises:
        PrivauditError: fewer than two patients.
    """
    ids, row = np.unique(records.patient, return_inverse=True)
    if len(ids) < 2:
        raise PrivauditError(
            f"{len(ids)} audit patient",
            "a half-sample needs a patient inside and one outside",
            "use more patients (a few hundred give a meaningful audit)",
        )
    masks = []
    for pair in range(count // 2):
        order = seeds.rng("half-sample", pair).permutation(len(ids))
        chosen = np.zeros(len(ids), dtype=bool)
        chosen[order[: len(ids) // 2]] = True
        masks += [chosen[row], ~chosen[row]]
    return masks


def supplied_shadows(target: Target) -> list[Refit]:
    """The shadow models that a user supplied."""
    if target.method is None:
        raise ValueError("a target whose method is unknown has no shadow models")
    audit = target.split.audit
    return [
        Refit(method, audit, included, audit, f"supplied shadow {place}")
        for place, (method, included) in enumerate(target.method.shadows)
    ]


def check_count(count: int, fewest: int = FEWEST) -> None:
    """Refuse a number of shadow models that the engine cannot train in whole batches, or that is
    below `fewest`."""
    is_whole = isinstance(count, int) and not isinstance(count, bool)
    if not is_whole or count < fewest or (count % GROUP and count != FEWEST):
        numbers = ", ".join(map(str, ([FEWEST] if fewest <= FEWEST else []) + [GROUP, 2 * GROUP]))
        raise PrivauditError(
            f"shadows={count!r}",
            f"shadow models are trained {GROUP} at a time, so their number is {numbers}, "
            f"{3 * GROUP}, ...",
            "use 16; use 8 if training is slow, 64 or more to compare with published tables",
        )
