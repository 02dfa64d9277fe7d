"""What a series comes to in a few columns, for checks that read a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.records import Column, Records

WAYS = ("mean", "spread", "least", "greatest", "share measured")


def with_summaries(records: Records) -> Records:
    """The records with each channel's summaries as further columns, and without the series.

    Two tables that differ in their series differ there, as a rule: in level, in spread, or in how
    often something was measured. Records without series are as they are.
    """
    if records.series is None:
        return records
    series = records.series.astype(np.float64)
    there = np.isfinite(series)
    count = there.sum(axis=1)
    some = np.maximum(count, 1)
    mean = np.where(there, series, 0.0).sum(axis=1) / some
    away = np.where(there, series - mean[:, None], 0.0)
    parts = [
        mean,
        np.sqrt((away**2).sum(axis=1) / some),
        np.where(there, series, np.inf).min(axis=1, initial=np.inf),
        np.where(there, series, -np.inf).max(axis=1, initial=-np.inf),
    ]
    parts = [np.where(count > 0, part, np.nan) for part in parts]
    parts.append(count / series.shape[1])
    columns = [Column(f"{channel.name}, {way}") for way in WAYS for channel in records.channels]
    X = np.concatenate([records.X, *parts], axis=1)
    return replace(records, columns=(*records.columns, *columns), X=X, series=None, channels=())


__all__ = ["with_summaries"]
