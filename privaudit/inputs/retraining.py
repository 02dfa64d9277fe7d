"""Whether training again is the training that was: refits on all members beside the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from privaudit.contracts import Model
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Param, Reason, ReasonCode
from privaudit.inputs.user_release import Retrained, UserRelease
from privaudit.records import OutcomeKind, Records, Split
from privaudit.seeds import Seeds
from privaudit.signals import ask, read_signal

FEW, MANY = 2, 8
"""Refits on all members: as many as are trained at first, and where these leave it open."""

APART = 0.1
"""How much further from the refits than they are from each other a model may be, as a share of the
distance of a model of other patients."""

UNLUCKY = 0.5
"""How much further it may be besides, as a share of their own distance: few trainings show how far
an unlucky start leads."""

LOSS = 0.1
"""How far its mean loss may be from theirs, as a share of the loss that held-out records cost more
than members."""

LEAST_LOSS = 0.005
"""Differences of mean loss below this say nothing, in nats."""

STUDENT = 5.4
"""The 99.95 % quantile of Student's t with `MANY` - 1 degrees of freedom: beyond it a difference is
more than the noise of training again."""

EDGE = 9.2
"""Margins are cut here (a probability of 0.0001): beyond it a training's noise is all there is."""

ASKED = 4_000
"""Records a side that are asked for."""

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Comparison:
    """The model beside refits on all members, and beside one on held-out records.

    model: (n,) true-class margins of the model; refits: (k, n) of its recipe on the same records;
    other: (n,) of the recipe on other patients; inside: (n,) bool, which records are members';
    patient: (n,). Where the outcome is a number, residuals in units of their held-out spread stand
    in place of margins.
    """

    model: np.ndarray
    refits: np.ndarray
    other: np.ndarray
    inside: np.ndarray
    patient: np.ndarray
    outcome_kind: OutcomeKind = "class"

    @cached_property
    def noise(self) -> np.ndarray:
        """(k,): mean distance of each refit's margins from the others'."""
        pairs = np.abs(self.refits[:, None] - self.refits[None]).mean(axis=2)
        found: np.ndarray = pairs.sum(axis=1) / (len(self.refits) - 1)
        return found

    @property
    def apart(self) -> float:
        """Mean distance of the model's margins from the refits'."""
        return float(np.abs(self.model - self.refits).mean())

    @property
    def scale(self) -> float:
        """Mean distance of a model of other patients."""
        return float(np.abs(self.other - self.refits).mean())

    def losses(self, inside: bool) -> tuple[float, np.ndarray]:
        """Mean log loss of the model and of each refit, on members or on held-out records."""
        at = self.inside == inside
        return float(self._loss(self.model[at]).mean()), self._loss(self.refits[:, at]).mean(axis=1)

    def _loss(self, signal: np.ndarray) -> np.ndarray:
        """Log loss of margins; of residuals, a Gaussian's."""
        loss = signal**2 / 2 if self.outcome_kind != "class" else np.logaddexp(0.0, -signal)
        return np.asarray(loss)

    @property
    def learns_nothing(self) -> bool:
        """Whether it answers the same whoever it was trained on."""
        return bool(np.abs(self.other - self.refits).max(initial=0.0) < 1e-9)

    @property
    def differs(self) -> bool:
        """Whether the model is further from its refits than training again moves it."""
        return any(big and sure for big, sure in self._tests())

    @property
    def is_open(self) -> bool:
        """Whether there is a difference that more refits may turn out to be noise."""
        return any(big for big, _ in self._tests())

    def _tests(self) -> list[tuple[bool, bool]]:
        """(large enough to matter, larger than the noise of training) of each comparison."""
        noise = float(self.noise.mean())
        least = APART * self.scale + (UNLUCKY * noise if self.apart > noise else 0.0)
        found = [self._test(self.apart - noise, self.noise, least)]
        own, refits = zip(*(self.losses(side) for side in (True, False)), strict=True)
        gap = abs(float(refits[1].mean() - refits[0].mean()))
        for mine, theirs in zip(own, refits, strict=True):
            found.append(self._test(mine - theirs.mean(), theirs, max(LEAST_LOSS, LOSS * gap)))
        return found

    @staticmethod
    def _test(difference: float, refits: np.ndarray, least: float) -> tuple[bool, bool]:
        k = len(refits)
        spread = float(refits.std(ddof=1)) * np.sqrt(1 + 1 / k)
        return abs(difference) > least, abs(difference) > STUDENT * spread

    @property
    def numbers(self) -> dict[str, Param]:
        """The comparison: losses with the interval of their difference, and distances."""
        found: dict[str, Param] = {
            "confidence": CONFIDENCE,
            "patients": len(np.unique(self.patient)),
            "refits": len(self.refits),
            "apart": self.apart,
            "noise": float(self.noise.mean()),
            "scale": self.scale,
        }
        for name, side in (("members", True), ("held_out", False)):
            mine, theirs = self.losses(side)
            error = self._error(side, theirs)
            found[name] = mine
            found[f"{name}_refit"] = float(theirs.mean())
            found[f"{name}_low"] = float(mine - theirs.mean() - 1.96 * error)
            found[f"{name}_high"] = float(mine - theirs.mean() + 1.96 * error)
        return found

    def _error(self, inside: bool, losses: np.ndarray) -> float:
        """Standard error of the difference of mean losses: of patients, and of training again."""
        at = self.inside == inside
        paired = self._loss(self.model[at]) - self._loss(self.refits[:, at]).mean(axis=0)
        _, who = np.unique(self.patient[at], return_inverse=True)
        sums = np.bincount(who, paired - paired.mean())
        of_patients = float(np.sqrt((sums**2).sum())) / len(paired)
        of_training = float(losses.std(ddof=1)) * np.sqrt(1 + 1 / len(losses))
        return float(np.hypot(of_patients, of_training))


