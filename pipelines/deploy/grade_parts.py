"""Parts of a hospital's grading: who is counted, and how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.deploy.ladders import find_blocks
from privaudit.contracts import Fitted, Refit
from privaudit.disclosure_limits import MIN_CELL
from privaudit.records import Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal


def thin_out(split: Split, seeds: Seeds) -> Split:
    """The split with as many tens of members and of held-out patients as there are: up to nine of
    each, drawn at random, are left out, so that no exact number of patients is stated."""
    rng = seeds.child("grade", "kept").rng("patients")

    def thin(pool: Records) -> Records:
        ids = np.unique(pool.patient)
        kept = rng.permutation(ids)[: len(ids) // MIN_CELL * MIN_CELL]
        return pool.take(np.isin(pool.patient, kept)) if len(kept) else pool

    return Split(thin(split.members), thin(split.nonmembers), split.reference)


def divide_reference(reference: Records, *, half: bool) -> tuple[Records, Records]:
    """The reference patients whose scores set the thresholds, and those that an attacker works
    with: half of them where the attack reads any, else one."""
    ids = np.unique(reference.patient)
    own = ids[::2] if half else ids[:1]
    mine = np.isin(reference.patient, own)
    return reference.take(~mine), reference.take(mine)


def train_shadows(refits: Sequence[Refit], seeds: Seeds) -> list[Fitted]:
    """The shadow models that an attack asks for, trained here."""
    found = []
    for refit in refits:
        (release,) = refit.method.fit_many([refit.train], [seeds.rng("refit", refit.name)])
        if release.model is None:
            raise ValueError("a refit without a model")
        margins = read_signal(ask(release.model, refit.ask), refit.ask)
        found.append(Fitted(refit.included, margins.astype(np.float32)))
    return found


def count_above(scores: np.ndarray, thresholds: np.ndarray) -> list[int]:
    """Blocks of how many score above each threshold."""
    ordered = np.sort(scores)
    counts = len(ordered) - np.searchsorted(ordered, thresholds, "right")
    return find_blocks(counts, len(ordered))


def take_first_records(records: Records) -> Records:
    """The first record of each patient."""
    return records.take(np.sort(np.unique(records.patient, return_index=True)[1]))


def count_people(records: Records) -> int:
    return len(np.unique(records.patient))


def count_people_of(patients: np.ndarray, chosen: np.ndarray) -> int:
    return len(np.unique(np.asarray(patients)[np.asarray(chosen)]))


def state_size(pool: Records) -> dict[str, int]:
    """Patients, and their records as far as tens: how many have several is a small count too."""
    patients = count_people(pool)
    return {
        "patients": patients,
        "records": patients + (len(pool) - patients) // MIN_CELL * MIN_CELL,
    }


__all__ = [
    *("count_above", "count_people", "count_people_of", "divide_reference", "state_size"),
    *("take_first_records", "thin_out", "train_shadows"),
]
