"""CTGAN: a conditional generative adversarial network for mixed tables (Xu et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.generators._nets_package import package
from pipelines.generators._nets_sampler import NetSampler, depth
from pipelines.generators._nets_table import MODE, Codes, Table
from pipelines.generators._nets_training import Course, Spans, at_least, key, workshop
from pipelines.generators._saved import damaged
from privaudit.contracts import Generator, Progress, Sampler
from privaudit.errors import PrivauditError
from privaudit.records import Records

if TYPE_CHECKING:
    import torch

SLOPE, DROP, HEAT = 0.2, 0.5, 0.2
"""The discriminator's leak and dropout, and the temperature of Gumbel-softmax, as published."""
PUBLISHED: Mapping[str, Any] = {
    "epochs": 300, "batch": 500, "hidden": (256, 256), "critic": (256, 256), "rate": 2e-4, "pack": 10,
}  # fmt: skip
"""Settings of the paper and of the package, for `CTGAN(**PUBLISHED)`."""
SETTLING = 10
"""Batches over which the batch norm's means and variances are taken once training is over."""


@dataclass(frozen=True)
class CTGAN(Generator):
    """A generator network against a discriminator, asked for one level of one column at a time.

    Numbers are told by their mode and their place in it; rare levels are asked for as often as the
    logarithm of their count says. epochs, batch: how long, and rows a step; noise: width of the
    random input; hidden, critic: widths of the generator's and the discriminator's layers; rate,
    decay: Adam's, for both; pack: rows that the discriminator judges together; critic_steps: its
    steps for one of the generator; penalty: weight of its gradient penalty; threads: of torch. The
    defaults suit a few thousand stays; the published ones are in PUBLISHED: at 1,600 stays they
    make nine hundred steps on fifty packs of ten rows, and end little above chance
    (benchmarks/ctgan_speed.py).

    The networks are those of the `ctgan` package (Business Source License; `privaudit[synthetic]`);
    the training is ours: it keeps checkpoints and takes the gradient penalty without a second
    backward pass, which is exact for leaky ReLU. Missing values are modelled. Drawing asks for
    levels as often as they were in the records, where the package asks by the logarithm, and keeps
    the outcome as frequent as it was. Source: Xu et al. 2019 (arXiv 1907.00503), sections 4.2-4.4.
    """

    epochs: int = 150
    batch: int = 100
    noise: int = 128
    hidden: tuple[int, ...] = (128, 128)
    critic: tuple[int, ...] = (128, 128)
    rate: float = 1e-3
    decay: float = 1e-6
    pack: int = 1
    critic_steps: int = 1
    penalty: float = 10.0
    threads: int = 1

    costly: ClassVar[bool] = True

    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        self._check()
        networks = package("ctgan.synthesizers.ctgan")
        seed = int(rng.integers(2**63 - 1))
        own = np.random.default_rng(seed)
        table, codes = Table.fit(records, own, "modes")
        with workshop(own, self.threads) as stream:
            asked = Asked.of(table, codes)
            training = _Adversaries(self, networks, Spans(table, codes), asked, stream)
            Course("CTGAN", self.epochs, key(self, records, seed), checkpoint, progress).run(
                training
            )
            weights = training.settle()
        weights |= asked.arrays()
        return CTGANSampler(table, weights, notes=(f"CTGAN, {self.epochs} epochs.",))

    @classmethod
    def load(cls, file: bytes) -> Sampler:
        return CTGANSampler.load(file)

    def _check(self) -> None:
        at_least(1, epochs=self.epochs, noise=self.noise, pack=self.pack, threads=self.threads)
        at_least(1, critic_steps=self.critic_steps)
        at_least(0, decay=self.decay, penalty=self.penalty)
        for name, widths in (("hidden", self.hidden), ("critic", self.critic)):
            if not widths or min(widths) < 1:
                raise PrivauditError(
                    f"{name}={widths}",
                    "a network has at least one layer of one unit",
                    "use 128,128",
                )
        if self.batch < 2 * self.pack or self.batch % self.pack:
            raise PrivauditError(
                f"a batch of {self.batch} with pack={self.pack}",
                "the discriminator judges `pack` rows together, so a batch is a multiple of it, and "
                "at least two of them",
                "use batch=100 and pack=1",
            )
        if not 0 < self.rate < 1:
            raise PrivauditError(f"rate={self.rate}", "it is above 0 and below 1", "use 0.001")


