"""A model or a synthetic table that a user supplied, as a method that trains nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from privaudit.contracts import Explainer, Method, Model, Release
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, Reason
from privaudit.inputs.models.answers import canonical, probabilities
from privaudit.inputs.models.layout import Frame, Layout, call, inputs
from privaudit.inputs.models.opened_model import in_parts
from privaudit.inputs.models.predictors import NumberEstimator
from privaudit.inputs.models.scikit_learn import to_answers
from privaudit.inputs.recipes import Recipe, seed_estimator
from privaudit.inputs.refit_errors import explain_failure
from privaudit.records import Records
from privaudit.seeds import borrowed_globals

T = TypeVar("T")

NOT_RETRAINED = (
    "How this model was trained is not known, so the attacks that compare it with models trained "
    "on other patients (shadow, lira, rmia, few_shadow_lira, patient_risk) were not run; they "
    "often find more. To run them name a function that returns the unfitted estimator "
    "(--estimator module:function, in Python estimator=), or supply shadow models' answers "
    "(--shadow-answers)."
)
ANSWERS_ONLY = (
    "Only the probabilities of these records are known, not the model: attacks that ask it about "
    "other "
    "records (attribute inference, evasion) or train it again were not run. To run them give "
    "--model."
)

ANSWERS_AND_SHADOWS = (
    "Only the probabilities of these records are known, not the model: attacks that ask it about "
    "other records (attribute inference, evasion) were not run."
)


@dataclass(frozen=True)
class UserRelease(Method):
    """A model or a synthetic table as the user supplied it: nothing is trained, nothing is claimed.

    form: what kind of model or table; digest: sha256 of what it holds; recipe: how it can be
    trained again, "" where that is not known; file: short sha256 of the file of the model or of the
    generator, "" for none. Made by `of_model` or `of_table`, which hold what these name outside the
    fields, so that no description of the method can hold a row. Source: the auditing setting of
    Murakonda and Shokri 2020 (ML Privacy Meter, arXiv 2007.09339).
    """

    form: str
    digest: str
    recipe: str = ""
    file: str = ""

    supplied: ClassVar[bool] = True

    @classmethod
    def of_model(
        cls,
        model: Model,
        form: str,
        digest: str,
        *,
        notes: Sequence[str | Caveat] = (),
        twin: Retrained | None = None,
        file: bytes | None = None,
        shadows: tuple[tuple[Method, np.ndarray], ...] = (),
        explanations: Explainer | None = None,
    ) -> UserRelease:
        """Hand out this model; twin: how to train it again; file: what holds it when it is handed
        out; shadows: see `Method.shadows`; explanations: what is released beside its answers."""
        recipe = "supplied shadow models" if shadows else "" if twin is None else twin.recipe
        short = "" if file is None else hashlib.sha256(file).hexdigest()[:16]
        made = cls(form, digest, recipe, short)
        notes = notes if recipe else (*notes, NOT_RETRAINED)
        release = Release(model=model, file=file, notes=tuple(notes), explanations=explanations)
        return hold_parts(made, release=release, twin=None if shadows else twin, shadows=shadows)

    @classmethod
    def of_file(
        cls, model: Model, form: str, digest: str, file: bytes, notes: Sequence[str | Caveat] = ()
    ) -> UserRelease:
        """Hand out this file of a model whose answers were refused: nobody asks it, and whoever
        holds it still can."""
        unasked = Release(model=model).access
        release = Release(file=file, notes=tuple(notes), unasked=unasked)
        made = cls(form, digest, file=hashlib.sha256(file).hexdigest()[:16])
        return hold_parts(made, release=release, twin=None)

    @classmethod
    def of_table(
        cls, table: Records, file: bytes | None = None, notes: Sequence[str] = ()
    ) -> UserRelease:
        """Hand out this synthetic table, and this file of a generator."""
        digest = "" if file is None else hashlib.sha256(file).hexdigest()[:16]
        made = cls("synthetic table", table.fingerprint[:16], file=digest)
        return hold_parts(made, release=Release(table=table, file=file, notes=tuple(notes)))

    @property
    def reruns(self) -> bool:
        return bool(self.recipe)

    @property
    def shadows(self) -> Sequence[tuple[Method, np.ndarray]]:
        found: tuple[tuple[Method, np.ndarray], ...] = self.__dict__.get("_shadows", ())
        return found

    @property
    def twin(self) -> Method:
        return self.__dict__.get("_twin") or self

    @property
    def unretrained(self) -> Reason | None:
        found: Reason | None = self.__dict__.get("_unretrained")
        return found

    @property
    def barred(self) -> Mapping[str, Reason]:
        found: Mapping[str, Reason] = self.__dict__.get("_barred", {})
        return found

    @property
    def held(self) -> Model | None:
        """The model, None for a table."""
        return get_part(self, "release", Release).model

    def confirm(self) -> None:
        """Have a deployed model compared with itself once more."""
        finish = getattr(self.held, "finish", None)
        if finish is not None:
            finish()

    @property
    def model(self) -> Model:
        """The model that is handed out."""
        found = get_part(self, "release", Release).model
        if found is None:
            raise ValueError("this release has no model")
        return found

    def forget_twin(self, reason: Reason) -> UserRelease:
        """The same release, not to be trained again; reason: why not."""
        made = UserRelease(self.form, self.digest, file=self.file)
        release = get_part(self, "release", Release)
        return hold_parts(made, release=release, twin=None, unretrained=reason)

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """Hand out what was supplied, whatever the records."""
        return get_part(self, "release", Release)


@dataclass(frozen=True)
class Retrained(Method):
    """The supplied model's recipe, trained again on other records.

    recipe: how the estimator is made; digest: of what makes it. Every `random_state` comes from the
    stream; scaling and imputation are whatever the estimator does by itself; what was stopped early
    is trained as long again.
    Source: shadow models, Shokri et al. 2017 (arXiv 1610.05820), section V.
    """

    recipe: str
    digest: str

    @classmethod
    def of(cls, recipe: Recipe, reads: Frame | Layout, labels: tuple[Any, ...]) -> Retrained:
        """Train by this recipe.

        reads: how the estimator is handed a table; labels: what it is handed for each class code.
        """
        made = cls(recipe.name, recipe.digest)
        return hold_parts(made, make=recipe.make, reads=reads, labels=labels, fitted=recipe.fitted)

    @property
    def fitted_part(self) -> str:
        """What of it was fitted before, "" for nothing."""
        return str(self.__dict__.get("_fitted", ""))

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """Train the estimator; PrivauditError where it cannot be trained on these records."""
        import warnings

        parts = self.__dict__
        reads, labels = parts["_reads"], parts["_labels"]
        of_numbers = members.outcome_kind != "class"
        codes = np.unique(members.y)
        try:
            estimator = seed_estimator(parts["_make"](), rng)
            X = inputs(reads, members)
            y = (
                hand_out(members, estimator)
                if of_numbers
                else self._outcomes(estimator, members.y, codes, labels)
            )
            with borrowed_globals(rng), warnings.catch_warnings(action="ignore"):
                fitted = call(estimator.fit, X, y)
            estimator = estimator if fitted is None else fitted
        except PrivauditError:
            raise
        except Exception as error:
            raise PrivauditError(
                f"the estimator could not be trained again on {len(members):,} records"
                f"{'' if of_numbers else f' of {len(codes)} classes'}",
                f"{explain_failure(error)}; its own message is not shown, it may quote cells",
                "train it yourself on a random half of the members to see why, or name an unfitted "
                "estimator of the same training",
            ) from error
        if of_numbers:
            return Release(model=NumberEstimator(estimator, reads))
        codes = _order_codes(estimator, y, members.y)
        return Release(model=RetrainedModel(estimator, reads, len(members.classes), codes))

    @staticmethod
    def _outcomes(
        estimator: Any, y: np.ndarray, codes: np.ndarray, labels: tuple[Any, ...]
    ) -> np.ndarray:
        numbers = [label for label in labels if isinstance(label, int | np.integer)]
        plain = len(numbers) == len(labels) and list(labels) == list(range(len(labels)))
        if plain or type(estimator).__name__.startswith("XGB"):
            # XGBoost takes 0..k-1 alone, also where a half lacks a rare class.
            return np.searchsorted(codes, y)
        result: np.ndarray = np.array(labels)[y]
        return result


@dataclass(frozen=True, eq=False)
class RetrainedModel:
    """An estimator trained again. codes: the classes that its records held, in the order of its
    answers; others get nothing."""

    held: Any
    reads: Frame | Layout
    classes: int
    codes: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        return in_parts(self._ask, records)

    def _ask(self, records: Records) -> np.ndarray:
        ask = getattr(self.held, "predict_proba", self.held)
        answers = to_answers(call(ask, inputs(self.reads, records)), self.codes.tolist())
        found = np.asarray(answers, dtype=np.float64)
        k = len(self.codes)
        if k == 1:
            found = np.ones((len(records), 1)) if found.ndim == 1 else found[:, :1] * 0 + 1
        else:
            found = probabilities(found, len(records), k, who="the model trained again")
        if k == self.classes and (np.diff(self.codes) > 0).all():
            return found
        wide = np.zeros((len(records), self.classes))
        wide[:, self.codes] = found
        return wide


def _order_codes(estimator: Any, handed: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The class codes in the order of the estimator's answers.

    handed: (n,) the outcomes that it was trained on, of the class codes (n,). An estimator sorts
    the names that it is handed, which is not the order in which a user states them.
    """
    values, first = np.unique(handed, return_index=True)
    known = {canonical(value): int(codes[at]) for value, at in zip(values, first, strict=True)}
    own = getattr(estimator, "classes_", None)
    named = [] if own is None else [canonical(label) for label in np.asarray(own).ravel().tolist()]
    if sorted(named) == sorted(known):
        return np.array([known[name] for name in named])
    in_order = np.array([known[canonical(value)] for value in values.tolist()])
    if (np.diff(in_order) > 0).all():
        return in_order
    raise PrivauditError(
        "an estimator that was trained again and does not say the order of its answers",
        "the outcomes' names sort in another order than the classes were stated in",
        "give an estimator with `classes_`, as scikit-learn's classifiers have",
    )


