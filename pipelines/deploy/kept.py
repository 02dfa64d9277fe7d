"""What a coordinator kept of a run, looked at before it goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.deploy.terms import RunTerms
from privaudit.errors import PrivauditError


def check_kept(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], terms: RunTerms, rounds: int
) -> None:
    """PrivauditError for a state that no coordinator of these terms has written: it would end in
    the middle of a round, or in a report of rounds that never were."""
    try:
        good = _fits(meta, terms, rounds)
        if terms.method == "federated_trees":
            good = good and _fits_trees(meta["trees"], terms)
            good = good and arrays["counts"].shape == (len(terms.roster),)
        else:
            good = good and _fits_network(meta, arrays, terms)
    except (KeyError, TypeError, ValueError, AttributeError):
        good = False
    if not good:
        raise PrivauditError(
            "a state.npz that is not of this run",
            "the state was changed, or another version wrote it",
            "restore it from a backup, or start a run of another name",
        )


def _fits(meta: Mapping[str, Any], terms: RunTerms, rounds: int) -> bool:
    shape, records = meta["shape"], meta["records"]
    return (
        _is_whole(meta["round"], rounds)
        and _is_whole(meta["segment"])
        and _is_number(meta["seconds"])
        and isinstance(meta["schema"], str)
        and isinstance(shape, list)
        and all(map(_is_whole, shape))
        and set(records) <= set(terms.roster)
        and all(_is_whole(count) and count >= 1 for count in records.values())
        and isinstance(meta["took"], list)
        and set(meta["took"]) <= set(records)
        and all(
            _is_whole(count) and _is_whole(size)
            for kinds in meta["traffic"].values()
            for count, size in kinds.values()
        )
    )


def _fits_trees(trees: Mapping[str, Any], terms: RunTerms) -> bool:
    return (
        all(key.partition("/")[2] in terms.roster for key in trees["grown"])
        and all(isinstance(raw, str) and _is_number(part) for raw, part in trees["grown"].values())
        and all(_is_whole(number) for number in trees["held"].values())
        and all(map(_is_number, trees["costs"].values()))
    )


def _fits_network(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray], terms: RunTerms
) -> bool:
    hospitals, weights = len(terms.roster), arrays["weights"]
    sent, seen = arrays["sent"], arrays["seen"]
    noise = meta["noise"]
    return (
        weights.ndim == 1
        and arrays["counts"].shape == (hospitals,)
        and all(arrays[name].shape == weights.shape for name in ("mean", "square"))
        and all(np.isfinite(arrays[name]).all() for name in ("weights", "counts", "mean", "square"))
        and len(sent) == len(seen)
        and (not len(sent) or sent.shape[1:] == weights.shape)
        and (not len(seen) or seen.shape[1:] == (hospitals, *weights.shape))
        and all(_is_whole(place, hospitals - 1) for place, _ in meta["refused"])
        and all(map(_is_number, meta["costs"].values()))
        and isinstance(noise, dict) is (terms.seed is not None)
    )


def _is_whole(value: object, most: int = 2**63) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and bool(0 <= value < np.inf)  # type: ignore[operator]


__all__ = ["check_kept"]
