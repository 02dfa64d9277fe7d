"""Sixteen private refits of the small network: our batched program beside Opacus, one thread each.

    python benchmarks/dp_vs_opacus.py [--models 16] [--patients 7000]

Generated stays; every model is trained on its own half of the pool, as a membership attack's refits
are, with one sampling rate, noise multiplier, clip, start, optimiser, schedule and number of steps
on both sides. Opacus is run as its tutorials run it (PrivacyEngine, Poisson loader, per-sample
hooks), with its ghost clipping, and once more with hooks but without its loader (index-sliced
Poisson batches). CPU seconds of the training alone, imports and accounting apart. Epsilon is what
each side's own accountant says.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from opacus import GradSampleModule, PrivacyEngine
from opacus.accountants import PRVAccountant
from opacus.optimizers import DPOptimizer
from sklearn.metrics import roc_auc_score

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import Network
from pipelines.methods._dp_training import _start
from pipelines.methods.dp_sgd import DPSGD
from pipelines.tasks.mortality import Mortality
from privaudit.records import Records
from privaudit.seeds import Seeds

Layers = torch.nn.Sequential


def start(network: Network, rng: np.random.Generator) -> Layers:
    """Our start as a torch module."""
    parts = network.unpack(torch.from_numpy(_start(network, rng)))
    layers: list[torch.nn.Module] = []
    for i in range(0, len(parts), 2):
        layer = torch.nn.Linear(parts[i].shape[1], parts[i].shape[0])
        layer.weight.data, layer.bias.data = parts[i].clone(), parts[i + 1].clone()
        layers += [layer, torch.nn.ReLU()]
    return Layers(*layers[:-1])


def cosine(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
    )


def engine(mode: str) -> Callable[..., tuple[Layers, float]]:
    """Opacus as documented: PrivacyEngine.make_private over a DataLoader."""

    def fit(
        module: Layers, x: torch.Tensor, y: torch.Tensor, method: DPSGD, sigma: float, delta: float
    ) -> tuple[Layers, float]:
        data = torch.utils.data.TensorDataset(x, y)
        loader = torch.utils.data.DataLoader(data, batch_size=round(len(x) * method.sampling))
        privacy = PrivacyEngine(accountant="prv")
        optimizer = torch.optim.Adam(module.parameters(), lr=method.rate)
        made = privacy.make_private(
            module=module,
            optimizer=optimizer,
            data_loader=loader,
            noise_multiplier=sigma,
            max_grad_norm=method.clip,
            grad_sample_mode=mode,
            **({"criterion": torch.nn.CrossEntropyLoss()} if mode == "ghost" else {}),
        )
        trained, private = made[0], made[1]
        loss = made[2] if mode == "ghost" else torch.nn.CrossEntropyLoss()
        batches = made[-1]
        schedule = cosine(private, method.steps)
        done = 0
        while done < method.steps:
            for xb, yb in batches:
                if done == method.steps:
                    break
                private.zero_grad()
                loss(trained(xb), yb).backward()
                private.step()
                schedule.step()
                done += 1
        return trained, delta

    return fit


def lean(
    module: Layers, x: torch.Tensor, y: torch.Tensor, method: DPSGD, sigma: float, delta: float
) -> tuple[Layers, float]:
    """Opacus' hooks and optimizer over batches sliced by index: no loader in the way."""
    trained = GradSampleModule(module, loss_reduction="sum")
    private = DPOptimizer(
        torch.optim.Adam(trained.parameters(), lr=method.rate),
        noise_multiplier=sigma,
        max_grad_norm=method.clip,
        expected_batch_size=1,
        loss_reduction="sum",
    )
    schedule = cosine(private, method.steps)
    for _ in range(method.steps):
        rows = torch.nonzero(torch.rand(len(x)) < method.sampling)[:, 0]
        private.zero_grad()
        loss = torch.nn.functional.cross_entropy(trained(x[rows]), y[rows], reduction="sum")
        loss.backward()
        private.step()
        schedule.step()
    return trained, delta


def even(records: Records, tenth: int) -> Records:
    return records.take(slice(0, len(records) // tenth * tenth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--patients", type=int, default=7000)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "privaudit")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)

    records = Mortality(patients=args.patients).prepare(None, args.cache, lambda *_: None).records
    seeds, method = Seeds(11), DPSGD()
    order = seeds.rng("order").permutation(len(records))
    test, pool = records.take(order[:600]), even(records.take(order[600:]), 20)
    halves = [
        pool.take(np.sort(seeds.rng("half", k).permutation(len(pool))[: len(pool) // 2]))
        for k in range(args.models)
    ]
    print(f"{args.models} models, {len(halves[0])} stays each, {len(records.columns)} columns")

    method.fit(halves[0], seeds.rng("warm"))  # imports and the accountant's answer, for both
    began = time.process_time()
    releases = method.fit_many(halves, [seeds.rng("fit", k) for k in range(args.models)])
    ours = time.process_time() - began
    step = releases[0].claim.mechanisms[0]
    delta = releases[0].claim.delta
    areas = [roc_auc_score(test.y, r.model.predict_proba(test)[:, 1]) for r in releases]  # type: ignore[union-attr]
    report("privaudit, batched", ours, ours, areas, releases[0].claim.epsilon or 0, delta)

    accountant = PRVAccountant()
    accountant.history = [(step.scale, step.sampling, step.times)]
    epsilon = float(accountant.get_epsilon(delta))
    encoding = PublicEncoding(records.columns)
    network = Network((encoding.width, method.hidden, 2))
    held = torch.from_numpy(encoding.encode(test))
    peers = {
        "Opacus, hooks": engine("hooks"),
        "Opacus, ghost clipping": engine("ghost"),
        "Opacus, hooks without its loader": lean,
    }
    for name, fit in peers.items():
        areas, spent = [], 0.0
        for k, half in enumerate(halves):
            module = start(network, seeds.rng("fit", k))
            began = time.process_time()
            x, y = torch.from_numpy(encoding.encode(half)), torch.from_numpy(half.y)
            trained, _ = fit(module, x, y, method, step.scale, delta)
            spent += time.process_time() - began
            with torch.no_grad():
                logits = trained(held)
            areas.append(roc_auc_score(test.y, (logits[:, 1] - logits[:, 0]).numpy()))
        report(name, spent, ours, areas, epsilon, delta)


def report(
    name: str, spent: float, ours: float, areas: list[float], epsilon: float, delta: float
) -> None:
    error = 1.96 * float(np.std(areas, ddof=1)) / math.sqrt(len(areas))
    print(
        f"{name:34s} {spent:7.2f} CPU s  {spent / ours:5.1f} x  AUROC {np.mean(areas):.3f} "
        f"+- {error:.3f}  epsilon {epsilon:.3f} at delta {delta:g}",
        flush=True,
    )


if __name__ == "__main__":
    main()
