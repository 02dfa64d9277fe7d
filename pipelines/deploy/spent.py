"""What earlier runs have told of the same hospital's patients: guarantees of runs add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.deploy.consent import Consent
from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.terms import RunTerms
from pipelines.deploy.warrant import Warrant
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Spent:
    """Runs that this hospital has agreed to and this one, as far as their guarantees are known.

    Args:
        bounded: Earlier runs with noise for patients.
        unbounded: Earlier runs without, or whose terms are not here any more.
        epsilon, delta: Of the bounded ones and this one together, by basic composition (Dwork and
            Roth 2014, theorem 3.16).
    """

    bounded: tuple[str, ...]
    unbounded: tuple[str, ...]
    epsilon: float
    delta: float

    def lines(self) -> list[str]:
        """For the person who is to consent; none where this is the first run."""
        made = []
        if self.bounded:
            made.append(
                f"earlier runs with noise: {', '.join(self.bounded)}; of patients who were in all,"
                f" they and this one together bound what is told to epsilon {self.epsilon:g},"
                f" delta {self.delta:g}, not to what this run states alone"
            )
        if self.unbounded:
            made.append(
                f"earlier runs without noise for patients: {', '.join(self.unbounded)}; nothing"
                " bounds what they told of the same patients"
            )
        return made


def add_up(home: HospitalHome, terms: RunTerms) -> Spent | None:
    """What this run spends on top of earlier ones; None where it bounds nothing itself.

    A run counts from the consent on, also if it was withdrawn: some of it may have left.
    """
    own = _read_budget(terms)
    if own is None:
        return None
    bounded: list[str] = []
    unbounded: list[str] = []
    total = [own]
    for run, grant in sorted(Consent.read(home).runs.items()):
        if run == terms.run and grant.terms == terms.fingerprint:
            continue
        found = None
        try:
            kept = RunTerms.read(Warrant.read(home.pending(run)).text)
            if kept.fingerprint == grant.terms:
                found = _read_budget(kept)
        except PrivauditError:
            pass
        (unbounded if found is None else bounded).append(run)
        total += [] if found is None else [found]
    epsilon, delta = (sum(part) for part in zip(*total, strict=True))
    return Spent(tuple(bounded), tuple(unbounded), epsilon, delta)


def _read_budget(terms: RunTerms) -> tuple[float, float] | None:
    """(epsilon, delta) of a run with noise for patients."""
    if terms.method != "federated_private":
        return None
    method: Any = terms.build()[1]
    return float(method.epsilon), float(method.delta)


__all__ = ["Spent", "add_up"]
