"""A model that somebody brought, as a way of training that trains nothing; and its twin that does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from privaudit.contracts import FlowStep, Method, Model, Prepared, Progress, Release, Task
from privaudit.errors import PrivauditError
from privaudit.inputs import checks
from privaudit.inputs.models.answers import canonical, probabilities
from privaudit.inputs.models.layout import Frame, Layout
from privaudit.inputs.models.scikit_learn import Named, inputs
from privaudit.records import Records, Split
from privaudit.seeds import Seeds, borrowed_globals
from privaudit.stats.groups import rare_classes, rare_joined

REFERENCE = 0.2
"""Share of the held-out patients that the attacker is given where no reference table is."""

ALONE = (
    "Nobody said how to train this model again, so the attacks that compare it with models trained on other "
    "patients (shadow, lira, rmia, bayes) were not run; they often find more. To run them give "
    "--estimator module:function, a function that returns the unfitted estimator."
)
ANSWERS_ONLY = (
    "Only the probabilities of these records are known, not the model: attacks that ask it about other "
    "records (attribute inference, evasion) or train it again were not run. To run them give --model."
)


@dataclass(frozen=True)
class Brought(Method):
    """A model as its owner brought it: nothing is trained, and nothing is promised.

    form: what kind of model; digest: sha256 of what it holds; recipe: how it can be trained again, ""
    where nobody said. Source: the auditing setting of Murakonda and Shokri 2020 (ML Privacy Meter,
    arXiv 2007.09339).
    """

    form: str
    digest: str
    recipe: str = ""

    supplied: ClassVar[bool] = True

    @classmethod
    def of(
        cls, model: Model, form: str, digest: str, *, notes: tuple[str, ...] = (),
        twin: Retrained | None = None,
    ) -> Brought:  # fmt: skip
        """The method that hands out this model."""
        made = cls(form, digest, "" if twin is None else twin.recipe)
        told = notes if twin is not None else (*notes, ALONE)
        return _holding(made, model=model, twin=twin, notes=told)

    @property
    def reruns(self) -> bool:
        return bool(self.recipe)

    @property
    def twin(self) -> Method:
        return self.__dict__.get("_twin") or self

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """The model that was brought, whatever the records."""
        return Release(model=self.__dict__["_model"], notes=self.__dict__["_notes"])


@dataclass(frozen=True)
class Retrained(Method):
    """The brought model's recipe, trained again on other records.

    recipe: how the estimator is made; digest: of what makes it. Every `random_state` comes from the
    stream; early stopping, scaling and imputation are whatever the estimator does by itself. Source:
    shadow models, Shokri et al. 2017 (arXiv 1610.05820), section V.
    """

    recipe: str
    digest: str

    @classmethod
    def of(
        cls, recipe: str, digest: str, make: Callable[[], Any], reads: Frame | Layout,
        labels: tuple[Any, ...],
    ) -> Retrained:  # fmt: skip
        """make: returns an unfitted estimator; labels: what it is handed for each class code."""
        return _holding(cls(recipe, digest), make=make, reads=reads, labels=labels)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """PrivauditError where the estimator cannot be trained on these records."""
        held = self.__dict__
        reads, labels = held["_reads"], held["_labels"]
        codes = np.unique(members.y)
        try:
            estimator = seeded(held["_make"](), rng)
            X, y = inputs(reads, members), self._outcomes(estimator, members.y, codes, labels)
            with borrowed_globals(rng), _quiet():
                fitted = estimator.fit(X, y)
            estimator = estimator if fitted is None else fitted
        except PrivauditError:
            raise
        except Exception as error:
            raise PrivauditError(
                f"the estimator could not be trained again ({type(error).__name__})",
                f"it was handed {len(members):,} records of {len(codes)} classes; its own words are not shown, "
                "they may quote cells",
                "train it yourself on a random half of the members to see why, or leave --estimator out",
            ) from error
        return Release(model=Again(estimator, reads, len(members.classes), codes))

    @staticmethod
    def _outcomes(
        estimator: Any, y: np.ndarray, codes: np.ndarray, labels: tuple[Any, ...]
    ) -> np.ndarray:
        numbers = [label for label in labels if isinstance(label, int | np.integer)]
        plain = len(numbers) == len(labels) and list(labels) == list(range(len(labels)))
        if plain or type(estimator).__name__.startswith("XGB"):
            # XGBoost takes 0..k-1 alone, also where a half lacks a rare class.
            return np.searchsorted(codes, y)
        return np.array(labels)[y]


def _holding(made: Any, **parts: Any) -> Any:
    """Parts that are no settings: neither printed, nor compared, nor named in a document."""
    for name, part in parts.items():
        object.__setattr__(made, f"_{name}", part)
    return made


@dataclass(frozen=True, eq=False)
class Again:
    """An estimator trained again. codes: the classes that its records held; others get nothing."""

    held: Any
    reads: Frame | Layout
    classes: int
    codes: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        from privaudit.inputs.models.opened_model import in_parts

        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        ask = getattr(self.held, "predict_proba", self.held)
        found = np.asarray(ask(inputs(self.reads, records)), dtype=np.float64)
        k = len(self.codes)
        if k == 1:
            found = np.ones((len(records), 1)) if found.ndim == 1 else found[:, :1] * 0 + 1
        else:
            found = probabilities(found, len(records), k, who="the model trained again")
        if k == self.classes:
            return found
        wide = np.zeros((len(records), self.classes))
        wide[:, self.codes] = found
        return wide


def seeded(estimator: Any, rng: np.random.Generator) -> Any:
    """Every random state of the estimator and its parts from the stream, every part on one thread."""
    if hasattr(estimator, "get_params") and hasattr(estimator, "set_params"):
        own = estimator.get_params(deep=True)
        chosen: dict[str, Any] = {
            name: int(rng.integers(2**31 - 1))
            for name in sorted(own)
            if name == "random_state" or name.endswith("__random_state")
        }
        chosen |= {
            name: 1
            for name in own
            if (name == "n_jobs" or name.endswith("__n_jobs")) and own[name] != 1
        }
        estimator.set_params(**chosen)
    return estimator


def _quiet() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore")


def cloned(held: Any) -> tuple[str, str, Callable[[], Any]] | None:
    """(recipe, digest, make) for an estimator that scikit-learn can clone; else None."""
    if not (hasattr(held, "get_params") and hasattr(held, "fit")):
        return None
    from sklearn.base import clone

    from privaudit.inputs.models import in_process as live

    try:
        template = clone(held)
    except (TypeError, RuntimeError):
        return None
    digest, _ = live.digest(template)
    return f"a clone of the {type(held).__name__}", digest, _Clone(template)


@dataclass(frozen=True, eq=False)
class _Clone:
    template: Any

    def __call__(self) -> Any:
        from sklearn.base import clone

        return clone(self.template)


def named(factory: str) -> tuple[str, str, Callable[[], Any]]:
    """(recipe, digest, make) for `module:function`."""
    import inspect

    from privaudit.inputs.models.user_code import factory as found

    make = found(factory, "--estimator")
    try:
        source = Path(inspect.getsourcefile(make) or "").read_bytes()
    except (OSError, TypeError):
        source = b""
    made = make()
    if not callable(getattr(made, "fit", None)) or not callable(
        getattr(made, "predict_proba", None)
    ):
        raise PrivauditError(
            f"--estimator {factory!r} returned a {type(made).__name__}",
            "it has to be trained (`fit(X, y)`) and answer with probabilities (`predict_proba(X)`)",
            "return an unfitted scikit-learn classifier, or wrap yours so",
        )
    digest = hashlib.sha256(factory.encode() + b"\0" + source).hexdigest()
    return factory, digest, make


def twin_of(
    recipe: tuple[str, str, Callable[[], Any]], model: Model, names: tuple[str, ...] | None,
    classes: tuple[str, ...], labels: tuple[Any, ...] | None, whole: Frame,
) -> Retrained:  # fmt: skip
    """The recipe, handed tables as the model reads them.

    labels: the model's own classes in the order of the schema's, where it names them; whole: the
    table as a frame, for a recipe whose model does not tell how it reads.
    """
    reads = getattr(model, "reads", None) or getattr(model, "layout", None) or whole
    if isinstance(reads, Layout) and not isinstance(reads, Named) and names is not None:
        reads = Named(reads.places, names)
    given = labels if labels is not None else _labels(classes)
    return Retrained.of(recipe[0], recipe[1], recipe[2], reads, given)


def _labels(classes: tuple[str, ...]) -> tuple[Any, ...]:
    try:
        return tuple(int(name) for name in classes)
    except ValueError:
        return classes


def in_order(labels: tuple[Any, ...], classes: tuple[str, ...]) -> tuple[Any, ...]:
    """A model's labels in the order of the schema's classes."""
    own = {canonical(label): label for label in labels}
    return tuple(own.get(canonical(name), name) for name in classes)


@dataclass(frozen=True)
class Given(Task):
    """Tables that somebody brought: who was trained on is known, and nothing is tossed.

    name: what the report calls the outcome; digest: of the records.
    """

    name: str
    digest: str

    title: ClassVar[str] = "A model that was brought"
    positive: ClassVar[str] = "the event"

    @classmethod
    def of(cls, prepared: Prepared, name: str, positive: str) -> Given:
        made = cls(name, prepared.records.fingerprint)
        object.__setattr__(made, "title", name)
        object.__setattr__(made, "positive", positive)
        return _holding(made, prepared=prepared)

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that this model and these records can be asked."""
        found: Prepared = self.__dict__["_prepared"]
        reads = not isinstance(found.facts.get("answers alone"), str)
        return () if found.split is None else applicable(found.split, reads=reads)[0]

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """What was read before the audit began."""
        found: Prepared = self.__dict__["_prepared"]
        return found


