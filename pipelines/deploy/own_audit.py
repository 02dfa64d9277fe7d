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
from pipelines.deploy.self_check import are_too_many, find_units_that_tell, leave_out
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
    from pipelines.federated.network import Network

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
        verdict: `leaks` where an attack is clearly above chance, `too_few` where nothing can be
            said of so few patients, else `no_leak_seen`.
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
    fingerprint: str = ""

    @property
    def leaks(self) -> bool:
        """Whether a person must say yes in so many words."""
        return self.verdict != "no_leak_seen"

    def lines(self) -> list[str]:
        """The same for the person who is to consent."""
        made = [f"{self.patients} patients are trained on, {self.records} records"]
        if self.stated != self.records:
            made.append(f"{self.stated} records are stated, with noise")
        made.append(f"about {self.bytes_per_round:,} bytes leave a round, in {self.rounds} rounds")
        if self.is_hidden:
            made.append(
                "the coordinator reads a sum over hospitals and no update of this one; what follows"
                " is what all other hospitals together could read, or a coordinator with their help"
            )
        if self.rebuilt is not None:
            found = self.rebuilt
            made.append(
                f"rows rebuilt exactly from updates: {found.exact:.0%} of {found.graded} tried"
                f" (without an update {found.control:.0%}); values read right: {found.cells:.0%}"
                f" ({found.cells_control:.0%})"
            )
        else:
            made.append("no attack that is known here rebuilds rows of what would be sent")
        if self.told is not None:
            told = self.told
            made.append(
                f"telling who was trained on: AUROC {told.auroc:.3f} ({told.low:.3f} to"
                f" {told.high:.3f}, {CONFIDENCE:.0%} interval); chance is {told.chance}"
            )
        said = {
            "leaks": "an attack on this hospital's own updates is clearly better than chance",
            "too_few": f"nothing can be said of fewer than {MIN_PEOPLE} patients on a side",
            "no_leak_seen": "no attack on these first rounds was clearly better than chance",
        }
        made.append(said[self.verdict])
        if self.small_counts:
            made.append(f"counts below {MIN_CELL} are for this hospital alone: hand them to nobody")
        return made


def audit_dry_round(home: HospitalHome, terms: RunTerms) -> DryRound:
    """Train a few rounds on this hospital's own members and attack what would be sent.

    Nothing is written down and nothing leaves; the privacy that a run spends is not touched, since
    all noise is new.

    Raises:
        PrivauditError: The terms or the records cannot be used; see `open_data`.
    """
    return audit_data(open_data(home, terms), terms)


def audit_data(data: SiteData, terms: RunTerms) -> DryRound:
    """The same of records that are prepared already."""
    begin = time.perf_counter()
    if terms.method == "federated_trees":
        model, size = _grow(data)
        rebuilt = None
    else:
        exchange, model, size = _train(data, terms)
        rebuilt = _rebuild(data, exchange, model)
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
        verdict=_judge(rebuilt, told, patients),
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
        fingerprint=data.fingerprint,
    )


def _train(data: SiteData, terms: RunTerms) -> tuple[Exchange, Model, int]:
    """Dry rounds from random weights, as the coordinator would see them: the exchange, the network
    with the last update, parameters."""
    from pipelines.federated.local import Trainer
    from pipelines.learners._training import one_thread

    method: Any = data.method
    plan = method._plan(data.split.members)
    plan.check(len(terms.roster))
    network = method.make_network(data.trained)
    rng = SecretGenerator(os.urandom(32))
    x, y = method.encode(data.trained), data.trained.y
    rows, counts = [np.arange(len(x))], np.array([float(data.count)])
    weights = network.start(rng.child("start")).astype(np.float64)
    sent, updates = [], []
    with one_thread():
        trainer = Trainer(network, x, y, rows, [rng.child("rows")], plan.private, counts)
        for _ in range(min(ROUNDS, plan.rounds)):
            (update,) = trainer.train(weights[None], np.array([0]), plan.recipe)
            if plan.private is None:
                update = _withhold(network, update, x)
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


def _withhold(network: Network, update: np.ndarray, x: np.ndarray) -> np.ndarray:
    """As a hospital does before it sends; what it would refuse to send is attacked as it is."""
    units = find_units_that_tell(network, update.astype(np.float32), x)
    return update if are_too_many(network, units) else leave_out(network, update, units)


def _grow(data: SiteData) -> tuple[Model, int]:
    """A forest of this hospital's trees alone, and the bytes of one round."""
    from pipelines.federated.kernel import streams
    from pipelines.federated.trees import join_documents
    from pipelines.learners.boosted import Trees

    method: Any = data.method
    own = streams(SecretGenerator(os.urandom(32)))
    rows = (np.arange(len(data.trained)),)
    dry = type(method)(**{**vars(method), "rounds": min(ROUNDS, method.rounds)})
    trees, sent = dry._grow(data.trained, rows, own["clients"])
    saved, _ = join_documents(trees, len(data.trained.classes))
    return Trees(data.trained.columns, len(data.trained.classes), saved), sent // dry.rounds


def _rebuild(data: SiteData, exchange: Exchange, model: Model) -> Rebuilt | None:
    """The product's gradient inversion on the hospital's own updates; None where it knows no way to
    a row in such updates."""
    target = Target(Release(updates=exchange, model=model), data.split)
    try:
        found = GradientInversion(records=GRADED).run(target, (), SecretGenerator(os.urandom(32)))
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


def _judge(rebuilt: Rebuilt | None, told: Told | None, patients: int) -> Verdict:
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


__all__ = ["DryRound", "Rebuilt", "Told", "Verdict", "audit_data", "audit_dry_round"]
