"""A federation in memory: hospitals on the shared kernel, a wire that can lose and change messages,
and the simulation that both must agree with."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.build import source_digest
from pipelines.deploy.coordinator import Coordinator, Finished
from pipelines.deploy.journal import Journal
from pipelines.deploy.messages import Body, check_answer, check_question
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.wire import Answers
from pipelines.federated import trees
from pipelines.federated.encrypted_sum import KeyHolder, Roll, check_agreed
from pipelines.federated.gate import share_out
from pipelines.federated.kernel import Job, Run, federate, streams
from pipelines.federated.local import Trainer
from pipelines.federated.secure_sum import Client, Terms, context
from privaudit.errors import PrivauditError

NAMES = ("a", "b", "c", "d")
WIDTH, CLASSES = 5, 2


def make_terms(method: str = "federated", *settings: str, **more: Any) -> RunTerms:
    own = {"rounds": 4}
    if method != "federated_trees":
        own |= {"hidden": 4, "steps": 3, "rows": 8}
    given = {part.split("=")[0] for part in settings}
    made = [f"{name}={value}" for name, value in own.items() if name not in given]
    what = {"roster": NAMES, "quorum": 3, "timeout": 1.0, "seed": 7} | more
    lines = tuple(f"{method}.{part}" for part in (*made, *settings))
    return RunTerms("run", "mortality", method, settings=lines, **what)


def make_data(names: tuple[str, ...] = NAMES) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """x, y and each hospital's rows, which differ in number."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, WIDTH)).astype(np.float32)
    y = (x[:, 0] + 0.3 * rng.normal(size=200) > 0).astype(np.int64)
    ends = np.cumsum(np.linspace(2, 3, len(names)) / np.linspace(2, 3, len(names)).sum() * 200)
    return x, y, np.split(np.arange(200), ends.astype(int)[:-1])


def sign(name: str, *parts: bytes | str) -> bytes:
    """Stands for a signature by the hospital's certificate key."""
    said = b"\0".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(b"key of " + name.encode() + said).digest()


@cache
def method_of(terms: RunTerms) -> Any:
    return terms.build()[1]


