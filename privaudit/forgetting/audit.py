"""An audit of unlearning, from what was read to the answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from privaudit.contracts import Method
from privaudit.errors import PrivauditError
from privaudit.forgetting.bank import Tables, cut_margins, train_bank
from privaudit.forgetting.imprint import Scale
from privaudit.forgetting.judge import Answers, Case, judge_by_strangers, judge_with_refits
from privaudit.forgetting.results import Unlearning
from privaudit.records import Records
from privaudit.seeds import Seeds
from privaudit.signals import margin

FOLDS = 5


def audit_unlearning(
    pools: dict[str, Records],
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    *,
    recipe: Method | None,
    has_features: bool,
    refits: int,
    limit: float,
    confidence: float,
    seeds: Seeds,
    progress: Callable[[int, int], None] | None = None,
    other_kind: bool = False,
) -> Unlearning:
    """Whether a trace of the forgotten is left in the model after.

    Args:
        pools: Role -> records: forgotten, strangers and, with a recipe, retained.
        before, after: Role -> (n, k) probabilities of the two models.
        recipe: How the models are trained; None where that is not known.
        has_features: Whether the records hold what a model reads.
        refits: How many models to train.
        limit: The imprint to be ruled out, as a share of that of a model that saw them.
        confidence: Of every interval; the error level is the rest.
        seeds: Random streams.
        progress: Told how many models are trained, of how many.
        other_kind: The two models are known to be of different kinds, or settings.

    Returns:
        The answer, rounded so that it may be shown.

    Raises:
        PrivauditError: Settings out of range, or a recipe that cannot be trained.
    """
    for name, value, low in (("a confidence", confidence, 0.5), ("a limit", limit, 0.0)):
        if not low < value < 1:
            raise PrivauditError(
                f"{name} of {value:g}",
                f"it lies above {low:g} and below 1",
                "use 0.95 for the confidence and 0.25 for the limit",
            )
    case = Case(
        pools, _answers(pools, before), _answers(pools, after), confidence, limit, other_kind
    )
    if recipe is None:
        expected = _expect(pools, seeds.rng("expected")) if has_features else None
        return judge_by_strangers(case, expected)
    tables = Tables(pools["retained"], pools["forgotten"], pools["strangers"])
    bank = train_bank(recipe, tables, refits=refits, seeds=seeds, progress=progress)
    scale = Scale(bank)
    drawn = np.isin(pools["strangers"].patient, bank.asked.patient)
    first, second = (
        scale.read(np.concatenate([a.margins["forgotten"], a.margins["strangers"][drawn]]))
        for a in (case.before, case.after)
    )
    return judge_with_refits(case, scale, first, second)


def _answers(pools: dict[str, Records], proba: dict[str, np.ndarray]) -> Answers:
    margins = {role: cut_margins(margin(proba[role], pools[role].y)) for role in pools}
    return Answers(proba, margins)


def _expect(pools: dict[str, Records], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Role -> (n,) margins of models of strangers alone: of strangers by models of the others, of
    the forgotten on average."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    strangers, forgotten = pools["strangers"], pools["forgotten"]
    ids = rng.permutation(np.unique(strangers.patient))
    fold = np.empty(len(strangers), dtype=np.int64)
    for number, part in enumerate(np.array_split(ids, FOLDS)):
        fold[np.isin(strangers.patient, part)] = number
    own, others = np.zeros(len(strangers)), np.zeros((FOLDS, len(forgotten)))
    for number in range(FOLDS):
        inside, held = fold != number, fold == number
        model = HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.08, random_state=int(rng.integers(2**31))
        )
        if len(np.unique(strangers.y[inside])) < 2:
            continue
        model.fit(strangers.X[inside], strangers.y[inside])
        own[held] = _ask(model, strangers.take(held))
        others[number] = _ask(model, forgotten)
    return {"strangers": own, "forgotten": others.mean(axis=0)}


def _ask(model: object, records: Records) -> np.ndarray:
    proba = np.full((len(records), len(records.classes)), 1e-6)
    proba[:, model.classes_] = model.predict_proba(records.X)  # type: ignore[attr-defined]
    return cut_margins(margin(proba, records.y))


__all__ = ["audit_unlearning"]
