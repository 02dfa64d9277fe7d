"""Four hospitals as processes over TLS, beside the simulation and beside NVFlare's own FedAvg.

    python benchmarks/federation.py DATA [--rounds 20] [--methods federated federated_secure]
        [--peer] [--keep FOLDER]

DATA: Challenge 2012. Its four kinds of intensive care unit are the hospitals, each with a folder of
its own. A coordinator and the hospitals are provisioned, joined and run by the verbs of `privaudit
federation`, with a seed, so that the simulation can be trained on the same rows with the same
streams. Prints, for each method: AUROC on the held-out patients of all hospitals, deployed and
simulated; the largest difference between two weights; seconds a round; bytes of a hospital; memory.
As root on Linux every party has a network of its own and its bytes are counted on the wire. Exits
with 1 where AUROC differ by more than 1e-4, or weights by more than 1e-5.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "deploy" / "net"))

from net_federation import Federation, named, wait  # noqa: E402
from net_memory import Memory  # noqa: E402
from net_places import Places, why_not  # noqa: E402
from net_recorder import Recorder  # noqa: E402

from pipelines.deploy.terms import RunTerms  # noqa: E402
from pipelines.federated.encode import PublicEncoding  # noqa: E402
from pipelines.federated.kernel import Job, federate, streams  # noqa: E402
from privaudit.records import Records  # noqa: E402

UNITS = {"1": "ccu", "2": "csru", "3": "micu", "4": "sicu"}
SEED = 7


def divide(data: Path, folder: Path) -> dict[str, Path]:
    """Challenge 2012 by kind of unit: one folder a hospital, in the Challenge's own format."""
    outcomes = (data / "Outcomes-a.txt").read_text().splitlines()
    died = {line.split(",")[0]: line for line in outcomes[1:]}
    files: dict[str, list[tuple[str, bytes]]] = {name: [] for name in UNITS.values()}
    with tarfile.open(data / "set-a.tar.gz") as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isfile() else None
            if opened is None or not member.name.endswith(".txt"):
                continue
            content = opened.read()
            unit = content.split(b"ICUType,", 1)[1].split(b"\n", 1)[0].strip().decode()
            files[UNITS[unit]].append((member.name, content))
    made = {}
    for name, own in files.items():
        made[name] = folder / f"data-{name}"
        made[name].mkdir()
        with tarfile.open(made[name] / "set-a.tar.gz", "w:gz", compresslevel=1) as archive:
            for path, content in own:
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        lines = [died[Path(path).stem] for path, _ in own]
        (made[name] / "Outcomes-a.txt").write_text("\n".join([outcomes[0], *lines]) + "\n")
    return made


@contextmanager
def own_network(hospitals: tuple[str, ...]) -> Iterator[Places | None]:
    """A machine for each party where this can be had, else None: everybody on the loopback."""
    if why_not():
        yield None
        return
    places = Places([*hospitals, "operator"])
    try:
        yield places
    finally:
        places.close()


def simulate(terms: RunTerms, federation: Federation) -> tuple[np.ndarray, float, Any]:
    """The same federation in this process: weights, seconds a round, and the network's reader."""
    from pipelines.deploy.site_data import open_data

    _, method = terms.build()
    parts = [open_data(federation.home(name), terms).trained for name in terms.roster]
    encoding = PublicEncoding(parts[0].columns)
    x = np.concatenate([encoding.encode(part) for part in parts])
    ends = np.cumsum([0, *map(len, parts)])
    rows = tuple(np.arange(a, b) for a, b in itertools.pairwise(ends))
    made: Any = method.twin
    network = made.make_network(parts[0])
    own = streams(np.random.default_rng(terms.seed))
    job = Job(x, np.concatenate([p.y for p in parts]), rows, network.start(own["start"]), own)
    begin = time.perf_counter()
    (run,) = federate(made.make_plan(), network, [job])
    return run.weights, (time.perf_counter() - begin) / made.rounds, (encoding, network)


def auroc(weights: np.ndarray, reader: Any, held_out: list[Records]) -> float:
    """On the held-out patients of all hospitals."""
    from sklearn.metrics import roc_auc_score

    from pipelines.federated.network import FlatModel

    encoding, network = reader
    model = FlatModel.of(encoding, network, weights.astype(np.float32))
    answers = np.concatenate([model.predict_proba(part)[:, 1] for part in held_out])
    return float(roc_auc_score(np.concatenate([part.y for part in held_out]), answers))


