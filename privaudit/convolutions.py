"""The convolutions of a network that reads pictures, for whoever trains one and whoever attacks it.

A picture is a row of pixels, row by row, channels last, as in `privaudit.records.Records`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Image = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Convolution:
    """One convolution, padded with zeros, then `turn`, then the largest of pool x pool pixels.

    Args:
        out: Channels that it makes.
        kernel: Pixels of its square along a side.
        stride: Pixels between squares.
        pool: Pixels of a pooled square along a side, 1 for none.
        turn: What every number goes through: "relu" or "sigmoid".
    """

    out: int
    kernel: int = 3
    stride: int = 1
    pool: int = 2
    turn: Literal["relu", "sigmoid"] = "relu"

    def shrink(self, image: Image) -> Image:
        """What is left of a picture of this shape."""
        sides = [(side + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1 for side in image]
        return (max(sides[0] // self.pool, 1), max(sides[1] // self.pool, 1), self.out)


def shrink(image: Image, layers: Sequence[Convolution]) -> Image:
    """What is left of a picture of this shape after all layers."""
    for layer in layers:
        image = layer.shrink(image)
    return image


def count_features(image: Image, layers: Sequence[Convolution]) -> int:
    """How many numbers the layers make of a picture."""
    height, width, channels = shrink(image, layers)
    return height * width * channels


def list_shapes(image: Image, layers: Sequence[Convolution]) -> tuple[tuple[int, ...], ...]:
    """(out, in, kernel, kernel), (out,), layer by layer: the shapes of the parameters."""
    found: list[tuple[int, ...]] = []
    channels = image[2]
    for layer in layers:
        found += [(layer.out, channels, layer.kernel, layer.kernel), (layer.out,)]
        channels = layer.out
    return tuple(found)


def convolve(
    parts: Sequence[torch.Tensor], x: torch.Tensor, image: Image, layers: Sequence[Convolution]
) -> torch.Tensor:
    """(n, features) of (n, pixels); parts: parameters of the shapes that `list_shapes` gives."""
    import torch.nn.functional as F

    h = x.reshape(-1, *image).permute(0, 3, 1, 2)
    for i, layer in enumerate(layers):
        h = F.conv2d(
            h, parts[2 * i], parts[2 * i + 1], stride=layer.stride, padding=layer.kernel // 2
        )
        h = h.relu() if layer.turn == "relu" else h.sigmoid()
        if layer.pool > 1:
            # A side shorter than the square is pooled as a whole.
            h = F.max_pool2d(h, [min(layer.pool, side) for side in h.shape[2:]])
    return h.flatten(1)


__all__ = ["Convolution", "Image", "convolve", "count_features", "list_shapes", "shrink"]
