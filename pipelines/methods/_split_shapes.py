"""Where the outcomes stay in split learning, and what is written down of the traffic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

from pipelines.methods._split_parties import Client, Server, Wire
from privaudit.contracts import CutTraffic

RECORDED = 1 << 14
"""Records' traffic kept of an epoch: 16,384 x 64 numbers up and down are 8 MB."""


@dataclass
class Tap:
    """What the server sees at the cut, written down in the first and the last epoch.

    Args:
        every: Of every so many batches one is kept, so that no epoch holds much more than
            `RECORDED` records.
    """

    epochs: int
    every: int
    batches: list[dict[str, np.ndarray]] = field(default_factory=list)
    epoch: int = 0
    step: int = 0

    def note(self, rows: np.ndarray, **message: torch.Tensor | None) -> None:
        """One batch, once its gradients are back. A message that does not exist is None."""
        step, self.step = self.step, self.step + 1
        if self.epoch not in (0, self.epochs - 1) or step % self.every:
            return
        found = {k: m.detach().numpy().copy() for k, m in message.items() if m is not None}
        same = np.ones(len(rows), dtype=np.int64)
        self.batches.append(
            {**found, "row": rows, "batch": step * same, "epoch": self.epoch * same}
        )

    def traffic(self, ask: object) -> CutTraffic:
        joined = {k: np.concatenate([part[k] for part in self.batches]) for k in self.batches[0]}
        labels = joined.get("labels")
        return CutTraffic(
            smashed=joined["smashed"],
            gradients=joined["gradients"],
            labels=None if labels is None else labels.astype(np.int64),
            batch=joined["batch"],
            epoch=joined["epoch"],
            row=joined["row"],
            returned=joined.get("returned"),
            ask=ask,  # type: ignore[arg-type]
        )


class Shape(ABC):
    """Who holds the end of the network. Subclasses are frozen dataclasses."""

    label: ClassVar[str]
    at_site: ClassVar[int]
    """Layers at the end of the network that stay with the sites."""

    @abstractmethod
    def step(self, client: Client, server: Server, index: np.ndarray, wire: Wire, tap: Tap) -> None:
        """One batch through the whole network and back."""

    @property
    @abstractmethod
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        """Rows for `Release.trust`."""


@dataclass(frozen=True)
class Vanilla(Shape):
    """The server holds the end of the network, and is sent every outcome.

    Gupta and Raskar 2018 (arXiv 1810.06060), section 3.1; Vepakomma et al. 2018 (arXiv 1812.00564).
    """

    label: ClassVar[str] = "vanilla"
    at_site: ClassVar[int] = 0

    def step(self, client: Client, server: Server, index: np.ndarray, wire: Wire, tap: Tap) -> None:
        smashed, labels = wire.up(client.forward(index)), wire.up(client.labels(index))
        gradient = wire.down(server.learn(smashed, labels))
        client.backward(gradient)
        tap.note(client.rows[index], smashed=smashed, gradients=gradient, labels=labels)

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return (
            ("server", "a site's records", "not sent; activations are, see split_inversion"),
            ("server", "a site's outcomes", "yes: sent with every batch"),
        )


@dataclass(frozen=True)
class UShaped(Shape):
    """The sites also hold the last layer, so that no outcome is sent: gradients are, in its place,
    and they give the outcomes away (see `label_leakage`).

    Vepakomma et al. 2018 (arXiv 1812.00564), figure 2(b).
    """

    label: ClassVar[str] = "U-shaped"
    at_site: ClassVar[int] = 1

    def step(self, client: Client, server: Server, index: np.ndarray, wire: Wire, tap: Tap) -> None:
        smashed = wire.up(client.forward(index))
        features = wire.down(server.forward(smashed))
        returned = wire.up(client.finish(features, index))
        gradient = wire.down(server.backward(returned))
        client.backward(gradient)
        tap.note(client.rows[index], smashed=smashed, gradients=gradient, returned=returned)

    @property
    def trust(self) -> tuple[tuple[str, str, str], ...]:
        return (
            ("server", "a site's records", "not sent; activations are, see split_inversion"),
            (
                "server",
                "a site's outcomes",
                "not sent as such; readable from the gradients, see label_leakage",
            ),
        )
