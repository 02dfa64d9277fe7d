"""Output perturbation: teachers of disjoint patients, whose noisy mean answers teach what is
released."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from pipelines._bounded import PUBLIC, check_classes, columns_read, describe_noise
from pipelines.federated.encode import CLIP, PublicEncoding
from pipelines.federated.network import FlatModel
from pipelines.learners.logreg import LogReg
from pipelines.settings import POSITIVE, at_least, check_settings, settle_delta
from privaudit.contracts import Learner, Method, Release
from privaudit.dp import accounting
from privaudit.dp.noise import add_gaussian, bind_noise
from privaudit.records import Records

BASE = 4.0
"""Log odds of a usual patient are cut here on either side."""
WEIGHT = 0.1
"""Share of the (squared) noise budget for the answer about a usual patient."""
RIDGE = 0.1
"""Penalty of the student's regression, for each answer."""


@dataclass(frozen=True)
class DPOutput(Method):
    """Noise on answers instead of noise in training: any learner can be wrapped.

    One model's answer has no useful bound on what one patient changes: retrained without that
    patient, it may say anything, so noise that hides this hides everything; and each further answer
    weakens the guarantee. So the patients are dealt to `teachers`, one teacher each with all stays,
    and one patient sways one answer in that many. A fixed number of `answers`, about made-up
    patients drawn from public knowledge, is released with Gaussian noise and teaches a linear
    student, which may then be asked for ever: the guarantee is about these answers and holds for
    all that is made of them.

    A teacher that saw one outcome alone answers 0. Two classes only. The defaults were chosen on
    generated stays.

    Args:
        epsilon, delta: The guarantee for one patient added or removed; delta None for the largest
            power of ten at most 1/(10 x patients).
        teachers: Among how many teachers the patients are divided.
        answers: How many made-up patients the teachers are asked about.
        cut: An answer is how much the made-up patient raises the log odds over a usual one, cut
            here on either side: little more than a vote, which ranks patients well and understates
            how much they differ.
        statistics: Which summaries of a measured variable are read.

    Source: Papernot et al. 2017 (arXiv 1610.05755), section 2; Gaussian noise as in Papernot et al.
    2018 (arXiv 1802.08908), section 4.
    """

    learner: Learner = field(default_factory=LogReg)
    epsilon: float = 3.0
    delta: float | None = None
    teachers: int = 100
    answers: int = 400
    cut: float = 0.1
    statistics: tuple[str, ...] = ("", "last")

    learners: ClassVar[tuple[str, ...]] = ("logreg", "mlp", "boosted")

    def check(self) -> None:
        accounting.check(self.epsilon, self.delta or 0.0)
        check_settings(self, teachers=at_least(2), answers=at_least(10), cut=POSITIVE)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        self.check()
        rng = bind_noise(rng, self, members.fingerprint)
        start = time.process_time()
        patients, row = np.unique(members.patient, return_inverse=True)
        delta = settle_delta(self, len(patients))
        sigma = accounting.solve_gaussian(self.epsilon, delta)
        check_classes(members, 2)
        whole = PublicEncoding(members.columns)
        read = columns_read(whole, self.statistics)
        z, questions = self._questions(members, rng)
        # Every patient is assigned independently: one more moves nobody else to another teacher.
        dealt = rng.integers(self.teachers, size=len(patients))[row]
        part = _narrow(members, self.statistics)
        answers = [self._ask(part.take(dealt == i), questions, rng) for i in range(self.teachers)]
        # In units of the most that one patient can change, by each answer and in all.
        lift = self.cut / BASE * np.sqrt(WEIGHT * self.answers)
        scaled = np.mean(answers, axis=0) * np.append(np.ones(self.answers), lift)
        most = 2 * self.cut / self.teachers * np.sqrt(self.answers * (1 + WEIGHT))
        noisy = add_gaussian(scaled, sigma * most, most, rng)
        effects, base = noisy[:-1], noisy[-1] / lift
        gram = z.T @ z + RIDGE * self.answers * np.eye(z.shape[1])
        slope = np.linalg.solve(gram, z.T @ effects)
        weights = np.zeros((2, whole.width))
        weights[1, read] = slope
        flat = np.concatenate([weights.ravel(), [0.0, np.clip(base, -BASE, BASE)]])
        claim = accounting.gaussian(sigma, delta, n=len(patients), noise=accounting.name_noise(rng))
        count = f"{self.answers + 1} answers of {self.teachers} teachers as one vector; "
        return Release(
            claim=replace(claim, basis=count + claim.basis),
            model=FlatModel(whole, (whole.width, 2), flat.astype(np.float32)),
            costs={"train_seconds": time.process_time() - start},
            notes=(
                "All {records} of {a_person} go to one teacher, so the guarantee is per {person}.",
                PUBLIC,
                describe_noise(rng),
            ),
        )

    def _questions(self, members: Records, rng: np.random.Generator) -> tuple[np.ndarray, Records]:
        """(answers, read) encoded questions without masks, and as records; the usual patient
        last."""
        narrow = _narrow(members.take(slice(0, 0)), self.statistics)
        encoding = PublicEncoding(narrow.columns)
        k, n = len(encoding.numbers), self.answers
        z = np.zeros((n + 1, encoding.width), dtype=np.float32)
        z[:n, :k] = np.clip(rng.standard_normal((n, k)), -CLIP, CLIP)
        for _, where in encoding.levels:
            z[np.arange(n), rng.integers(where.start, where.stop, size=n)] = 1
        x = encoding.decode(z)
        empty = np.zeros(n + 1, dtype=np.int64)
        asked = replace(narrow, X=x, y=empty, patient=np.arange(n + 1), site=empty, groups={})
        # What the teachers are asked is what the student learns from: decoding rounds counts.
        seen = np.delete(encoding.encode(asked), range(k, k + len(encoding.masks)), axis=1)
        return (seen[:n] - seen[n]).astype(np.float64), asked

    def _ask(self, own: Records, questions: Records, rng: np.random.Generator) -> np.ndarray:
        """(answers + 1,) one teacher's bounded answers."""
        stream = rng.spawn(1)[0]
        if len(np.unique(own.y)) < 2 or len(np.unique(own.patient)) < 4:
            return np.zeros(self.answers + 1)
        p = np.clip(self.learner.fit(own, stream).predict_proba(questions), 1e-6, 1.0)
        odds = np.log(p[:, 1] / p[:, 0])
        effects = np.clip(odds[:-1] - odds[-1], -self.cut, self.cut)
        return np.append(effects, np.clip(odds[-1], -BASE, BASE))


def _narrow(records: Records, statistics: tuple[str, ...]) -> Records:
    """The records with the columns of these summaries alone, and no series."""
    keep = [j for j, column in enumerate(records.columns) if column.statistic in statistics]
    return replace(
        records,
        columns=tuple(records.columns[j] for j in keep),
        X=records.X[:, keep],
        series=None,
        channels=(),
    )


__all__ = ["DPOutput"]
