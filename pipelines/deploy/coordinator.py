"""The coordinator of a run: it has no records, asks hospitals round by round, and trusts none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pipelines.deploy.attendance import Attendance, Shape
from pipelines.deploy.desk import UNSAFE, Desk
from pipelines.deploy.encrypted_rounds import EncryptedRounds
from pipelines.deploy.finished import Finished
from pipelines.deploy.homes import make_private
from pipelines.deploy.journal import Event, Journal
from pipelines.deploy.kept import check_kept
from pipelines.deploy.messages import MODEL
from pipelines.deploy.rounds import Made, OpenRounds, Rounds
from pipelines.deploy.secure_rounds import SecureRounds
from pipelines.deploy.state import hold, load, save, write_bytes
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.tree_rounds import TreeLedger, TreeRounds
from pipelines.deploy.wire import Wire
from pipelines.federated.encrypted_sum import EncryptedSum
from pipelines.federated.gate import LARGEST
from pipelines.federated.kernel import streams
from pipelines.federated.ledger import Ledger
from pipelines.federated.network import Network
from pipelines.federated.secure_sum import SecureSum
from pipelines.federated.server import Moments
from pipelines.methods.federated import Federated
from pipelines.methods.federated_trees import FederatedTrees
from privaudit.errors import PrivauditError
from privaudit.secure_random import SecretGenerator

PATIENCE = 86_400.0
"""Seconds that the coordinator waits for a quorum: consent is given by people."""
PAUSE = 0.5
"""Seconds between two times of asking who is ready, or for a round that came to nothing: longer
every time."""
LONGEST_PAUSE = 300.0
REFUSALS = 4
"""Times in a row that hospitals hold back what they would send, after which a run ends: they try a
round that often, and no more."""


class Coordinator:
    """Trains what the terms name over the hospitals of their roster.

    Everything that a round needs is in the folder before the next one is asked for: a coordinator
    that is stopped or killed goes on from there to the same result.

    Args:
        folder: Of this run: state.npz, attempt.npz, grades/, and `stop`, a file that ends the run
            at its next question.
        patience, pause: Seconds that it waits for a quorum, and between asking.
    """

    def __init__(
        self,
        terms: RunTerms,
        folder: Path,
        wire: Wire,
        journal: Journal,
        patience: float = PATIENCE,
        pause: float = PAUSE,
    ) -> None:
        self.terms, self.folder, self.journal = terms, make_private(folder), journal
        self.patience, self.pause = patience, pause
        self.desk = Desk(wire, journal, terms.timeout, folder / "stop")
        self.round, self.segment, self.seconds = 0, 0, 0.0
        self.took: set[str] = set()

    def run(self) -> Finished:
        """Train to the end and have the hospitals grade the model.

        Raises:
            Stopped: By the file `stop`, or by the engine; it can be run again.
            PrivauditError: For terms that cannot be run, a state of other terms, or too few
                hospitals within the time that it waits, or a run that is under way.
        """
        with hold(self.folder):
            return self._run()

    def _run(self) -> Finished:
        _, self.method = self.terms.build()
        kept = load(self.folder / "state.npz")
        meta, arrays = kept if kept is not None else ({}, {})
        if kept is not None:
            self._check_kept(meta)
            check_kept(meta, arrays, self.terms, self._rounds)
        shape = Shape(meta["schema"], tuple(meta["shape"])) if meta else None
        self.attendance = Attendance(self.terms, self.desk, shape)
        self.attendance.records.update(meta.get("records", {}))
        self.desk.halt()
        if meta:
            self.round, self.took = meta["round"], set(meta["took"])
            self.segment, self.seconds = meta["segment"] + 1, meta["seconds"]
            self.desk.traffic = meta["traffic"]
            self.journal.write(Event.RESUMED, round=self.round)
        self.journal.write(Event.STARTED, hospitals=list(self.terms.roster), segment=self.segment)
        over = self.round >= self._rounds
        if not over:
            self.attendance.gather(time.monotonic() + self.patience, self.pause)
        self._open(meta, arrays)
        if not meta:
            # What is sent out first is on disk first: a round is never asked for in two ways.
            self._save()
        self._train()
        grades = self._grade()
        finished = self._finish(grades)
        self.journal.write(Event.DONE, rounds=self.round, seconds=round(self.seconds, 3))
        return finished

    def _check_kept(self, meta: Mapping[str, Any]) -> None:
        if meta.get("terms") != self.terms.fingerprint:
            raise PrivauditError(
                f"a run {self.terms.run!r} that was begun under other terms",
                "hospitals consented to those, and its state belongs to them",
                "give the run another name",
            )

    def _open(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """The ledger and the kind of rounds, as they were or at their beginning."""
        shape = self.attendance.shape
        assert shape is not None
        given = (self.terms, self.desk)
        rest = (self.folder, self.attendance.records)
        if isinstance(self.method, FederatedTrees):
            trees = TreeLedger.start(self.method, shape.widths, self.terms.roster)
            if meta:
                trees.restore(meta["trees"], arrays)
            self.ledger: Ledger | TreeLedger = trees
            self.rounds: Rounds | TreeRounds = TreeRounds(*given, trees, *rest)
            return
        assert isinstance(self.method, Federated)
        ledger = self._open_ledger(self.method, shape.widths, meta, arrays)
        self.ledger = ledger
        protect = ledger.plan.protect
        kinds: dict[type, type[Rounds]] = {SecureSum: SecureRounds, EncryptedSum: EncryptedRounds}
        self.rounds = kinds.get(type(protect), OpenRounds)(*given, ledger, *rest)

    def _open_ledger(
        self,
        method: Federated,
        shape: tuple[int, ...],
        meta: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ) -> Ledger:
        seed = self.terms.seed
        # Without a seed nobody can know the noise, and a new key after a stop is as good: what was
        # drawn for a round that was not kept has never left.
        own = streams(np.random.default_rng(seed) if seed is not None else _secret())
        network = build_network(method, shape)
        counts = np.zeros(len(self.terms.roster))
        if not meta:
            start = network.start(own["start"]).astype(np.float64)
            return Ledger(method.make_plan(), start, counts, own["aggregate"])
        try:
            if len(arrays["weights"]) != network.size:
                raise ValueError("another network")
            if seed is not None:
                own["aggregate"].bit_generator.state = meta["noise"]
        except (ValueError, TypeError, KeyError):
            raise PrivauditError(
                "a state.npz whose weights or random stream are of another run",
                "the state was changed",
                "restore it from a backup, or start a run of another name",
            ) from None
        return Ledger(
            method.make_plan(),
            arrays["weights"],
            arrays["counts"],
            own["aggregate"],
            Moments(arrays["mean"], arrays["square"]),
            list(arrays["sent"]),
            list(arrays["seen"]),
            [(int(place), str(why)) for place, why in meta["refused"]],
            costs=dict(meta["costs"]),
        )

    @property
    def _rounds(self) -> int:
        return int(self.method.rounds)  # type: ignore[attr-defined]

    def _train(self) -> None:
        until, tries, refused = time.monotonic() + self.patience, 0, 0
        while self.round < self._rounds:
            self.desk.halt()
            begin = time.monotonic()
            self.attendance.lose(self.desk.lost)
            self.desk.lost.clear()
            self.desk.refusing.clear()
            ready = self.attendance.refresh(self.round)
            if len(ready) < self.terms.quorum:
                ready = self.attendance.gather(until, self.pause)
            for name in ready:
                place = self.terms.roster.index(name)
                self.ledger.counts[place] = self.attendance.records[name]
            self.desk.up = self.desk.down = 0
            made = self.rounds.make(self.round, ready)
            self.ledger.costs["bytes_up"] += self.desk.up
            self.ledger.costs["bytes_down"] += self.desk.down
            self.ledger.costs["late_updates"] += len(set(ready) & self.desk.lost)
            if made is None:
                here = sorted(set(ready) - self.desk.lost)
                self.journal.write(Event.IDLE, round=self.round, hospitals=here)
                refused += len(set(ready) - self.desk.refusing) < self.terms.quorum
                if refused >= REFUSALS:
                    self._give_up()
                if time.monotonic() >= until:
                    self.attendance.despair(len(here))
                time.sleep(min(self.pause * 2**tries, LONGEST_PAUSE))
                tries += 1
                continue
            tries = refused = 0
            self._close(made, time.monotonic() - begin)
            until = time.monotonic() + self.patience

    def _give_up(self) -> NoReturn:
        """End a run whose hospitals hold back what they would send: nobody can make this round."""
        self.journal.write(Event.STOPPED, why=UNSAFE)
        raise PrivauditError(
            f"the round {self.round}, for which {len(self.desk.refusing)} hospitals held back what "
            "they would send",
            "a record could be read from it as it stands, so fewer than the quorum send",
            "start a run of another name with more rows a step (METHOD.rows), more steps, or fewer "
            "hidden units (METHOD.hidden); or with federated_private",
        )

    def _close(self, made: Made, seconds: float) -> None:
        self.ledger.close(made.seen, made.combined)
        weights = self.ledger.weights if isinstance(self.ledger, Ledger) else np.empty(0)
        if not np.abs(weights).max(initial=0.0) <= LARGEST:  # nor where it is NaN
            self.journal.write(Event.STOPPED, why="diverged")
            raise PrivauditError(
                f"weights beyond what float32 holds after the round {self.round}",
                "the training diverged",
                "use a smaller rate, or another server rule, in a run of another name",
            )
        self.seconds += seconds
        self.took.update(made.hospitals)
        done, self.round = self.round, self.round + 1
        self._save()
        (self.folder / "attempt.npz").unlink(missing_ok=True)
        what: dict[str, Any] = {
            "round": done,
            "hospitals": list(made.hospitals),
            "seconds": round(seconds, 3),
            "bytes_up": self.desk.up,
            "bytes_down": self.desk.down,
        }
        if isinstance(self.ledger, Ledger):
            what["norm"] = float(np.linalg.norm(self.ledger.weights))
        if made.loss is not None:
            what["loss"] = made.loss
        if made.combined is None:
            self.journal.write(Event.IDLE, round=done, hospitals=list(made.hospitals))
        self.journal.write(Event.ROUND, **what)

    def _save(self) -> None:
        shape = self.attendance.shape
        assert shape is not None
        meta: dict[str, Any] = {
            "terms": self.terms.fingerprint,
            "round": self.round,
            "segment": self.segment,
            "seconds": self.seconds,
            "schema": shape.schema,
            "shape": list(shape.widths),
            "records": self.attendance.records,
            "took": sorted(self.took),
            "traffic": self.desk.traffic,
        }
        if isinstance(self.ledger, TreeLedger):
            meta["trees"], arrays = self.ledger.keep()
        else:
            ledger = self.ledger
            seeded = self.terms.seed is not None
            meta |= {
                "costs": ledger.costs,
                "refused": ledger.refused,
                "noise": ledger.noise.bit_generator.state if seeded else None,
            }
            arrays = {
                "weights": ledger.weights,
                "counts": ledger.counts,
                "mean": ledger.moments.mean,
                "square": ledger.moments.square,
                "sent": np.array(ledger.sent),
                "seen": np.array(ledger.seen),
            }
        save(self.folder / "state.npz", meta, arrays)

    def _grade(self) -> dict[str, str]:
        """What hospitals count on their own patients; those of an earlier segment are kept."""
        folder = make_private(self.folder / "grades")
        found = {}
        for name in self.terms.roster:
            if (path := folder / f"{name}.json").exists():
                found[name] = path.read_text("utf-8")
        if self.terms.grade and self.took - set(found):
            self.attendance.lose(self.desk.lost)
            self.desk.lost.clear()
            until = time.monotonic() + min(self.patience, self.terms.timeout)
            left = self.attendance.wait_for(self.took - set(found), until, self.pause)
            question = {"model": self.rounds.model()}
            came = self.desk.ask("grade", dict.fromkeys(left, question))
            for name, body in came.items():
                write_bytes(folder / f"{name}.json", body["counts"].encode())
                found[name] = body["counts"]
            self._save()
        graded = [name for name in self.terms.roster if name in found]
        self.journal.write(Event.GRADED, hospitals=graded)
        return {name: found[name] for name in graded}

    def _finish(self, grades: Mapping[str, str]) -> Finished:
        shape, roster = self.attendance.shape, self.terms.roster
        assert shape is not None
        ledger = self.ledger
        places = [i for i, name in enumerate(roster) if name in self.took]
        own: dict[str, Any] = {"weights": np.empty(0), "forest": b"", "sent": (), "seen": ()}
        if isinstance(ledger, Ledger):
            own["weights"], own["sent"] = ledger.weights, tuple(ledger.sent)
            own["seen"] = tuple(part[places] for part in ledger.seen)
            own["refused"] = tuple((roster[i], why) for i, why in ledger.refused)
        else:
            own["forest"] = ledger.forest()
        return Finished(
            terms=self.terms,
            rounds=self.round,
            hospitals=tuple(roster[i] for i in places),
            counts=ledger.counts[places].astype(np.int64),
            shape=shape.widths,
            schema=shape.schema,
            costs={**ledger.costs, "clients": float(len(places)), "seconds": self.seconds},
            trust=self._trust(),
            notes=self._notes(),
            missing=self._missing(),
            grades=grades,
            **own,
        )

    def _trust(self) -> tuple[tuple[str, str, str], ...]:
        """Without what a guarantee adds, which is not the coordinator's to claim."""
        if isinstance(self.ledger, Ledger):
            return self.ledger.plan.protect.trust_apart
        return self.ledger.method.trust

    def _notes(self) -> tuple[str, ...]:
        idle = int(self.ledger.costs["idle_rounds"])
        notes = [
            f"The {{sites}} trained on their own machines; {len(self.took)} of the "
            f"{len(self.terms.roster)} asked took part."
        ]
        if isinstance(self.ledger, Ledger) and self.ledger.plan.protect.name:
            notes.append(
                "The server reads no single update, so its gate cannot bound or refuse one: "
                "{sites} check their own, and a malicious one need not."
            )
        if idle:
            notes.append(
                f"In {idle} of {self.round} rounds too few updates could be combined; the model "
                "stayed as it was."
            )
        return tuple(notes)

    def _missing(self) -> tuple[str, ...]:
        missing = ["which {people} each {site} trained on: the coordinator has no records"]
        if isinstance(self.ledger, Ledger) and isinstance(self.ledger.plan.protect, EncryptedSum):
            missing.append(
                "the secret key and the exact sums of the encrypted updates, by which an attack on "
                "the key would be graded: only the {sites} have them"
            )
        return tuple(missing)


def build_network(method: Federated, shape: tuple[int, ...]) -> Network:
    """The network of records of this shape, which hospitals state; PrivauditError for a shape that
    is none, or of a network too large to send."""
    try:
        network = method.build_network(shape)
        fits = min(network.widths) >= 1 and shape[-1] >= 2 and 4 * network.size <= MODEL.most
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        fits = False
    if not fits:
        raise PrivauditError(
            "a shape of records that no network reads, or a very large one",
            "the hospitals state it, and the coordinator builds what they train from it",
            "run the same version of privaudit at the coordinator and every hospital",
        )
    return network


def _secret() -> SecretGenerator:
    import os

    return SecretGenerator(os.urandom(32))


__all__ = ["PATIENCE", "PAUSE", "Coordinator", "Finished"]
