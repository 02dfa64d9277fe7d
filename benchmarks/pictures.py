"""What the docs say of pictures: AUROC and seconds of the network, decibels of inversion, digits.

    python benchmarks/pictures.py --data MEDMNIST            # AUROC over 5 seeds and CPU seconds
    python benchmarks/pictures.py --data MEDMNIST --inversion
    python benchmarks/pictures.py --digits                   # specialist hospitals, sign flips
    python benchmarks/pictures.py --data MEDMNIST --audit    # CPU seconds of an audit

MEDMNIST is a folder with breastmnist.npz and pneumoniamnist.npz. AUROC is measured on their own
test part, after training on the two others.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from pipelines.federated.front import Pooled, Strided
from pipelines.federated.sites import ByQuantity
from pipelines.learners.cnn import CNN
from pipelines.methods.baseline import Baseline
from pipelines.methods.federated import Federated
from pipelines.methods.federated_robust import FederatedRobust
from pipelines.methods.federated_secure import FederatedSecure
from pipelines.methods.local_only import LocalOnly
from pipelines.tasks.tumour import Tumour
from privaudit.attacks.federated import _picture_inversion
from privaudit.attacks.federated._malicious_clients import SignFlip
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.contracts import Method, Target
from privaudit.records import Records, Split
from privaudit.seeds import Seeds

SETS = {"breastmnist": 156, "pneumoniamnist": 624}
"""Name -> pictures of the test part, which come last."""


def read(data: Path | None, skew: float = 0.8) -> Records:
    return Tumour(skew=skew).prepare(data, Path("unused"), lambda what, share: None).records


def accuracy(method: Method, train: Records, test: Records, stream: str = "fit") -> float:
    model = method.fit(train, Seeds(1).rng(stream)).model
    assert model is not None
    return float(np.mean(model.predict_proba(test).argmax(axis=1) == test.y))


def measure_auroc(data: Path, seeds: int) -> None:
    for name, last in SETS.items():
        every = read(data / f"{name}.npz")
        train = every.take(slice(0, len(every) - last))
        test = every.take(slice(len(every) - last, len(every)))
        begun = time.process_time()
        models = [CNN().fit(train, Seeds(seed).rng("fit")) for seed in range(seeds)]
        spent = (time.process_time() - begun) / seeds
        areas = [roc_auc_score(test.y, m.predict_proba(test)[:, 1]) for m in models]
        each = " ".join(f"{area:.3f}" for area in areas)
        print(f"{name}: AUROC {np.mean(areas):.3f} ({each}), {spent:.1f} CPU s a model", flush=True)


def measure_inversion(data: Path, attempts: int) -> None:
    own = Split.assign(read(data / "breastmnist.npz"), Seeds(1).rng("split"))
    one = {"sites": ByQuantity(10), "rounds": 1, "steps": 1}
    kinds: dict[str, Method] = {
        "strided, 1 picture": Federated(front=Strided(), rows=1, **one),
        "pooled, 1 picture": Federated(front=Pooled(), rows=1, **one),
        "pooled wide, 1 picture": Federated(front=Pooled((16, 32), 5), rows=1, **one),
        "strided, 4 pictures": Federated(front=Strided(), rows=4, **one),
        "strided, secure sum": FederatedSecure(front=Strided(), rows=1, **one),
        "the usual training": Federated(sites=ByQuantity(10)),
    }
    _picture_inversion.ATTEMPTS = attempts
    for name, method in kinds.items():
        target = Target(method.fit(own.members, Seeds(2).rng("fit")), own, method)
        begun = time.process_time()
        (found,) = GradientInversion().run(target, (), Seeds(3).rng("run")).values()
        spent = time.process_time() - begun
        assert found.rebuilt is not None
        print(
            f"{name}: {found.rebuilt.attack.mean():.1f} dB, nearest reference "
            f"{found.rebuilt.control.mean():.1f} dB; told apart {found.success.mean():.2f}, by "
            f"chance {found.control.mean():.2f}; {spent:.1f} CPU s",
            flush=True,
        )


def measure_digits() -> None:
    hostile = SignFlip(clients=2, scale=4.0)
    for skew in (0.8, 0.9):
        every = read(None, skew)
        order = np.random.default_rng(1).permutation(len(every))
        cut = int(0.7 * len(every))
        train, test = every.take(order[:cut]), every.take(order[cut:])
        alone = []
        for site in range(10):
            own = train.take(train.site == site)
            alone.append(accuracy(Baseline(CNN()), own, test))
        print(f"skew {skew}: each hospital alone, on everybody: {np.mean(alone):.3f}", flush=True)
        found = accuracy(LocalOnly(CNN()), train, test)
        print(f"skew {skew}: local_only, each on its own: {found:.3f}", flush=True)
        for name, kind in (("mean", Federated), ("median", FederatedRobust)):
            method = kind(rounds=40)
            clean = accuracy(method, train, test)
            flipped = accuracy(replace(method, malicious=hostile), train, test)
            print(f"skew {skew}: {name} {clean:.3f}, sign flip x4 {flipped:.3f}", flush=True)


def measure_audit(data: Path) -> None:
    from privaudit.engine.configure import request
    from privaudit.engine.profiles import profile
    from privaudit.engine.run import run

    asked = request("tumour", profile("standard"), seed=1, learners=("cnn", "logreg", "mlp"))
    with tempfile.TemporaryDirectory() as out:
        done = run(asked, out=Path(out), data=data / "breastmnist.npz", workers=1)
    print(f"audit of BreastMNIST: {done.audit.manifest.cpu_seconds:.0f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--attempts", type=int, default=10)
    for part in ("inversion", "digits", "audit"):
        parser.add_argument(f"--{part}", action="store_true")
    asked = parser.parse_args()
    if asked.digits:
        measure_digits()
        return
    if asked.data is None:
        parser.error("--data, or --digits")
    if asked.inversion:
        measure_inversion(asked.data, asked.attempts)
    elif asked.audit:
        measure_audit(asked.data)
    else:
        measure_auroc(asked.data, asked.seeds)


if __name__ == "__main__":
    main()
