"""The terms of one federated run: what hospitals consent to, and what every process works by."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from privaudit.contracts import Method, Task
from privaudit.errors import PrivauditError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
"""Names of runs and of hospitals: they become names of folders and of certificates."""
SETTING = re.compile(r"([a-z0-9_]+(\.[a-z0-9_]+)+)=[ -~]*")
"""One setting: nothing before its name that another reader might leave out, nothing in its value
that a screen does not show."""
METHODS = (
    "federated",
    "federated_robust",
    "federated_private",
    "federated_secure",
    "federated_encrypted",
    "federated_trees",
)
LONGEST_TIMEOUT = 7 * 86_400.0
"""Seconds that a time limit may be."""
FEWEST = 3
"""Hospitals: in a sum of two, each reads the other's update."""


@dataclass(frozen=True)
class RunTerms:
    """What one run does. Stored and sent as canonical JSON, whose sha256 is its fingerprint.

    Args:
        run: The name of the run.
        task, method, learner: By their names on the command line; the learner empty where the
            method chooses none.
        settings: As `--set` takes them: `component.field=value`.
        roster: The names of the hospitals that may take part, sorted.
        quorum: Fewer hospitals than this in a round, and the round is not made.
        timeout: Seconds in which a hospital answers.
        least_patients: A hospital with fewer patients to train on refuses to take part.
        seed: None: every hospital draws from its operating system. A number makes the run the
            same as the simulation's and predictable by whoever knows it: for tests alone.
        grade: The attacks that hospitals make on the final model on their own patients.
        schema: sha256 of the columns and classes that every hospital must have, empty to take the
            one that all of them state.
    """

    run: str
    task: str
    method: str
    roster: tuple[str, ...]
    settings: tuple[str, ...] = ()
    quorum: int = FEWEST
    timeout: float = 120.0
    least_patients: int = 50
    seed: int | None = None
    grade: tuple[str, ...] = ("threshold",)
    schema: str = ""

    def __post_init__(self) -> None:
        _check_types(self)
        for part in (self.run, *self.roster):
            if not isinstance(part, str) or not NAME.fullmatch(part):
                raise PrivauditError(
                    f"the name {part!r}",
                    "names become those of folders and certificates",
                    "use up to 40 small letters, digits, dots, dashes and underscores",
                )
        if list(self.roster) != sorted(set(self.roster)):
            raise PrivauditError(
                f"a roster of {len(self.roster)} names that is not sorted or names one twice",
                "its order gives each hospital its number",
                "name each hospital once, in alphabetical order",
            )
        if not FEWEST <= self.quorum <= len(self.roster):
            raise PrivauditError(
                f"a quorum of {self.quorum} with {len(self.roster)} hospitals",
                f"a round takes {FEWEST} at least: of two, each reads the other's update",
                f"use {FEWEST} to {len(self.roster)}",
            )
        if self.method not in METHODS:
            raise PrivauditError(
                f"the method {self.method!r}",
                f"between hospitals these can be trained: {', '.join(METHODS)}",
                "use one of them",
            )

    @property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @property
    def fingerprint(self) -> str:
        """What a hospital consents to."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, text: str) -> RunTerms:
        """The terms of this JSON; PrivauditError where it is no such document."""
        try:
            made = json.loads(text)
            if not isinstance(made, dict):
                raise TypeError("not an object")
            return cls(**{name: _as_tuple(value) for name, value in _known(made).items()})
        except (ValueError, TypeError) as error:
            raise PrivauditError(
                "terms of a run that cannot be read",
                str(error),
                "use the terms that the coordinator's `privaudit federation run` wrote",
            ) from error

    def build(self) -> tuple[Task, Method]:
        """The task and the method with their settings; PrivauditError for what does not exist.

        The method is checked for this number of hospitals as `Plan.check` does, so that pairs that
        cannot work are refused before anybody is asked.
        """
        from pipelines.deploy.build import build

        return build(self)


def _check_types(terms: RunTerms) -> None:
    """Terms come from elsewhere: a value of another kind must not be found in the middle of a run.

    PrivauditError also where one setting is given twice.
    """

    def is_whole(value: object) -> bool:
        return type(value) is int and 0 <= value < 2**63

    def is_texts(value: object) -> bool:
        return isinstance(value, tuple) and all(isinstance(part, str) for part in value)

    timeout = terms.timeout
    good = {
        "run": isinstance(terms.run, str),
        "task": isinstance(terms.task, str),
        "method": isinstance(terms.method, str),
        "schema": isinstance(terms.schema, str),
        "roster": is_texts(terms.roster),
        "settings": is_texts(terms.settings),
        "grade": is_texts(terms.grade),
        "quorum": is_whole(terms.quorum),
        "least_patients": is_whole(terms.least_patients),
        "seed": terms.seed is None or is_whole(terms.seed),
        "timeout": type(timeout) in (int, float) and 0 < timeout <= LONGEST_TIMEOUT,
    }
    if wrong := [name for name, fits in good.items() if not fits]:
        raise PrivauditError(
            f"terms whose `{wrong[0]}` is of another kind",
            "they are texts, whole numbers from 0, lists of texts, and a time in seconds",
            "use the terms that the coordinator's `privaudit federation run` wrote",
        )
    names = [found[1] if (found := SETTING.fullmatch(part)) else "" for part in terms.settings]
    if not all(names) or len(set(names)) < len(names):
        raise PrivauditError(
            "a setting in the terms that is none, or that is there twice",
            "whoever consents must see what holds: component.field=value, each once",
            "correct --set",
        )


def _known(made: Mapping[str, Any]) -> Mapping[str, Any]:
    own = {part.name for part in fields(RunTerms)}
    if extra := sorted(set(made) - own):
        raise TypeError(f"unknown fields {extra}")
    return made


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


__all__ = ["FEWEST", "METHODS", "NAME", "RunTerms"]
