"""A hospital audits what it would send, on its own records, before it agrees to send it.

A few rounds are trained from random weights and never sent. On these updates the attacks are made
that the coordinator could make: patients' rows are rebuilt, and who was trained on is told. Late
rounds of a run can give away more than these first ones; the final model is graded at the end.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from pipelines.deploy.consent import count_rounds, describe_protection
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.self_check import withhold
from pipelines.deploy.site_data import SiteData, open_data
from pipelines.deploy.terms import RunTerms
from privaudit.attacks.federated.gradient_inversion import GradientInversion
from privaudit.contracts import Exchange, Model, Release, Target
from privaudit.disclosure_limits import MIN_CELL, MIN_PEOPLE
from privaudit.errors import PrivauditError
from privaudit.records import Records
from privaudit.secure_random import SecretGenerator
from privaudit.stats.auc import area

if TYPE_CHECKING:
    pass

Verdict = Literal["leaks", "no_leak_seen", "too_few"]

ROUNDS = 3
"""Dry rounds that are trained; the attack reads all of them."""
GRADED = 100
"""Records whose rebuilding is graded: a share of them is known to about five points."""
CONFIDENCE = 0.95
CHANCE = 0.5
CIPHERTEXT = 114_000
"""Bytes of one ciphertext of 2,048 numbers, of CKKS at N = 4096 with one modulus, at most."""


@dataclass(frozen=True)
class Rebuilt:
    """How many of the hospital's own rows an attacker reads out of its updates.

    Args:
        exact, control: The share read completely, and how many would be without an update.
        cells, cells_control: The share of single values read right, and the same.
        graded: How many records this was tried on.
        is_above: Whether either is above its control by more than chance explains.
    """

    exact: float
    control: float
    cells: float
    cells_control: float
    graded: int
    is_above: bool


@dataclass(frozen=True)
class Told:
    """How well an attacker tells who was trained on, from this hospital's update alone.

    Args:
        auroc, low, high: With a 95 % interval in which patients count once.
        patients: Trained on, and held out.
        chance: What guessing reaches.
    """

    auroc: float
    low: float
    high: float
    patients: tuple[int, int]
    chance: float = CHANCE

    @property
    def is_above(self) -> bool:
        """Whether chance lies below the whole interval."""
        return self.low > self.chance


@dataclass(frozen=True)
class DryRound:
    """What leaves a hospital in a run, and what it gives away. For the hospital alone.

    Args:
        verdict: `leaks` where an attack is clearly above chance or values of single patients are
            sent, `too_few` where nothing can be said of so few patients (or of a few who have most
            of the records), else `no_leak_seen`.
        rebuilt: None where no attack rebuilds rows: of trees, and of a network that reads series
            alone.
        told: None where a pool has too few patients for an interval.
        protection: As `describe_protection` names it. Where it is a sum, all numbers are of the
            update before it is hidden: what all other hospitals together could read of it.
        is_hidden: Whether the coordinator reads a sum and no single update.
        rounds, bytes_per_round: How often, and how much of this hospital leaves.
        patients, records: Trained on, exactly.
        stated: How many records the coordinator is told of.
        small_counts: Names of the fields whose number is below 10, and must not be handed on.
        seconds: The audit took.
        series_untried: Whether the network reads series, which no attack made here rebuilds.
        cuts: Of trees: how many cut points are the very value of fewer than ten patients, and of
            how many; None where nothing of the kind leaves.
        fingerprint: Of the records; a consent is to these.
    """

    verdict: Verdict
    rebuilt: Rebuilt | None
    told: Told | None
    protection: str
    is_hidden: bool
    rounds: int
    bytes_per_round: int
    patients: int
    records: int
    stated: int
    small_counts: tuple[str, ...]
    seconds: float
    series_untried: bool = False
    cuts: tuple[int, int] | None = None
    fingerprint: str = ""

    @property
    def leaks(self) -> bool:
        """Whether a person must say yes in so many words."""
        return self.verdict != "no_leak_seen"


def audit_dry_round(home: HospitalHome, terms: RunTerms) -> DryRound:
    """Train a few rounds on this hospital's own members and attack what would be sent.

    Nothing is written down and nothing leaves; the privacy that a run spends is not touched, since
    all noise is new.

    Raises:
        PrivauditError: The terms or the records cannot be used; see `open_data`.
    """
    return audit_data(open_data(home, terms), terms)


def audit_data(data: SiteData, terms: RunTerms, secret: bytes | None = None) -> DryRound:
    """The same of records that are prepared already.

    Args:
        secret: 32 bytes that all randomness comes from; those of the operating system unless a test
            fixes them.
    """
    begin = time.perf_counter()
    rng = SecretGenerator(secret or os.urandom(32))
    cuts = None
    if terms.method == "federated_trees":
        model, size, cuts = _grow(data, rng)
        rebuilt = None
    else:
        exchange, model, size = _train(data, terms, rng)
        rebuilt = _rebuild(data, exchange, model, rng.child("rebuild"))
    told = _tell(data, model)
    protection = describe_protection(terms)
    patients = data.exact_patients
    counts = {
        "patients": patients,
        "records": len(data.trained),
        "graded": rebuilt.graded if rebuilt is not None else MIN_CELL,
        "held_out": len(np.unique(data.split.nonmembers.patient)),
    }
    return DryRound(
        verdict=_judge(rebuilt, told, _count_effective(data.trained), cuts),
        rebuilt=rebuilt,
        told=told,
        protection=protection,
        is_hidden=protection.rpartition("+")[2] in ("secure_sum", "encrypted_sum"),
        rounds=count_rounds(terms),
        bytes_per_round=size
        if terms.method == "federated_trees"
        else _weigh(protection, size, len(terms.roster)),
        patients=patients,
        records=len(data.trained),
        stated=data.count,
        small_counts=tuple(name for name, count in counts.items() if count < MIN_CELL),
        seconds=round(time.perf_counter() - begin, 3),
        series_untried=getattr(data.method, "reads_series", False),
        cuts=cuts,
        fingerprint=data.fingerprint,
    )


def _train(data: SiteData, terms: RunTerms, rng: SecretGenerator) -> tuple[Exchange, Model, int]:
    """Dry rounds from random weights, as the coordinator would see them: the exchange, the network
    with the last update, parameters."""
    from pipelines.federated.local import Trainer
    from pipelines.learners._training import one_thread

    method: Any = data.method
    plan = method._plan(data.split.members)
    plan.check(len(terms.roster))
    network = method.make_network(data.trained)
    x, y = method.encode(data.trained), data.trained.y
    rows, counts = [np.arange(len(x))], np.array([float(data.count)])
    weights = network.start(rng.child("start")).astype(np.float64)
    sent, updates = [], []
    with one_thread():
        trainer = Trainer(network, x, y, rows, [rng.child("rows")], plan.private, counts)
        for _ in range(min(ROUNDS, plan.rounds)):
            (update,) = trainer.train(weights[None], np.array([0]), plan.recipe)
            if plan.private is None and terms.seed is None:
                # As a hospital does before it sends; what it would refuse is attacked as it is.
                made, too_many = withhold(network, update.astype(np.float32), x, trainer.drawn)
                update = update if too_many else made.astype(np.float64)
            sent.append(weights.astype(np.float32))
            updates.append(update[None].astype(np.float32))
            weights = weights + update
    if not np.isfinite(weights).all():
        raise PrivauditError(
            "a dry round whose update is not finite", "the training diverged", "use a smaller rate"
        )
    exchange = Exchange(
        weights=tuple(sent),
        updates=tuple(updates),
        clients=np.array([0]),
        counts=np.array([len(x)]),
        widths=network.widths,
        image=network.image,
        convolutions=network.convolutions,
        lstm=None if network.lstm is None else network.lstm.sizes,
        encode=method.encode,
        rate=plan.recipe.rate,
        steps=plan.recipe.steps,
        batch=plan.recipe.batch,
        protected="",
        holder=np.zeros(len(x), dtype=np.int64),
    )
    model = method.make_model(data.trained, weights.astype(np.float32))
    return exchange, model, network.size


def describe_cuts(own: int, all: int) -> str:
    """What cut points hand over, in words."""
    return (
        f"cut points of the trees that are the very value of fewer than {MIN_CELL} patients:"
        f" {own} of {all}"
    )


def _grow(data: SiteData, rng: SecretGenerator) -> tuple[Model, int, tuple[int, int]]:
    """A forest of this hospital's trees alone, the bytes of one round, and `DryRound.cuts`."""
    from pipelines.federated.kernel import streams
    from pipelines.federated.trees import join_documents
    from pipelines.learners.boosted import Trees

    method: Any = data.method
    own = streams(rng)
    rows = (np.arange(len(data.trained)),)
    dry = type(method)(**{**vars(method), "rounds": min(ROUNDS, method.rounds)})
    trees, sent = dry._grow(data.trained, rows, own["clients"])
    cuts = _count_cuts(data.trained, [document for document, _ in trees])
    saved, _ = join_documents(trees, len(data.trained.classes))
    model = Trees(data.trained.columns, len(data.trained.classes), saved)
    return model, sent // dry.rounds, cuts


