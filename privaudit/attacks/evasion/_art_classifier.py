"""Gradient attacks of the Adversarial Robustness Toolbox on a model that gives its gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from privaudit.attacks.evasion._evasion import Craft, Evasion, Field
from privaudit.contracts import Access, Differentiable
from privaudit.records import Records
from privaudit.seeds import borrowed_globals

Make = Callable[[Any, float], Any]
"""An ART attack, made for an estimator and a budget."""


@dataclass(frozen=True)
class GradientEvasion(Evasion):
    """An evasion attack of the Adversarial Robustness Toolbox that follows gradients."""

    needs: ClassVar[frozenset[Access]] = frozenset({Access.ANSWERS, Access.WEIGHTS})

    @abstractmethod
    def made(self, estimator: Any, budget: float) -> Any:
        """The ART attack for this estimator and budget."""

    def craft(self, field: Field, rng: np.random.Generator) -> Craft:
        return lambda budget: craft(field, budget, self.made, rng)


def estimator(field: Field, budget: float) -> Any:
    """An ART classifier over changes in standard deviations, (n, size).

    Predictions and gradients are taken at the possible record nearest to the change, so the attack
    knows the constraints; the gradient is passed through that projection unchanged.
    """
    from art.estimators import BaseEstimator, LossGradientsMixin
    from art.estimators.classification import ClassifierMixin

    box, scale = field.box(budget), field.scale()

    class Constrained(ClassifierMixin, LossGradientsMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(model=field.model, clip_values=None, preprocessing=None)
            self.nb_classes = len(field.records.classes)

        @property
        def input_shape(self) -> tuple[int, ...]:
            return (field.size,)

        def fit(self, x: np.ndarray, y: np.ndarray, **kwargs: Any) -> None:
            raise NotImplementedError("an attack does not train")

        def predict(self, x: np.ndarray, **kwargs: Any) -> np.ndarray:
            return np.asarray(field.model.predict_proba(field.changed(x, box)))

        def loss_gradient(self, x: np.ndarray, y: np.ndarray, **kwargs: Any) -> np.ndarray:
            if len(x) != len(field.records):
                raise ValueError("changes are those of all records, in their order")
            assert isinstance(field.model, Differentiable)
            slopes = field.model.input_gradient(field.changed(x, box))
            flat = np.nan_to_num(field.flat(*slopes), nan=0.0, posinf=0.0, neginf=0.0)
            result: np.ndarray = flat * scale * field.present
            return result

    return Constrained()


def craft(field: Field, budget: float, make: Make, rng: np.random.Generator) -> Records:
    """The records after the ART attack that `make` builds for an estimator and a budget."""
    start = np.zeros((len(field.records), field.size), dtype=np.float32)
    with borrowed_globals(rng):
        attack = make(estimator(field, budget), float(budget))
        found = attack.generate(x=start, y=field.records.y, mask=field.present.astype(np.float32))
    change = np.clip(np.asarray(found, dtype=np.float64), -budget, budget)
    return field.changed(change, field.box(budget))