def hand_out(members: Records, estimator: Any) -> np.ndarray:
    """(n,) the outcomes, numbers or times, as this estimator is trained on them."""
    if members.outcome_kind == "number":
        return members.y
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    library = type(last).__module__.partition(".")[0]
    if library == "xgboost" and getattr(last, "objective", "") == "survival:cox":
        # It takes them as records hold them: negative where censored.
        return members.y
    if library == "sksurv":
        found = np.empty(len(members), dtype=[("event", bool), ("time", float)])
        found["event"], found["time"] = members.y > 0, np.abs(members.y)
        return found
    raise PrivauditError(
        f"a {type(last).__name__} to be trained again on times to an event",
        "how it takes times and events is not known: known are scikit-survival's estimators, and "
        "XGBoost's with the objective survival:cox",
        "wrap it as such an estimator, or audit it without shadow models",
    )


def hold_parts(made: T, **parts: Any) -> T:
    """Attach parts that are no settings: neither printed, nor compared, nor named in a document."""
    for name, part in parts.items():
        object.__setattr__(made, f"_{name}", part)
    return made


def get_part(made: Any, name: str, kind: type[T]) -> T:
    """A part that `hold_parts` attached."""
    found = made.__dict__.get(f"_{name}")
    if not isinstance(found, kind):
        raise PrivauditError(
            f"a {type(made).__name__} without what it hands out",
            "only its description came here, which holds no row and no model",
            "make it with one of its `of` functions",
        )
    return found


__all__ = [
    "ANSWERS_AND_SHADOWS",
    "ANSWERS_ONLY",
    "Retrained",
    "UserRelease",
    "get_part",
    "hold_parts",
]
