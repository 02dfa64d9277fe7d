"""What a coordinator and a hospital may see of a federation: numbers, names and codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Condition = Literal[
    "unheard",
    "ready",
    "pending",
    "withdrawn",
    "too_few",
    "terms_refused",
    "lost",
    "late",
    "gate_refused",
    "unfit",
]
"""unheard: has not answered yet; ready, pending, withdrawn, too_few: what it said last of itself;
terms_refused: it does not accept the terms; lost: does not answer; late: answered after the time;
gate_refused: its last update was refused; unfit: other
terms, columns or another build than the run has."""

Stage = Literal["waiting", "training", "grading", "stopped", "done"]


@dataclass(frozen=True)
class Terms:
    """What both sides know of a run.

    Args:
        rounds: How many are planned; None where it cannot be said.
        protection: Codes of `words.PROTECTIONS` with `+` between them.
        fingerprint: sha256 of the terms.
    """

    run: str
    task: str
    method: str
    protection: str
    rounds: int | None
    settings: tuple[str, ...]
    quorum: int
    timeout: float
    roster: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Alarm:
    """what: second_login, decrypted_apart, clock, disk, other_build, or another code."""

    at: float | None
    hospital: str
    what: str


@dataclass(frozen=True)
class Site:
    """One hospital of a run, as the coordinator sees it.

    Args:
        since: Since when it is in this condition.
        rounds: In how many rounds its update counted.
        last: The last of them; rounds are numbered from 0.
        patients: As it states; None where it stated none, or fewer than may be shown.
        unanswered, late, refused, bad, clipped: How often.
        why: Why it was refused last.
    """

    name: str
    condition: Condition
    since: float | None
    rounds: int
    last: int | None
    patients: int | None
    unanswered: int = 0
    late: int = 0
    refused: int = 0
    bad: int = 0
    clipped: int = 0
    why: str = ""


@dataclass(frozen=True)
class RunStatus:
    """One run at the coordinator.

    Args:
        round, rounds: How many rounds are made, of how many.
        seconds: A round takes so long: the median of the last twenty.
        losses: (round, mean loss of the hospitals), where they state it.
        silent: It should be training, and has written nothing for long.
        unreadable: Lines of the journal that could not be read.
    """

    run: str
    terms: Terms | None
    stage: Stage
    why: str
    round: int
    rounds: int | None
    seconds: float | None
    started: float | None
    ended: float | None
    heard: float | None
    silent: bool
    stop_asked: bool
    sites: tuple[Site, ...]
    losses: tuple[tuple[int, float], ...]
    idle: int
    recovered: int
    segments: int
    bytes_up: int
    bytes_down: int
    alarms: tuple[Alarm, ...]
    alarm_count: int
    unreadable: int


@dataclass(frozen=True)
class CoordinatorStatus:
    """All runs of a federation, the latest first."""

    federation: str
    read_at: float
    hospitals: tuple[str, ...]
    runs: tuple[RunStatus, ...]


@dataclass(frozen=True)
class Consent:
    """What one hospital agreed to, and when it ended."""

    fingerprint: str
    granted: float | None
    by: str
    rounds: int | None
    protection: str
    withdrawn: float | None

    @property
    def holds(self) -> bool:
        return self.withdrawn is None


@dataclass(frozen=True)
class Sent:
    """What left: of one kind, or of one round."""

    name: str
    messages: int
    bytes: int
    first: float | None
    last: float | None


@dataclass(frozen=True)
class Message:
    """One message that left."""

    at: float | None
    round: int | None
    kind: str
    bytes: int
    sha256: str


AUDITED_COUNTS = ("rebuilt.graded", "patients", "records", "stated")
AUDITED_SHARES = ("rebuilt.exact", "rebuilt.control", "rebuilt.cells", "rebuilt.cells_control")
AUDITED = (
    *(*AUDITED_SHARES, *AUDITED_COUNTS, "told.auroc", "told.low", "told.high"),
    *("rounds", "bytes_per_round"),
)
"""Numbers of an own audit that are shown; nothing else of its file is kept."""


@dataclass(frozen=True)
class OwnAudit:
    """What a hospital found of a dry round; see `own_audit.DryRound`.

    Args:
        verdict: leaks, no_leak_seen or too_few; empty where none is stated.
        is_hidden: The numbers are of an update before it is hidden in a sum.
        numbers: (name, number) of `AUDITED`, names of parts with a dot.
        small: Names of the counts that are too small to be shown.
    """

    verdict: str
    is_hidden: bool
    numbers: tuple[tuple[str, float], ...]
    small: tuple[str, ...]


@dataclass(frozen=True)
class HospitalRun:
    """One run at a hospital.

    Args:
        state: asked (no consent yet), given, withdrawn, or none (messages left, no consent is on
            file).
        other_terms: The consent is for terms with another fingerprint than those on file.
        uncovered: Messages besides `hello` that left when no consent on file allowed it.
        kinds, rounds, latest: What left, by kind, by round (the last 200), one by one (the last
            50).
        audit: None where none is on file.
    """

    run: str
    terms: Terms | None
    state: Literal["asked", "given", "withdrawn", "none"]
    consent: Consent | None
    other_terms: bool
    uncovered: int
    messages: int
    bytes: int
    first: float | None
    last: float | None
    kinds: tuple[Sent, ...]
    rounds: tuple[Sent, ...]
    rounds_left_out: int
    latest: tuple[Message, ...]
    audit: OwnAudit | None


@dataclass(frozen=True)
class HospitalStatus:
    """What one hospital takes part in.

    Args:
        codes: How many answers were held back: a bare code of why left in their place.
        changed: The list of what left was shortened or replaced while it was watched.
    """

    name: str
    federation: str
    coordinator: str
    task: str
    read_at: float
    runs: tuple[HospitalRun, ...]
    bytes: int
    messages: int
    alarms: tuple[Alarm, ...]
    alarm_count: int
    unreadable: int
    codes: int
    changed: bool


__all__ = [
    *("AUDITED", "AUDITED_COUNTS", "AUDITED_SHARES"),
    *("Alarm", "Condition", "Consent", "CoordinatorStatus", "HospitalRun", "HospitalStatus"),
    *("Message", "OwnAudit", "RunStatus", "Sent", "Site", "Stage", "Terms"),
]
