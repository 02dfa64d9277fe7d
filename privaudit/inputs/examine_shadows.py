"""Whether supplied shadow models are what they are said to be: what is checked before any attack
reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from privaudit.contracts import Method, Model
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode
from privaudit.inputs.shadow_answers import ShadowAnswers, follow_split, make_shadow_models
from privaudit.records import Records, Split
from privaudit.signals import margin
from privaudit.stats.auc import auc

SATURATED = 600.0
"""No probability that is not exactly 0 or 1 gives such log odds."""

SURE = 0.999
"""Confidence with which a check has to hold: what fails it is refused, whatever the cause."""

SLACK = 0.05
"""How far on Fisher's scale the model may agree less with its shadow models than these agree with
each other, beside five standard deviations of that."""


def join_bank(
    bank: ShadowAnswers, nonmembers: Records, split: Split, model: Model
) -> tuple[tuple[tuple[Method, np.ndarray], ...], Caveat]:
    """What `Method.shadows` holds once the pools are drawn, and what was checked of it.

    nonmembers: as they were before the attacker's pool was drawn from them.

    Raises:
        PrivauditError: See `examine_shadows`.
    """
    followed = follow_split(bank, nonmembers, split)
    asked = margin(model.predict_proba(split.audit), split.audit.y)
    return make_shadow_models(followed), examine_shadows(followed, asked, split)


def examine_shadows(bank: ShadowAnswers, target: np.ndarray, split: Split) -> Caveat:
    """Check that these models are what they are said to be, and state what was found.

    An honest bank passes. Refused is what would make every attack that reads it say "no leak" of
    any model: answers in another order than the records, a mask of other models, copies of the
    model, and what is turned round.

    Args:
        bank: Answers for the audit records.
        target: (n,) the model's own log odds on them.
        split: The pools.

    Returns:
        A note with the numbers of the checks.

    Raises:
        PrivauditError: A check fails.
    """
    target, margins = _clip(target, bank.margins)
    bank = replace(bank, margins=margins)
    _refuse_copies(bank, target)
    _refuse_dependence(bank, split)
    _refuse_memory(bank, split)
    gap = _measure_gap(bank, split.audit.y)
    agreement = _compare_with_model(bank, target, split)
    _refuse_other_gap(bank, target, split.is_member)
    inside = bank.included.sum(axis=0)
    models = len(bank.included)
    return Caveat(
        CaveatCode.SHADOWS_SUPPLIED,
        "note",
        {
            "models": models,
            "least": int(min(inside.min(), models - inside.max())),
            "included": f"{bank.included.mean():.0%}",
            "gap": gap,
            "agreement": agreement,
        },
    )


def _clip(target: np.ndarray, margins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Answers of exactly 0 or 1 at log 2 beyond the surest other one."""
    both = (np.abs(target), np.abs(margins))
    edge = max(part[part < SATURATED].max(initial=0.0) for part in both) + np.log(2.0)
    return np.clip(target, -edge, edge), np.clip(margins, -edge, edge)


def _refuse_copies(bank: ShadowAnswers, target: np.ndarray) -> None:
    close = (np.abs(bank.margins - target) < 1e-4).mean(axis=1)
    copies = int((close > 0.98).sum())
    if copies:
        raise PrivauditError(
            f"{copies} shadow models that answer as the model itself does",
            "a copy of the model, or a model that answers the same whatever it is trained on, says "
            "nothing of records outside its training set",
            "train each shadow model anew, by the model's recipe, on its own random half of the "
            "patients",
        )
    same = len(bank.margins) - len(np.unique(bank.margins, axis=0))
    if same:
        raise PrivauditError(
            f"{same} shadow models whose answers are those of another one",
            "each is counted as a model of its own",
            "give every shadow model once",
        )


def _refuse_dependence(bank: ShadowAnswers, split: Split) -> None:
    """Who a shadow model was trained on must say nothing of who the model was trained on."""
    _, first = np.unique(split.audit.patient, return_index=True)
    by_patient = bank.included[:, first].astype(np.float64)
    member = split.is_member[first].astype(np.float64)
    n = len(first)
    z = [abs(_correlate(row, member)) * np.sqrt(n) for row in by_patient]
    z.append(abs(_correlate(by_patient.sum(axis=0), member)) * np.sqrt(n))
    worst = int(np.argmax(z))
    if z[worst] > 5.5:
        what = (
            "a shadow model whose training set is, in part or in whole, the model's own or its "
            "opposite"
            if worst < len(by_patient)
            else "shadow models that were trained on members more often, or less often, than on "
            "non-members"
        )
        raise PrivauditError(
            what,
            "shadow models see members and non-members with equal chance; else their answers give "
            "the model's members away, or hide them",
            "draw each shadow model's training set at random from members and non-members together",
        )


