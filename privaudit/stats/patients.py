"""From scores of records to scores of patients: the unit of every membership number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from privaudit.contracts import Combine, Scores
from privaudit.stats import resample


def has_several(patients: Sequence[np.ndarray]) -> bool:
    """Whether a patient of one of these pools has more than one record."""
    return any(resample.count(ids) < len(ids) for ids in patients)


def combine_records(
    scores: np.ndarray, patients: np.ndarray, combine: Combine, centre: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """One score a patient, and the patients in the order of their ids.

    Args:
        scores: (n,) scores of records.
        patients: (n,) whose they are.
        combine: See `privaudit.contracts.Scores`.
        centre: What is taken from every record's score where they are added.

    Returns:
        (k,) scores of patients and (k,) their ids.
    """
    ids, code = np.unique(patients, return_inverse=True)
    if combine == "largest":
        found = np.full(len(ids), -np.inf)
        np.maximum.at(found, code, scores)
        return found, ids
    return np.bincount(code, weights=scores - centre, minlength=len(ids)), ids


def by_patient(
    evidence: Scores, patients: tuple[np.ndarray, np.ndarray]
) -> tuple[Scores, tuple[np.ndarray, np.ndarray]]:
    """The evidence with one score a patient, and whose they are.

    Where each patient has one record, both are as they came, order included. The centre is the
    mean over the records of both pools, so that it knows nothing of membership.

    Args:
        evidence: Checked scores (`privaudit.stats.membership.check`).
        patients: Whose records the members' and the non-members' scores are.
    """
    if not has_several(patients):
        return evidence, patients
    both = np.concatenate([evidence.members, evidence.nonmembers])
    centre = float(both.mean()) if len(both) else 0.0
    (members, ones), (nonmembers, zeros) = (
        combine_records(scores, ids, evidence.combine, centre)
        for scores, ids in zip((evidence.members, evidence.nonmembers), patients, strict=True)
    )
    return replace(evidence, members=members, nonmembers=nonmembers), (ones, zeros)


def even_out(
    evidence: Scores, patients: tuple[np.ndarray, np.ndarray]
) -> tuple[Scores, tuple[np.ndarray, np.ndarray]]:
    """One score a patient, as likely to be high by chance whatever their number of records.

    Sums over many records spread farther by chance. Where a few patients have many records they
    set the threshold of a low false positive rate, and hide whoever has few: so a sum is divided
    by the spread of sums over as many records, a * k + b * k^2 fitted to all patients, and of the
    largest of k scores the chance of one as large is taken. Nothing here knows of membership.

    Args:
        evidence: Checked scores (`privaudit.stats.membership.check`).
        patients: Whose records the members' and the non-members' scores are.
    """
    scores = np.concatenate([evidence.members, evidence.nonmembers])
    own, whose = by_patient(evidence, patients)
    found = np.concatenate([own.members, own.nonmembers])
    count = np.concatenate([np.unique(ids, return_counts=True)[1] for ids in patients])
    if evidence.combine == "largest":
        below = np.searchsorted(np.sort(scores), found, side="left")
        rarer = np.clip(1 - below / len(scores), 1e-12, 1 - 1e-12)
        evened = -np.log(-np.expm1(count * np.log1p(-rarer)))
    else:
        shape = np.column_stack([np.ones(len(count)), count])
        within, between = np.linalg.lstsq(shape, found**2 / count, rcond=None)[0]
        spread = max(within, 0.0) * count + max(between, 0.0) * count**2
        evened = found / np.sqrt(np.where(spread > 0, spread, 1.0))
    cut = len(own.members)
    return replace(own, members=evened[:cut], nonmembers=evened[cut:]), whose


__all__ = ["by_patient", "combine_records", "even_out", "has_several"]
