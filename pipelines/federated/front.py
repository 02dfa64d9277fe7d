"""How records are read before the fully connected layers of a network that is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.federated.encode import Encoding, PublicEncoding
from pipelines.federated.network import Network, check_pixels
from pipelines.federated.recurrent import LSTMLayer, SeriesEncoding
from pipelines.settings import COUNT, check_settings
from privaudit.convolutions import Convolution
from privaudit.errors import PrivauditError
from privaudit.records import Records


class Front(ABC):
    """How records are read, and by which layers first. Subclasses are frozen dataclasses."""

    @abstractmethod
    def make_encoding(self, records: Records) -> Encoding:
        """How such records become numbers; no value of theirs is looked at."""

    @abstractmethod
    def find_shape(self, records: Records) -> tuple[int, ...]:
        """The sizes that decide the first layers; no value of the records is looked at."""

    @abstractmethod
    def build(self, shape: tuple[int, ...], above: Sequence[int]) -> Network:
        """The network of records of this shape, as `find_shape` gives it.

        Args:
            above: Widths of the fully connected layers, the number of classes last.

        Raises:
            PrivauditError: For sizes that are none of such records.
        """

    @abstractmethod
    def check(self) -> None:
        """PrivauditError for settings out of range."""


class PictureFront(Front):
    """Convolutions where records are pictures; columns are read as they are, (columns,)."""

    channels: tuple[int, ...]
    kernel: int

    @property
    @abstractmethod
    def layers(self) -> tuple[Convolution, ...]:
        """The convolutions, input first."""

    def make_encoding(self, records: Records) -> PublicEncoding:
        return PublicEncoding(records.columns)

    def find_shape(self, records: Records) -> tuple[int, ...]:
        """(columns,) as encoded, or of pictures (height, width, channels)."""
        width = self.make_encoding(records).width
        return (width,) if records.image is None else check_pixels(records, width)

    def build(self, shape: tuple[int, ...], above: Sequence[int]) -> Network:
        if len(shape) == 1:
            return Network((*shape, *above))
        check_shape(shape, 3)
        return Network.of_image((shape[0], shape[1], shape[2]), above, self.layers)

    def check(self) -> None:
        check_settings(self, channels=COUNT, kernel=COUNT)
        if self.kernel % 2 == 0:
            raise PrivauditError(
                f"{type(self).__name__} with kernel={self.kernel}",
                "a square with a pixel in its middle has an odd side",
                "use kernel=3 or kernel=5",
            )


@dataclass(frozen=True)
class LSTM(Front):
    """A long short-term memory layer that reads the series, in the place of the summary columns.

    It reads the mean over every `pool` hours of each channel's last value, of whether it was
    measured and of the time since; its last and its mean state go on, with the columns that
    summarise no variable (age, sex, unit). What is an hour is a step of the series where a task has
    others.

    Args:
        units: Size of the state.
        pool: Hours averaged into one step of the recurrence.

    Source: Hochreiter and Schmidhuber 1997; masks and time since measured: Che et al. 2018 (arXiv
    1606.01865), section 2.
    """

    units: int = 16
    pool: int = 6

    def make_encoding(self, records: Records) -> SeriesEncoding:
        self.check()
        return SeriesEncoding.of(records, self.pool)

    def find_shape(self, records: Records) -> tuple[int, ...]:
        """(bins, numbers of a bin, numbers that do not change), as encoded."""
        return self.make_encoding(records).shape

    def build(self, shape: tuple[int, ...], above: Sequence[int]) -> Network:
        check_shape(shape, 3)
        steps, features, fixed = shape
        layer = LSTMLayer(steps, features, fixed, self.units)
        return Network((layer.out, *above), lstm=layer)

    def check(self) -> None:
        check_settings(self, units=COUNT, pool=COUNT)


def check_shape(shape: Sequence[int], sizes: int) -> None:
    """PrivauditError where this is not the shape of records with so many sizes."""
    if len(shape) != sizes:
        raise PrivauditError(
            f"a shape of {len(shape)} sizes",
            f"records that this network reads have {sizes}",
            "take the shape that Method.find_shape gives for the records of a hospital",
        )


@dataclass(frozen=True)
class Pooled(PictureFront):
    """Rectified convolutions, each of which halves a picture by its largest numbers.

    Pooling is no protection: of one picture a step, an update still gives most of it away.
    """

    channels: tuple[int, ...] = (8, 16)
    kernel: int = 3

    @property
    def layers(self) -> tuple[Convolution, ...]:
        return tuple(Convolution(out, self.kernel) for out in self.channels)


@dataclass(frozen=True)
class Strided(PictureFront):
    """Sigmoid convolutions that halve a picture by leaving out every other place: the network of
    the size of LeNet on which gradient inversion is usually shown.

    Source: Zhu, Liu and Han 2019 (arXiv 1906.08935), section 4.
    """

    channels: tuple[int, ...] = (12, 12)
    kernel: int = 5

    @property
    def layers(self) -> tuple[Convolution, ...]:
        return tuple(Convolution(out, self.kernel, 2, 1, "sigmoid") for out in self.channels)


__all__ = ["LSTM", "Front", "PictureFront", "Pooled", "Strided"]
