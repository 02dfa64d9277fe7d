"""What every poisoning attack shares: who is trained with whom, and how wrong a model is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from privaudit.attacks._options import check_whole
from privaudit.attacks.federated._malicious_clients import Absent, trigger
from privaudit.contracts import Access, Attack, Fitted, Malicious, Method, Refit, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.records import Records
from privaudit.seeds import Seeds

CONTROL = "all {sites} honest"
ABSENT = "the malicious {sites} absent"
"""A second control, so that the loss of a hospital's records is not taken for what it sent."""
BESIDE = "hospital absent"
NOTHING = "nothing sent"
"""The act that the second control itself is, beside the first."""
TRAINED = "as trained"
"""What the method's own aggregator is called where it is none of its alternatives."""
VARIABLES = 3
"""Variables in the trigger that every poisoning attack asks about: clean refits are shared."""


@dataclass(frozen=True)
class Poisoning(Attack):
    """Trains the federation again, with and without malicious clients, under several aggregators.

    clients: how many are malicious; repeats: trainings of each kind, over which a record's outcome
    is averaged, so that intervals speak of other patients, not of other trainings; rivals: how many
    other aggregators of the method are tried beside its own, in the method's order. Series under
    another aggregator than the method's own are counterfactual.

    Every act is held against two controls. All hospitals honest: the whole harm. The malicious
    hospitals absent (series of kind "absent"): the harm beyond the loss of their records, which is
    none where nothing of theirs gets through. Neither is always the larger, for a hospital may be
    missed or be better missed; a limit is judged by every series, so by the larger harm.

    Success is how far the poisoned model is wrong about a non-member (`Answers.misranked`), the
    control the same for the clean one: their means are 1 - AUROC. A share misjudged at a threshold
    would hide the harm where the outcome is rare: at 9 % deaths a useful model misjudges 13 of 100
    patients and a random one that flags as many 16.
    """

    clients: int = 1
    repeats: int = 2
    rivals: int = 4

    withholds: ClassVar[bool] = False
    """Whether sending nothing is one of its acts, and not the second control alone."""
    needs: ClassVar[frozenset[Access]] = frozenset({Access.SEAT, Access.RERUN})
    family: ClassVar[Literal["poisoning"]] = "poisoning"

    @abstractmethod
    def malicious(self) -> Mapping[str, Malicious]:
        """What the malicious clients do, by name."""

    def refits(self, target: Target, seeds: Seeds) -> Sequence[Refit]:
        self.check()
        members, question = target.split.members, self.question(target)
        everyone = np.ones(len(members), dtype=bool)
        return [
            Refit(method, members, everyone, question, f"poisoning {repeat}")
            for _, method in self._trainings(target)
            for repeat in range(self.repeats)
        ]

    def run(
        self, target: Target, refits: Sequence[Fitted], rng: np.random.Generator
    ) -> dict[Setting, Trials]:
        self.check()
        answers = iter(refits)
        total: dict[Setting, Trials] = {}
        beyond: dict[Setting, Trials] = {}
        honest = absent = np.empty(0)
        tried = self.tried(target)
        patients = target.split.nonmembers.patient[tried]
        for setting, _ in self._trainings(target):
            fits = [next(answers) for _ in range(self.repeats)]
            outcome = np.mean([self.outcome(target, fit.margins)[tried] for fit in fits], axis=0)
            if setting is None:
                honest = outcome
                continue
            against = Trials(outcome, honest, None, CONTROL, patients)
            if setting.details == (NOTHING,):
                absent = outcome
                total |= {setting: against} if self.withholds else {}
            else:
                total[setting] = against
                other = replace(setting, kind="absent", details=(*setting.details, BESIDE))
                beyond[other] = Trials(outcome, absent, None, ABSENT, patients)
        return total | beyond

    def question(self, target: Target) -> Records:
        """What every refit is asked (see `Answers`), so that attacks share clean refits."""
        return Answers.question(target, VARIABLES)

    def tried(self, target: Target) -> np.ndarray:
        """(n,) bool: the non-members tried, for two classes as many of one as of the other.

        So a random guess is wrong about half of them however rare the outcome, and the mean of
        `misranked` is 1 - AUROC. Which of the commoner class depends on the pool alone.
        """
        pool = target.split.nonmembers
        chosen = np.ones(len(pool), dtype=bool)
        if len(pool.classes) == 2:
            seed = np.frombuffer(bytes.fromhex(pool.fingerprint), dtype=np.uint32).tolist()
            order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(pool))
            sides = [order[pool.y[order] == c] for c in (0, 1)]
            few = min(map(len, sides))
            chosen[np.concatenate([side[few:] for side in sides])] = False
        return chosen

    def outcome(self, target: Target, margins: np.ndarray) -> np.ndarray:
        """(n,) in [0, 1]: how far the attack succeeded on each non-member, by one model."""
        return Answers.of(target, margins).misranked()

    def check(self) -> None:
        """Refuse settings that make no attack."""
        check_whole(self, clients=1, repeats=1, rivals=0)

    def _trainings(self, target: Target) -> Iterator[tuple[Setting | None, Method]]:
        """(setting, method) of every training; None: all hospitals honest, first for each
        aggregator, and then the malicious ones absent."""
        acts = {NOTHING: Absent(self.clients), **self.malicious()}
        for place, (aggregator, method) in enumerate(self._methods(target).items()):
            yield None, seated(method, None)
            for attack, act in acts.items():
                other = place > 0
                setting = Setting("aggregator", aggregator, details=(attack,), counterfactual=other)
                yield setting, seated(method, act)

    def _methods(self, target: Target) -> dict[str, Method]:
        """The method itself first, by its aggregator's name where that is known, then others."""
        if target.method is None:
            raise ValueError("a target whose method is unknown cannot be trained again")
        own = seated(target.method, None)
        # Aggregators that are set for a number of malicious clients are set for as many as attack.
        asked = seated(target.method, next(iter(self.malicious().values())))
        others = {name: seated(m, None) for name, m in asked.alternatives.items()}
        name = next((name for name, method in others.items() if method == own), TRAINED)
        others.pop(name, None)
        return {name: own} | dict(list(others.items())[: self.rivals])


