"""Worlds with a known answer for every attack: one in which its leak was planted, one without.

An attack is added by one entry of `WORLDS`: the attack as it is run, what leaks, and what does not,
each a function of a seed that makes a target. Data are generated; no patient is behind them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
for home in ("benchmarks", "tests/attacks", "tests/split", "tests/fidelity"):
    if str(ROOT / home) not in sys.path:
        sys.path.append(str(ROOT / home))

import inversion  # noqa: E402
import known_worlds_of_trees as trees  # noqa: E402
import poison_lab  # noqa: E402
import split_lab  # noqa: E402
import table_lab  # noqa: E402

from pipelines.learners.logreg import LogReg  # noqa: E402
from pipelines.methods.baseline import Baseline  # noqa: E402
from privaudit import plugins  # noqa: E402
from privaudit.contracts import Attack, Method, Model, Release, Target  # noqa: E402
from privaudit.records import Column, Records, Split  # noqa: E402
from privaudit.seeds import Seeds  # noqa: E402

Make = Callable[[int], Target]


@dataclass(frozen=True)
class World:
    """An attack with what is planted for it to find, and a release in which there is nothing.

    settings: of the attack, where its defaults would cost too much. leak_is, clean_is: in words.
    """

    name: str
    leak: Make
    clean: Make
    leak_is: str
    clean_is: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def attack(self) -> Attack:
        made: Attack = plugins.load("attacks", self.name)(**self.settings)
        return made


# --- records, models and methods


def people(n: int, rng: np.random.Generator) -> Records:
    """Six numbers, of which two bear on the outcome, sex and ward; one record a patient."""
    x = rng.normal(size=(n, 6))
    sex, ward = rng.integers(0, 2, n), rng.integers(0, 3, n)
    y = rng.random(n) < 1 / (1 + np.exp(-(x[:, 0] - x[:, 1])))
    columns = (
        *(Column(f"x{i}", bounds=(-6.0, 6.0)) for i in range(6)),
        Column("sex", "binary", (0, 1), ("F", "M"), sensitive=True),
        Column("ward", "category", levels=("a", "b", "c"), sensitive=True),
    )
    return Records(columns, np.column_stack([x, sex, ward]), y, np.arange(n), np.zeros(n))


def pools(seed: int, n: int = 600) -> Split:
    rng = Seeds(seed).rng("people")
    return Split.assign(people(n, rng), rng)


@dataclass(frozen=True)
class Trees(Method):
    """Full-grown trees, which remember nearly every record."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        from sklearn.ensemble import RandomForestClassifier

        state = int(rng.integers(2**31))
        forest = RandomForestClassifier(15, max_features=2, random_state=state)
        return Release(model=Fitted(forest.fit(members.X, members.y)))


