"""What private methods other than DP-SGD share: one stay a patient, public bounds, no silent
reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

from pipelines.federated.encode import CLIP, PublicEncoding
from pipelines.settings import POSITIVE, check_settings, require_package, settle_delta
from privaudit.contracts import Claim, Method
from privaudit.dp import accounting
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.secure_random import SecretGenerator, SecretState, is_secret

ONE_STAY = (
    "One {record} of each {person}, chosen at random, is trained on, so the guarantee is per "
    "{person}."
)
PUBLIC = (
    "Scaling, bounds and missing values follow public knowledge; no statistic of the records "
    "was read."
)


class NoisySteps(Method):
    """Training by DP-SGD: subclasses hold epsilon, delta, clip, rate, sampling and steps."""

    epsilon: float
    delta: float | None
    sampling: float
    steps: int

    notes: ClassVar[tuple[str, ...]] = (
        "All {records} of {a_person} are clipped together, so the guarantee is per {person}.",
        PUBLIC,
    )

    def claim(self, members: Records, noise: str = accounting.SIMULATED) -> Claim:
        """The guarantee of all steps together, for one patient of these records."""
        patients = len(np.unique(members.patient))
        delta = settle_delta(self, patients)
        sigma = accounting.solve_sigma(self.epsilon, delta, self.sampling, self.steps)
        return accounting.poisson_gaussian(
            sigma, self.sampling, self.steps, delta, n=patients, noise=noise
        )

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        require_package("dp_accounting", "it accounts for the noise of all steps", "dp")
        accounting.check(self.epsilon, self.delta or 0.0)
        check_settings(self, clip=POSITIVE, rate=POSITIVE)

    def _noise(self, sigma: float) -> float:
        """The noise multiplier in use. Tests of the audit plant a fault here."""
        return sigma


def describe_noise(rng: np.random.Generator) -> str:
    """For the report: whose noise this is."""
    if is_secret(rng):
        return (
            "The noise is exact on a grid and comes from a cipher under a key that nobody holds "
            "but whoever made this run."
        )
    return (
        "The noise comes from the run's recorded random stream, as a simulation needs: anyone with "
        "the seed can subtract it, so a model for publication needs a secret one."
    )


def one_stay(records: Records, rng: np.random.Generator) -> Records:
    """One stay of every patient, each equally likely: a patient then counts once and no more."""
    order = rng.permutation(len(records))
    _, first = np.unique(records.patient[order], return_index=True)
    return records.take(np.sort(order[first]))


def bounds(encoding: PublicEncoding) -> tuple[np.ndarray, np.ndarray]:
    """(width,) least and greatest value of every encoded column, from the schema alone."""
    numbers = len(encoding.numbers)
    low, high = np.zeros(encoding.width), np.ones(encoding.width)
    low[:numbers], high[:numbers] = -CLIP, CLIP
    return low, high


def columns_read(encoding: PublicEncoding, statistics: tuple[str, ...]) -> list[int]:
    """The encoded columns of these summaries: their numbers and levels, without masks.

    Every further column costs noise in all of them, so the choice is made beforehand, from the
    schema.
    """
    columns = encoding.columns
    found = [i for i, j in enumerate(encoding.numbers) if columns[j].statistic in statistics]
    for j, where in encoding.levels:
        if columns[j].statistic in statistics:
            found += range(where.start, where.stop)
    if not found:
        raise PrivauditError(
            f"statistics={statistics!r}",
            "no column of this task is such a summary",
            "name some of '', first, last, min, max, mean, count, measured",
        )
    return found


def check_classes(records: Records, most: int | None = None) -> None:
    """Refuse tables in which a class is missing, or that have more classes than can be learnt."""
    k = len(records.classes)
    if most is not None and k > most:
        raise PrivauditError(
            f"an outcome of {k} classes",
            f"this way of training knows outcomes of {most} classes",
            "use dp_sgd or dp_linear for several classes",
        )
    present = np.unique(records.y)
    if len(present) < k:
        raise PrivauditError(
            # Not how many, nor that it is none: either states a cell of the training records.
            f"training rows in which one of {k} classes is too rare",
            "the library would read the classes off the data, which no guarantee covers",
            "train on more patients, or merge rare classes",
        )


def seed(rng: np.random.Generator) -> int | np.random.RandomState:
    """What a library takes that adds its own noise: a key stream where noise is a secret, since its
    seeds of 32 bits can all be tried, else a seed."""
    if isinstance(rng, SecretGenerator):
        return SecretState(rng.spawn_stream())
    return int(rng.integers(2**31 - 1))


@contextmanager
def nothing_read(*allowed: str) -> Iterator[None]:
    """Within, a warning that the library reads bounds off the data is an error.

    allowed: beginnings of messages that may be ignored.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for harmless in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.simplefilter("ignore", harmless)
        for message in allowed:
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        except Warning as warning:
            raise PrivauditError(
                f"the library warned: {type(warning).__name__}",
                "a private method may read nothing of the data that its guarantee does not cover, "
                f"and must converge: {warning}",
                "report this as a defect of the method, with the columns of your task",
            ) from None
