"""Pictures whose gradient would point where a hospital's update points, found by optimisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from privaudit.contracts import Exchange, Rebuilt, Trials
from privaudit.convolutions import Image, convolve, list_shapes
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

CONTROL = "a picture that has nothing to do with the update"
ATTEMPTS = 20
"""Updates at most that are taken apart."""
TOGETHER = 4
"""Pictures at most that are sought in one update: of more, nothing is found."""
RATE = 0.1
SMOOTH = (0.03, 1e-5)
"""Weight of the total variation beside the cosine distance, at the beginning and at the end: smooth
pictures first, details later."""
MOST = 60.0
"""Decibels of equal pictures: half a shade of 8 bits."""


def rebuild_pictures(
    exchange: Exchange,
    members: Records,
    reference: Records,
    holder: np.ndarray,
    steps: int,
    rng: np.random.Generator,
) -> dict[Setting, Trials]:
    """Pictures read out of updates, by Adam on the cosine distance and total variation.

    Success: a rebuilt picture is nearer to one of that hospital's own than to every reference
    picture. A picture that has nothing to do with the update is so with chance n / (n + m), of n
    and m pictures of either, because members and reference are dealt at random: the control.

    Geiping et al. 2020 (arXiv 2003.14053), section 4; the outcome is read off the last layer first,
    as by Zhao et al. 2020 (arXiv 2001.02610).

    Args:
        holder: (members,) which client held each picture, -1 for none.
        steps: Gradient steps of a search.

    Raises:
        PrivauditError: Where no member's picture is behind any update.
    """
    own = np.asarray(exchange.encode(reference), dtype=np.float32)
    truth = np.asarray(exchange.encode(members), dtype=np.float32)
    ends = _ends(exchange, reference)
    tried: list[tuple[float, ...]] = []
    pictures, originals, patients = [], [], []
    for at, client, update in _list_updates(exchange, holder):
        rows = np.flatnonzero(holder == client)
        count = max(1, min(exchange.steps * min(exchange.batch, len(rows)), TOGETHER))
        shapes = Shapes.of(exchange)
        sent = np.asarray(exchange.weights[at], dtype=np.float32)
        made = search(shapes, sent, -update, own, ends, count, steps, rng)
        for picture in made:
            of_own = measure_psnr(picture, truth[rows], ends)
            best = int(np.argmax(of_own))
            nearest = measure_psnr(picture, own, ends).max()
            beside = measure_psnr(truth[rows[best]], own, ends).max()
            chance = len(rows) / (len(rows) + len(own))
            tried.append((float(of_own[best] > nearest), chance, of_own[best], beside))
            pictures.append(picture)
            originals.append(truth[rows[best]])
            patients.append(members.patient[rows[best]])
    if not tried:
        raise PrivauditError(
            "no member's picture behind any update",
            "an attack is graded on the pictures that the clients trained on",
            "let the release state which client held which member (`Exchange.holder`)",
        )
    success, chance, attack, control = np.array(tried, dtype=np.float64).T
    shown = Rebuilt(attack, control, np.stack(pictures), np.stack(originals))
    found = Trials(success, chance, chance, CONTROL, np.array(patients), rebuilt=shown)
    return {Setting("variant", "pictures"): found}


def _list_updates(exchange: Exchange, holder: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Rounds, clients and updates, the first round first: later, networks know their records."""
    left = ATTEMPTS
    for at, updates in enumerate(exchange.updates):
        for client in range(len(exchange.clients)):
            update = np.asarray(updates[client], dtype=np.float64)
            told = np.isfinite(update).all() and bool(update.any())
            if left and told and (holder == client).any():
                left -= 1
                yield at, client, update


