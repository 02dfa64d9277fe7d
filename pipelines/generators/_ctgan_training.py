"""How CTGAN is trained: what the generator is asked for, and the two networks against each
other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, leaky_relu, linear

from pipelines.generators._nets_table import MODE, Codes, Table
from pipelines.generators._nets_training import Spans
from pipelines.generators._pooled import count_patients, round_shares, weigh

if TYPE_CHECKING:
    from pipelines.generators.ctgan import CTGAN

SLOPE, DROP, HEAT = 0.2, 0.5, 0.2
"""The discriminator's leak and dropout, and the temperature of Gumbel-softmax, as published."""
SETTLING = 10
"""Batches over which the batch norm's means and variances are taken once training is over."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What the generator can be asked for: one option of one pick (levels and flags, not modes).

    Args:
        option: (c, widest), the options' places among all, -1 for padding.
        place: Where they are among the encoded columns.
        shares: (c, widest), how often each was in the records, no patient being more than a tenth
            of it, rounded.
        rows: For each pick its rows by option, `first` and `size` of each option's; empty in a
            saved generator, which needs none.
    """

    option: np.ndarray
    place: np.ndarray
    shares: np.ndarray
    rows: tuple[np.ndarray, ...] = ()
    first: np.ndarray | None = None
    size: np.ndarray | None = None

    @classmethod
    def of(cls, table: Table, codes: Codes) -> Asked:
        _, hidden = table.hidden_by
        chosen = np.flatnonzero((table.kind != MODE) & (hidden < 0))
        width = table.width[chosen]
        widest = int(width.max(initial=0))
        shape = (len(chosen), widest)
        counted = np.zeros(shape)
        option, size = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        begin = np.cumsum(width) - width
        rows = []
        place: list[int] = []
        for c, p in enumerate(chosen):
            option[c, : width[c]] = begin[c] + np.arange(width[c])
            place += range(table.start[p], table.start[p] + width[c])
            picked = codes.picks[:, p]
            rows.append(np.argsort(picked, kind="stable"))
            size[c] = np.bincount(picked, minlength=widest)
            counted[c, : width[c]] = _weigh(picked, int(width[c]), codes.patient)
        first = np.cumsum(size, axis=1) - size
        people = len(codes.picks) if codes.patient is None else count_patients(codes.patient)
        shares = np.array([round_shares(one, people) for one in counted]).reshape(shape)
        return cls(option, np.array(place, dtype=np.int64), shares, tuple(rows), first, size)

    @property
    def width(self) -> int:
        return len(self.place)

    def arrays(self) -> dict[str, np.ndarray]:
        """What drawing needs: how often each option was in the records."""
        return {"asked.shares": self.shares[self.option >= 0].astype(np.float32)}


def _weigh(picked: np.ndarray, options: int, patient: np.ndarray | None) -> list[int]:
    """How many rows of each option count."""
    if patient is None:
        return np.bincount(picked, minlength=options).tolist()
    return [weigh(patient[picked == option]) for option in range(options)]