def applicable(split: Split, *, reads: bool = True) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the attacks that can be asked here, and why others cannot.

    reads: whether the records hold what the model reads; with its answers alone, only the attack that
    asks no more remains.
    """
    from privaudit.plugins import members

    if not reads:
        return ("threshold",), ()
    notes = [
        "The one-run bound on epsilon was not computed: it holds where fair coins chose who was trained on, "
        "which nobody knows of a model that was brought (privaudit audit-dp is for canaries)."
    ]
    left = {"one_run"}
    both = (split.members, split.nonmembers)
    inferred = [
        column.sensitive
        and all(not np.isnan(pool.X[:, j]).all() for pool in both)
        and (column.kind == "binary" or len(column.levels) > 1 or column.bounds is not None)
        for j, column in enumerate(split.members.columns)
    ]
    if not any(inferred):
        left.add("attribute")
        notes.append(
            "Attribute inference was not tried: no column is marked sensitive in the schema."
        )
    X = split.reference.X
    moved = [
        column.mutable and column.kind == "numeric" and not np.isnan(x := X[:, j]).all()
        and float(np.nanmax(x) - np.nanmin(x)) > 0
        for j, column in enumerate(split.members.columns)
    ]  # fmt: skip
    if not any(moved):
        left |= {"fgsm", "pgd", "square"}
        notes.append("Evasion was not tried: the table has no number that an attacker may change.")
    return tuple(name for name in members("attacks") if name not in left), tuple(notes)


def pools(
    members: Records, nonmembers: Records, reference: Records | None, rng: np.random.Generator,
    patient: str = "",
) -> tuple[Split, tuple[str, ...]]:  # fmt: skip
    """The three pools, checked; without a reference table a share of the held-out patients is it."""
    notes = []
    if reference is None:
        checks.overlap(members, nonmembers, patient or "the row")
        ids = np.unique(nonmembers.patient)
        if len(ids) < checks.FEWEST:
            raise PrivauditError(
                f"{len(ids)} patients among the non-members",
                f"below {checks.FEWEST} an interval covers almost everything, and the attacker is given "
                f"{REFERENCE:.0%} of them",
                f"hold at least {checks.FEWEST * 2 - len(ids)} more patients out",
            )
        mine = np.isin(nonmembers.patient, rng.permutation(ids)[: round(REFERENCE * len(ids))])
        reference, nonmembers = nonmembers.take(mine), nonmembers.take(~mine)
        notes.append(
            f"No reference table was given, so the attacker was given {REFERENCE:.0%} of the held-out "
            "patients, who are left out of the membership game."
        )
    else:
        checks.overlap(members, nonmembers, patient or "the row")
        for pool in (members, nonmembers):
            shared = np.isin(reference.patient, pool.patient)
            if shared.any():
                reference = reference.take(~shared)
        if not len(reference):
            raise PrivauditError(
                "a reference table of members or held-out patients alone",
                "the attacker's table holds other patients",
                "leave --reference out, or give records of other patients",
            )
    split = Split(*rare_joined((members, nonmembers, reference)))
    checks.enough(split)
    return split, tuple(notes)


def named_classes(pools: Sequence[Records], target: str) -> None:
    """Refuse classes of a handful of patients, whose names nobody called public."""
    rare = rare_classes(pools)
    if rare:
        raise PrivauditError(
            f"the outcome {target!r} has {len(rare)} classes of fewer than 10 patients",
            "every class is named in what is written, and the name alone would tell of these patients",
            "join them with another class, or call the classes by numbers 0, 1, 2; where they are public "
            "knowledge, list them in a schema (privaudit schema TABLE --target COLUMN) and give it with --schema",
        )


def without_rare_names(split: Split) -> Split:
    """The same pools, with a number for the name of each class that a handful of patients have."""
    pools = (split.members, split.nonmembers, split.reference)
    rare = rare_classes(pools)
    if not rare:
        return split
    classes = tuple(f"class {c}" if c in rare else name for c, name in enumerate(pools[0].classes))
    return Split(*(replace(pool, classes=classes) for pool in pools))


def prepare(
    split: Split, model: Model, *, seeds: Seeds, confidence: float, source: str,
    flow: tuple[FlowStep, ...] = (), notes: tuple[str, ...] = (), reads: bool = True,
    facts: Mapping[str, str | int | float] | None = None,
) -> Prepared:  # fmt: skip
    """The pools with everything that was checked of them."""
    found = checks.examine(split, model, seeds=seeds, confidence=confidence, reads=reads)
    records = Records.concatenate([split.members, split.nonmembers, split.reference])
    unfair = (found.distribution_shift,) if found.distribution_shift else ()
    told = applicable(split, reads=reads)[1]
    alone = {} if reads else {"answers alone": "yes"}
    return Prepared(
        records,
        flow or (FlowStep("records of all three pools", 0, len(records), len(np.unique(records.patient))),),
        source,
        True,
        notes=(*notes, *found.notes, *told),
        facts={**(facts or {}), **found.facts, **alone},
        split=split,
        caveats=(*unfair, *found.caveats),
        distribution_shift=found.distribution_shift,
    )  # fmt: skip


def tried(twin: Retrained, split: Split, rng: np.random.Generator) -> float:
    """CPU seconds a record that training again takes, found by doing it on a few hundred."""
    import time

    pool = split.members
    some = np.sort(rng.permutation(len(pool))[:500])
    start = time.process_time()
    release = twin.fit(pool.take(some), rng)
    if release.model is not None:
        release.model.predict_proba(split.reference.take(slice(0, 20)))
    return (time.process_time() - start) / len(some)


__all__ = [
    "Brought",
    "Given",
    "Retrained",
    "named_classes",
    "pools",
    "prepare",
    "without_rare_names",
]
