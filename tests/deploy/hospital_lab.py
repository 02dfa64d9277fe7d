"""Hospitals with generated records and kits of one root, and what a coordinator would ask them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from deploy.kits import OPERATOR, make_test_kits

from pipelines.deploy.consent import grant
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.hospital import Hospital
from pipelines.deploy.identity import Identity, Root
from pipelines.deploy.messages import Body
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.warrant import SIGNED, Warrant

NAMES = ("a", "b", "c")
WIDTH = 10
SMALL = ("federated.hidden=8", "federated.rounds=3", "federated.steps=2", "federated.rows=16")


def make_table(path: Path, patients: int, seed: int) -> Path:
    """Ten numbers a patient, two rows of every seventh, an outcome that hangs on them."""
    rng = np.random.default_rng(seed)
    who = np.concatenate([np.arange(patients), np.arange(0, patients, 7)])
    x = rng.normal(size=(len(who), WIDTH))
    y = x @ rng.normal(size=WIDTH) + rng.logistic(size=len(who)) > 0
    frame = {f"v{j}": np.round(x[:, j], 3) for j in range(WIDTH)}
    made = {"who": [f"p{one}" for one in who], **frame, "ending": np.where(y, "yes", "no")}
    pl.DataFrame(made).write_csv(path)
    return path


def make_schema(path: Path, width: int = WIDTH) -> Path:
    columns = "".join(f'[[column]]\nname = "v{j}"\nbounds = [-6, 6]\n\n' for j in range(width))
    head = '[table]\noutcome = "ending"\nclasses = ["no", "yes"]\npatient = "who"\n\n'
    path.write_text(head + columns)
    return path


def write_home(
    folder: Path, name: str, root: Root, hospitals: tuple[str, ...] = NAMES, **data: Any
) -> HospitalHome:
    """hospital.toml with what `join` would write."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = {
        "name": name,
        "federation": "test",
        "host": "localhost",
        "port": 8002,
        "operator": OPERATOR,
        "hospitals": list(hospitals),
        "root": root.fingerprint,
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
    section = {"task": "table", "refits": False, "least_patients": 20} | data
    text += "\n[data]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in section.items())
    (folder / "hospital.toml").write_text(text)
    return HospitalHome(folder)


class Lab:
    """Three hospitals, their kits and the operator's."""

    def __init__(
        self, folder: Path, patients: Mapping[str, int] | int = 150, names: tuple[str, ...] = NAMES
    ) -> None:
        self.folder, self.names = folder, names
        self.kits = make_test_kits(folder / "kits", [*names, "stranger"])
        self.root = Root.load(self.kits[names[0]])
        schema = make_schema(folder / "schema.toml")
        self.homes = {}
        self._data: dict[tuple[str, str], Any] = {}
        self._identities: dict[str, Identity] = {}
        for place, name in enumerate(names):
            count = patients if isinstance(patients, int) else patients[name]
            table = make_table(folder / f"{name}.csv", count, place)
            settings = [f"task.schema={schema}", "task.checked=all"]
            self.homes[name] = write_home(
                folder / name, name, self.root, names, path=str(table), settings=settings
            )

    def identity(self, name: str) -> Identity:
        """Checking a private key takes longest of all that a test does: once is enough."""
        if name not in self._identities:
            self._identities[name] = Identity.load(self.kits[name])
        return self._identities[name]

    def terms(self, method: str = "federated", *settings: str, **more: Any) -> RunTerms:
        given = settings or tuple(part.replace("federated.", f"{method}.") for part in SMALL)
        values: dict[str, Any] = {"run": "r", "roster": self.names, "least_patients": 20} | more
        return RunTerms(task="table", method=method, settings=given, **values)

    def warrant(self, terms: RunTerms, by: str = "operator") -> Warrant:
        signer = self.identity(by)
        return Warrant(terms.text, signer.sign(SIGNED + terms.text.encode()), signer.certificate)

    def hospital(
        self, name: str, terms: RunTerms, consent: bool = True, same_data: bool = False
    ) -> Hospital:
        if consent:
            grant(self.homes[name], terms, "Dr Test")
        made = Hospital(self.homes[name], terms, self.identity(name), self.root)
        if same_data and terms.method != "federated_private":
            # Reading a table again in every test takes most of the time.
            key = (name, terms.method)
            if key not in self._data:
                self._data[key] = made.data
            vars(made)["data"] = self._data[key]
        return made

    def all(self, terms: RunTerms) -> dict[str, Hospital]:
        return {name: self.hospital(name, terms, same_data=True) for name in self.names}