def seated(method: Method, malicious: Malicious | None) -> Method:
    """The same way of training, with these malicious clients taking part."""
    made: Any = method
    result: Method = replace(made, malicious=malicious)
    return result


@dataclass(frozen=True, eq=False)
class Answers:
    """A refit's class scores on non-members, on the reference pool, on triggered non-members.

    Each is (n, k): the log-odds of each class. A refit answers with true-class margins alone, so
    for more than two classes every record is asked once a class; for two, one answer tells both.
    """

    nonmembers: np.ndarray
    reference: np.ndarray
    triggered: np.ndarray
    y: np.ndarray
    reference_y: np.ndarray

    @staticmethod
    def question(target: Target, variables: int) -> Records:
        """Non-members, reference, triggered non-members: once, or once a class beyond two."""
        pool, reference = target.split.nonmembers, target.split.reference
        try:
            marked = trigger(pool, variables)
        except PrivauditError:
            # Only the backdoor needs a trigger, and it reports itself what is missing.
            marked = pool
        asked = Records.concatenate([pool, reference, marked])
        k = len(asked.classes)
        if k == 2:
            return asked
        return Records.concatenate([replace(asked, y=np.full(len(asked), c)) for c in range(k)])

    @classmethod
    def of(cls, target: Target, margins: np.ndarray) -> Answers:
        pool, reference = target.split.nonmembers, target.split.reference
        k = len(pool.classes)
        margins = np.asarray(margins, dtype=np.float64)
        if k == 2:
            y = np.concatenate([pool.y, reference.y, pool.y])
            yes = np.where(y == 1, margins, -margins)
            scores = np.column_stack([-yes, yes])
        else:
            scores = margins.reshape(k, -1).T
        first, second = len(pool), len(pool) + len(reference)
        own, other, triggered = np.split(scores, [first, second])
        return cls(own, other, triggered, pool.y, reference.y)

    def misranked(self) -> np.ndarray:
        """(n,) in [0, 1]: how far the model is wrong about each non-member.

        The share of reference records with another outcome that it holds to be likelier to have
        this record's outcome than the record itself; ties count half.
        """
        found = np.empty(len(self.y))
        for c in np.unique(self.y):
            others = np.sort(self.reference[self.reference_y != c, c])
            if not len(others):
                raise PrivauditError(
                    "a reference pool in which all records have one outcome",
                    "a ranking is judged by records of the other outcome",
                    "use more patients (a few hundred give a meaningful audit)",
                )
            own = self.nonmembers[self.y == c, c]
            below = np.searchsorted(others, own, "left"), np.searchsorted(others, own, "right")
            found[self.y == c] = 1 - (below[0] + below[1]) / (2 * len(others))
        return found

    def given(self, scores: np.ndarray) -> np.ndarray:
        """(n, k): the share of decisions, over ties broken at random, for each class.

        Two classes: as many of the reference pool are flagged as have the outcome (at 0.5 a model
        of a rare outcome says no to all). Ties are shared out, so that a model which answers all
        patients alike is judged as the random guess that it is. More classes: the likeliest.
        """
        if scores.shape[1] != 2:
            best = scores == scores.max(axis=1, keepdims=True)
            result: np.ndarray = best / best.sum(axis=1, keepdims=True)
            return result
        yes = self.reference[:, 1]
        wanted = float((self.reference_y == 1).sum())
        cut = np.sort(yes)[::-1][min(max(int(np.ceil(wanted)) - 1, 0), len(yes) - 1)]
        above, level = int((yes > cut).sum()), int((yes == cut).sum())
        share = (wanted - above) / level
        flagged = np.where(scores[:, 1] > cut, 1.0, np.where(scores[:, 1] == cut, share, 0.0))
        return np.column_stack([1 - flagged, flagged])