def _refuse_memory(bank: ShadowAnswers, split: Split) -> None:
    """Refuse shadow models that tell members of the model from non-members: all are new to them,
    or seen, alike."""
    _, place = np.unique(split.audit.patient, return_inverse=True)
    size = np.bincount(place)
    mean = np.bincount(place, bank.margins.mean(axis=0)) / size
    member = np.bincount(place, split.is_member) > 0
    inside, outside = int(member.sum()), int((~member).sum())
    area = auc(mean[member], mean[~member])
    z = abs(area - 0.5) / np.sqrt((inside + outside + 1) / (12 * inside * outside))
    if z > 4.5:
        raise PrivauditError(
            f"shadow models that tell the model's members from its non-members (AUC {area:.2f})",
            "each was trained on both alike, so they are copies of the model, or members and "
            "non-members are different people",
            "train shadow models anew, on random halves of all patients; hold patients out at "
            "random",
        )


def _measure_gap(bank: ShadowAnswers, y: np.ndarray) -> float:
    """By how much log odds are higher on records trained on, a mean over models."""
    away = bank.margins - bank.margins.mean(axis=0)
    gaps = _gaps(away, bank.included, np.ones(len(y), dtype=bool))
    sure = _quantile(len(gaps))
    t = _t(gaps)
    turned_classes = [
        c
        for c in np.unique(y)
        if (y == c).sum() >= 20 and _t(_gaps(away, bank.included, y == c)) < -sure
    ]
    spread = 1.4826 * float(np.median(np.abs(gaps - np.median(gaps))))
    turned = int(((gaps < 0) & (np.median(gaps) - gaps > 6 * spread)).sum())
    if t < -sure or turned_classes or turned:
        whose = "all models"
        if not t < -sure:
            whose = (
                f"{turned} models"
                if turned
                else f"records of {len(turned_classes)} of the outcome's classes"
            )
        raise PrivauditError(
            f"shadow models that are less sure of the records they are said to be trained on "
            f"({whose})",
            "training makes a model surer of its own records, so who was in is the wrong way "
            "round, or the answers are not the probability of the recorded outcome",
            "write 1 for trained on and 0 for not; give the probability of the outcome that was "
            "recorded, or of every class",
        )
    if t <= sure:
        raise PrivauditError(
            "shadow models that are no surer of the records they are said to be trained on",
            "then nobody can tell a model that leaks nothing from a list of other records, or of "
            "another order",
            "check that answers and members have the rows and the models in one order; if they "
            "do, train 16 shadow models or more, or leave them out",
        )
    return float(gaps.mean())


