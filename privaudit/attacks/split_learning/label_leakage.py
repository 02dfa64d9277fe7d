"""Outcomes read off the gradients that cross a split model's cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from privaudit.attacks.split_learning._gradient_sides import Sides, read_sides
from privaudit.contracts import Access, Attack, CutTraffic, Fitted, Target, Trials
from privaudit.facts import Setting, SettingKind

TIE = 5
"""Digits of a score, relative to its batch, that count: float32 gradients of equal norm differ
after."""


@dataclass(frozen=True)
class LabelLeakage(Attack):
    """Reads who has the rarer outcome off the size or the direction of each record's gradient.

    A model that has learnt that an outcome is rare is more wrong about those who have it, so their
    gradients are longer; and those of one outcome point one way. Who the attacker is depends on the
    shape. U-shaped: the server, which is sent no outcome but gradients in their place. Vanilla: an
    observer who reads the gradients sent back and nothing else, for the server was sent the
    outcomes; that is its own series, which succeeds by definition.

    Series: "gradient side": every record's outcome is stated, with nothing known but how common the
    outcomes are: a batch's gradients lie on two sides of one direction, their first singular
    vector, and the side with fewer records has the rarer outcome; three and more outcomes lie in as
    many cones (`_gradient_sides`). With cross entropy and the last layer at the sites this reads
    everybody, for the gradient is (p - y) times that layer's weights. "gradient side, ranked": the
    pairs below, by how far on that side a record lies. Where counts cannot name
    the sides (two outcomes are about as common, or noise turned gradients round), they are named by
    nine patients of each outcome whom the attacker knows, who are left out, and the series is one
    of an informed attacker.

    "gradient norm": of pairs of records of one batch, one with the rarer outcome (rarer among the
    attacker's own records) and one without, how often is the first ranked higher; its rate is the
    area under the ROC curve. Pairs are disjoint, so that trials are independent. "gradient
    direction": the same by the cosine with one record of each batch whose rarer outcome the
    attacker knows, which is left out. "largest gradients": in a batch, as many as the attacker's
    own records make it expect are taken to have the rarer outcome; success is being right about a
    record.

    Li et al. 2022 (arXiv 2102.08504), section 3; clusters of gradients: Liu et al. 2024 (arXiv
    2203.05222, read in part).
    """

    needs: ClassVar[frozenset[Access]] = frozenset({Access.CUT})
    family: ClassVar[Literal["reconstruction"]] = "reconstruction"

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        traffic = target.release.cut
        assert traffic is not None
        members, reference = target.split.members, target.split.reference
        share = np.bincount(reference.y, minlength=len(reference.classes)) / len(reference)
        rare = int(share.argmin())
        truth = members.y[traffic.row]
        patient = members.patient[traffic.row]
        found: dict[Setting, Trials] = {}
        if traffic.labels is not None:
            usual = (truth == share.argmax()).astype(np.float64)
            found[Setting("attacker", "server", details=("outcomes sent to it",))] = Trials(
                success=(traffic.labels == truth).astype(np.float64),
                control=usual,
                guess=usual,
                control_label="the most frequent outcome, for everybody",
                patients=patient,
            )
        sent = traffic.gradients if traffic.returned is None else traffic.returned
        readable = np.nan_to_num(sent.astype(np.float64), posinf=0.0, neginf=0.0)
        game = Game(truth == rare, traffic, readable, patient, rng)
        # A stream of its own, so that these series move none of the others.
        apart = rng.spawn(1)[0]
        who = "server" if traffic.labels is None else "observer"
        for epoch in np.unique(traffic.epoch):
            when = "last epoch" if epoch == traffic.epoch.max() else "first epoch"
            batches = game.batches(epoch)
            sides = read_sides(readable, batches, share, len(reference), truth, apart)
            aside = replace(game, rng=apart)
            plain: SettingKind = "attacker"
            told: SettingKind = "informed"
            named = told if sides.informed else plain
            made: tuple[tuple[str, SettingKind, Trials], ...] = (
                ("gradient side", named, aside.sides(epoch, sides, truth, int(share.argmax()))),
                ("gradient side, ranked", named, aside.ranked(epoch, sides)),
                ("gradient norm", plain, game.norm(epoch)),
                ("gradient direction", told, game.direction(epoch)),
                ("largest gradients", plain, game.largest(epoch, share[rare])),
            )
            for what, kind, trials in made:
                found[Setting(kind, who, details=(what, when))] = trials
        return found


Score = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Rows of a batch -> their scores, and which of them are open to guessing."""


@dataclass(frozen=True, eq=False)
class Game:
    """One recorded traffic, ready to be guessed at. positive: (m,) bool, the truth."""

    positive: np.ndarray
    traffic: CutTraffic
    sent: np.ndarray
    patient: np.ndarray
    rng: np.random.Generator

    def sides(self, epoch: int, sides: Sides, truth: np.ndarray, usual: int) -> Trials:
        """Every record's outcome stated by the side that its gradient lies on."""
        open_ = [rows[sides.open[rows]] for rows in self.batches(epoch)]
        who = np.concatenate(open_)
        shuffled = np.concatenate([self.rng.permutation(rows) for rows in open_])
        return Trials(
            success=(sides.called[who] == truth[who]).astype(np.float64),
            control=(sides.called[shuffled] == truth[who]).astype(np.float64),
            guess=(truth[who] == usual).astype(np.float64),
            control_label="the same statements, dealt out anew within each batch",
            patients=self.patient[who],
        )

    def ranked(self, epoch: int, sides: Sides) -> Trials:
        """Pairs ranked by how far on the rarer outcome's side the gradient lies."""
        return self._pairs(epoch, lambda rows: (sides.score[rows], sides.open[rows]))

    def norm(self, epoch: int) -> Trials:
        """Pairs ranked by the length of the gradient."""
        return self._pairs(epoch, lambda rows: (_norm(self.sent[rows]), np.ones(len(rows), bool)))

    def direction(self, epoch: int) -> Trials:
        """Pairs ranked by the cosine with one known record of the batch."""

        def score(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            g, open_ = self.sent[rows], np.ones(len(rows), bool)
            known = np.flatnonzero(self.positive[rows])
            if len(known):
                pick = self.rng.choice(known)
                open_[pick] = False
                length = np.maximum(_norm(g) * _norm(g[pick]), 1e-300)
                return g @ g[pick] / length, open_
            return np.zeros(len(rows)), open_

        return self._pairs(epoch, score)

    def _pairs(self, epoch: int, score: Score) -> Trials:
        success, control, anchors = [], [], []
        for rows in self.batches(epoch):
            scores, open_ = score(rows)
            won, at = pairs(scores[open_], self.positive[rows][open_], self.rng)
            random = self.rng.random(int(open_.sum()))
            success.append(won)
            control.append(pairs(random, self.positive[rows][open_], self.rng)[0])
            anchors.append(rows[open_][at])
        who = np.concatenate(anchors)
        return Trials(
            success=np.concatenate(success),
            control=np.concatenate(control),
            guess=np.full(len(who), 0.5),
            control_label="pairs of the same batches, ranked at random",
            patients=self.patient[who],
        )

    def largest(self, epoch: int, share: float) -> Trials:
        """Every record taken for positive or not: the share of largest gradients is."""
        success: list[np.ndarray] = []
        control: list[np.ndarray] = []
        order = []
        for rows in self.batches(epoch):
            count, truth = round(share * len(rows)), self.positive[rows]
            by_norm = np.argsort(
                -_coarse(_norm(self.sent[rows])) + 1e-9 * self.rng.random(len(rows))
            )
            at_random = self.rng.permutation(len(rows))
            for ranked, into in ((by_norm, success), (at_random, control)):
                called = np.zeros(len(rows), bool)
                called[ranked[:count]] = True
                into.append((called == truth).astype(np.float64))
            order.append(rows)
        who = np.concatenate(order)
        return Trials(
            success=np.concatenate(success),
            control=np.concatenate(control),
            guess=(~self.positive[who]).astype(np.float64),
            control_label="as many records of the batch, drawn at random",
            patients=self.patient[who],
        )

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Rows of each batch of this epoch, in the order of training."""
        at = np.flatnonzero(self.traffic.epoch == epoch)
        at = at[np.argsort(self.traffic.batch[at], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.traffic.batch[at])) + 1
        return np.split(at, cuts)


def pairs(
    scores: np.ndarray, positive: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Share of its pairs that each record of the scarcer kind wins (a tie is half), and its row.

    scores: (b,); positive: (b,) bool. The other kind is dealt out, so no record is in two pairs of
    different trials. Both empty where one kind is absent.
    """
    scores = _coarse(scores)
    few, many = np.flatnonzero(positive), np.flatnonzero(~positive)
    sign = 1.0
    if len(few) > len(many):
        few, many, sign = many, few, -1.0
    if not len(few):
        return np.empty(0), few
    won = np.empty(len(few))
    for i, dealt in enumerate(np.array_split(rng.permutation(many), len(few))):
        won[i] = 0.5 + 0.5 * np.sign(sign * (scores[few[i]] - scores[dealt])).mean()
    return won, few


def _norm(g: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.sqrt((g * g).sum(axis=-1))
    return result


def _coarse(scores: np.ndarray) -> np.ndarray:
    """Scores in units of the batch's largest, to as many digits as float32 sums are good for."""
    top = np.abs(scores).max(initial=0.0)
    return np.round(scores / top, TIE) if top > 0 else scores


__all__ = ["LabelLeakage"]