def _count_cuts(records: Records, documents: list[dict[str, Any]]) -> tuple[int, int]:
    """How many different cut points are a value that fewer than ten patients have: XGBoost cuts at
    values that it has seen. And how many cut points there are."""
    from pipelines.learners.boosted import _values

    x = np.asarray(_values(records), dtype=np.float32)
    found = {
        (int(feature), float(value))
        for document in documents
        for tree in document["learner"]["gradient_booster"]["model"]["trees"]
        for feature, value, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left >= 0
    }
    holders = [
        len(np.unique(records.patient[x[:, feature] == np.float32(value)]))
        for feature, value in found
    ]
    return sum(0 < count < MIN_CELL for count in holders), len(found)


def _count_effective(records: Records) -> int:
    """How many patients there are in effect: one with most of the records is most of an update."""
    counts = np.unique(records.patient, return_counts=True)[1].astype(np.float64)
    return int(counts.sum() ** 2 / (counts**2).sum() + 1e-9)


def _rebuild(
    data: SiteData, exchange: Exchange, model: Model, rng: SecretGenerator
) -> Rebuilt | None:
    """The product's gradient inversion on the hospital's own updates; None where it knows no way to
    a row in such updates."""
    target = Target(Release(updates=exchange, model=model), data.split)
    try:
        found = GradientInversion(records=GRADED).run(target, (), rng)
    except PrivauditError:
        return None
    series = {str(setting.value): trials for setting, trials in found.items()}
    rows = series.get("exact rows", next(iter(series.values())))
    cells = series.get("cells", rows)
    return Rebuilt(
        exact=float(rows.success.mean()),
        control=float(rows.control.mean()),
        cells=float(cells.success.mean()),
        cells_control=float(cells.control.mean()),
        graded=len(rows.success),
        is_above=_is_above(rows.success, rows.control, rows.patients)
        or _is_above(cells.success, cells.control, cells.patients),
    )


