"""Shadow models of which a user supplies the answers: the bank, what is checked of it, and how it
takes part in an audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from privaudit.contracts import Method, Model, Release
from privaudit.errors import PrivauditError, spell
from privaudit.facts import Caveat, CaveatCode
from privaudit.records import Records, Split
from privaudit.signals import margin

MIN_MODELS = 8
"""Fewer say nothing of how one record's answers vary."""

MIN_SIDE = 4
"""So many models were trained with each record, and as many without it: two are set aside where
shadow models are put in the model's place, and a variance needs two more."""

MAX_LEFT_OUT = 0.05
"""Share of the patients who may have fewer, and are left out."""

SATURATED = 600.0
"""No probability that is not exactly 0 or 1 gives such log odds."""

SURE = 0.999
"""Confidence with which a check has to hold: what fails it is refused, whatever the cause."""

SLACK = 0.05
"""How far on Fisher's scale the model may agree less with its shadow models than these agree with
each other, beside five standard deviations of that."""


@dataclass(frozen=True, eq=False)
class ShadowAnswers:
    """Log odds of the recorded outcome, and who was trained on, of K shadow models.

    margins: (K, n) float64; included: (K, n) bool; n records: members, then non-members, in the
    order of their tables.
    """

    margins: np.ndarray
    included: np.ndarray

    def take(self, rows: np.ndarray) -> ShadowAnswers:
        """The records given by an index array or a mask."""
        return ShadowAnswers(self.margins[:, rows], self.included[:, rows])

    @property
    def paired(self) -> ShadowAnswers:
        """The same models, those trained on complementary records beside each other.

        Attacks that put a shadow model in the model's place set aside the one beside it too.
        """
        left = list(range(len(self.included)))
        pairs: list[int] = []
        single: list[int] = []
        while left:
            first = left.pop(0)
            opposite = ~self.included[first]
            second = next((k for k in left if np.array_equal(self.included[k], opposite)), None)
            if second is None:
                single.append(first)
            else:
                left.remove(second)
                pairs += [first, second]
        places = np.array([*pairs, *single])
        return ShadowAnswers(self.margins[places], self.included[places])


@dataclass(frozen=True)
class ShadowModel(Method):
    """One supplied shadow model: nothing is trained, its answers are known.

    digest: of its answers; place: which of the models it is. Made by `of`, which holds the answers
    outside the fields, so that no description of the method can hold a row.
    """

    digest: str
    place: int

    supplied: ClassVar[bool] = True

    @classmethod
    def of(cls, margins: np.ndarray, place: int) -> ShadowModel:
        """Hand out these log odds, (n,), of the audit records."""
        import hashlib

        made = cls(hashlib.sha256(margins.tobytes()).hexdigest()[:16], place)
        object.__setattr__(made, "_margins", margins)
        return made

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        """Hand out what was supplied, whatever the records."""
        return Release(model=_Recorded(self.__dict__["_margins"]))