@dataclass(frozen=True, eq=False)
class Asked:
    """What the generator can be asked for: one option of one pick (levels and flags, not modes).

    option: (c, widest), the options' places among all, -1 for padding; place: where they are among
    the encoded columns. shares: (c, widest), how often each was in the records. rows: for each pick
    its rows by option, `first` and `size` of each option's; empty in a saved generator, which needs
    none.
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
        first = np.cumsum(size, axis=1) - size
        shares = size / max(len(codes.picks), 1)
        return cls(option, np.array(place, dtype=np.int64), shares, tuple(rows), first, size)

    @property
    def width(self) -> int:
        return len(self.place)

    def arrays(self) -> dict[str, np.ndarray]:
        """What drawing needs: how often each option was in the records."""
        return {"asked.shares": self.shares[self.option >= 0].astype(np.float32)}


class _Adversaries:
    """The two networks, their optimisers, and one epoch of training."""

    def __init__(
        self, told: CTGAN, networks: Any, spans: Spans, asked: Asked, stream: torch.Generator
    ) -> None:
        import torch

        self.told, self.spans, self.asked, self.stream = told, spans, asked, stream
        width = asked.width
        self.generator = networks.Generator(told.noise + width, told.hidden, spans.dim)
        self.judge = networks.Discriminator(spans.dim + width, told.critic, pac=told.pack)
        self.layers = [m for m in self.judge.seq if isinstance(m, torch.nn.Linear)]
        both = {
            name: torch.optim.Adam(
                part.parameters(), lr=told.rate, betas=(0.5, 0.9), weight_decay=told.decay,
                fused=True,
            )
            for name, part in (("generator", self.generator), ("judge", self.judge))
        }  # fmt: skip
        self.optimisers = both
        self.parts = {
            "generator": self.generator,
            "judge": self.judge,
            "generator_steps": both["generator"],
            "judge_steps": both["judge"],
        }
        self._prepare_asking()

    def _prepare_asking(self) -> None:
        import torch

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
        """(b,) picks, (b,) options among the pick's, and (b, width) the question as the networks read it."""
        import torch

        b = self.told.batch
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
        import torch

        draw = torch.rand(len(pick), generator=self.stream, dtype=torch.float64)
        if not self.asked.width:
            return self.spans.rows((draw * len(self.spans)).long())
        size = self.size[pick, level]
        # An option that no row has is asked for with a logarithm of 0, so never.
        at = self.first[pick, level] + torch.minimum((draw * size).long(), size - 1)
        return self.spans.rows(self.rows[pick, at])

    def forge(self, question: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b, dim) of synthetic rows, and the rows with the question, (b, dim + width)."""
        import torch

        noise = torch.empty(len(question), self.told.noise).normal_(generator=self.stream)
        logits = self.generator(torch.cat([noise, question], 1))
        scalars = torch.tanh(logits[:, : self.spans.s])
        rows = self.spans.soften(logits, scalars, HEAT, self.stream)
        return logits, torch.cat([rows, question], 1)

    def epoch(self, number: int) -> None:
        for _ in range(max(len(self.spans) // self.told.batch, 1)):
            for _ in range(self.told.critic_steps):
                self._step_judge()
            self._step_generator()

    def _step_judge(self) -> None:
        import torch

        pick, level, question = self.ask()
        with torch.no_grad():
            _, fake = self.forge(question)
        order = torch.randperm(len(pick), generator=self.stream)
        real = torch.cat([self.real(pick[order], level[order]), question[order]], 1)
        packs = len(pick) // self.told.pack
        both = torch.cat([real.view(packs, -1), fake.view(packs, -1)])
        first = self.layers[0](both)
        says = self._on(first, self._drops(2 * packs))
        loss = says[packs:].mean() - says[:packs].mean()
        if self.told.penalty:
            # A line between a real and a forged pack: the first layer is linear, so its answer there
            # lies between its answers for them, and needs no product of its own.
            mix = torch.rand(packs, 1, generator=self.stream)
            between = (mix * first[:packs] + (1 - mix) * first[packs:]).detach()
            loss = loss + self.told.penalty * self._steepness(between)
        self.optimisers["judge"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers["judge"].step()

    def _drops(self, rows: int) -> list[torch.Tensor]:
        import torch

        keep = 1.0 - DROP
        return [
            torch.empty(rows, layer.out_features).bernoulli_(keep, generator=self.stream) / keep
            for layer in self.layers[:-1]
        ]

    def _on(
        self, first: torch.Tensor, drops: Sequence[torch.Tensor], frozen: bool = False
    ) -> torch.Tensor:
        """The discriminator from its first layer's answers on."""
        from torch.nn.functional import leaky_relu, linear

        out = first
        for layer, drop in zip(self.layers[1:], drops, strict=True):
            weight = layer.weight.detach() if frozen else layer.weight
            bias = layer.bias.detach() if frozen else layer.bias
            out = linear(leaky_relu(out, SLOPE) * drop, weight, bias)
        return out

    def _steepness(self, first: torch.Tensor) -> torch.Tensor:
        """The mean squared gap between 1 and the length of the discriminator's gradient.

        first: (packs, width) answers of the first layer where the gradient is taken. The
        discriminator is linear between its kinks, so its gradient is a product of its weights, and
        a single backward pass gives the penalty's own gradient. Gulrajani et al. 2017 (arXiv
        1704.00028), section 4.
        """
        import torch

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
        import torch
        from torch.nn.functional import cross_entropy, linear

        pick, level, question = self.ask()
        logits, fake = self.forge(question)
        packed = fake.view(len(pick) // self.told.pack, -1)
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

    def settle(self) -> dict[str, np.ndarray]:
        """The generator's weights, its batch norms written into its linear layers."""
        import torch

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
        return found


@dataclass(frozen=True, eq=False)
class CTGANSampler(NetSampler):
    """A trained CTGAN generator: weights, modes, and how often each level was in the records."""

    name: ClassVar[str] = "ctgan"

    def answer(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shares = self.weights["asked.shares"]
        x = rng.standard_normal((rows, self._noise), dtype=np.float32)
        question = np.zeros((rows, len(shares)), dtype=np.float32)
        if len(shares):
            question[np.arange(rows), self._ask(rows, rng)] = 1
        x = np.concatenate([x, question], axis=1)
        widths = depth(self.weights, "g")
        for i in range(len(widths) - 1):
            x = np.concatenate([np.maximum(self.layer(f"g{i}", x), 0), x], axis=1)
        out = self.layer(f"g{len(widths) - 1}", x)
        s = len(self.table.numbers)
        return np.tanh(out[:, :s]), out[:, s:]

    @property
    def _picks(self) -> np.ndarray:
        _, hidden = self.table.hidden_by
        return np.flatnonzero((self.table.kind != MODE) & (hidden < 0))

    @property
    def _noise(self) -> int:
        return self.weights["g0.weight"].shape[1] - len(self.weights["asked.shares"])

    def _ask(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        """(rows,) which option each row is asked for."""
        width = self.table.width[self._picks]
        begin = np.cumsum(width) - width
        chosen = rng.integers(len(width), size=rows)
        shares = self.weights["asked.shares"].astype(np.float64)
        out = np.empty(rows, dtype=np.int64)
        for c in np.unique(chosen):
            own = shares[begin[c] : begin[c] + width[c]]
            mine = chosen == c
            out[mine] = begin[c] + rng.choice(width[c], size=mine.sum(), p=own / own.sum())
        return out

    def check(self) -> None:
        widths = depth(self.weights, "g")
        asked = int(self.table.width[self._picks].sum())
        shares = self.weights.get("asked.shares")
        if len(widths) < 2 or shares is None or shares.shape != (asked,) or (shares < 0).any():
            raise damaged("its weights do not fit its table")
        begins = np.cumsum(self.table.width[self._picks]) - self.table.width[self._picks]
        if asked and (np.add.reduceat(shares, begins) <= 0).any():
            raise damaged("its levels never occur")
        came = self.weights["g0.weight"].shape[-1]
        if came <= asked or widths[-1] != self.table.dim:
            raise damaged("its weights do not fit its table")
        wanted: dict[str, tuple[int, ...]] = {"asked.shares": (asked,)}
        for i, width in enumerate(widths):
            wanted |= {f"g{i}.weight": (width, came), f"g{i}.bias": (width,)}
            came += width
        self.shapes(wanted)


__all__ = ["CTGAN"]
