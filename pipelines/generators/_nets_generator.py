"""What ctgan, tvae and medgan share: their checks, and how one training becomes a sampler."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from abc import abstractmethod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from pipelines.generators._nets_table import Codes, Table
from pipelines.settings import COUNT, FRACTION, NON_NEGATIVE, at_least, check_settings
from privaudit.contracts import Generator, Progress, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

    from pipelines.generators._nets_training import Training

Scale = Literal["modes", "ranks"]


class NetGenerator(Generator):
    """A network that is trained for minutes. Subclasses are frozen dataclasses.

    Args:
        label: Its name in progress and errors.
        scale: How `Table` encodes numbers.
    """

    costly: ClassVar[bool] = True
    label: ClassVar[str]
    scale: ClassVar[Scale]

    epochs: int
    threads: int

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        from pipelines.generators._nets_training import Course, key, workshop

        self.check()
        networks = self.networks()
        seed = int(rng.integers(2**63 - 1))
        own = np.random.default_rng(seed)
        table, codes = Table.fit(records, own, self.scale)
        course = Course(self.label, self.passes, key(self, records, seed), checkpoint, progress)
        with workshop(own, self.threads) as stream:
            training = self.training(networks, table, codes, stream)
            course.run(training)
            weights = training.weights()
        return self.sampler(table, weights)

    @property
    def passes(self) -> int:
        """Epochs of the whole training."""
        return self.epochs

    def networks(self) -> ModuleType | None:
        """The package's module that defines the networks, None where they are our own."""
        return None

    @abstractmethod
    def training(
        self, networks: ModuleType | None, table: Table, codes: Codes, stream: torch.Generator
    ) -> Training:
        """The networks at their start."""

    @abstractmethod
    def sampler(self, table: Table, weights: dict[str, np.ndarray]) -> Sampler:
        """What draws from trained weights."""

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        check_settings(self, epochs=COUNT, threads=COUNT, batch=at_least(2))
        check_settings(self, rate=FRACTION, decay=NON_NEGATIVE)


def need_ctgan() -> None:
    """PrivauditError where the package `ctgan` is not installed; nothing is imported."""
    if importlib.util.find_spec("ctgan") is None:
        package("ctgan")


def package(name: str) -> ModuleType:
    """A module of the `ctgan` package; PrivauditError with what to install where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise PrivauditError(
            "the generators ctgan and tvae without the package ctgan",
            f"their networks are those of that package, which is not installed here ({error.name})",
            "pip install 'privaudit[synthetic]' (ctgan is under the Business Source License 1.1), "
            "or "
            "use medgan, copula, marginals or a private generator",
        ) from error
