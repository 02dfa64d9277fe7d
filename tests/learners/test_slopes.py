"""The hand-written gradients of the multilayer perceptron are those of automatic
differentiation."""

from __future__ import annotations

import itertools

import pytest
import torch

from pipelines.learners._training import by_autograd
from pipelines.learners.mlp import Layers


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("widths", [(5, 3), (5, 8, 2), (5, 8, 6, 3)])
def test_hand_written_slopes(widths: tuple[int, ...], dropout: bool) -> None:
    stream = torch.Generator().manual_seed(1)
    models, rows = 3, 7
    network = Layers(widths, 0.3 if dropout else 0.0)
    weights = []
    for fan_in, fan_out in itertools.pairwise(widths):
        weights += [
            torch.randn(models, fan_in, fan_out, generator=stream),
            torch.randn(models, 1, fan_out, generator=stream),
        ]
    x = torch.randn(models, rows, widths[0], generator=stream)
    y = torch.randint(widths[-1], (models, rows), generator=stream)
    masks = [
        (torch.rand(models, rows, width, generator=stream) > rate).float() / (1 - rate)
        for width, rate in network.drops
    ]
    ours = network.slopes(weights, [x], masks, y)
    theirs = by_autograd(network, weights, [x], masks, y)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, atol=1e-6)
