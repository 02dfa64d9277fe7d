"""Every hospital trains alone on its own patients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipelines.federated.sites import ByUnit, Parts
from pipelines.learners.logreg import LogReg
from pipelines.settings import COUNT, check_settings
from privaudit.contracts import Claim, Learner, Method, Model, Release
from privaudit.records import Records
from privaudit.seeds import Seeds


@dataclass(frozen=True)
class LocalOnly(Method):
    """Each site trains one model on its own records; a record is answered by its own site's model.

    What a hospital has without its neighbours: the yardstick from below for federated training. The
    released model answers and shows no gradients.

    Args:
        least: Patients of each outcome that a site needs to train; one with fewer answers everybody
            with its own prevalence (add-one smoothed), which the notes state.

    Source: the local baseline of Ogier du Terrail et al. 2022 (FLamby, NeurIPS).
    """

    learner: Learner = field(default_factory=LogReg)
    least: int = 5

    learners: ClassVar[tuple[str, ...]] = ("logreg", "boosted", "mlp", "lstm")

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        (release,) = self.fit_many([members], [rng])
        return release

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One release a table; all sites of all tables are trained together where the learner
        can."""
        check_settings(self, least=COUNT)
        start = time.process_time()
        homes = []
        parts: list[Records] = []
        streams: list[np.random.Generator] = []
        for table, rng in zip(members, rngs, strict=True):
            divided = ByUnit().divide(table, rng)
            own = [table.take(rows) for rows in divided.rows]
            able = [_can_train(part, self.least) for part in own]
            homes.append((divided, own, able))
            seeds = Seeds(int(rng.integers(2**63 - 1)))
            parts += [part for part, can in zip(own, able, strict=True) if can]
            streams += [
                # By the site's code, so that one hospital's model does not hang on another's rows.
                seeds.rng("site", int(code))
                for code, can in zip(divided.codes, able, strict=True)
                if can
            ]
        trained: list[Model] = []
        size = max(self.learner.batch, 1)
        for i in range(0, len(parts), size):
            trained += self.learner.fit_many(parts[i : i + size], streams[i : i + size])
        seconds = (time.process_time() - start) / max(len(members), 1)
        given = iter(trained)
        return [self._release(*home, given, seconds) for home in homes]

    @property
    def batch(self) -> int:
        return self.learner.batch

    def _release(
        self,
        divided: Parts,
        own: list[Records],
        able: list[bool],
        trained: Iterator[Model],
        seconds: float,
    ) -> Release:
        models: dict[int, Model] = {}
        notes = list(divided.notes)
        for code, name, part, can in zip(divided.codes, divided.names, own, able, strict=True):
            if can:
                models[int(code)] = next(trained)
                continue
            models[int(code)] = Prevalence(_prevalence(part))
            notes.append(
                f"{name} has fewer than {self.least} {{people}} of an outcome and cannot train "
                "alone: "
                "its {people} are all predicted at its own prevalence."
            )
        return Release(
            claim=Claim(),
            model=Alone(models),
            costs={"train_seconds": seconds, "clients": len(models), "bytes_up": 0.0},
            trust=(("another {site}, or a server", "one {site}'s records or updates", "no"),),
            notes=tuple(notes),
        )


@dataclass(frozen=True, eq=False)
class Prevalence:
    """The same answer for everybody: (k,) shares of the outcomes."""

    shares: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        return np.tile(self.shares, (len(records), 1))


@dataclass(frozen=True, eq=False)
class Alone:
    """Each site's own model, by site code; a site that had no records is answered by the others'
    mean."""

    models: Mapping[int, Model]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64."""
        out = np.empty((len(records), len(records.classes)))
        for code in np.unique(records.site):
            rows = np.flatnonzero(records.site == code)
            part = records.take(rows)
            asked = [self.models[int(code)]] if int(code) in self.models else self.models.values()
            out[rows] = np.mean([model.predict_proba(part) for model in asked], axis=0)
        return out


def _can_train(records: Records, least: int) -> bool:
    """Whether at least two outcomes have so many patients each."""
    per_class = [
        len(np.unique(records.patient[records.y == k])) for k in range(len(records.classes))
    ]
    present = [n for n in per_class if n]
    return len(present) > 1 and min(present) >= least


def _prevalence(records: Records) -> np.ndarray:
    counts = np.bincount(records.y, minlength=len(records.classes)) + 1.0
    return counts / counts.sum()


__all__ = ["LocalOnly"]