def settle_recipe(
    release: UserRelease, split: Split, seeds: Seeds, *, required: bool
) -> tuple[UserRelease, list[Caveat]]:
    """The release, trained again only where that is the training that was, and what was compared.

    required: the user asked for training again by name, so that its failure is an error.

    Raises:
        PrivauditError: It is required and cannot be trained.
    """
    twin = release.twin
    if not isinstance(twin, Retrained):
        return release, []
    if twin.fitted_part:
        reason = Reason(ReasonCode.HOLDS_FITTED_PART, {"part": twin.fitted_part})
        return release.forget_twin(reason), []
    try:
        found = compare(twin, release.model, split, seeds)
    except PrivauditError as error:
        if required:
            raise
        params = {"what": error.what, "because": error.because}
        return release.forget_twin(Reason(ReasonCode.REFIT_FAILED, params)), []
    if found.learns_nothing:
        return release.forget_twin(Reason(ReasonCode.REFIT_LEARNS_NOTHING)), []
    if found.differs:
        return release.forget_twin(Reason(ReasonCode.REFIT_DIFFERS, found.numbers)), []
    return release, [Caveat(CaveatCode.REFIT_COMPARED, "note", found.numbers)]


def compare(twin: Retrained, model: Model, split: Split, seeds: Seeds) -> Comparison:
    """Train the recipe on all members, and once on held-out records, and ask all of them.

    A second look with more refits is taken where the first shows a difference. Both pools are asked
    in part where they are large.
    """
    members, others = split.members, split.nonmembers
    asked = [_some(pool, ASKED, seeds.rng("asked", i)) for i, pool in enumerate((members, others))]
    both = Records.concatenate(asked)

    def answer(pool: Records, name: str, number: int) -> np.ndarray:
        release = twin.fit(pool, seeds.rng(name, number))
        assert release.model is not None
        return _signal(release.model, both, unit)

    def made(refits: list[np.ndarray]) -> Comparison:
        inside = np.arange(len(both)) < len(asked[0])
        kind = both.outcome_kind
        return Comparison(own, np.array(refits), other, inside, both.patient, kind)

    unit = _find_unit(model, asked[1])
    own = _signal(model, both, unit)
    refits = [answer(members, "tried", i) for i in range(FEW)]
    try:
        other = answer(_some(others, len(members), seeds.rng("others")), "tried on others", 0)
    except PrivauditError:
        # Held-out records may lack a class; half of the members are other patients too.
        other = answer(_some(members, len(members) // 2, seeds.rng("others")), "tried on half", 0)
    found = made(refits)
    if found.is_open:
        found = made(refits + [answer(members, "tried", i) for i in range(FEW, MANY)])
    return found


def _some(pool: Records, most: int, rng: np.random.Generator) -> Records:
    if len(pool) <= most:
        return pool
    return pool.take(np.sort(rng.permutation(len(pool))[:most]))


def _find_unit(model: Model, held_out: Records) -> float:
    """The spread of the held-out residuals where the outcome is a number, else 1."""
    if held_out.outcome_kind == "class":
        return 1.0
    residuals = np.abs(read_signal(ask(model, held_out), held_out))
    return max(float(np.median(residuals)) / 0.6745, float(residuals.mean()) / 100, 1e-12)


def _signal(model: Model, records: Records, unit: float) -> np.ndarray:
    found = read_signal(ask(model, records), records) / unit
    result: np.ndarray = np.clip(found, -EDGE, EDGE)
    return result


__all__ = ["Comparison", "compare", "settle_recipe"]
