"""The client of `nvflare_peer.py`: NVFlare's own client API, the same steps as ours."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import nvflare.client as flare
import torch
from torch import nn


class Net(nn.Module):
    """One hidden layer, as in `pipelines.federated.network`."""

    def __init__(self, width: int = 273, hidden: int = 64) -> None:
        super().__init__()
        # The recipe makes the server's network again from attributes of these names.
        self.width, self.hidden = width, hidden
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of both classes."""
        scores: torch.Tensor = self.layers(x)
        return scores


def main() -> None:
    """Train until the server has no more rounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    flare.init()
    name = flare.get_site_name()
    with np.load(options.folder / f"{name}.npz", allow_pickle=False) as kept:
        x, y = torch.from_numpy(kept["x"]), torch.from_numpy(kept["y"])
    net, rng = Net(x.shape[1]), np.random.default_rng(7)
    order = rng.permutation(len(x))
    while flare.is_running():
        received = flare.receive()
        with (options.folder / f"{name}.times").open("a") as out:
            out.write(f"{time.time()}\n")
        net.load_state_dict({k: torch.as_tensor(v) for k, v in received.params.items()})
        step = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(10):
            if len(order) < 32:
                order = np.append(order, rng.permutation(len(x)))
            batch, order = order[:32], order[32:]
            step.zero_grad()
            nn.functional.cross_entropy(net(x[batch]), y[batch]).backward()
            step.step()
        flare.send(
            flare.FLModel(
                params={k: v.numpy() for k, v in net.state_dict().items()},
                meta={"NUM_STEPS_CURRENT_ROUND": len(x)},
            )
        )


if __name__ == "__main__":
    main()