@dataclass(frozen=True, eq=False)
class Fitted:
    model: Any

    def predict_proba(self, records: Records) -> np.ndarray:
        return np.asarray(self.model.predict_proba(records.X), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Memory:
    """Sure of the outcome of a record that it has seen, unsure of all else."""

    seen: frozenset[bytes]

    def predict_proba(self, records: Records) -> np.ndarray:
        known = np.array([row.tobytes() in self.seen for row in records.X])
        p = np.full((len(records), 2), 0.5)
        p[known] = 0.05
        p[known, records.y[known]] = 0.95
        return p


@dataclass(frozen=True, eq=False)
class Flat:
    """One answer for all patients, with its gradients, which are zero."""

    risk: float = 0.3

    def predict_proba(self, records: Records) -> np.ndarray:
        return np.tile([1 - self.risk, self.risk], (len(records), 1))

    def input_gradient(self, records: Records) -> tuple[np.ndarray, None]:
        return np.zeros(records.X.shape), None

    def weight_gradient(self, records: Records) -> np.ndarray:
        return np.zeros((len(records), 1))


def _remembers(seed: int) -> Target:
    split = pools(seed)
    return Target(Trees().fit(split.members, Seeds(seed).rng("fit")), split, Trees())


def _of_others(seed: int) -> Target:
    """The same method, and shadow models that remember; the released model saw other people."""
    split, rng = pools(seed), Seeds(seed).rng("others")
    return Target(Trees().fit(people(len(split.members), rng), rng), split, Trees())


def _answers(make: Callable[[Split, int], Model]) -> Make:
    def made(seed: int) -> Target:
        split = pools(seed)
        return Target(Release(model=make(split, seed)), split)

    return made


def _memory(split: Split, seed: int) -> Model:
    return Memory(frozenset(row.tobytes() for row in split.members.X))


def _logistic(split: Split, seed: int) -> Model:
    return LogReg().fit(split.members, Seeds(seed).rng("fit"))


# --- property inference


def _sexes(n: int, seed: int) -> Records:
    """Among men the second number bears on the outcome one way, among women the other way."""
    rng = Seeds(seed).rng("sexes")
    plain = people(n, rng)
    side = np.where(plain.X[:, 6] > 0.5, 1.5, -1.5)
    y = rng.random(n) < 1 / (1 + np.exp(-(plain.X[:, 0] + side * plain.X[:, 1])))
    only = tuple(replace(c, sensitive=c.name == "sex") for c in plain.columns)
    return replace(plain, columns=only, y=y.astype(int))


@dataclass(frozen=True)
class Blind(Method):
    """Ordinary training that never sees the column "sex"."""

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        model = Baseline().fit(_without_sex(members), rng).model
        assert model is not None
        return Release(model=Unseeing(model))


@dataclass(frozen=True, eq=False)
class Unseeing:
    model: Model

    def predict_proba(self, records: Records) -> np.ndarray:
        return self.model.predict_proba(_without_sex(records))


def _without_sex(records: Records) -> Records:
    x = records.X.copy()
    x[:, 6] = 0.0
    return replace(records, X=x)


def _tells_share(seed: int) -> Target:
    split = Split.assign(_sexes(2400, seed), Seeds(seed).rng("split"))
    return Target(Baseline().fit(split.members, Seeds(seed).rng("fit")), split, Baseline())


def _hides_share(seed: int) -> Target:
    plain = people(2400, Seeds(seed).rng("people"))
    only = tuple(replace(c, sensitive=c.name == "sex") for c in plain.columns)
    split = Split.assign(replace(plain, columns=only), Seeds(seed).rng("split"))
    return Target(Blind().fit(split.members, Seeds(seed).rng("fit")), split, Blind())


# --- tables


def _table(make: Callable[[Split, np.random.Generator], Records]) -> Make:
    def made(seed: int) -> Target:
        rng = Seeds(seed).rng("table")
        split = table_lab.split(rng, 200)
        return table_lab.target(split, make(split, rng))

    return made


def _copied(split: Split, rng: np.random.Generator) -> Records:
    return table_lab.planted(split.members, rng, 0.5)[0]


def _of_reference(split: Split, rng: np.random.Generator) -> Records:
    return table_lab.marginals(split.reference, rng, len(split.members))


def _generator(own: bool) -> Make:
    def made(seed: int) -> Target:
        from pipelines.generators.bootstrap import Bootstrap
        from pipelines.methods.synthetic import Synthetic

        rng = Seeds(seed).rng("generator")
        split, method = table_lab.split(rng, 150), Synthetic(Bootstrap())
        source = split.members if own else split.reference
        return Target(method.fit(source, Seeds(seed).rng("fit")), split, method)

    return made


# --- what training exchanges


def _updates(noise: bool) -> Make:
    def made(seed: int) -> Target:
        rng = Seeds(seed).rng("updates")
        split = pools(seed, 400)
        small = replace(split, members=split.members.take(slice(0, 24)))
        shown = inversion.exchange(small.members, 1, 1, 64)
        if noise:
            drawn = tuple(rng.normal(size=one.shape).astype(np.float32) for one in shown.updates)
            shown = replace(shown, updates=drawn)
        return Target(Release(updates=shown), small)

    return made


def _traffic(change: Callable[[Any, np.random.Generator], Any]) -> Make:
    def made(seed: int) -> Target:
        from pipelines.methods.split_learning import SplitLearning
        from pipelines.methods.split_u import SplitU

        kind = SplitLearning if change is _as_sent else SplitU
        rng = Seeds(seed).rng("traffic")
        split = Split.assign(split_lab.records(1200, seed=seed), Seeds(seed).rng("split"), 0.3)
        release = kind(epochs=2).fit(split.members, Seeds(seed).rng("fit"))
        return Target(replace(release, cut=change(release.cut, rng)), split)

    return made


def _as_sent(cut: Any, rng: np.random.Generator) -> Any:
    return cut


def _returned_noise(cut: Any, rng: np.random.Generator) -> Any:
    drawn = (rng.normal(size=one.shape) for one in (cut.returned, cut.gradients))
    returned, gradients = drawn
    return replace(cut, returned=returned, gradients=gradients)


def _others_rows(cut: Any, rng: np.random.Generator) -> Any:
    return replace(cut, row=cut.row[rng.permutation(len(cut.row))])


def _cipher(key: bool) -> Make:
    def made(seed: int) -> Target:
        from pipelines.methods.federated_encrypted import FederatedEncrypted

        rng = Seeds(seed).rng("hospitals")
        plain = people(240, rng)
        sites = tuple("abcd")
        records = replace(plain, site=np.arange(240) % 4, sites=sites)
        method = FederatedEncrypted(rounds=2)
        split = Split.assign(records, rng)
        release = method.fit(records, Seeds(seed).rng("fit"))
        cipher = release.cipher
        assert cipher is not None
        if not key:
            other = rng.integers(-1, 2, len(cipher.secret)).astype(np.int8)
            release = replace(release, cipher=replace(cipher, secret=other))
        return Target(release, split, method)

    return made


def _file(stored: bool) -> Make:
    def made(seed: int) -> Target:
        split = pools(seed)
        model: Any = Trees().fit(split.members, Seeds(seed).rng("fit")).model
        feature = np.concatenate([t.tree_.feature for t in model.model.estimators_])
        parts = {"feature": feature}
        if stored:
            parts |= {"X": split.members.X, "y": split.members.y}
        file = io.BytesIO()
        np.savez(file, **parts)
        return Target(Release(model=model, file=file.getvalue()), split)

    return made


# --- clients who mean harm


@dataclass(frozen=True)
class Deaf(poison_lab.ToyFederation):
    """A federation in which nothing that a malicious client does arrives."""

    seats: ClassVar[bool] = True

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        own = poison_lab.ToyFederation(self.aggregate, None, self.rounds, self.gate)
        return own.fit(members, rng)


def _federation(kind: type[poison_lab.ToyFederation]) -> Make:
    def made(seed: int) -> Target:
        split, method = poison_lab.hospitals(seed=seed), kind(gate=False)
        return Target(method.fit(split.members, Seeds(seed).rng("fit")), split, method)

    return made


def _rare_trigger(kind: type[poison_lab.ToyFederation]) -> Make:
    """The same with the columns of the trigger among those that mean nothing to a clean model."""

    def made(seed: int) -> Target:
        plain, method = poison_lab.hospitals(seed=seed), kind(rounds=15)
        order = [*range(2, 8), 0, 1]
        pools = (plain.members, plain.nonmembers, plain.reference)
        split = Split(*(replace(pool, X=pool.X[:, order]) for pool in pools))
        return Target(method.fit(split.members, Seeds(seed).rng("fit")), split, method)

    return made


MEMORISED = ("a forest of full-grown trees", "the same method trained on other people")
COPIED = ("half of the members copied into the table", "a table drawn from the reference pool")
HARMED = ("a mean of the clients' updates", "a federation that a malicious client cannot reach")
CHANGED = ("a logistic regression", "one answer for all")


def _worlds() -> dict[str, World]:
    eight, rivals = {"shadows": 8}, {"rivals": 0, "repeats": 1}
    few = {"records": 60}
    table = (_table(_copied), _table(_of_reference))
    found = [
        *(
            World(name, _remembers, _of_others, *MEMORISED)
            for name in ("threshold", "quantile", "neighbourhood")
        ),
        *(
            World(name, _remembers, _of_others, *MEMORISED, settings)
            for name, settings in (
                ("shadow", eight),
                ("lira", eight),
                ("rmia", eight),
                ("few_shadow_lira", eight),
                ("reference_lira", eight),
                ("patient_risk", {"shadows": 32}),
                ("one_run", {}),
            )
        ),
        World(
            "attribute",
            _answers(_memory),
            _answers(lambda split, seed: trees.First()),
            "a model that is sure of what it has seen",
            "a model of another column alone",
        ),
        World(
            "property_inference",
            _tells_share,
            _hides_share,
            "a column that turns the effect of another round",
            "training that never sees the column",
        ),
        World("model_extraction", _answers(_logistic), _answers(lambda *a: Flat()), *CHANGED),
        *(
            World(name, _answers(_logistic), _answers(lambda *a: Flat()), *CHANGED, settings)
            for name, settings in (
                ("fgsm", few),
                ("pgd", {**few, "steps": 5}),
                ("square", {**few, "queries": 40}),
            )
        ),
        *(
            World(
                name,
                _federation(poison_lab.ToyFederation),
                _federation(Deaf),
                *HARMED,
                {**rivals, "clients": clients},
            )
            for name, clients in (("byzantine", 1), ("label_flip", 4), ("sign_flip", 1))
        ),
        World(
            "backdoor",
            _rare_trigger(poison_lab.ToyFederation),
            _rare_trigger(Deaf),
            *HARMED,
            {**rivals, "clients": 2},
        ),
        *(
            World(name, *table, *COPIED)
            for name in (
                "copies",
                "distance",
                "domias",
                "gen_lra",
                "mama_mia",
                "linkability",
                "singling_out",
                "synthetic_attribute_inference",
            )
        ),
        *(
            World(
                name,
                _generator(True),
                _generator(False),
                "a table of members drawn with replacement",
                "the same generator trained on the reference pool",
                eight,
            )
            for name in ("shadow_generator", "table_ensemble")
        ),
        World(
            "gradient_inversion",
            _updates(False),
            _updates(True),
            "one record a client",
            "updates replaced by noise",
            {"restarts": 0},
        ),
        World(
            "label_leakage",
            _traffic(_as_sent),
            _traffic(_returned_noise),
            "a split network whose server is sent the outcomes",
            "gradients replaced by noise",
        ),
        World(
            "split_inversion",
            _traffic(_as_sent),
            _traffic(_others_rows),
            "the activations at the cut",
            "activations of other patients",
        ),
        World(
            "key_recovery",
            _cipher(True),
            _cipher(False),
            "one secret key that all hospitals share",
            "another key than the one that was used",
        ),
        World(
            "stored_records",
            _file(True),
            _file(False),
            "a file with the training table",
            "a file with the splits of the trees",
        ),
        World(
            "explanations",
            trees.explained(0.5),
            trees.explained(0.0),
            "attributions that are more even for members",
            "attributions of one kind for all",
        ),
        World(
            "leaf_facts",
            trees.leaves(1),
            trees.leaves(20),
            "a forest of full-grown trees",
            "a forest with 20 records and more in a leaf",
        ),
        World(
            "structural",
            trees.grown_tree(True),
            trees.grown_tree(False),
            "a tree grown to leaves of one outcome",
            "the same tree trained on other people",
        ),
        World(
            "tree_reconstruction",
            trees.small_forest(True),
            trees.small_forest(False),
            "a forest of 40 records, without bootstrap samples",
            "the same forest trained on other people",
        ),
        World(
            "model_inversion",
            trees.asked(lambda members, seed: trees.Nearest(members)),
            trees.asked(lambda members, seed: LogReg().fit(members, Seeds(seed).rng("fit"))),
            "a model that is surest near a record it has seen",
            "a logistic regression",
            {"patients": 400},
        ),
    ]
    return {world.name: world for world in found}


WORLDS = _worlds()
