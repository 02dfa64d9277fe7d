"""What a learner, a method, a release, an attack and a task are."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.facts import FAMILIES, Attacker, Caveat, Family, Reason, Setting
from privaudit.records import Column, OutcomeKind, Records, Split
from privaudit.seeds import Seeds
from privaudit.transcripts import CipherTranscript, CutTraffic, Exchange
from privaudit.trees import Trees
from privaudit.words import Words


class Access(StrEnum):
    """What an attacker can do: the set of these is a threat model. Documents hold the names."""

    ANSWERS = "ANSWERS"
    """ask the model for probabilities"""
    WEIGHTS = "WEIGHTS"
    """read the parameters and take gradients"""
    UPDATES = "UPDATES"
    """read each client's update, as the server does"""
    CIPHER = "CIPHER"
    """hold the encrypted updates and their sums, as the server does"""
    CUT = "CUT"
    """read the traffic at a split model's cut"""
    TABLE = "TABLE"
    """read the synthetic records"""
    FILE = "FILE"
    """open the file that the model or the generator is saved in"""
    SEAT = "SEAT"
    """take part in training as one client"""
    RERUN = "RERUN"
    """train again the same way on other records"""
    EXPLANATIONS = "EXPLANATIONS"
    """read the explanations that are released beside an answer"""
    TREES = "TREES"
    """read the trees: splits, counts and leaf values"""


REQUIRED_ACCESS: Mapping[str, frozenset[Access]] = {
    "membership": frozenset({Access.ANSWERS, Access.TABLE}),
    "attribute": frozenset({Access.ANSWERS}),
    "reconstruction": frozenset({Access.UPDATES, Access.CIPHER, Access.CUT, Access.FILE}),
    "inversion": frozenset({Access.ANSWERS}),
    "property": frozenset({Access.ANSWERS}),
    "extraction": frozenset({Access.ANSWERS}),
    "evasion": frozenset({Access.ANSWERS}),
    "poisoning": frozenset({Access.SEAT}),
    "synthetic": frozenset({Access.TABLE}),
    "epsilon": frozenset({Access.ANSWERS}),
}
"""What a release must give away, one of these at least, for a family to apply to it at all: an
attack that needs more was not made, which says nothing of the others."""


class Model(Protocol):
    """Anything that answers with probabilities."""

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, k) float64, rows sum to 1."""
        ...


@runtime_checkable
class Predictor(Model, Protocol):
    """A model of an outcome that is a number or a time. Asked for probabilities, it refuses."""

    def predict(self, records: Records) -> np.ndarray:
        """(n,) float64: the predicted outcome in its own unit; for a time to an event, a risk
        score, the higher the sooner."""
        ...


class AnswersWithNumbers:
    """What a `Predictor` says where it is asked for probabilities: it never makes any up."""

    def predict_proba(self, records: Records) -> np.ndarray:
        """Refused: see `Predictor`."""
        raise PrivauditError(
            "a model that predicts a number, asked for the probabilities of classes",
            "a number has no classes",
            "run the attacks that read predictions: the membership attacks and attribute inference",
        )


@runtime_checkable
class Differentiable(Model, Protocol):
    """A model whose gradients can be taken."""

    def input_gradient(self, records: Records) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradient of each record's log loss: for X (n, d), and for series (n, hours, channels).

        In the records' own units. Zero for inputs that the model does not read and where the input
        is missing; None for series where the records have none.
        """
        ...

    def weight_gradient(self, records: Records) -> np.ndarray:
        """Per-record gradient of the log loss for the parameters: (n, p)."""
        ...


class Explainer(Protocol):
    """What is released beside an answer to explain it: how much each feature moved it."""

    def explain(self, records: Records) -> np.ndarray:
        """(n, d) attributions: of two classes to the last, of more to the recorded one, of a number
        to the prediction."""
        ...


@runtime_checkable
class Parted(Model, Protocol):
    """A model of several, each of which answers for records of its own."""

    def beside(self, records: Records) -> Model:
        """What answers for row i of a table as long as these records as for row i of these."""
        ...


@runtime_checkable
class SiteModels(Model, Protocol):
    """A model of several sites, each with a model of its own that can be asked about anybody."""

    @property
    def by_site(self) -> Mapping[int, Model]:
        """The code of each site that was trained at, or answers -> its own model."""
        ...


