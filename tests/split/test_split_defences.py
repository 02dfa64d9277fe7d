"""What the defences at the cut do to the numbers."""

from __future__ import annotations

import numpy as np
import torch

from pipelines.methods._split_defences import EqualNorms, MaxNorm, NoDefence, NoiseOnSmashed


def gradients(rng: np.random.Generator) -> torch.Tensor:
    g = rng.normal(size=(6, 5)) * np.array([1, 0.5, 0.1, 0.02, 0.7, 3.0])[:, None]
    return torch.from_numpy(g.astype(np.float32))


def draws(defence: object, g: torch.Tensor, rng: np.random.Generator, n: int) -> np.ndarray:
    return np.stack([defence.gradient(g, rng).numpy() for _ in range(n)]).astype(np.float64)


def check_unbiased(found: np.ndarray, g: np.ndarray) -> None:
    error = found.std(axis=0) / np.sqrt(len(found)) + 1e-6
    assert (np.abs(found.mean(axis=0) - g) < 4.5 * error).all()


def test_equal_norms_are_equal_and_right_on_average() -> None:
    rng = np.random.default_rng(0)
    g = gradients(rng)
    top = torch.linalg.vector_norm(g, dim=1).max().item()
    for times in (1.0, 3.0):
        found = draws(EqualNorms(times), g, rng, 4000)
        assert np.allclose(np.linalg.norm(found, axis=2), times * top, rtol=1e-5)
        check_unbiased(found, g.numpy())
        cosine = (found * g.numpy()).sum(axis=2) / np.linalg.norm(g.numpy(), axis=1) / times / top
        assert np.allclose(np.abs(cosine), 1, atol=1e-5)


def test_equal_norms_give_a_vanished_gradient_the_same_norm() -> None:
    rng = np.random.default_rng(0)
    g = gradients(rng)
    g[2] = 0
    found = draws(EqualNorms(), g, rng, 3000)
    top = torch.linalg.vector_norm(g, dim=1).max().item()
    assert np.allclose(np.linalg.norm(found, axis=2), top, rtol=1e-5)
    check_unbiased(found, g.numpy())
    nothing = torch.zeros(4, 3)
    assert torch.equal(EqualNorms().gradient(nothing, rng), nothing)


def test_max_norm_is_right_on_average_and_equal_in_mean_square() -> None:
    rng = np.random.default_rng(1)
    g = gradients(rng)
    found = draws(MaxNorm(), g, rng, 8000)
    check_unbiased(found, g.numpy())
    squares = (found**2).sum(axis=2)
    top = (g.numpy() ** 2).sum(axis=1).max()
    error = squares.std(axis=0) / np.sqrt(len(squares)) + 1e-4
    assert (np.abs(squares.mean(axis=0) - top) < 4.5 * error).all()
    g[1] = 0
    assert torch.isfinite(MaxNorm().gradient(g, rng)).all()


def test_noise_has_its_scale_and_lets_gradients_through() -> None:
    rng = np.random.default_rng(2)
    h = torch.from_numpy(rng.exponential(size=(50, 40)).astype(np.float32)).requires_grad_()
    sent = NoiseOnSmashed(2.0).smashed(h, rng)
    noise = (sent - h).detach().numpy()
    root = h.detach().square().mean().sqrt().item()
    assert abs(noise.std() / root - 2.0) < 0.15
    assert abs(noise.mean()) < 0.2
    sent.backward(torch.ones_like(sent))
    assert torch.equal(h.grad, torch.ones_like(h))


def test_no_defence_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    g = gradients(rng)
    assert NoDefence().gradient(g, rng) is g
    assert NoDefence().smashed(g, rng) is g