def deploy(federation: Federation, method: str, rounds: int, wire: Path) -> dict[str, Any]:
    """One run by the command line; what it cost."""
    run = method.replace("_", "-")
    settings = f"{method}.rounds={rounds}"
    recorder = Recorder(federation.places, wire) if federation.places is not None else None
    if recorder is not None:
        recorder.start()
    begin = time.time()
    with Memory(federation) as memory:
        federation.begin(run, method, settings, seed=SEED)
        federation.consent(run)
        wait("the end of the run", 600, lambda: named(federation.events(run), "done"))
    if recorder is not None:
        recorder.stop()
    events = federation.events(run)
    took = [line["seconds"] for line in named(events, "round")]
    first = named(events, "round")[0]["t"]
    sent = {name: federation.sent(name, run) for name in federation.hospitals}
    found = {
        "seconds a round": float(np.median(took)),
        "first round after": first - begin,
        "seconds of all rounds": float(np.sum(took)),
        "bytes of a hospital a round, messages": max(sent.values()) / rounds,
        "memory": memory.most,
    }
    if recorder is not None:
        up = max(recorder.bytes(name, True) for name in federation.hospitals)
        found["bytes of a hospital in all, on the wire"] = up
    return found


def peer(federation: Federation, terms: RunTerms, rounds: int, folder: Path) -> dict[str, Any]:
    """NVFlare's own recipe on the same rows."""
    from pipelines.deploy.site_data import open_data

    folder.mkdir()
    for name in terms.roster:
        own = open_data(federation.home(name), terms).trained
        x = PublicEncoding(own.columns).encode(own)
        np.savez(folder / f"{name}.npz", x=x, y=own.y.astype(np.int64))
    command = [sys.executable, str(HERE / "nvflare_peer.py"), str(folder), "--rounds", str(rounds)]
    if federation.places is not None:
        command = federation.places.command("operator", *command)
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--methods", nargs="*", default=["federated", "federated_secure"])
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="federation-"))
    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(sorted(UNITS.values()))
    wrong = 0
    try:
        shards = divide(options.data, folder)
        with own_network(names) as places:
            federation = Federation(folder, names, places)
            try:
                begin = time.time()
                federation.provision()
                print(f"provisioned and approved: {time.time() - begin:.1f} s", flush=True)
                begin = time.time()
                federation.open(shards, task="mortality")
                print(f"server and {len(names)} hospitals: {time.time() - begin:.1f} s", flush=True)
                rates = {}
                for method in options.methods:
                    wrong += measure(federation, method, options.rounds, rates)
                if options.peer:
                    compare(federation, options, rates)
            finally:
                federation.close()
    finally:
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if wrong else 0


def measure(federation: Federation, method: str, rounds: int, rates: dict[str, float]) -> bool:
    """One method, deployed and simulated; whether they differ."""
    from pipelines.deploy.site_data import open_data

    found = deploy(federation, method, rounds, federation.folder / f"{method}.pcap")
    run = method.replace("_", "-")
    terms = RunTerms.read((federation.coordinator.run(run) / "terms.json").read_text())
    weights = federation.weights(run)
    simulated, seconds, reader = simulate(terms, federation)
    held = [open_data(federation.home(name), terms).split.nonmembers for name in terms.roster]
    ours, other = auroc(weights, reader, held), auroc(simulated, reader, held)
    apart = float(np.abs(weights - simulated).max())
    print(f"\n{method}: {rounds} rounds, {len(weights):,} weights")
    print(f"  AUROC deployed {ours:.5f}, simulated {other:.5f}")
    print(f"  largest difference of two weights {apart:.2e}")
    for name, value in found.items():
        print(f"  {name}: {value if isinstance(value, dict) else f'{value:,.2f}'}")
    print(f"  simulation: {seconds:.3f} s a round", flush=True)
    rates[method] = found["seconds a round"]
    return abs(ours - other) > 1e-4 or apart > 1e-5


def compare(federation: Federation, options: Any, rates: dict[str, float]) -> None:
    """NVFlare's recipe beside what was measured."""
    run = options.methods[0].replace("_", "-")
    terms = RunTerms.read((federation.coordinator.run(run) / "terms.json").read_text())
    found = peer(federation, terms, options.rounds, federation.folder / "peer")
    theirs = found["seconds_a_round"]
    print(f"\nNVFlare's FedAvg recipe, as it comes: {theirs:.2f} s a round")
    for method, seconds in rates.items():
        print(f"  {method}: {seconds:.2f} s a round, ratio {seconds / theirs:.2f}")


if __name__ == "__main__":
    sys.exit(main())
