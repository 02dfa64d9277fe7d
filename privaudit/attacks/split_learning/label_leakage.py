"""Outcomes read off the gradients that cross a split model's cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.contracts import Access, Attack, CutTraffic, Fitted, Target, Trials
from privaudit.facts import Setting

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

    Series: "gradient norm": of pairs of records of one batch, one with the rarer outcome (rarer
    among the attacker's own records) and one without, how often is the first ranked higher; its
    rate is the area under the ROC curve. Pairs are disjoint, so that trials are independent.
    "gradient direction": the same by the cosine with one record of each batch whose rarer outcome
    the attacker knows, which is left out. "largest gradients": in a batch, as many as the
    attacker's own records make it expect are taken to have the rarer outcome; success is being
    right about a record. Li et al. 2022 (arXiv 2102.08504), section 3.
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
        game = Game(truth == rare, traffic, sent.astype(np.float64), patient, rng)
        who = "server" if traffic.labels is None else "observer"
        for epoch in np.unique(traffic.epoch):
            when = "last epoch" if epoch == traffic.epoch.max() else "first epoch"
            for what, trials in (
                ("gradient norm", game.norm(epoch)),
                ("gradient direction", game.direction(epoch)),
                ("largest gradients", game.largest(epoch, share[rare])),
            ):
                found[Setting("attacker", who, details=(what, when))] = trials
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
        for rows in self._batches(epoch):
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
        for rows in self._batches(epoch):
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

    def _batches(self, epoch: int) -> list[np.ndarray]:
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
