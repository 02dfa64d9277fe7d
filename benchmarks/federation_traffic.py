"""Everything that a coordinator receives, taken apart: open, masked and encrypted.

    python benchmarks/federation_traffic.py [--patients 300]

Three hospitals of the product, in this process, with generated records; the third trains on four
patients, which no hospital would join with. Every answer that reaches the coordinator is recorded
as it came. Prints, for each way of taking the sum: whether any eight values of an update occur
anywhere in what was recorded, as the numbers that the hospital has or as the words that are masked;
and how many of the members' rows gradient inversion reads out of what the coordinator could take
for updates, beside the control that is given none. Then the same open run with the check that a
hospital makes of what it sends. Exits with 1 where a sum shows an update, or a row more than the
control.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from deploy.hospital_lab import Lab  # noqa: E402

from pipelines.deploy import site_training  # noqa: E402
from pipelines.deploy.coordinator import Coordinator, Finished  # noqa: E402
from pipelines.deploy.hospital import Hospital  # noqa: E402
from pipelines.deploy.journal import Journal  # noqa: E402
from pipelines.deploy.messages import Body  # noqa: E402
from pipelines.deploy.wire import Answers  # noqa: E402
from privaudit.attacks.federated.gradient_inversion import GradientInversion  # noqa: E402
from privaudit.contracts import Exchange, Release, Target  # noqa: E402
from privaudit.errors import PrivauditError  # noqa: E402
from privaudit.records import Records, Split  # noqa: E402

METHODS = ("federated", "federated_secure", "federated_encrypted")
FEW = 4
RUN = 8
"""Values in a row that would not occur by chance."""
PATIENCE = 5.0


class Tap:
    """Asks hospitals in this process, and keeps every byte of what they answer."""

    def __init__(self, hospitals: Mapping[str, Hospital]) -> None:
        self.hospitals = hospitals
        self.received: list[bytes] = []
        self.updates: list[np.ndarray] = []
        self.refused: set[str] = set()

    def present(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.hospitals)

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        """See `pipelines.deploy.wire.Wire`."""
        came: dict[str, Body] = {}
        missing: dict[str, str] = {}
        for name, body in questions.items():
            try:
                came[name] = self.hospitals[name].answer(kind, body)
            except PrivauditError as error:
                missing[name] = str(getattr(error, "code", "refused"))
                self.refused.add(f"{name}: {missing[name]}")
                continue
            self.received += list(_list_bytes(came[name]))
            if kind == "train":
                self.updates.append(self.hospitals[name].state.update.copy())
        return Answers(came, missing)


def _list_bytes(value: object) -> list[bytes]:
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, str):
        return [value.encode()]
    if isinstance(value, dict):
        return [part for one in value.values() for part in _list_bytes(one)]
    return [part for one in value for part in _list_bytes(one)] if isinstance(value, list) else []


def make_hospitals(lab: Lab, method: str) -> dict[str, Hospital]:
    """Three hospitals, of which the last trains on few."""
    steps = (f"{method}.rounds=3", f"{method}.steps=1", f"{method}.hidden=64")
    terms = lab.terms(method, *steps, run=f"tap-{method.replace('_', '-')}")
    hospitals = {name: lab.hospital(name, terms) for name in lab.names}
    last = hospitals[lab.names[-1]]
    members = last.data.split.members
    few = np.isin(members.patient, np.unique(members.patient)[:FEW])
    split = Split(members.take(few), last.data.split.nonmembers, last.data.split.reference)
    cut = replace(last.data, split=split, count=int(few.sum()), exact_patients=FEW, least=1)
    vars(last)["data"] = cut
    return hospitals


def shows(blob: bytes, update: np.ndarray) -> bool:
    """Whether some values in a row occur, in any form in which they would be sent."""
    forms = [update.astype("<f4").tobytes(), update.astype("<f8").tobytes()]
    forms += [np.rint(update * 2.0**40).astype("<i8").tobytes()]
    for form in forms:
        size = len(form) // len(update) * RUN
        # From a place where the values differ: runs of zeros say nothing.
        starts = [at for at in range(0, len(form) - size, 7 * size) if any(form[at : at + size])]
        if any(form[at : at + size] in blob for at in starts):
            return True
    return False


def invert(hospitals: Mapping[str, Hospital], found: Finished) -> list[tuple[int, float, float]]:
    """Of each hospital: rows graded, the share read whole, and the control."""
    first = next(iter(hospitals.values()))
    method, rng, rates = first.data.method, np.random.default_rng(0), []
    for place, hospital in enumerate(hospitals.values()):
        records: Records = hospital.data.split.members
        network = method.make_network(records)  # type: ignore[attr-defined]
        exchange = Exchange(
            weights=found.sent,
            updates=tuple(seen[place : place + 1] for seen in found.seen),
            clients=np.zeros(1, dtype=np.int64),
            counts=np.array([len(records)]),
            encode=method.encode,  # type: ignore[attr-defined]
            rate=method.rate,  # type: ignore[attr-defined]
            steps=method.steps,  # type: ignore[attr-defined]
            batch=method.rows,  # type: ignore[attr-defined]
            protected=method.protect.name,  # type: ignore[attr-defined]
            holder=np.zeros(len(records), dtype=np.int64),
            **network.layout,
        )
        target = Target(Release(updates=exchange), hospital.data.split)
        trials = GradientInversion(records=300).run(target, (), rng)
        rows = next(t for s, t in trials.items() if s.value == "exact rows")
        rates.append((len(rows.success), float(rows.success.mean()), float(rows.control.mean())))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=300)
    asked = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for method in (*METHODS, "federated checked"):
            name, _, checked = method.partition(" ")
            hospitals = make_hospitals(Lab(Path(folder) / method, asked.patients), name)
            run, tap = Path(folder) / f"run {method}", Tap(hospitals)
            terms = next(iter(hospitals.values())).terms
            # What a hospital leaves out of its updates is the subject of the last line alone.
            open_gate = mock.patch.object(
                site_training, "withhold", lambda network, update, x, drawn: (update, 0)
            )
            try:
                with nullcontext() if checked else open_gate:
                    made = Coordinator(
                        terms, run, tap, Journal(run / "journal.jsonl"), PATIENCE
                    ).run()
            except PrivauditError as error:
                print(f"{method:22} ended: {error.what} ({', '.join(sorted(tap.refused))})")
                continue
            blob = b"".join(tap.received)
            seen = sum(shows(blob, update) for update in tap.updates)
            rates = invert(hospitals, made)
            shown = "  ".join(f"{n}: {rate:.2f} ({control:.2f})" for n, rate, control in rates)
            print(f"{method:22} {len(blob):>10,} bytes, {seen} of {len(tap.updates)} updates seen")
            print(f"{'':22} rows read whole of n (control): {shown}")
            if name != "federated":
                failed |= seen > 0 or any(rate > control for _, rate, control in rates)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
