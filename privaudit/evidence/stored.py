"""What a run stores under `restricted/`, read back: the pools, the evidence of attacks, answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.engine import measure
from privaudit.engine.store import DAMAGED
from privaudit.records import Records, Split

_GROUP = "groups_"


class Unreadable(Exception):
    """A stored file that is not there, or is not what it should be."""


@dataclass(frozen=True)
class Stored:
    """The restricted part of the run at `run`. Nothing in it is ever unpickled."""

    run: Path

    @cached_property
    def split(self) -> Split:
        """The pools without their columns: who, what outcome, where, and in which groups."""
        arrays = load(self.run / "restricted" / "split.npz")
        kind: Any = str(arrays["outcome_kind"]) if "outcome_kind" in arrays else "class"
        try:
            pools = []
            for name in ("members", "nonmembers", "reference"):
                rows = arrays["pool"] == name
                pools.append(
                    Records(
                        columns=(),
                        X=np.zeros((int(rows.sum()), 0)),
                        y=arrays["outcome"][rows],
                        patient=arrays["patient"][rows],
                        site=arrays["site"][rows],
                        groups={
                            key.removeprefix(_GROUP): arrays[key][rows]
                            for key in arrays
                            if key.startswith(_GROUP)
                        },
                        classes=tuple(str(name) for name in arrays["classes"]),
                        sites=tuple(str(name) for name in arrays["sites"]),
                        outcome_kind=kind,
                        ordered="ordered" in arrays,
                    )
                )
            return Split(*pools)
        except Exception as error:
            raise Unreadable(f"not a split ({type(error).__name__})") from None

    def evidence(self, subject: str, attack: str, variant: str = "") -> measure.Evidence:
        """Scores or trials of one attack (variant: "positive" or "negative" for a control)."""
        ending = f"-{variant}" if variant else ""
        arrays = load(self.run / "restricted" / "scores" / f"{subject}-{attack}{ending}.npz")
        try:
            return measure.evidence_of(arrays)
        except Exception as error:
            raise Unreadable(f"not evidence ({type(error).__name__})") from None

    def load_answers(self, subject: str) -> dict[str, np.ndarray]:
        """What was stored of a released model's answers: those of `answers`, and of each site's own
        model where it is one a site."""
        arrays = load(self.run / "restricted" / "answers" / f"{subject}.npz")
        if "proba" not in arrays:
            raise Unreadable("holds no answers")
        return arrays

    def answers(self, subject: str) -> np.ndarray:
        """(members + non-members, k) probabilities of a released model, or (members + non-members,)
        predicted numbers."""
        return self.load_answers(subject)["proba"]

    def shadow_members(self, subject: str) -> np.ndarray:
        """(k, members + non-members) bool: what supplied shadow models were trained on."""
        arrays = load(self.run / "restricted" / "shadows" / f"{subject}.npz")
        if "included" not in arrays:
            raise Unreadable("holds no shadow models")
        return arrays["included"].astype(bool)


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise Unreadable("missing") from None
    except DAMAGED:
        raise Unreadable("not readable") from None


__all__ = ["Stored", "Unreadable", "load"]