@dataclass(frozen=True, eq=False)
class _Recorded:
    """Answers of one model for the audit records alone, in their order."""

    margins: np.ndarray

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes); what the recorded outcome leaves is spread evenly over the others."""
        if len(records) != len(self.margins):
            raise ValueError("a supplied shadow model answers for the audit records alone")
        k = len(records.classes)
        true, rest = np.exp(-np.logaddexp(0.0, [-self.margins, self.margins]))
        p = np.repeat((rest / (k - 1))[:, None], k, axis=1)
        p[np.arange(len(p)), records.y] = true
        return p


def make_shadow_models(bank: ShadowAnswers) -> tuple[tuple[Method, np.ndarray], ...]:
    """What `Method.shadows` holds: each model with the records it was trained on."""
    return tuple(
        (ShadowModel.of(margins, place), included)
        for place, (margins, included) in enumerate(zip(bank.margins, bank.included, strict=True))
    )


def no_shadows_of_numbers() -> PrivauditError:
    """Shadow models of an outcome that is a number."""
    return PrivauditError(
        "supplied shadow models, for an outcome that is a number",
        "their answers are read as probabilities of classes",
        "give the recipe of the model, so that shadow models are trained here, or leave them out",
    )


def leave_out_sparse(
    bank: ShadowAnswers, members: Records, nonmembers: Records
) -> tuple[ShadowAnswers, Records, Records, tuple[Caveat, ...]]:
    """Without patients whom fewer than 4 models were trained on, or trained without.

    Raises:
        PrivauditError: Too few models, a patient partly in a model's training set, or more than
            5 % of the patients with too few models.
    """
    patient = np.concatenate([members.patient, nonmembers.patient])
    _, first, place = np.unique(patient, return_index=True, return_inverse=True)
    models = len(bank.included)
    if models < MIN_MODELS:
        raise PrivauditError(
            f"{models} shadow models",
            f"with fewer than {MIN_MODELS} nobody can say how a record's answers vary",
            f"train at least {MIN_MODELS}, better 16 or 64, each on a random half of the patients",
        )
    torn = int((bank.included != bank.included[:, first[place]]).any(axis=0).sum())
    if torn:
        raise PrivauditError(
            f"{_count(torn)} rows of patients of whom a shadow model was trained on some rows only",
            "the patient is the unit of privacy: a model was trained on all rows of a patient or "
            "on none",
            "draw each shadow model's training set by patient",
        )
    by_patient = bank.included[:, first]
    inside = by_patient.sum(axis=0)
    sparse = (inside < MIN_SIDE) | (models - inside < MIN_SIDE)
    share = float(sparse.mean())
    if share > MAX_LEFT_OUT:
        raise PrivauditError(
            f"shadow models of which fewer than {MIN_SIDE} were trained with, or without, "
            f"{share:.0%} of the patients",
            "each patient's answers are compared between models that saw them and models that did "
            "not",
            "train each shadow model on a random half of all patients, members and non-members, or "
            "train more of them",
        )
    if not sparse.any():
        return bank, members, nonmembers, ()
    keep = ~sparse[place]
    cut = len(members)
    note = Caveat(CaveatCode.SHADOWS_LEFT_OUT, "note", {"share": share, "least": MIN_SIDE})
    return bank.take(keep), members.take(keep[:cut]), nonmembers.take(keep[cut:]), (note,)


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


def follow_split(bank: ShadowAnswers, nonmembers: Records, split: Split) -> ShadowAnswers:
    """The answers for the audit records, once the attacker's pool was drawn from the non-members.

    nonmembers: as they were before.
    """
    stay = np.isin(nonmembers.patient, split.nonmembers.patient)
    cut = len(split.members)
    followed = bank.take(np.concatenate([np.ones(cut, dtype=bool), stay]))
    y = np.concatenate([split.members.y, nonmembers.y[stay]])
    if followed.margins.shape[1] != len(split.audit) or not np.array_equal(y, split.audit.y):
        raise ValueError("the pools were not drawn from the tables that the shadow answers are of")
    return followed.paired


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
    from privaudit.stats.auc import auc

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
        own = _agreement(target, np.ones_like(pool), bank.margins, who, pool, y)
        each = np.array(
            [
                _agreement(
                    bank.margins[k],
                    who[k],
                    np.delete(bank.margins, k, axis=0),
                    np.delete(who, k, axis=0),
                    pool,
                    y,
                )
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


def _agreement(
    asked: np.ndarray,
    of_asked: np.ndarray,
    others: np.ndarray,
    of_others: np.ndarray,
    pool: np.ndarray,
    y: np.ndarray,
) -> float:
    """Fisher's z of the rank correlation, within classes, of one model with the mean of others.

    of_asked, of_others: which answers to read: those of models that saw the record, or did not.
    """
    from scipy.stats import rankdata

    seen = of_others.sum(axis=0)
    rows = pool & of_asked & (seen > 0)
    mean = np.where(of_others, others, 0.0).sum(axis=0)[rows] / seen[rows]
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
    spread = float(np.std(gaps, ddof=1)) / np.sqrt(len(gaps))
    return float(gaps.mean()) / max(spread, 1e-12)


def _quantile(models: int) -> float:
    from scipy.stats import t

    return float(t.ppf(SURE, models - 1))


def _count(rows: int) -> str:
    return f"{rows:,}" if rows >= 10 else "fewer than 10"


def _tables() -> str:
    return spell("audit's tables, members before non-members", "members, then of the nonmembers")


__all__ = [
    "MIN_MODELS",
    "MIN_SIDE",
    "ShadowAnswers",
    "ShadowModel",
    "examine_shadows",
    "follow_split",
    "join_bank",
    "leave_out_sparse",
    "make_shadow_models",
    "no_shadows_of_numbers",
]
