"""How pictures are read before the fully connected layers of a network that is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pipelines.settings import COUNT, check_settings
from privaudit.convolutions import Convolution
from privaudit.errors import PrivauditError


class Front(ABC):
    """Convolutions that are read from pictures; other records have none. Subclasses are frozen
    dataclasses."""

    channels: tuple[int, ...]
    kernel: int

    @property
    @abstractmethod
    def layers(self) -> tuple[Convolution, ...]:
        """The convolutions, input first."""

    def check(self) -> None:
        """PrivauditError for settings out of range."""
        check_settings(self, channels=COUNT, kernel=COUNT)
        if self.kernel % 2 == 0:
            raise PrivauditError(
                f"{type(self).__name__} with kernel={self.kernel}",
                "a square with a pixel in its middle has an odd side",
                "use kernel=3 or kernel=5",
            )


@dataclass(frozen=True)
class Pooled(Front):
    """Rectified convolutions, each of which halves a picture by its largest numbers.

    Pooling is no protection: of one picture a step, an update still gives most of it away.
    """

    channels: tuple[int, ...] = (8, 16)
    kernel: int = 3

    @property
    def layers(self) -> tuple[Convolution, ...]:
        return tuple(Convolution(out, self.kernel) for out in self.channels)


@dataclass(frozen=True)
class Strided(Front):
    """Sigmoid convolutions that halve a picture by leaving out every other place: the network of
    the size of LeNet on which gradient inversion is usually shown.

    Source: Zhu, Liu and Han 2019 (arXiv 1906.08935), section 4.
    """

    channels: tuple[int, ...] = (12, 12)
    kernel: int = 5

    @property
    def layers(self) -> tuple[Convolution, ...]:
        return tuple(Convolution(out, self.kernel, 2, 1, "sigmoid") for out in self.channels)


__all__ = ["Front", "Pooled", "Strided"]
