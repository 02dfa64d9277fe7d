"""Which membership attack a subject's headline quotes: chosen where it cannot flatter itself.

The best of many readings of one model is too high by luck alone. So attacks are compared on refits
whose members are known, put in the released model's place: the choice sees nothing of who the
released model was trained on, and the chosen attack's reading on it is as honest as any other, on
all patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit import stats
from privaudit.contracts import Access, Attack, Fitted, Method, Release, Scores, Target
from privaudit.errors import PrivauditError
from privaudit.records import Split
from privaudit.seeds import Seeds

POSED = 2
"""Refits put in the released model's place: the first complementary pair of half-samples."""


@dataclass(frozen=True, eq=False)
class Posed(Target):
    """A refit in the released model's place: its answers are known as margins alone."""

    asked: np.ndarray | None = None

    @property
    def margins(self) -> np.ndarray:
        return np.asarray(self.asked, dtype=np.float64)


def pose_null(split: Split, bank: Sequence[Fitted], method: Method) -> tuple[Target, list[Fitted]]:
    """Supplied shadow models in the released model's place, with nothing to find.

    Every record is answered by one that was not trained on it, so that the game is played on all
    records. For each record that model is taken out of the bank that is left to the attack, with
    its neighbour, which may be its complement: else a record's counts would tell which it was.

    Raises:
        PrivauditError: a record is in all shadow models, so that none can answer for it.
    """
    margins = np.array([one.margins for one in bank])
    included = np.array([one.included for one in bank])
    count, n = included.shape
    outside = (~included).sum(axis=0)
    if count <= POSED or not outside.all():
        raise PrivauditError(
            "shadow models of which all were trained on one record",
            "a null answers for records that it was not trained on",
            "give more shadow models, each trained on about half of the records",
        )
    columns = np.arange(n)
    # The first that is outside, the second for the next record, and so on in turn.
    order = np.argsort(included, axis=0, kind="stable")
    asked = order[columns % outside, columns]
    partner = np.where((asked ^ 1) < count, asked ^ 1, asked - 1)
    rows = np.arange(count)[:, None]
    kept = np.argsort((rows == asked) | (rows == partner), axis=0, kind="stable")[:-POSED]
    target = Posed(Release(), split, method, margins[asked, columns])
    left = margins[kept, columns], included[kept, columns]
    return target, [Fitted(own, margin) for margin, own in zip(*left, strict=True)]


def strongest(
    attacks: Mapping[str, Attack],
    refits: Mapping[str, Sequence[Fitted]],
    split: Split,
    method: Method,
    seeds: Seeds,
) -> str | None:
    """The name of the attack that does best on posed refits; None where there is none to pose.

    refits: what each attack was given, over the audit records. An attack that was given other
    refits than the rest, or cannot work on margins alone, takes no part. Ties go to the first name.
    Where some attack reads a table there is none to pose: None.
    """
    if any(Access.TABLE in attack.needs for attack in attacks.values()):
        return None
    # Refits of other pools than the audit's, such as the attacker's own, cannot be posed.
    banks = [bank for bank in refits.values() if bank and _is_of_audit(bank[0], split)]
    bank = max(banks, key=len, default=())
    if len(bank) < POSED + 6:
        return None
    rivals = [name for name in sorted(attacks) if _like(refits[name], bank)]
    if not rivals:
        return None
    strength = dict.fromkeys(rivals, (0.0, 0.0))
    for place in range(POSED):
        posed = bank[place]
        order = np.argsort(~posed.included, kind="stable")
        inside, outside = np.split(order, [int(posed.included.sum())])
        trained = Split(split.audit.take(inside), split.audit.take(outside), split.reference)
        target = Posed(Release(), trained, method, posed.margins[order])
        people = (trained.members.patient, trained.nonmembers.patient)
        for name in rivals:
            # The pair's other half goes too: else a record's counts would give away its membership.
            rest = [Fitted(one.included[order], one.margins[order]) for one in refits[name][POSED:]]
            try:
                evidence = attacks[name].run(target, rest, seeds.rng(name, place))
            except (ValueError, AttributeError):
                continue
            if isinstance(evidence, Scores):
                rate, area = stats.strength(evidence, patients=people)
                strength[name] = (strength[name][0] + rate, strength[name][1] + area)
    return max(rivals, key=lambda name: strength[name])


def _is_of_audit(one: Fitted, split: Split) -> bool:
    return len(one.included) == len(one.margins) == len(split.audit)


def _like(own: Sequence[Fitted], bank: Sequence[Fitted]) -> bool:
    """Whether an attack was given nothing, or refits that begin with the bank's first pair."""
    return not own or (
        len(own) > POSED + 3
        and all(
            np.array_equal(mine.included, other.included)
            for mine, other in zip(own[:POSED], bank[:POSED], strict=True)
        )
    )


__all__ = ["Posed", "pose_null", "strongest"]