def _gaps(away: np.ndarray, included: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(K,) mean of each model's deviations on records with it, less that on records without."""
    inside, outside = included & rows, ~included & rows
    with_it = np.where(inside, away, 0.0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    without = np.where(outside, away, 0.0).sum(axis=1) / np.maximum(outside.sum(axis=1), 1)
    found: np.ndarray = with_it - without
    return found


def _compare_with_model(bank: ShadowAnswers, target: np.ndarray, split: Split) -> float:
    """How alike the model and its shadow models rank the records of a class; the lesser of two."""
    y, found = split.audit.y, []
    for is_member in (True, False):
        pool = split.is_member == is_member
        who = bank.included if is_member else ~bank.included
        patients = len(np.unique(split.audit.patient[pool]))
        read = np.where(who, bank.margins, 0.0)
        total, seen = read.sum(axis=0), who.sum(axis=0)
        own = _agreement(target, pool, total, seen, y)
        each = np.array(
            [
                _agreement(bank.margins[k], pool & who[k], total - read[k], seen - who[k], y)
                for k in range(len(who))
            ]
        )
        _refuse_odd_models(each)
        _, counts = np.unique(np.round(target[pool], 6), return_counts=True)
        if counts.max() > 0.9 * pool.sum():
            # A model that is equally sure of nearly all of them ranks none.
            continue
        lowest = float(np.mean(each) - 5 * np.std(each, ddof=1) - SLACK)
        if own * np.sqrt(max(patients - 3, 1)) < _quantile(10**6) or own < lowest:
            side = "members" if is_member else "non-members"
            raise PrivauditError(
                f"shadow models that do not answer on the {side} as the model does (rank "
                f"correlation {np.tanh(own):.2f}; {np.tanh(np.mean(each)):.2f} among each other)",
                "their rows are not in the order of the records, or they were trained in another "
                "way than the model, so that they say nothing of it",
                f"put the rows in the order of the {_tables()}, and train shadow models by the "
                "model's own recipe",
            )
        _refuse_other_level(bank, target, who, pool)
        found.append(float(np.tanh(own)))
    return min(found, default=1.0)


def _refuse_odd_models(each: np.ndarray) -> None:
    spread = 1.4826 * float(np.median(np.abs(each - np.median(each))))
    odd = int((np.median(each) - each > 6 * spread + 2 * SLACK).sum())
    if odd:
        raise PrivauditError(
            f"{odd} of {len(each)} shadow models answer unlike the others",
            "their rows are in another order, or they were trained in another way",
            "put every model's answers in one order of rows, and train all by one recipe",
        )


def _refuse_other_level(
    bank: ShadowAnswers, target: np.ndarray, who: np.ndarray, pool: np.ndarray
) -> None:
    """Refuse a model that is surer, or less sure, than any shadow model in its place would be."""
    rows = who & pool
    levels = np.where(rows, bank.margins, 0.0).sum(axis=1) / rows.sum(axis=1)
    own = float(target[pool].mean())
    spread = float(np.std(levels, ddof=1)) * np.sqrt(1 + 1 / len(levels))
    between = float(np.std(bank.margins.mean(axis=0)[pool]))
    if abs(own - float(levels.mean())) > 6 * spread + 0.5 * between:
        raise PrivauditError(
            f"shadow models whose mean log odds of the recorded outcome are {levels.mean():.2f}, "
            f"where the model's are {own:.2f}",
            "the model would be no odd one among models trained in its way",
            "train shadow models by the model's own recipe, on as many patients; give "
            "probabilities as the model answers, and say rightly who its members are",
        )


def _refuse_other_gap(bank: ShadowAnswers, target: np.ndarray, is_member: np.ndarray) -> None:
    """Refuse a model that remembers more, or less, than a shadow model does in its place."""

    def gap(margins: np.ndarray, included: np.ndarray) -> float:
        return float(margins[included].mean() - margins[~included].mean())

    own = gap(target, is_member)
    each = [gap(*one) for one in zip(bank.margins, bank.included, strict=True)]
    spread = float(np.std(each, ddof=1)) * np.sqrt(1 + 1 / len(each))
    if abs(own - float(np.mean(each))) > 5 * spread:
        raise PrivauditError(
            f"shadow models that are surer of their own records by {np.mean(each):.2f} (log odds), "
            f"where the model is surer of its members by {own:.2f}",
            "models trained in one way remember alike: trained in another way, or with other "
            "members, shadow models say nothing of this one",
            "train shadow models by the model's own recipe, on as many patients, and say rightly "
            "who its members are",
        )


def _agreement(
    asked: np.ndarray, rows: np.ndarray, total: np.ndarray, seen: np.ndarray, y: np.ndarray
) -> float:
    """Fisher's z of the rank correlation, within classes, of one model with the mean of others.

    rows: which of its answers to read; total, seen: (n,) sums over the others' answers, and how
    many there are.
    """
    from scipy.stats import rankdata

    rows = rows & (seen > 0)
    mean = total[rows] / seen[rows]
    one, other = np.empty(len(mean)), np.empty(len(mean))
    for c in np.unique(y[rows]):
        own = y[rows] == c
        for out, values in ((one, asked[rows]), (other, mean)):
            ranks = rankdata(values[own])
            out[own] = ranks - ranks.mean()
    r = _correlate(one, other)
    return float(np.arctanh(np.clip(r, -0.9999, 0.9999)))


def _correlate(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum() / size) if size > 0 else 0.0


def _t(gaps: np.ndarray) -> float:
    spread = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps)))
    return float(gaps.mean()) / max(spread, 1e-12)


def _quantile(models: int) -> float:
    from scipy.stats import t

    return float(t.ppf(SURE, models - 1))


def _tables() -> str:
    return spell("audit's tables, members before non-members", "members, then of the nonmembers")


__all__ = ["examine_shadows", "join_bank"]
