"""Smaller updates on the wire, and what they lose."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipelines.settings import SHARE, check_settings


class Compression(ABC):
    """How a client writes its update down. Subclasses are frozen dataclasses."""

    remembers: ClassVar[bool] = False
    """Whether a client adds what it left out to its next update (error feedback)."""

    def check(self) -> None:  # noqa: B027
        """PrivauditError for a setting out of range."""

    @abstractmethod
    def squeeze(self, updates: np.ndarray) -> np.ndarray:
        """(c, p) as the server reads them."""

    @abstractmethod
    def size(self, parameters: int) -> int:
        """Bytes of one update."""


@dataclass(frozen=True)
class NoCompression(Compression):
    """float32: 4 bytes a parameter."""

    def squeeze(self, updates: np.ndarray) -> np.ndarray:
        return updates.astype(np.float32).astype(np.float64)

    def size(self, parameters: int) -> int:
        return 4 * parameters


@dataclass(frozen=True)
class Float16(Compression):
    """Half precision: 2 bytes a parameter, a relative error of at most 2**-11.

    Values above 65,504 are cut there; steps below 6e-5 have an absolute error of at most 2**-25.
    """

    def squeeze(self, updates: np.ndarray) -> np.ndarray:
        limit = float(np.finfo(np.float16).max)
        return np.clip(updates, -limit, limit).astype(np.float16).astype(np.float64)

    def size(self, parameters: int) -> int:
        return 2 * parameters


@dataclass(frozen=True)
class TopK(Compression):
    """The largest values only, each with its place: 8 bytes for each value kept.

    What is left out is added to the client's next update.

    Args:
        share: The share of the parameters that is sent.

    Source: Stich, Cordonnier and Jaggi 2018 (arXiv 1809.07599), algorithm 1.
    """

    share: float = 0.1

    remembers: ClassVar[bool] = True

    def check(self) -> None:
        check_settings(self, share=SHARE)

    def squeeze(self, updates: np.ndarray) -> np.ndarray:
        sent = self._sent(updates.shape[1])
        out = np.zeros(updates.shape)
        large = np.argpartition(np.abs(updates), -sent, axis=1)[:, -sent:]
        rows = np.arange(len(updates))[:, None]
        out[rows, large] = updates[rows, large].astype(np.float32)
        return out

    def size(self, parameters: int) -> int:
        return 8 * self._sent(parameters)

    def _sent(self, parameters: int) -> int:
        return max(1, math.ceil(self.share * parameters))


__all__ = ["Compression", "Float16", "NoCompression", "TopK"]
