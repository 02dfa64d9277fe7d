"""SplitFed: split learning with all sites at once; their layers are averaged every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from pipelines.methods._split_parties import Part
from pipelines.methods._split_training import Session, SplitTraining
from privaudit.contracts import Release


@dataclass(frozen=True)
class Splitfed(SplitTraining):
    """Every site trains with the server at the same time; an averaging server merges their layers.

    Each epoch starts from the averaged layers, weighted by records. Optimisers stay where they are.
    The other fields are those of `split_learning`. costs: bytes_up and bytes_down count the layers
    sent to the averaging server and back as well; rounds are epochs. Thapa et al. 2022 (arXiv
    2004.12088), algorithms 1 and 2.

    Args:
        main: What the main server does with several sites at once: "averaged" keeps a copy a site
            and averages the copies, too (SplitFedV1), "sequential" updates one network with their
            batches in random order (SplitFedV2).
    """

    rate: float = 0.004
    decay: float = 5.0
    epochs: int = 12
    main: Literal["averaged", "sequential"] = "averaged"

    def run(self, session: Session, rng: np.random.Generator) -> Release:
        clients, wire = session.clients, session.wire
        share = np.array([len(client.rows) for client in clients]) / len(session.members)
        servers = [session.server(rng.spawn(1)[0])]
        if self.main == "averaged":
            servers += [session.server(rng.spawn(1)[0]) for _ in clients[1:]]
        for epoch in range(self.epochs):
            session.tap.epoch = epoch
            batches = [client.batches(self.rows) for client in clients]
            for turn in range(max(map(len, batches))):
                for k in rng.permutation(len(clients)):
                    if turn < len(batches[k]):
                        server = servers[k % len(servers)]
                        self.shape.step(clients[k], server, batches[k][turn], wire, session.tap)
            for held in zip(*(client.parts for client in clients), strict=True):
                sent = [[wire.up(w) for w in part.weights] for part in held]
                merged = _mean(sent, share)
                for part in held:
                    part.take([wire.down(w) for w in merged])
            if len(servers) > 1:
                _average([server.part for server in servers], share)
        return session.release(
            clients[0],
            servers[0],
            rounds=self.epochs,
            trust=(
                ("averaging server", "a site's layers", "yes: sent after every epoch"),
                ("other sites", "a site's layers", "only averaged with the others'"),
            ),
            notes=("All sites train at once; their layers are averaged after every epoch.",),
        )


def _average(parts: list[Part], share: np.ndarray) -> None:
    merged = _mean([[w.detach() for w in part.weights] for part in parts], share)
    for part in parts:
        part.take(merged)


def _mean(sent: list[list[torch.Tensor]], share: np.ndarray) -> list[torch.Tensor]:
    """Weighted means, layer by layer, summed in float64."""
    weight = torch.from_numpy(share)
    return [
        torch.tensordot(weight, torch.stack(same).double(), dims=1).float()
        for same in zip(*sent, strict=True)
    ]


__all__ = ["Splitfed"]