class Ward:
    """A hospital, as short as it can be."""

    def __init__(self, terms: RunTerms, name: str) -> None:
        self.terms, self.name = terms, name
        self.method = method_of(terms)
        x, y, rows = make_data(terms.roster)
        self.place = terms.roster.index(name)
        self.x, self.y = x[rows[self.place]], y[rows[self.place]]
        self.own = streams(np.random.default_rng(terms.seed))
        self.kept: dict[tuple[str, int], tuple[str, Body]] = {}
        self.state, self.stated = "ready", len(self.x)
        self.masks: Client | None = None
        self.sent_in = self.revealed_in = -1
        self.keys: KeyHolder | None = None
        self.asked: Counter[str] = Counter()
        if terms.method == "federated_trees":
            self.grower = trees.Grower(self.method.growth, self.x, self.y, CLASSES)
            self.seeds = trees.draw_seeds(self.own["clients"], len(terms.roster), self.place)
            self.taken: set[str] = set()
            return
        self.network = self.method.build_network((WIDTH, CLASSES))
        rng = self.own["clients"].spawn(len(terms.roster))[self.place]
        self.trainer = Trainer(self.network, self.x, self.y, [np.arange(len(self.x))], [rng])

    def answer(self, kind: str, body: Body) -> Body:
        self.asked[kind] += 1
        if kind == "hello":
            return self.hello()
        if self.state != "ready":
            raise PrivauditError("no consent", "withdrawn", "")
        key = (kind, body.get("round", -1))
        digest = hashlib.sha256(repr(sorted(body.items())).encode()).hexdigest()
        if key in self.kept and self.kept[key][0] == digest:
            return copy.deepcopy(self.kept[key][1])
        again = ("mask_keys", "mask_shares", "box_key", "make_secret", "take_secret")
        if key in self.kept and kind not in again:
            raise PrivauditError("another question", "the round was answered", "")
        if any(k == kind and r > key[1] for k, r in self.kept):
            raise PrivauditError("an older round", "replay", "")
        made = getattr(self, kind)(body)
        self.kept[key] = (digest, copy.deepcopy(made))
        return made

    def forget_keys(self) -> None:
        """As a worker that was killed and started again."""
        self.masks = None
        self.kept = {k: v for k, v in self.kept.items() if k[0] in ("train", "grow", "masked")}

    def hello(self) -> Body:
        if self.state != "ready":
            return {"state": self.state}
        return {
            "state": "ready",
            "schema": "columns",
            "widths": [WIDTH, CLASSES],
            "patients": self.stated,
            "records": self.stated,
            "build": source_digest(),
            "terms": self.terms.fingerprint,
        }

    def train(self, body: Body) -> Body:
        weights = np.frombuffer(body["weights"], "<f4").copy()
        (found,) = self.trainer.train(weights[None], np.array([0]), self.method.make_plan().recipe)
        self.update = found.astype("<f4").astype(np.float64)
        made: Body = {"round": body["round"], "loss": 0.5}
        return made if body["protected"] else made | {"update": found.astype("<f4").tobytes()}

    def share(self, body: Body) -> float:
        assert body["counts"][body["members"].index(self.name)] == self.stated
        return float(share_out(body["counts"])[body["members"].index(self.name)])

    def mask_keys(self, body: Body) -> Body:
        if max(self.sent_in, self.revealed_in) >= body["round"]:
            raise PrivauditError("a second vector", "it was sent", "")
        told = context(self.terms.run, body["round"], body["members"], body["counts"])
        what = (body["size"], body["threshold"], body["word"], body["fraction"])
        agreed = Terms(len(body["members"]), *what, context=told)
        self.masks, self.weight = Client(body["number"], agreed), self.share(body)
        self.members = body["members"]
        key = self.masks.advertise()
        signature = sign(self.name, "mask", str(body["round"]), key)
        return {
            "round": body["round"],
            "keys": key,
            "signature": signature,
            "certificate": self.name.encode(),
        }

    def mask_shares(self, body: Body) -> Body:
        if self.masks is None:
            raise PrivauditError("no keys", "they were in memory", "")
        for number, key in body["keys"].items():
            name = self.members[int(number)]
            assert body["certificates"][number] == name.encode()
            if body["signatures"][number] != sign(name, "mask", str(body["round"]), key):
                raise PrivauditError("a key of nobody", "its signature is another's", "")
        sealed = self.masks.share({int(i): key for i, key in body["keys"].items()})
        return {"round": body["round"], "sealed": {str(i): text for i, text in sealed.items()}}

    def masked(self, body: Body) -> Body:
        if self.masks is None:
            raise PrivauditError("no keys", "they were in memory", "")
        assert body["share"] == self.weight
        inbox = {int(i): text for i, text in body["inbox"].items()}
        self.sent_in = body["round"]
        return {"round": body["round"], "masked": self.masks.send(self.update * self.weight, inbox)}

    def reveal(self, body: Body) -> Body:
        if self.masks is None:
            raise PrivauditError("no keys", "they were in memory", "")
        self.revealed_in = body["round"]
        return {"round": body["round"], "shares": self.masks.reveal(body["arrived"])}

    def box_key(self, body: Body) -> Body:
        self.members, self.keys = body["members"], None
        return {"key": b"box", "signature": b"s", "certificate": self.name.encode()}

    def make_secret(self, body: Body) -> Body:
        self.keys = KeyHolder.make(self.method.protect)
        others = [str(i) for i, name in enumerate(self.members) if name != self.name]
        sealed = dict.fromkeys(others, self.keys.sealed_bytes())
        return {
            "sealed": sealed,
            "signatures": dict.fromkeys(others, b"s"),
            "public": self.keys.public,
        }

    def take_secret(self, body: Body) -> Body:
        self.keys = KeyHolder.load(self.method.protect, body["sealed"])
        return {"taken": True}

    def encrypt(self, body: Body) -> Body:
        if self.keys is None:
            raise PrivauditError("no key", "none was made", "")
        size, members = self.network.size, tuple(body["members"])
        self.roll = Roll(self.terms.run, body["round"], members, tuple(body["counts"]), size)
        number = members.index(self.name)
        vector = self.update * self.share(body)
        return {
            "round": body["round"],
            "ciphertexts": self.keys.encrypt(vector, number, self.roll),
        }

    def agree(self, body: Body) -> Body:
        arrived = ",".join(map(str, body["arrived"]))
        signature = sign(self.name, "arrived", str(body["round"]), arrived)
        return {
            "round": body["round"],
            "signature": signature,
            "certificate": self.name.encode(),
        }

    def decrypt(self, body: Body) -> Body:
        arrived = ",".join(map(str, body["arrived"]))
        good = {
            self.roll.members[int(i)]
            for i, signature in body["signatures"].items()
            if signature == sign(self.roll.members[int(i)], "arrived", str(body["round"]), arrived)
        }
        check_agreed(body["arrived"], self.roll, good)
        total = self.keys.decrypt(body["sums"], body["arrived"], self.roll)
        return {"round": body["round"], "total": total.astype("<f4").tobytes()}

    def grow(self, body: Body) -> Body:
        shares = json.loads(body["shares"])
        for key, raw in body["trees"].items():
            if key not in self.taken:
                found = trees.read_trees(raw, WIDTH, CLASSES, self.method.depth)
                self.grower.take(trees.build_booster(found, WIDTH, CLASSES), shares[key])
                self.taken.add(key)
        booster = self.grower.grow(next(self.seeds))
        return {"round": body["round"], "trees": trees.pack_trees(booster)}

    def grade(self, body: Body) -> Body:
        self.model = body["model"]
        return {"counts": json.dumps({"hospital": self.name, "records": self.stated})}