@dataclass(frozen=True)
class Shapes:
    """A network of pictures: its convolutions' parameters first, then the layers of `widths`."""

    exchange: Exchange
    image: Image
    shapes: tuple[tuple[int, ...], ...]
    cut: int

    @classmethod
    def of(cls, exchange: Exchange) -> Shapes:
        assert exchange.image is not None
        below = list_shapes(exchange.image, exchange.convolutions)
        widths = exchange.widths
        dense = [s for a, b in pairwise(widths) for s in ((b, a), (b,))]
        return cls(exchange, exchange.image, (*below, *dense), len(below))

    def forward(self, flat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """(n, classes) logits of (n, pixels); flat: (p,)."""
        import torch.nn.functional as F

        parts, at = [], 0
        for shape in self.shapes:
            size = int(np.prod(shape))
            parts.append(flat[at : at + size].reshape(shape))
            at += size
        h = convolve(parts[: self.cut], x, self.image, self.exchange.convolutions)
        for i in range(self.cut, len(parts), 2):
            h = F.linear(h if i == self.cut else h.relu(), parts[i], parts[i + 1])
        return h


def search(
    shapes: Shapes,
    sent: np.ndarray,
    gradient: np.ndarray,
    own: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    count: int,
    steps: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(count, pixels) encoded pictures whose gradient points as the one seen.

    Args:
        sent: (p,) weights that the client was sent.
        gradient: (p,) up to a positive factor.
        own: (m, pixels) of the attacker's own, whose mean the search starts from.
        ends: (pixels,) least and greatest value of every pixel.
    """
    import torch
    from torch.optim.adam import adam

    flat = torch.from_numpy(sent)
    aim = torch.from_numpy((gradient / np.linalg.norm(gradient)).astype(np.float32))
    y = torch.from_numpy(_read_outcomes(shapes, flat, gradient, own, count))
    low, high = (torch.from_numpy(end) for end in ends)
    noise = rng.standard_normal((count, own.shape[1])).astype(np.float32)
    x = torch.from_numpy(own.mean(axis=0)[None] + 0.05 * (ends[1] - ends[0]) * noise)
    state = [torch.zeros_like(x)], [torch.zeros_like(x)], [torch.zeros(())]
    for step in range(steps):
        at = x.clone().requires_grad_()
        weights = flat.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(shapes.forward(weights, at), y)
        (moved,) = torch.autograd.grad(loss, weights, create_graph=True)
        distance = 1 - (moved @ aim) / (moved.norm() + 1e-12)
        smooth = SMOOTH[0] * (SMOOTH[1] / SMOOTH[0]) ** (step / steps)
        apart = distance + smooth * _total_variation(at, shapes.image)
        (slope,) = torch.autograd.grad(apart, at)
        # Three falls of the rate, and signs alone, as in the source.
        rate = RATE * 0.1 ** sum(step >= share * steps for share in (0.375, 0.625, 0.875))
        adam(
            [x],
            [slope.sign()],
            *state[:2],
            [],
            state[2],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        x.clamp_(low, high)
    return x.numpy()


def _read_outcomes(
    shapes: Shapes, flat: torch.Tensor, gradient: np.ndarray, own: np.ndarray, count: int
) -> np.ndarray:
    """(count,) class codes that explain the last biases' gradient, p minus truth on the mean."""
    import torch

    with torch.no_grad():
        p = torch.softmax(shapes.forward(flat, torch.from_numpy(own)), dim=1).mean(0).numpy()
    last = gradient[-shapes.exchange.widths[-1] :]
    if count == 1:
        return np.array([int(np.argmin(last))])
    share = np.clip(p - last, 0, None)
    share = share / share.sum() if share.sum() > 0 else p / p.sum()
    edges = np.round(np.cumsum(share) * count).astype(np.int64)
    return np.searchsorted(edges, np.arange(count), side="right").clip(0, len(p) - 1)


def _total_variation(x: torch.Tensor, image: Image) -> torch.Tensor:
    pictures = x.reshape(-1, *image)
    down = (pictures[:, 1:] - pictures[:, :-1]).abs().mean()
    across = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().mean()
    return down + across


def _ends(exchange: Exchange, reference: Records) -> tuple[np.ndarray, np.ndarray]:
    """(pixels,) encoded black and white, from the columns' public bounds."""
    bounds = [column.bounds for column in reference.columns]
    if any(bound is None for bound in bounds):
        raise PrivauditError(
            "pixels without bounds",
            "decibels are relative to the range of a pixel",
            "state the bounds of every pixel",
        )
    x = np.array(bounds, dtype=np.float32).T
    two = replace(reference.take(np.zeros(2, dtype=np.int64)), X=x)
    shown = np.asarray(exchange.encode(two), dtype=np.float32)
    return shown.min(axis=0), shown.max(axis=0)


def measure_psnr(
    picture: np.ndarray, others: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """(n,) decibels between one picture and (n, pixels) others, `MOST` at most."""
    apart = (others.astype(np.float64) - picture) / (ends[1] - ends[0])
    error = (apart**2).mean(axis=1)
    found: np.ndarray = np.minimum(-10 * np.log10(np.maximum(error, 1e-12)), MOST)
    return found


__all__ = ["Shapes", "measure_psnr", "rebuild_pictures", "search"]
