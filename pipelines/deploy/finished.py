"""A run that is over, as its coordinator has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.deploy.terms import RunTerms


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that is over: what its release is made of, without a record.

    Args:
        hospitals: Who took part in any round, in the order of the roster; the order of all that is
            by hospital.
        counts: (hospitals,) records, as each stated them.
        shape: What the method's `find_shape` says of the hospitals' records, and `schema` their
            digest.
        weights: (p,) float64 of a network; empty where trees were grown.
        forest: The joined trees in XGBoost's own format; empty for a network.
        sent, seen: Of the last rounds, (p,) float32 and (hospitals, p) float32, what was sent out
            and what could be read of each hospital.
        trust: Who can read what of one hospital's update.
        refused: (hospital, why) by the gate.
        missing: Of a release of the simulation, what a coordinator cannot have.
        grades: What each hospital counted on its own patients, as text.
    """

    terms: RunTerms
    rounds: int
    hospitals: tuple[str, ...]
    counts: np.ndarray
    shape: tuple[int, ...]
    schema: str
    weights: np.ndarray
    forest: bytes
    sent: tuple[np.ndarray, ...]
    seen: tuple[np.ndarray, ...]
    costs: Mapping[str, float]
    trust: tuple[tuple[str, str, str], ...]
    refused: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    grades: Mapping[str, str] = field(default_factory=dict)


__all__ = ["Finished"]