class Killed(BaseException):
    """The coordinator's process ends here."""


Fault = Callable[[str, str, Body], Body | str | None]
"""name, kind, question -> another answer, why there is none, or None for the hospital's own."""


class MemoryWire:
    """kill_at: the number of the question at which the coordinator dies; kill_after: whether the
    hospitals have answered it by then."""

    def __init__(
        self, wards: Mapping[str, Ward], fault: Fault | None = None, kill_at: int = -1
    ) -> None:
        self.wards, self.fault, self.kill_at = wards, fault, kill_at
        self.kill_after = False
        self.questions = 0
        self.away: set[str] = set()

    def present(self) -> tuple[str, ...]:
        return tuple(name for name in self.wards if name not in self.away)

    def ask(self, kind: str, questions: Mapping[str, Body], timeout: float) -> Answers:
        number, self.questions = self.questions, self.questions + 1
        if number == self.kill_at and not self.kill_after:
            raise Killed
        came, missing = {}, {}
        for name, body in questions.items():
            check_question(kind, body)
            other = self.fault(name, kind, body) if self.fault is not None else None
            if isinstance(other, str) or name in self.away:
                missing[name] = other if isinstance(other, str) else "no_answer"
                continue
            try:
                found = self.wards[name].answer(kind, body) if other is None else other
                check_answer(kind, found)
                came[name] = found
            except (PrivauditError, AssertionError):
                missing[name] = "refused"
        if number == self.kill_at:
            raise Killed
        return Answers(came, missing)


def make_wards(terms: RunTerms) -> dict[str, Ward]:
    return {name: Ward(terms, name) for name in terms.roster}


def run(terms: RunTerms, folder: Path, wire: MemoryWire, patience: float = 2.0) -> Finished:
    journal = Journal(folder / "journal.jsonl")
    return Coordinator(terms, folder, wire, journal, patience, pause=0.001).run()


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [one for one in Journal(folder / "journal.jsonl").read() if one["event"] == kind]


def simulate(terms: RunTerms, one_by_one: bool = True) -> Run:
    """The same federation in one process; one client a call to the trainer, or all together."""
    method = method_of(terms)
    x, y, rows = make_data(terms.roster)
    own = streams(np.random.default_rng(terms.seed))
    network = method.build_network((WIDTH, CLASSES))
    job = Job(x, y, tuple(rows), network.start(own["start"]), own)
    whole = Trainer.train

    def train(self: Trainer, sent: np.ndarray, who: np.ndarray, recipe: Any) -> np.ndarray:
        parts = [whole(self, sent[i : i + 1], who[i : i + 1], recipe) for i in range(len(who))]
        return np.concatenate(parts)

    Trainer.train = train if one_by_one else whole
    try:
        (found,) = federate(method.make_plan(), network, [job])
    finally:
        Trainer.train = whole
    return found
