"""Does every attack find what was planted, and nothing where there is nothing?

    python benchmarks/known_truth.py [--seeds 10] [--attacks lira copies] [--out FILE.csv]

Runs each attack of the catalogue on its two worlds of `known_worlds.py` at several seeds, with its
refits trained as the engine trains them, and reads its evidence as a policy does: a leak is found
where the lower bound of the family's advantage (of the AUC above 0.5 for membership, of epsilon for
bounds on it) lies above chance in any series, at 95 % over all series of the attack. Writes one row
an attack: found and missed of the leaking worlds, false alarms of the clean ones, refusals of
either. `docs/reference/known-truth.csv` is what the site's page of attack classes shows.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent))

from known_worlds import ROOT, WORLDS, Make, World

from privaudit import plugins, stats
from privaudit.contracts import Attack, Fitted, ReadsTable, Scores, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.policy.metrics import METRICS
from privaudit.results import Estimate
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

TABLE = ROOT / "docs" / "reference" / "known-truth.csv"
LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One attack: how often its leak was found of `seeds` runs, and an alarm raised without one."""

    attack: str
    family: str
    leak: str
    clean: str
    seeds: int
    found: int
    missed: int
    false_alarms: int
    refused: int
    cpu_seconds: float


def train(target: Target, attack: Attack, seeds: Seeds) -> list[Fitted]:
    """What the engine does with the attack's refits, equal ones once."""
    done: dict[str, Fitted] = {}
    made = []
    for refit in attack.refits(target, seeds):
        if refit.key not in done:
            release = refit.method.fit(refit.train, seeds.rng("refit", refit.name))
            assert release.model is not None
            if isinstance(release.model, ReadsTable):
                signal = release.model.read(refit.ask)
            else:
                signal = read_signal(ask(release.model, refit.ask), refit.ask)
            done[refit.key] = Fitted(refit.included, signal.astype(np.float32))
        made.append(done[refit.key])
    return made


def find_leak(attack: Attack, target: Target, seed: int) -> bool:
    """Whether any series of the attack on this target lies surely above chance."""
    seeds = Seeds(seed)
    fitted = train(target, attack, seeds)
    evidence = attack.run(target, fitted, seeds.rng("attack"))
    split = target.split
    ids = (split.members.patient, split.nonmembers.patient)
    rng = seeds.rng("stats")
    if isinstance(evidence, Scores):
        bound = "epsilon_lower_bound" if attack.family == "epsilon" else "auc"
        confidence = 1 - LEVEL
        (one, *_) = stats.estimates(
            evidence, patients=ids, confidence=confidence, rng=rng, names=(bound,)
        )
        if attack.family == "epsilon":
            return one.value is not None and one.value > 0
        return one.low is not None and one.low > 0.5
    series = _series(evidence)
    confidence = 1 - LEVEL / len(series)
    found = stats.estimates(series, patients=None, confidence=confidence, rng=rng)
    return any(_is_above(found, attack, at) for at in series)


def _series(evidence: Trials | Mapping[Setting, Trials]) -> dict[Setting | None, Trials]:
    """The series that speak of this release; attempts at what is no patient's stand alone."""
    given = {None: evidence} if isinstance(evidence, Trials) else dict(evidence)
    return {
        at: one if one.patients is not None else replace(one, patients=np.arange(len(one.success)))
        for at, one in given.items()
        if at is None or not at.counterfactual
    }


def _is_above(found: Sequence[Estimate], attack: Attack, at: Setting | None) -> bool:
    own = {one.metric.name: one for one in found if one.metric.at == at}
    names = METRICS[f"{attack.family}.advantage"].estimates
    read = next((own[name] for name in names if name in own), None)
    return read is not None and read.low is not None and read.low > 0


def try_world(world: World, seeds: int) -> Row:
    """The attack on both of its worlds at so many seeds."""
    start = time.process_time()
    attack, refused = world.attack, 0

    def count(make: Make) -> int:
        nonlocal refused
        right = 0
        for seed in range(seeds):
            try:
                right += find_leak(attack, make(seed), seed)
            except PrivauditError:
                refused += 1
        return right

    found, alarms = count(world.leak), count(world.clean)
    spent = (time.process_time() - start) / (2 * seeds)
    return Row(
        world.name,
        attack.family,
        world.leak_is,
        world.clean_is,
        seeds,
        found,
        seeds - found,
        alarms,
        refused,
        round(spent, 2),
    )


def list_missing() -> tuple[str, ...]:
    """Attacks of the catalogue without a world."""
    return tuple(name for name in plugins.members("attacks") if name not in WORLDS)


def write_table(rows: Sequence[Row], out: Path) -> None:
    """Rows of these attacks in the file, in place of older ones of the same attack."""
    kept = {row["attack"]: row for row in read_table(out)} if out.exists() else {}
    names = [part.name for part in fields(Row)]
    for row in rows:
        kept[row.attack] = {name: str(getattr(row, name)) for name in names}
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept[name] for name in sorted(kept))


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows as `write_table` wrote them."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run the worlds and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--attacks", nargs="*", choices=sorted(WORLDS), default=sorted(WORLDS))
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    for name in options.attacks:
        row = try_world(WORLDS[name], options.seeds)
        write_table([row], options.out)
        print(
            f"{row.attack}: found {row.found}, missed {row.missed}, false alarms "
            f"{row.false_alarms}, refused {row.refused} of {row.seeds}; {row.cpu_seconds} s",
            flush=True,
        )
    missing = list_missing()
    if missing:
        print(f"no world: {', '.join(missing)}")


if __name__ == "__main__":
    main()
