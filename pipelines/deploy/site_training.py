"""A hospital's local training: from weights that nobody vouches for, on its own records alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from pipelines.deploy.messages import Body
from pipelines.deploy.refused import Refused, Remembered
from pipelines.deploy.self_check import has_bins, withhold
from pipelines.deploy.site_data import SiteData, client_stream
from pipelines.deploy.site_state import SiteState
from pipelines.deploy.terms import RunTerms
from pipelines.federated.kernel import Plan
from pipelines.federated.local import Trainer
from pipelines.federated.network import Network

LARGEST_WEIGHT = 1e6
"""No weight that a coordinator sends may be larger: such a network saturates, and its gradients say
whatever the sender wants of single records."""


TRIES = 3
"""How often a round is trained whose update is held back. Each time tells whether it was: one bit
of the records, and with other weights another one."""


class Training:
    """The network of a run and a trainer on this hospital's records.

    Args:
        name: Of this hospital.
        network: What is trained, of this method and these records.
        plan: The method's, checked for as many hospitals as are on the roster.
        x: (n, width) float32, the records as the network reads them.
    """

    def __init__(self, terms: RunTerms, name: str, data: SiteData) -> None:
        self._terms, self._name = terms, name
        method: Any = data.method
        self.plan: Plan = method._plan(data.trained)
        self.plan.check(len(terms.roster))
        self.network: Network = method.make_network(data.trained)
        self.x: np.ndarray = method.encode(data.trained)
        self._trainer = Trainer(
            self.network,
            self.x,
            data.trained.y,
            [np.arange(len(self.x))],
            [client_stream(terms, name)],
            self.plan.private,
            np.array([data.count], dtype=np.float64),
        )

    def train(self, body: Body, state: SiteState) -> Body:
        """One round; nothing of the state changes where it is refused.

        Raises:
            Refused: An update asked for in another way than agreed, weights that are none, training
                that diverged, or an update that hands over many rows as they stand.
        """
        protected = bool(self.plan.protect.name)
        if body["protected"] is not protected:
            raise Refused(
                "unsafe",
                "an update asked for in the open" if protected else "an update asked for in a sum",
                "the terms say otherwise",
            )
        if state.held == body["round"] and state.tries >= TRIES:
            raise Refused(
                "unsafe",
                f"the round {body['round']} once more",
                f"its update was held back {TRIES} times, and each try tells something",
                "take more rows a step or fewer hidden units, in a run of another name",
            )
        weights = self.read_weights(body["weights"])
        rng = self._stream(state)
        self._trainer.rngs = [rng]
        self._trainer.left = [state.left.copy()]
        try:
            sent, loss = self._make_update(weights)
        except Refused as error:
            state.tries = 1 + (state.tries if state.held == body["round"] else 0)
            state.held = body["round"]
            raise Remembered(error.code, error.what, error.because, error.fix) from None
        state.left = self._trainer.left[0]
        if self._terms.seed is not None:
            state.rng = json.dumps(rng.bit_generator.state)
        state.update, state.updated = sent.astype(np.float64), body["round"]
        state.trained_on = hashlib.sha256(weights.tobytes()).hexdigest()
        state.trained += 1
        if protected:
            return {"round": body["round"]}
        state.received = sent
        made: Body = {"round": body["round"], "update": sent.tobytes()}
        if self.plan.private is None:
            made["loss"] = loss
        return made

    def _make_update(self, weights: np.ndarray) -> tuple[np.ndarray, float]:
        """(p,) float32 that may be sent, and the loss before."""
        from pipelines.learners._training import one_thread

        if self.plan.private is None and has_bins(self.network, weights, self.x):
            raise Refused(
                "unsafe",
                "weights that sort records into bins along one direction",
                "sums of a few units of the update would each be one record",
                "ask the coordinator where these weights came from",
            )
        with one_thread():
            loss = self._loss(weights)
            (update,) = self._trainer.train(weights[None], np.array([0]), self.plan.recipe)
        if not np.isfinite(update).all():
            raise Refused(
                "diverged",
                "an update that is not finite",
                "the training here diverged",
                "use a smaller rate",
            )
        return self._withhold(update.astype("<f4")), loss

    def _withhold(self, update: np.ndarray) -> np.ndarray:
        """The update without the units that would hand over a row; Refused where those are many.

        Under a seed nothing is left out, so that the run stays the simulation's. Under noise there
        is nothing to read, and what is sent may not hang on a single record.
        """
        if self.plan.private is not None:
            return update
        made, too_many = withhold(self.network, update, self.x, self._trainer.drawn)
        if too_many:
            raise Refused(
                "unsafe",
                f"an update of which {too_many} units hand over a row as it stands",
                "the weights that came, or too few records a step, leave units to one record each",
                "ask the coordinator where these weights came from; or take more rows a step",
            )
        return update if self._terms.seed is not None else made

    def read_weights(self, raw: bytes) -> np.ndarray:
        """(p,) float32 of this network; Refused for what is none."""
        size = self.network.size
        if len(raw) != 4 * size:
            raise Refused(
                "bad_weights", f"{len(raw)} bytes of weights", f"{size} numbers take 4 bytes each"
            )
        weights = np.frombuffer(raw, "<f4").astype(np.float32)
        if not np.isfinite(weights).all() or np.abs(weights).max(initial=0) > LARGEST_WEIGHT:
            raise Refused(
                "bad_weights",
                "weights that are not finite, or far too large",
                "training on them tells of single records and of nothing else",
            )
        return weights

    def _stream(self, state: SiteState) -> np.random.Generator:
        """A new secret stream, or the simulation's where it was."""
        rng = client_stream(self._terms, self._name)
        if self._terms.seed is not None and state.rng:
            rng.bit_generator.state = json.loads(state.rng)
        return rng

    def _loss(self, weights: np.ndarray) -> float:
        """Mean log loss of the weights that came, to four digits."""
        import torch

        with torch.no_grad():
            logits = self.network.forward(torch.from_numpy(weights), self._trainer.x)
            loss = float(torch.nn.functional.cross_entropy(logits, self._trainer.y))
        return float(f"{loss:.4g}") if np.isfinite(loss) else 0.0


__all__ = ["LARGEST_WEIGHT", "Training"]