@runtime_checkable
class HasTrees(Protocol):
    """A model made of decision trees that anybody reads who is handed it."""

    def read_trees(self) -> Trees:
        """Splits, counts and leaf values, the outcomes in the order of the records' classes.

        Raises:
            PrivauditError: Trees that nobody here can read: what they state is not known.
        """
        ...

    def tree_inputs(self, records: Records) -> np.ndarray:
        """(n, inputs) float32 or float64: what the trees compare, NaN where it is missing."""
        ...


@dataclass(frozen=True)
class Mechanism:
    """One kind of noisy step, `times` over: what `privaudit.dp.accounting` composes and draws.

    scale: noise over sensitivity (or, for "stated", an epsilon that somebody else vouches for, at
    `delta`); sampling: each unit's chance of taking part in a step.
    """

    kind: Literal["gaussian", "poisson_gaussian", "laplace", "stated"]
    scale: float
    times: int = 1
    sampling: float = 1.0
    delta: float = 0.0


@dataclass(frozen=True)
class Claim:
    """What is guaranteed. epsilon None means: nothing is guaranteed.

    Made by `privaudit.dp.accounting` alone. mechanisms: what was composed, for the whole curve of
    the guarantee rather than one point of it.
    """

    epsilon: float | None = None
    delta: float = 0.0
    unit: Literal["record", "stay", "patient", "site"] = "patient"
    neighbours: Literal["add-remove", "replace"] = "add-remove"
    covers: frozenset[Access] = frozenset()
    basis: str = "no claim"
    mechanisms: tuple[Mechanism, ...] = ()


@dataclass(frozen=True, eq=False)
class Release:
    """What leaves the hospital, and what is guaranteed about it.

    table: synthetic records; file: the model or the generator as it would be released
    (`Sampler.save`, a model's file, or what another library wrote); explanations: what is released
    beside each answer. trust: who could read what of
    one hospital's contribution, as (who, what, whether) rows for the report; costs: numbers
    (bytes_up, bytes_down, rounds, simulated_seconds, refused_updates, train_seconds...); notes:
    sentences for the report. restricted_notes: sentences that tell of few people, stored under
    restricted/ alone. The texts of trust, of notes and of the claim's basis name people and places
    by {person}, {people}, {site}, {sites} (`privaudit.words.Words.forms`). noisy: what a private
    generator had to work from, column -> (cuts between ranges, shares of ranges or levels in order,
    then of not recorded). unasked: what whoever holds it can do and the audit could not, where its
    model's answers were refused.
    """

    claim: Claim = Claim()
    model: Model | None = None
    updates: Exchange | None = None
    cut: CutTraffic | None = None
    table: Records | None = None
    cipher: CipherTranscript | None = None
    file: bytes | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    trust: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str | Caveat, ...] = ()
    restricted_notes: tuple[str, ...] = ()
    noisy: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    explanations: Explainer | None = None
    unasked: frozenset[Access] = frozenset()

    @property
    def access(self) -> frozenset[Access]:
        """What holding this release lets an attacker do."""
        shown = {
            Access.ANSWERS: self.model is not None,
            Access.WEIGHTS: isinstance(self.model, Differentiable),
            Access.UPDATES: self.updates is not None,
            Access.CIPHER: self.cipher is not None,
            Access.CUT: self.cut is not None,
            Access.TABLE: self.table is not None,
            Access.FILE: self.file is not None,
            Access.EXPLANATIONS: self.explanations is not None,
            # Trees grown on synthetic records state nothing of a patient.
            Access.TREES: self.table is None and isinstance(self.model, HasTrees),
        }
        return self.unasked | {access for access, given in shown.items() if given}


class Learner(ABC):
    """A model family. Subclasses are frozen dataclasses: the constructor only stores."""

    reads: ClassVar[Literal["table", "series", "picture"]] = "table"
    """What it cannot do without: synthetic tables have neither series nor pictures."""

    batch: ClassVar[int] = 1
    """How many models `fit_many` trains well as one program; the engine cuts refits into this."""

    @abstractmethod
    def fit(self, records: Records, rng: np.random.Generator) -> Model:
        """Train on these records and nothing else: imputation, scaling and early stopping
        included."""

    def fit_many(
        self, records: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Model]:
        """Train one model a table. One after another unless the family can train them together."""
        return [self.fit(part, rng) for part, rng in zip(records, rngs, strict=True)]


