"""Split learning: sites keep the first layers, a server the rest; outcomes are sent to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.methods._split_training import Session, SplitTraining
from privaudit.contracts import Release


@dataclass(frozen=True)
class SplitLearning(SplitTraining):
    """Sites take turns at training one network with a server; records never leave a site.

    A site sends the activations of its layers, gets gradients back, and after each turn hands its
    layers and their optimiser to the next site. It brings its own network, so it is composed with
    no learner. sites: how records fall to sites, see `pipelines.federated.sites`; shape:
    `Vanilla()`, where outcomes are sent to the server, or `UShaped()`, where they stay; defence:
    what is done to the numbers at the cut: `NoDefence()`, `NoiseOnSmashed(scale)`,
    `EqualNorms(times)`, `MaxNorm()`; trunk: what a site computes, `Dense(width)` on the summary
    columns or `Recurrent(units)` on the hourly series; hidden: widths of the layers between the cut
    and the last layer; rate, decay: AdamW's; rows: of a batch; epochs: turns of each site. The
    encoding is public: no statistic of any record is shared.

    costs: bytes_up and bytes_down cross the cut, bytes_between_sites are handed over; rounds are
    epochs, exchanges are batches.  Gupta and Raskar 2018 (arXiv 1810.06060), section 3.

    Raises:
        PrivauditError: For fewer than two sites with records and for outcomes of one class.
    """

    def run(self, session: Session, rng: np.random.Generator) -> Release:
        server = session.server(rng.spawn(1)[0])
        holder = session.clients[0]
        for epoch in range(self.epochs):
            session.tap.epoch = epoch
            for client in session.clients:
                if client is not holder:
                    for mine, theirs in zip(client.parts, holder.parts, strict=True):
                        mine.load(session.wire.across(theirs.state()))
                    holder = client
                for index in client.batches(self.rows):
                    self.shape.step(client, server, index, session.wire, session.tap)
        return session.release(
            holder,
            server,
            rounds=self.epochs,
            trust=(
                ("server", "the layers below the cut", "only once it is given the joint model"),
                ("other sites", "a site's activations", "no"),
                ("other sites", "the layers it trained", "yes: handed on after every turn"),
            ),
            notes=("Sites take turns; the layers below the cut are handed from site to site.",),
        )


__all__ = ["SplitLearning"]
