"""Every hospital trains alone on its own patients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from pipelines.federated.sites import ByUnit, Parts
from pipelines.learners.logreg import LogReg
from pipelines.settings import COUNT, check_settings
from privaudit.contracts import Claim, Learner, Method, Model, Release
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records
from privaudit.seeds import Seeds

UNSEEN = 1e-6
"""What a model answers for an outcome that its site never saw, before the rows are scaled to 1."""


@dataclass(frozen=True)
class LocalOnly(Method):
    """Each site trains one model on its own records; a record is answered by its own site's model.

    What a hospital has without its neighbours: the yardstick from below for federated training. The
    released model answers and shows no gradients. An outcome that a site never saw is answered with
    a probability of about 0.

    Args:
        least: A site trains where at least two outcomes have so many patients each; any other
            answers everybody with its own prevalence (add-one smoothed).

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
        given = iter(self._train(parts, streams))
        seconds = (time.process_time() - start) / max(len(members), 1)
        return [self._release(*home, given, seconds) for home in homes]

    def _train(
        self, parts: Sequence[Records], streams: Sequence[np.random.Generator]
    ) -> list[Model]:
        """A model for each table, in order; those that saw the same outcomes together."""
        seen = [tuple(np.unique(part.y).tolist()) for part in parts]
        size = max(self.learner.batch, 1)
        trained: dict[int, Model] = {}
        for codes in dict.fromkeys(seen):
            places = [i for i, own in enumerate(seen) if own == codes]
            whole = len(codes) == len(parts[places[0]].classes)
            for first in range(0, len(places), size):
                batch = places[first : first + size]
                tables = [parts[i] if whole else _narrow(parts[i], codes) for i in batch]
                models = self.learner.fit_many(tables, [streams[i] for i in batch])
                for i, model in zip(batch, models, strict=True):
                    trained[i] = model if whole else SomeOutcomes(model, codes)
        return [trained[i] for i in range(len(parts))]

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
        alone = []
        for code, name, part, can in zip(divided.codes, divided.names, own, able, strict=True):
            if can:
                models[int(code)] = next(trained)
                continue
            models[int(code)] = Prevalence(_prevalence(part))
            alone.append(
                f"{name} has no two outcomes of {self.least} patients and cannot train alone: its "
                "patients are all predicted at its own prevalence."
            )
        rule = Caveat(CaveatCode.SITES_TRAIN_ALONE, "note", {"least": self.least})
        return Release(
            claim=Claim(),
            model=Alone(models),
            costs={"train_seconds": seconds, "clients": len(models), "bytes_up": 0.0},
            trust=(("another hospital, or a server", "one hospital's records or updates", "no"),),
            notes=(*divided.notes, rule),
            restricted_notes=(*divided.restricted_notes, *alone),
        )


@dataclass(frozen=True, eq=False)
class Prevalence:
    """The same answer for everybody: (k,) shares of the outcomes."""

    shares: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        return np.tile(self.shares, (len(records), 1))


@dataclass(frozen=True, eq=False)
class SomeOutcomes:
    """A model that was trained on some of the outcomes, answering about all of them.

    codes: of the outcomes that it saw, ascending.
    """

    model: Model
    codes: tuple[int, ...]

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, `UNSEEN` for an outcome that the model never saw."""
        out = np.full((len(records), len(records.classes)), UNSEEN)
        out[:, list(self.codes)] = self.model.predict_proba(_narrow(records, self.codes))
        return out / out.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Alone:
    """Each site's own model, by site code; a site that had no records is answered by the others'
    mean."""

    models: Mapping[int, Model]

    @property
    def by_site(self) -> Mapping[int, Model]:
        """See `privaudit.contracts.SiteModels`."""
        return self.models

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
    per_class = [len(np.unique(records.patient[records.y == k])) for k in np.unique(records.y)]
    return sum(patients >= least for patients in per_class) > 1


def _narrow(records: Records, codes: Sequence[int]) -> Records:
    """The same records as of these outcomes alone; one of another outcome, which no model reads to
    answer, is given the first."""
    place = np.zeros(len(records.classes), dtype=np.int64)
    place[list(codes)] = np.arange(len(codes))
    classes = tuple(records.classes[code] for code in codes)
    return replace(records, y=place[records.y], classes=classes)


def _prevalence(records: Records) -> np.ndarray:
    counts = np.bincount(records.y, minlength=len(records.classes)) + 1.0
    return counts / counts.sum()


__all__ = ["LocalOnly"]