def again(hospital: Hospital) -> Hospital:
    """The same hospital after its worker was killed."""
    return Hospital(hospital.home, hospital.terms, hospital.identity, hospital.root)


def start_weights(hospital: Hospital, seed: int = 0) -> np.ndarray:
    return hospital.network.start(np.random.default_rng(seed))


def train(hospital: Hospital, round: int, weights: np.ndarray, protected: bool = False) -> Body:
    question = {"round": round, "weights": weights.astype("<f4").tobytes(), "protected": protected}
    return hospital.answer("train", question)


class Masks:
    """A coordinator's half of one secure sum, whose every message a test may change."""

    def __init__(self, hospitals: Mapping[str, Hospital], round: int, size: int) -> None:
        self.hospitals, self.round, self.size = dict(hospitals), round, size
        self.members = list(hospitals)
        self.counts = [h.data.count for h in hospitals.values()]
        n = len(self.members)
        self.begin = {
            "round": round,
            "members": self.members,
            "size": size,
            "threshold": max(3, -(-2 * n // 3)),
            "word": 64,
            "fraction": 40,
            "counts": self.counts,
        }
        self.table: Body = {}

    def keys(self, **changed: Any) -> Body:
        made = {
            name: self.ask(name, "mask_keys", {**self.begin, "number": i, **changed})
            for i, name in enumerate(self.members)
        }
        parts = (("keys", "keys"), ("signatures", "signature"), ("certificates", "certificate"))
        self.table = {"round": self.round} | {
            field: {str(i): made[name][part] for i, name in enumerate(self.members)}
            for field, part in parts
        }
        return self.table

    def share(self) -> dict[str, Body]:
        self.sealed = {n: self.ask(n, "mask_shares", self.table)["sealed"] for n in self.members}
        return self.sealed

    def inbox(self, name: str) -> Body:
        from pipelines.federated.gate import share_out

        own = str(self.members.index(name))
        inbox = {
            str(j): self.sealed[other][own] for j, other in enumerate(self.members) if other != name
        }
        share = float(share_out(self.counts)[int(own)])
        return {"round": self.round, "share": share, "inbox": inbox}

    def total(self) -> np.ndarray:
        """(p,) the weighted mean, by the whole protocol."""
        from pipelines.federated.secure_sum import Server, Terms, context

        told = context("r", self.round, self.members, self.counts)
        begin = self.begin
        n = len(self.members)
        server = Server(
            Terms(n, self.size, begin["threshold"], begin["word"], begin["fraction"], told)
        )
        table, sealed = self.keys(), self.share()
        for i, name in enumerate(self.members):
            server.take_key(i, table["keys"][str(i)])
            server.take_shares(i, {int(j): text for j, text in sealed[name].items()})
        for i, name in enumerate(self.members):
            server.take_masked(i, self.ask(name, "masked", self.inbox(name))["masked"])
        arrived = list(range(n))
        for i, name in enumerate(self.members):
            body = {"round": self.round, "arrived": arrived}
            server.take_reveal(i, self.ask(name, "reveal", body)["shares"])
        return server.terms.decode(server.sum())

    def ask(self, name: str, kind: str, body: Body) -> Body:
        return self.hospitals[name].answer(kind, body)
