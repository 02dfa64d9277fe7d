"""How many patients' rows can a server read out of one update? By batch size and local steps.

    python benchmarks/inversion.py [--rows 96] [--hidden 64] [--out FILE.md]

Stays come from the embedded demo (generated, no patients) in the public encoding; each client holds
one batch and takes full-batch SGD steps from a fresh network. Three readings of the same updates:
division alone (Phong et al. 2017), with the span taken apart (SPEAR) and with optimisation too;
beside them, graded the same way, random real records and the usual record; then the updates masked
as under a secure sum. Intervals are 95 % (Wilson, patients as clusters).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.federated.encode import PublicEncoding
from pipelines.federated.network import Network, record_gradients
from pipelines.tasks.mortality import Mortality
from privaudit import stats
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.contracts import Exchange, Release, Target
from privaudit.records import Records, Split
from privaudit.results import Estimate
from privaudit.seeds import Seeds

READINGS = {
    "division": GradientInversion(few=0),
    "and span": GradientInversion(restarts=0),
    "and optimisation": GradientInversion(),
}


def exchange(members: Records, batch: int, steps: int, hidden: int, rate: float = 0.05) -> Exchange:
    """One round of clients that each train on one batch of the members."""
    encoding = PublicEncoding(members.columns)
    network = Network((encoding.width, hidden, 2))
    sent = network.start(Seeds(3).rng("start"))
    z, y = encoding.encode(members), members.y
    clients = len(members) // batch
    updates = []
    for client in range(clients):
        own = slice(client * batch, (client + 1) * batch)
        now = sent.copy()
        for _ in range(steps):
            now = now - rate * record_gradients(network.widths, now, z[own], y[own]).mean(axis=0)
        updates.append((now - sent).astype(np.float32))
    return Exchange(
        (sent,),
        (np.stack(updates),),
        np.arange(clients),
        np.full(clients, batch),
        network.widths,
        encoding.encode,
        rate,
        steps,
        batch,
        holder=np.arange(len(members)) // batch,
    )


def shown(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.0%} ({estimate.low:.0%}-{estimate.high:.0%})"


def measure(name: str, attack: GradientInversion, release: Release, split: Split) -> list[str]:
    start = time.process_time()
    evidence = attack.run(Target(release, split), (), Seeds(5).rng(name))
    seconds = time.process_time() - start
    found = {str(e.metric): e for e in stats.estimates(evidence, rng=Seeds(5).rng("stats"))}
    cells = ("attack_rate@cells", "guess_rate@cells", "control_rate@cells")
    return [
        name,
        shown(found["attack_rate@exact rows"]),
        shown(found["guess_rate@exact rows"]),
        *(shown(found[key]) for key in cells),
        f"{seconds:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepared = Mortality().prepare(None, Path(folder), lambda *_: None)
    split = Split.assign(prepared.records, Seeds(1).rng("split"))
    split = replace(split, members=split.members.take(slice(0, options.rows)))
    lines = [
        f"{prepared.source}: {len(split.members)} members' stays, hidden width {options.hidden}",
        "",
        "| batch | steps | reading | exact rows | random rows, exact | cells | random rows, cells "
        "| better of usual and random, cells | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for batch in options.batches:
        for steps in options.steps:
            plain = exchange(split.members, batch, steps, options.hidden)
            jobs = [(name, attack, plain) for name, attack in READINGS.items()]
            bits = Seeds(7).rng("mask", batch).integers(-(2**31), 2**31, plain.updates[0].shape)
            masked = replace(
                plain, updates=((bits / 2**20).astype(np.float32),), protected="secure_sum"
            )
            jobs.append(("masked, all three", GradientInversion(), masked))
            for name, attack, one in jobs:
                cells = measure(name, attack, Release(updates=one), split)
                lines.append("| " + " | ".join([str(batch), str(steps), *cells]) + " |")
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