@dataclass(frozen=True)
class FocalPoints:
    """What a generator measures of the records that it is trained on.

    columns: sets of columns by name, whose joint distribution it counts (the outcome's name is that
    of `privaudit.fidelity.distance.outcome`). correlations: whether it also measures how all
    columns correlate, pair by pair. cuts: where it cuts numbers into cells, by name; those of other
    columns are not known.
    """

    columns: tuple[tuple[str, ...], ...]
    correlations: bool = False
    cuts: Mapping[str, np.ndarray] = field(default_factory=dict)


class Sampler(Protocol):
    """A fitted generator of synthetic records: what is left of the records that it was trained
    on."""

    @property
    def claim(self) -> Claim: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def sample(self, rows: int, rng: np.random.Generator) -> Records:
        """`rows` synthetic records of the columns and classes trained on, every value valid.

        Bounds, levels, whole numbers, `Column.at_most` and min <= mean <= max hold; NaN where a
        value was not measured. patient: 0..rows-1, each a patient of its own; site: 0; no series,
        no groups.
        """
        ...

    def save(self) -> bytes:
        """The file to hand out: arrays and text alone, so that loading it runs no code, and no
        training record."""
        ...


class Generator(ABC):
    """A family of models of a table, from which synthetic records are drawn. Subclasses are frozen
    dataclasses: the constructor only stores.

    The outcome y is one more column of the table. Series are not modelled. costly: takes minutes,
    so that it is trained again for an attack only when asked for.
    """

    costly: ClassVar[bool] = False

    def check(self) -> None:  # noqa: B027
        """As a method's: PrivauditError where these settings or libraries can train nothing."""

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints | None:
        """What it would count of these records. None where it works from no counts."""
        return None

    @abstractmethod
    def fit(
        self,
        records: Records,
        rng: np.random.Generator,
        *,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Sampler:
        """Learn from these records and nothing else.

        checkpoint: a file to which a long training's state is written now and then (temp, then
        rename) and from which it goes on, to the same result as an uninterrupted one; removed by
        the caller. A checkpoint of other records or settings is refused. progress: told now and
        then.
        """

    @classmethod
    @abstractmethod
    def load(cls, file: bytes) -> Sampler:
        """The sampler that `Sampler.save` wrote. Runs no code of the file; PrivauditError for a
        bad one."""


class Malicious(ABC):
    """What malicious clients of a federation do. Subclasses are frozen dataclasses.

    clients: how many clients are malicious (the last ones in site order). absent: they train and
    send nothing, as if they were not there: a method leaves them out of every round, and nothing
    else of the training changes.
    """

    clients: int
    absent: ClassVar[bool] = False

    def poison(self, records: Records, rng: np.random.Generator) -> Records:
        """The records that a malicious client trains on instead of its own."""
        return records

    def corrupt(self, honest: np.ndarray, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(f, p), what they send, knowing (h, p) honest updates and their own (f, p)."""
        return own

    def claim_counts(self, counts: np.ndarray) -> np.ndarray:
        """(f,), how many records they say they trained on."""
        return counts


class Method(ABC):
    """How member records become a release. Subclasses are frozen dataclasses.

    A method is given members and nothing else, so it cannot leak the other pools. learners: names
    of the learners it can be composed with, the usual one first; empty where it has no field
    `learner`. A method with a field `generator` is composed with every generator instead, and keeps
    its own learner. seats: whether clients take part in training; such a method has a field
    `malicious`. supplied: `fit` trains nothing but hands out what a user supplied; where the recipe
    is known too, `twin` is it.
    """

    learners: ClassVar[tuple[str, ...]] = ()
    seats: ClassVar[bool] = False
    supplied: ClassVar[bool] = False
    pictures: ClassVar[bool] = False
    """Whether it can be trained on pictures; with a learner, that one decides."""

    @property
    def alternatives(self) -> Mapping[str, Method]:
        """The same way of training under other defences (aggregators), for one table of attacks."""
        return {}

    @property
    def reruns(self) -> bool:
        """Whether the auditor can train this way again: no for a model that came without its
        recipe, or where it would cost too much."""
        return True

    @property
    def unretrained(self) -> Reason | None:
        """Why the auditor cannot train this way again, where more is known than that the recipe
        is not."""
        return None

    @property
    def barred(self) -> Mapping[str, Reason]:
        """Attacks that the auditor cannot make on it, and why: a deployed model is asked within a
        budget."""
        return {}

    def confirm(self) -> None:  # noqa: B027
        """Called once nothing more is asked of a release, before results are written.

        PrivauditError where its answers cannot be relied on: nothing is then written of them.
        """

    @property
    def shadows(self) -> Sequence[tuple[Method, np.ndarray]]:
        """Shadow models that a user supplied, each with (n,) bool: on which audit records it was
        trained; none where the auditor trains them."""
        return ()

    @property
    def nearness(self) -> Method | None:
        """For a release of synthetic records: the same training, whose model's true-class log
        odds are minus the log distance to the nearest of them. None where no table is released."""
        return None

    def read_table(self, reader: TableReader) -> Method | None:
        """For a release of synthetic records: the same training, of whose table nothing is released
        but what `reader` reads of it (`ReadsTable`). None where no table is released."""
        return None

    def focal_points(self, records: Records, rng: np.random.Generator) -> FocalPoints | None:
        """For a release of synthetic records: what the generator would count of these records. None
        where it works from no counts, or where that is not known."""
        return None

    @property
    def costly(self) -> bool:
        """Whether one training takes minutes, so that it is not tried out for a forecast."""
        return False

    @property
    def twin(self) -> Method:
        """The cheapest method that trains the same models, up to rounding: what refits are made
        with."""
        return self

    def check(self) -> None:  # noqa: B027
        """PrivauditError where these settings, or the libraries installed, can train nothing: asked
        before anything is trained. Raised from a ModuleNotFoundError where a library is missing."""

    @abstractmethod
    def fit(self, members: Records, rng: np.random.Generator) -> Release: ...

    def fit_many(
        self, members: Sequence[Records], rngs: Sequence[np.random.Generator]
    ) -> Sequence[Release]:
        """One release a table. One after another unless the method can train them together."""
        return [self.fit(part, rng) for part, rng in zip(members, rngs, strict=True)]

    @property
    def batch(self) -> int:
        """How many refits the engine hands to `fit_many` at once."""
        return 1


class TableReader(ABC):
    """What is to be read of a shadow generator's table. `repr` names it: a refit is known by it."""

    @abstractmethod
    def read(self, table: Records, records: Records) -> np.ndarray:
        """(s, n) float64: s signals of each record, all finite."""


@runtime_checkable
class ReadsTable(Model, Protocol):
    """A model of a refit that answers with several signals a record."""

    def read(self, records: Records) -> np.ndarray:
        """(s, n) float64, all finite."""
        ...


@dataclass(frozen=True, eq=False)
class Refit:
    """One training job that an attack asks for: `method` on `pool[included]`.

    The engine answers with a `Fitted` that holds its signal on `ask`, never the model.
    name: names the random stream, so that two attacks asking the same get the same model.
    """

    method: Method
    pool: Records
    included: np.ndarray
    ask: Records
    name: str

    @property
    def train(self) -> Records:
        return self.pool.take(self.included)

    @cached_property
    def key(self) -> str:
        """Content key: the method, the rows, the question and the stream (the engine adds code
        version)."""
        digest = hashlib.sha256()
        for part in (repr(self.method), self.pool.fingerprint, self.ask.fingerprint, self.name):
            digest.update(part.encode() + b"\0")
        digest.update(np.packbits(self.included).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Fitted:
    """What came of a `Refit`: which of the asked records were trained on, and how sure the model
    is.

    included: (n,) bool over the refit's pool; margins: (len(ask),) float32, true-class margins or,
    where the outcome is a number, residuals: see `privaudit.signals.read_signal`. Of a method that
    reads a table (`Method.read_table`) (s, len(ask)), what its reader reads.
    """

    included: np.ndarray
    margins: np.ndarray


@dataclass(frozen=True, eq=False)
class Target:
    """What is under attack: a release, how it was made (where known), and the split with the
    answers."""

    release: Release
    split: Split
    method: Method | None = None

    @property
    def access(self) -> frozenset[Access]:
        """What the auditor can do: hold the release and, knowing the method, train again."""
        if self.method is None:
            return self.release.access
        seat = {Access.SEAT} if self.method.seats else set()
        again = {Access.RERUN} if self.method.reruns else set()
        return self.release.access | again | seat

    @cached_property
    def margins(self) -> np.ndarray:
        """(len(split.audit),) float64: the released model's true-class margin on every audit
        record, or its residual where the outcome is a number."""
        from privaudit.signals import ask, read_signal

        if self.release.model is None:
            raise ValueError("this release has no model to ask")
        audit = self.split.audit
        return read_signal(ask(self.release.model, audit), audit)


Combine = Literal["add", "largest"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """What complementary refits say of every audit patient, one number a patient and pair.

    Of one pair, each patient was trained on in exactly one refit. patients: (n,) ids; first:
    (pairs, n) bool, whether it was the first of the two; moved: (ways, pairs, n), by how much the
    first is surer of what was recorded, less the median over patients, for each way of reading a
    patient's records; coins: (ways, pairs, n) bool, fair, for ties. No pair where refits are no
    complements of each other.
    """

    patients: np.ndarray
    first: np.ndarray
    moved: np.ndarray
    coins: np.ndarray


@dataclass(frozen=True, eq=False)
class Scores:
    """Evidence of a membership game, one score a record: higher = more surely a member.

    randomised: membership was assigned at random, each patient with equal chance. combine: how the
    scores of one patient's records become the patient's. "add": as log likelihood ratios are, after
    the mean over all records of both pools is taken away, so that a sum is evidence and not a count
    of records. "largest": the patient is found where one record is, as with copies. pairs: where
    the attack reads every patient's own risk.
    """

    members: np.ndarray
    nonmembers: np.ndarray
    randomised: bool = False
    combine: Combine = "add"
    pairs: Pairs | None = None


Rows = Literal["each", "any", "best", "surest"]
"""What several attempts on one patient come to.

each: every attempt counts for itself. any: the patient is found where any record is, and a guess, a
probability, is right with 1 - prod(1 - p). best: success and guess are shares of a record, and the
patient's are those of the record of which most is known. surest: of several guesses the attacker
stands by one, that of the record of which `sure` is largest, for one of many guesses is right by
chance alone.
"""


@dataclass(frozen=True, eq=False)
class Ranked:
    """What a model answers about the records tried: (n, k) after the attack, after its control and
    before any change, with y, (n,) their outcomes."""

    y: np.ndarray
    attacked: np.ndarray
    control: np.ndarray
    unchanged: np.ndarray


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """Pictures that an attack rebuilt: (n,) peak signal-to-noise ratios in decibels.

    attack: of what was rebuilt and the original; control: of the reference picture nearest to the
    original. pictures, originals: (n, pixels) for `restricted/` alone.
    """

    attack: np.ndarray
    control: np.ndarray
    pictures: np.ndarray
    originals: np.ndarray


@dataclass(frozen=True, eq=False)
class Trials:
    """Evidence of attempts: (n,) success in [0, 1] of the attack, of its control on the same
    records, and of a guess without the release. `control_label` says what the control was.
    patients: (n,) whose records were tried, where an attack tried a sample of its own choice.
    control_patients: (m,) where the control was made on other records than the attack, whose
    those were. rows: see `Rows`. sure, control_sure: (n,), (m,) how much the attacker relies on
    each attempt, larger for more; needed where rows is "surest". ranked: where the attack changes
    what the model answers. rebuilt: where it makes pictures."""

    success: np.ndarray
    control: np.ndarray
    guess: np.ndarray | None = None
    control_label: str = "control"
    patients: np.ndarray | None = None
    control_patients: np.ndarray | None = None
    rows: Rows = "each"
    sure: np.ndarray | None = None
    control_sure: np.ndarray | None = None
    ranked: Ranked | None = None
    rebuilt: Rebuilt | None = None


class Attack(ABC):
    """One way to learn what should not be learnt. Subclasses are frozen dataclasses.

    needs: what the attack cannot be made without; `helped_by`: what else it uses where it can.
    outcomes: the kinds of outcome that it can be made on; on others it does not apply. attacker:
    who makes it, of a membership attack.
    """

    needs: ClassVar[frozenset[Access]]
    family: ClassVar[Family]
    outcomes: ClassVar[frozenset[OutcomeKind]] = frozenset({"class"})
    attacker: ClassVar[Attacker | None] = None
    pictures: ClassVar[bool] = True
    """Whether it can be made on pictures: not where it asks for what one column means."""

    @property
    def helped_by(self) -> frozenset[Access]:
        """What the attack, set as it is, also uses where the auditor can do it."""
        return frozenset()

    def uses(self, access: frozenset[Access]) -> frozenset[Access]:
        """What the attack really uses of what the auditor can do."""
        return (self.needs | self.helped_by) & access

    def made_by(self, used: frozenset[Access]) -> Attacker | None:
        """Who makes it with what it `uses`."""
        return self.attacker

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        """The training jobs this attack wants; it is given their outcomes in the same order."""
        return ()

    @abstractmethod
    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> Scores | Trials | Mapping[Setting, Trials]:
        """The evidence: scores for membership, or trials, one series a setting where there are
        several."""


@dataclass(frozen=True)
class FlowStep:
    """One row of the cohort flow: what was left out, and what remained after."""

    step: str
    excluded_stays: int
    stays: int
    patients: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """A task's records, ready to be split, with where they came from.

    source: one of "MIMIC-III", "PhysioNet/CinC Challenge 2012", "generated demo", ...; real:
    whether they describe people; notes: texts that the report prints as they are, or caveats.
    split: who was trained on, where that is supplied and not for the audit to assign. caveats: what
    a reader must know before any number; distribution_shift: why a membership number may be a
    difference between the pools, None for none; untested: family of attacks -> why the records
    leave it nothing to try. patients: name of a patient -> their number in the records, empty where
    the rows name none; None where the numbers are the source's own names. words: what the report
    calls people and sites; None for those of the task. unguaranteed: why no guarantee may be
    claimed of a training on these records; None where it may.
    """

    records: Records
    flow: tuple[FlowStep, ...]
    source: str
    real: bool
    notes: tuple[str | Caveat, ...] = ()
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    split: Split | None = None
    caveats: tuple[Caveat, ...] = ()
    distribution_shift: Caveat | None = None
    untested: Mapping[str, Reason] = field(default_factory=dict)
    patients: Mapping[str, int] | None = None
    words: Words | None = None
    unguaranteed: Reason | None = None


Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, in [0, 1]."""


class Task(ABC):
    """A question asked of a hospital's data. Subclasses are frozen dataclasses."""

    title: ClassVar[str]
    positive: ClassVar[str]
    words: ClassVar[Words] = Words()
    pictures: ClassVar[bool] = False
    """Whether its records are pictures (`Records.image`)."""

    @abstractmethod
    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records from the source at `data`, or from the embedded demo where it is None.

        cache: a folder outside any report, for tables read once. Raises PrivauditError for every
        fault of the source.
        """

    def check(self, data: Path) -> Mapping[str, str]:
        """What a folder holds, for `privaudit doctor`: names and findings, no row of data."""
        return {}


__all__ = [
    "FAMILIES",
    "Access",
    "AnswersWithNumbers",
    "Attack",
    "CipherTranscript",
    "Claim",
    "Column",
    "Combine",
    "CutTraffic",
    "Differentiable",
    "Exchange",
    "Explainer",
    "Family",
    "Fitted",
    "FlowStep",
    "FocalPoints",
    "Generator",
    "HasTrees",
    "Learner",
    "Malicious",
    "Mechanism",
    "Method",
    "Model",
    "Pairs",
    "Parted",
    "Predictor",
    "Prepared",
    "Progress",
    "Ranked",
    "ReadsTable",
    "Rebuilt",
    "Refit",
    "Release",
    "Rows",
    "Sampler",
    "Scores",
    "SiteModels",
    "TableReader",
    "Target",
    "Task",
    "Trials",
]