class Adversaries:
    """The two networks, their optimisers, and one epoch of training."""

    def __init__(
        self, settings: CTGAN, networks: Any, spans: Spans, asked: Asked, stream: torch.Generator
    ) -> None:
        self.settings, self.spans, self.asked, self.stream = settings, spans, asked, stream
        width = asked.width
        self.generator = networks.Generator(settings.noise + width, settings.hidden, spans.dim)
        self.judge = networks.Discriminator(spans.dim + width, settings.critic, pac=settings.pack)
        self.layers = [m for m in self.judge.seq if isinstance(m, torch.nn.Linear)]
        both = {
            name: torch.optim.Adam(
                part.parameters(),
                lr=settings.rate,
                betas=(0.5, 0.9),
                weight_decay=settings.decay,
                fused=True,
            )
            for name, part in (("generator", self.generator), ("judge", self.judge))
        }
        self.optimisers = both
        self.parts = {
            "generator": self.generator,
            "judge": self.judge,
            "generator_steps": both["generator"],
            "judge_steps": both["judge"],
        }
        self._prepare_asking()

    def _prepare_asking(self) -> None:
        asked = self.asked
        if not asked.width:
            return
        assert asked.size is not None
        assert asked.first is not None
        often = np.log(asked.size + 1.0) * (asked.option >= 0)
        self.edges = torch.from_numpy(np.cumsum(often / often.sum(1, keepdims=True), axis=1))
        self.last = torch.from_numpy((asked.option >= 0).sum(axis=1) - 1)
        self.option, self.place = torch.from_numpy(asked.option), torch.from_numpy(asked.place)
        self.rows = torch.from_numpy(np.stack(asked.rows))
        self.first, self.size = torch.from_numpy(asked.first), torch.from_numpy(asked.size)

    def ask(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(b,) picks, (b,) options among the pick's, and (b, width) the question as the networks
        read it."""
        b = self.settings.batch
        question = torch.zeros(b, self.asked.width)
        if not self.asked.width:
            none = torch.zeros(b, dtype=torch.int64)
            return none, none, question
        pick = torch.randint(len(self.edges), (b,), generator=self.stream)
        draw = torch.rand(b, 1, generator=self.stream, dtype=torch.float64)
        level = torch.minimum((self.edges[pick] <= draw).sum(1), self.last[pick])
        question.scatter_(1, self.option[pick, level][:, None], 1.0)
        return pick, level, question

    def real(self, pick: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """(b, dim) rows of the records that fit the questions."""
        draw = torch.rand(len(pick), generator=self.stream, dtype=torch.float64)
        if not self.asked.width:
            return self.spans.rows((draw * len(self.spans)).long())
        size = self.size[pick, level]
        # An option that no row has is asked for with a logarithm of 0, so never.
        at = self.first[pick, level] + torch.minimum((draw * size).long(), size - 1)
        return self.spans.rows(self.rows[pick, at])

    def forge(self, question: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b, dim) of synthetic rows, and the rows with the question, (b, dim + width)."""
        noise = torch.empty(len(question), self.settings.noise).normal_(generator=self.stream)
        logits = self.generator(torch.cat([noise, question], 1))
        scalars = torch.tanh(logits[:, : self.spans.s])
        rows = self.spans.soften(logits, scalars, HEAT, self.stream)
        return logits, torch.cat([rows, question], 1)

    def epoch(self, number: int) -> None:
        for _ in range(max(len(self.spans) // self.settings.batch, 1)):
            for _ in range(self.settings.critic_steps):
                self._step_judge()
            self._step_generator()

    def _step_judge(self) -> None:
        pick, level, question = self.ask()
        with torch.no_grad():
            _, fake = self.forge(question)
        order = torch.randperm(len(pick), generator=self.stream)
        real = torch.cat([self.real(pick[order], level[order]), question[order]], 1)
        packs = len(pick) // self.settings.pack
        both = torch.cat([real.view(packs, -1), fake.view(packs, -1)])
        first = self.layers[0](both)
        says = self._on(first, self._drops(2 * packs))
        loss = says[packs:].mean() - says[:packs].mean()
        if self.settings.penalty:
            # A line between a real and a forged pack: the first layer is linear, so its answer
            # there
            # lies between its answers for them, and needs no product of its own.
            mix = torch.rand(packs, 1, generator=self.stream)
            between = (mix * first[:packs] + (1 - mix) * first[packs:]).detach()
            loss = loss + self.settings.penalty * self._steepness(between)
        self.optimisers["judge"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["judge"].step()

    def _drops(self, rows: int) -> list[torch.Tensor]:
        keep = 1.0 - DROP
        return [
            torch.empty(rows, layer.out_features).bernoulli_(keep, generator=self.stream) / keep
            for layer in self.layers[:-1]
        ]

    def _on(
        self, first: torch.Tensor, drops: Sequence[torch.Tensor], frozen: bool = False
    ) -> torch.Tensor:
        """The discriminator from its first layer's answers on."""
        out = first
        for layer, drop in zip(self.layers[1:], drops, strict=True):
            weight = layer.weight.detach() if frozen else layer.weight
            bias = layer.bias.detach() if frozen else layer.bias
            out = linear(leaky_relu(out, SLOPE) * drop, weight, bias)
        return out

    def _steepness(self, first: torch.Tensor) -> torch.Tensor:
        """The mean squared gap between 1 and the length of the discriminator's gradient.

        The discriminator is linear between its kinks, so its gradient is a product of its weights,
        and a single backward pass gives the penalty's own gradient. Gulrajani et al. 2017 (arXiv
        1704.00028), section 4.

        Args:
            first: (packs, width) answers of the first layer where the gradient is taken.
        """

        drops = self._drops(len(first))
        slopes, out = [], first
        with torch.no_grad():
            for layer, drop in zip(self.layers[1:], drops, strict=True):
                slope = torch.where(out > 0, 1.0, SLOPE) * drop
                slopes.append(slope)
                out = layer(out * slope)
        back = self.layers[-1].weight.expand(len(first), -1)
        for layer, slope in zip(reversed(self.layers[:-1]), reversed(slopes), strict=True):
            back = (back * slope) @ layer.weight
        return ((back.norm(2, dim=1) - 1) ** 2).mean()

    def _step_generator(self) -> None:
        pick, level, question = self.ask()
        logits, fake = self.forge(question)
        packed = fake.view(len(pick) // self.settings.pack, -1)
        weight, bias = (part.detach() for part in (self.layers[0].weight, self.layers[0].bias))
        first = linear(packed, weight, bias)
        loss = -self._on(first, self._drops(len(packed)), frozen=True).mean()
        if self.asked.width:
            options = logits.gather(1, self.place[self.option[pick]])
            options = options.masked_fill(self.option[pick] < 0, -torch.inf)
            loss = loss + cross_entropy(options, level)
        self.optimisers["generator"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["generator"].step()

    def weights(self) -> dict[str, np.ndarray]:
        """The generator's weights, its batch norms written into its linear layers."""
        blocks = list(self.generator.seq)
        for block in blocks[:-1]:
            block.bn.reset_running_stats()
            block.bn.momentum = None
        with torch.no_grad():
            for _ in range(SETTLING):
                self.forge(self.ask()[2])
        found: dict[str, np.ndarray] = {}
        for i, block in enumerate(blocks):
            linear = block.fc if hasattr(block, "fc") else block
            weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
            if hasattr(block, "bn"):
                bn = block.bn
                grow = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach().numpy()
                bias = (bias - bn.running_mean.numpy()) * grow + bn.bias.detach().numpy()
                weight = weight * grow[:, None]
            found[f"g{i}.weight"], found[f"g{i}.bias"] = weight.copy(), bias.copy()
        return found | self.asked.arrays()
