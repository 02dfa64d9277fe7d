"""What a run keeps under `restricted/`, read back: the pools, the evidence of attacks, the answers."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from privaudit.contracts import Trials
from privaudit.engine import measure
from privaudit.records import Records, Split


class Unreadable(Exception):
    """A stored file that is not there, or is not what it should be."""


@dataclass(frozen=True)
class Stored:
    """The restricted part of the run at `run`. Nothing in it is ever unpickled."""

    run: Path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return load(self.run / "restricted" / "split.npz")

    @cached_property
    def split(self) -> Split:
        """The pools without their columns: who, what outcome, where, and in which groups."""
        kept = self.arrays
        try:
            whole = kept["pool"]
            pools = []
            for name in ("members", "nonmembers", "reference"):
                rows = whole == name
                pools.append(
                    Records(
                        columns=(),
                        X=np.zeros((int(rows.sum()), 0)),
                        y=kept["outcome"][rows],
                        patient=kept["patient"][rows],
                        site=kept["site"][rows],
                        groups={
                            key.removeprefix("groups_"): kept[key][rows]
                            for key in kept
                            if key.startswith("groups_")
                        },
                        classes=tuple(str(name) for name in kept["classes"]),
                        sites=tuple(str(name) for name in kept["sites"]),
                    )
                )
            return Split(*pools)
        except Exception as error:
            raise Unreadable(f"not a split ({type(error).__name__})") from None

    def evidence(self, subject: str, attack: str, variant: str = "") -> measure.Evidence:
        """Scores or trials of one attack (variant: "positive" or "negative" for a control)."""
        ending = f"-{variant}" if variant else ""
        kept = load(self.run / "restricted" / "scores" / f"{subject}-{attack}{ending}.npz")
        return _evidence(kept)

    def answers(self, subject: str) -> np.ndarray:
        """(members + non-members, k) probabilities of a released model."""
        kept = load(self.run / "restricted" / "answers" / f"{subject}.npz")
        if "proba" not in kept:
            raise Unreadable("holds no answers")
        return kept["proba"]


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise Unreadable("missing") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise Unreadable("not readable") from None


def _evidence(kept: Mapping[str, np.ndarray]) -> measure.Evidence:
    if "members" in kept:
        return measure.scores(kept)
    series: dict[str, Trials] = {}
    while f"name{len(series)}" in kept:
        at = len(series)
        series[str(kept[f"name{at}"])] = Trials(
            kept[f"success{at}"],
            kept[f"control{at}"],
            kept.get(f"guess{at}"),
            patients=kept.get(f"patients{at}"),
            control_patients=kept.get(f"control_patients{at}"),
        )
    if not series:
        raise Unreadable("holds neither scores nor trials")
    return series


__all__ = ["Stored", "Unreadable", "load"]
