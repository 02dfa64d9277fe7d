"""The peer of federated_vs_flower.py: the same federation in Flower's simulation engine.

    PEER_INPUT=INPUT.npz PYTHONPATH=benchmarks python -m flower_peer OUTPUT.npz

Runs in an environment of its own with flwr[simulation] and torch, and imports nothing of this
project. INPUT: x, y, holder, test, start, and rounds, steps, batch, rate. OUTPUT: p, the answers on
the test rows; seconds, from the call of run_simulation to its end; version.
"""

from __future__ import annotations

import os
import sys
import time

import flwr
import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

# Ray's workers import this module once each, so that no message carries the data.
given = dict(np.load(os.environ["PEER_INPUT"]))
SETTINGS = {name: given[name].item() for name in ("hidden", "rounds", "steps", "batch", "rate")}
LAST: dict[str, list[np.ndarray]] = {}


def network(weights: list[np.ndarray]) -> torch.nn.Sequential:
    made = torch.nn.Sequential(
        torch.nn.Linear(given["x"].shape[1], SETTINGS["hidden"]),
        torch.nn.ReLU(),
        torch.nn.Linear(SETTINGS["hidden"], 2),
    )
    with torch.no_grad():
        for part, value in zip(made.parameters(), weights, strict=True):
            part.copy_(torch.from_numpy(value.copy()))
    return made


class Hospital(NumPyClient):
    """One hospital: some steps of plain gradient descent a round."""

    def __init__(self, client: int) -> None:
        torch.set_num_threads(1)
        rows = np.flatnonzero(given["holder"] == client)
        self.x, self.y = torch.from_numpy(given["x"][rows]), torch.from_numpy(given["y"][rows])
        self.client = client

    def fit(self, parameters: list[np.ndarray], config: dict) -> tuple:
        model = network(parameters)
        step = torch.optim.SGD(model.parameters(), lr=SETTINGS["rate"])
        rng = np.random.default_rng([self.client, int(config["round"])])
        order = torch.from_numpy(rng.permutation(len(self.x)))
        size = min(SETTINGS["batch"], len(self.x))
        for i in range(SETTINGS["steps"]):
            rows = order[np.arange(i * size, (i + 1) * size) % len(order)]
            step.zero_grad()
            torch.nn.functional.cross_entropy(model(self.x[rows]), self.y[rows]).backward()
            step.step()
        return [p.detach().numpy() for p in model.parameters()], len(self.x), {}


class Keeping(FedAvg):
    """FedAvg that keeps the last weights."""

    def aggregate_fit(self, server_round, results, failures):
        if failures:
            raise RuntimeError(f"{len(failures)} clients failed")
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        LAST["weights"] = parameters_to_ndarrays(parameters)
        return parameters, metrics


def client_fn(context: Context):
    return Hospital(int(context.node_config["partition-id"])).to_client()


def server_fn(context: Context) -> ServerAppComponents:
    clients = int(given["holder"].max()) + 1
    width, hidden, flat = given["x"].shape[1], SETTINGS["hidden"], given["start"]
    shapes = [(hidden, width), (hidden,), (2, hidden), (2,)]
    ends = np.cumsum([np.prod(s) for s in shapes])[:-1]
    parts = [p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True)]
    strategy = Keeping(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        on_fit_config_fn=lambda number: {"round": number},
        initial_parameters=ndarrays_to_parameters(parts),
    )
    return ServerAppComponents(
        strategy=strategy, config=ServerConfig(num_rounds=SETTINGS["rounds"])
    )


def main(output: str) -> None:
    begin = time.perf_counter()
    run_simulation(
        server_app=ServerApp(server_fn=server_fn),
        client_app=ClientApp(client_fn=client_fn),
        num_supernodes=int(given["holder"].max()) + 1,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        p = torch.softmax(network(LAST["weights"])(torch.from_numpy(given["test"])), 1)[:, 1]
    np.savez(output, p=p.numpy(), seconds=seconds, version=flwr.__version__)


if __name__ == "__main__":
    import flower_peer

    flower_peer.main(sys.argv[1])