def _is_above(success: np.ndarray, control: np.ndarray, patient: np.ndarray | None) -> bool:
    """Whether more is read than without an update: the mean of the patients' differences lies above
    0 by more than its 95 % interval; a row that is read while none is without an update always."""
    whose = np.arange(len(success)) if patient is None else patient
    ids, place = np.unique(whose, return_inverse=True)
    each = np.bincount(place, success - control) / np.bincount(place)
    mean = float(each.mean())
    if mean <= 0:
        return False
    if len(ids) < 2 or (not control.any() and (success == 1).any()):
        return True
    from scipy.special import stdtrit

    half = float(stdtrit(len(ids) - 1, 0.5 + CONFIDENCE / 2)) * float(each.std(ddof=1))
    return bool(mean > half / np.sqrt(len(ids)))


def _tell(data: SiteData, model: Model) -> Told | None:
    """Membership of the hospital's own patients, by the loss of the network with its update."""
    members, held = data.trained, data.split.nonmembers
    if min(len(np.unique(members.patient)), len(np.unique(held.patient))) < 2:
        return None
    found = area(
        _confidence(model, members), _confidence(model, held), members.patient, held.patient
    )
    low, high, _ = found.interval(CONFIDENCE)
    return Told(found.value, low, high, found.patients)


def _confidence(model: Model, records: Records) -> np.ndarray:
    """(n,) log probability of each record's own outcome."""
    predict = cast(Any, model).predict_proba(records)
    own = predict[np.arange(len(records)), records.y]
    return np.asarray(np.log(np.maximum(own, 1e-12)))


def _judge(
    rebuilt: Rebuilt | None, told: Told | None, patients: int, cuts: tuple[int, int] | None = None
) -> Verdict:
    """See `DryRound`; patients as `_count_effective` counts them."""
    if cuts is not None and cuts[0]:
        return "leaks"
    if (rebuilt is not None and rebuilt.is_above) or (told is not None and told.is_above):
        return "leaks"
    few = patients < MIN_PEOPLE or told is None or min(told.patients) < MIN_PEOPLE
    return "too_few" if few else "no_leak_seen"


def _weigh(protection: str, size: int, hospitals: int) -> int:
    """About how many bytes of a round leave this hospital, certificates and signatures included."""
    proof = 2_500
    if protection.endswith("secure_sum"):
        shares = (hospitals - 1) * 82 + 33 * hospitals
        return 8 * size + shares + 96 + proof
    if protection.endswith("encrypted_sum"):
        return -(-size // 2048) * CIPHERTEXT + 4 * size + proof
    return 4 * size


__all__ = [
    *("DryRound", "Rebuilt", "Told", "Verdict", "audit_data", "audit_dry_round"),
    "describe_cuts",
]
