"""The sentences of the status, on a page and in a terminal."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from pipelines.deploy.pages.facts import (
    AUDITED_COUNTS,
    AUDITED_SHARES,
    Alarm,
    CoordinatorStatus,
    HospitalRun,
    HospitalStatus,
    OwnAudit,
    RunStatus,
    Site,
)
from privaudit import plugins
from privaudit.disclosure_limits import name_count
from privaudit.errors import PrivauditError
from privaudit.report import numbers as n
from privaudit.report.wording.nouns import Phrase, use_words
from privaudit.words import USUAL, Words

UNKNOWN = "unknown"
PROTECTIONS: dict[str, Phrase] = {
    "none": Phrase("none: the coordinator reads the update of each {site}"),
    "patient_noise": Phrase(
        "noise for each {person}, added in the {site}; the coordinator reads noisy updates"
    ),
    "secure_sum": Phrase(
        "masked sum: the coordinator reads the sum, and no single update unless about two thirds "
        "of the {sites} help it"
    ),
    "encrypted_sum": Phrase(
        "encrypted sum: the coordinator adds what it cannot read; each {site} has the key"
    ),
    "trees": Phrase(
        "none: the coordinator and all {sites} read the trees of each {site}, whose splits are "
        "values of its {records}"
    ),
}
REASONS: dict[str, Phrase] = {
    "no_consent": Phrase("no consent"),
    "refused": Phrase("the {site} refused the question"),
    "failed": Phrase("the program failed at the {site}"),
    "bad_terms": Phrase("the {site} does not accept the terms"),
    "held_back": Phrase("the {site} held the answer back"),
    "disk": Phrase("the {site} cannot write down what leaves"),
    "bad_answer": Phrase("the answer is none of this kind"),
    "not_an_answer": Phrase("the answer is none of this kind"),
    "other_round": Phrase("an answer for another round"),
    "stop": Phrase("by the operator"),
    "fault": Phrase("by a fault of the program, which its log names"),
    "diverged": Phrase("the training came to no finite numbers"),
    "too_few": Phrase("too few {sites} were ready in time"),
    "unsafe": Phrase("what would be sent shows single {records}, or one {site}"),
}
CONDITIONS: dict[str, Phrase] = {
    "unheard": Phrase("not heard from yet"),
    "ready": Phrase("takes part"),
    "pending": Phrase("waits for consent"),
    "withdrawn": Phrase("withdrawn"),
    "too_few": Phrase("too few {people}"),
    "terms_refused": Phrase("does not accept the terms"),
    "lost": Phrase("does not answer"),
    "late": Phrase("late"),
    "gate_refused": Phrase("last update refused"),
    "unfit": Phrase("left out: see the alarms"),
}
STAGES: dict[str, Phrase] = {
    "waiting": Phrase("waiting for {sites}"),
    "training": Phrase("training"),
    "grading": Phrase("all rounds made; being finished"),
    "stopped": Phrase("stopped"),
    "done": Phrase("done"),
}
ALARMS: dict[str, Phrase] = {
    "second_login": Phrase(
        "A second computer signed in with the certificate of this {site}. If nobody moved it, the "
        "key was copied: stop the run and make a new certificate."
    ),
    "decrypted_apart": Phrase("{Sites} decrypted different sums: at least one of them is wrong."),
    "bad_proof": Phrase("Somebody signed for a {site} with a key that is not its own."),
    "unsafe": Phrase("The coordinator asked for what would show the update of one {site}."),
    "clock": Phrase("The clock is wrong by more than certificates and time limits allow."),
    "disk": Phrase("The disk is full or cannot be written."),
    "other_build": Phrase("It runs another build of privaudit than the coordinator."),
    "other_terms": Phrase("It has other terms of this run than the coordinator."),
    "other_schema": Phrase("Its columns or classes are not those of the other {sites}."),
}
KINDS: dict[str, Phrase] = {
    "hello": Phrase("greeting: whether it takes part, columns, how many {people} and {records}"),
    "train": Phrase("update of the model, or that one is ready for the sum"),
    "mask_keys": Phrase("public keys for masks"),
    "mask_shares": Phrase("sealed parts of mask keys"),
    "masked": Phrase("masked update"),
    "reveal": Phrase("parts of mask keys that remove what masks left over"),
    "box_key": Phrase("public key for the shared secret"),
    "make_secret": Phrase("shared secret, sealed for each {site}"),
    "take_secret": Phrase("that the shared secret arrived"),
    "encrypt": Phrase("encrypted update"),
    "agree": Phrase("signature under the list of those who sent"),
    "decrypt": Phrase("decrypted sum"),
    "grow": Phrase("trees"),
    "grade": Phrase("counts from attacks on the final model"),
}
STATES = {
    "asked": "waits for consent",
    "given": "consent given",
    "withdrawn": "consent withdrawn",
    "none": "no consent on file",
}
AUDIT: dict[str, Phrase] = {
    "rebuilt.exact": Phrase("Rows read whole out of an update"),
    "rebuilt.control": Phrase("The same by guessing, without an update"),
    "rebuilt.cells": Phrase("Single values read out of an update"),
    "rebuilt.cells_control": Phrase("The same by guessing, without an update"),
    "rebuilt.graded": Phrase("Rows that this was tried on"),
    "told.auroc": Phrase("Who was trained on, recognised from an update (AUC; guessing: 0.5)"),
    "rounds": Phrase("Rounds"),
    "bytes_per_round": Phrase("Leaves in each round"),
    "patients": Phrase("{People} trained on"),
    "records": Phrase("{Records} trained on"),
    "stated": Phrase("{Records} that the coordinator is given as the number"),
}
FOUND: dict[str, tuple[str, Phrase]] = {
    "leaks": (
        "stop",
        Phrase("An attacker learns more than by guessing from an update of this {site}."),
    ),
    "no_leak_seen": (
        "",
        Phrase("The attacks that were made here learn no more than guessing from an update."),
    ),
    "too_few": (
        "warn",
        Phrase("There are too few {people} to say what an update gives away."),
    ),
}
BEFORE_SUM = Phrase(
    "The numbers are of the update before it is hidden in the sum: what {sites} that work together "
    "against this one could read."
)
SILENT = "Nothing was written for {since}. The process that trains may have ended."
STOP_ASKED = "A stop was asked for."
UNCOVERED = (
    "{count} left although no consent on file allowed it then. Stop the program here, and ask the "
    "coordinator what it received."
)
OTHER_TERMS = "The consent on file is for other terms: nothing of these is covered by it."
HELD_BACK = "{count} held back: a bare code of why left instead."
CHANGED = "The list of what left was shortened or replaced while it was watched."
UNREADABLE = "{count} of the files could not be read: the numbers here are at least so large."
WITHDRAW = (
    "After it nothing more of this run leaves this {site}. What has left cannot be called back: "
    "updates that were added to the model stay in it. Training goes on with the other {sites}."
)


@contextmanager
def speak(status: CoordinatorStatus | HospitalStatus) -> Iterator[None]:
    """Within it sentences use the nouns of the task."""
    task = status.task if isinstance(status, HospitalStatus) else ""
    known = [run.terms.task for run in status.runs if run.terms is not None]
    with use_words(_find_words(task or (known[0] if known else ""))):
        yield


@cache
def _find_words(task: str) -> Words:
    try:
        module: Any = importlib.import_module(plugins.members("tasks")[task])
        found = getattr(getattr(module, module.__all__[0]), "words", USUAL)
    except (KeyError, ImportError, AttributeError, PrivauditError):
        return USUAL
    return found if isinstance(found, Words) else USUAL


def say_time(at: float | None) -> str:
    """A time of this computer's clock."""
    if not at:
        return UNKNOWN
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def say_plural(count: int, one: str, many: str) -> str:
    """`1 message`, `1,204 messages`."""
    return f"{count:,} {one if count == 1 else many}"


def say_messages(count: int) -> str:
    return say_plural(count, "message", "messages")


def say_protection(codes: str) -> str:
    """What hides an update from the coordinator; codes: with `+` between them."""
    parts = [PROTECTIONS[code]() if code in PROTECTIONS else code for code in codes.split("+")]
    return "; ".join(part for part in parts if part) or UNKNOWN


def say_condition(site: Site) -> str:
    """What a site does now: `does not answer since 2026-…`."""
    text = CONDITIONS[site.condition]()
    return text if site.since is None else f"{text} since {say_time(site.since)}"


def say_patients(site: Site) -> str:
    return "" if site.patients is None else name_count(site.patients)


def say_notes(site: Site) -> str:
    """What went wrong with a site, in one line."""
    counts = (
        (site.unanswered, "no answer {}"),
        (site.late, "late {}"),
        (site.refused, "update refused {}"),
        (site.bad, "answer not valid {}"),
        (site.clipped, "update scaled down {}"),
    )
    parts = [text.format(say_plural(c, "time", "times")) for c, text in counts if c]
    if site.why:
        parts.append(f"last reason: {say_reason(site.why)}")
    return "; ".join(parts)


def say_rounds(run: RunStatus) -> str:
    return f"{run.round:,}" if run.rounds is None else f"{run.round:,} of {run.rounds:,}"


def say_stage(run: RunStatus) -> str:
    """Where a run stands: `stopped (reason)`."""
    text = STAGES[run.stage]()
    return f"{text} ({say_reason(run.why)})" if run.why else text


def say_reason(why: str) -> str:
    """A reason in words, where its code is known."""
    known = REASONS.get(why)
    return why.replace("_", " ") if known is None else known()


def say_round(number: int | None) -> str:
    """Journals count from 0, people from 1."""
    return "" if number is None else f"{number + 1:,}"


def say_seconds(seconds: float | None) -> str:
    """How long a round takes."""
    if seconds is None:
        return UNKNOWN
    return f"{n.significant(seconds, 2)} s" if 1 <= seconds < 10 else n.duration(seconds)


def say_alarm(alarm: Alarm) -> str:
    known = ALARMS.get(alarm.what)
    return known() if known is not None else alarm.what or UNKNOWN


def say_kind(kind: str) -> str:
    known = KINDS.get(kind)
    return kind if known is None else known()


def list_audit(audit: OwnAudit | None) -> list[tuple[str, str]]:
    """Names and numbers of a hospital's own audit; counts under 10 are withheld."""
    if audit is None:
        return []
    numbers = dict(audit.numbers)
    said = {name: _say_number(name, numbers) for name in numbers}
    said |= {name: name_count(0) for name in audit.small}
    return [(label(), said[name]) for name, label in AUDIT.items() if name in said]


def _say_number(name: str, numbers: Mapping[str, float]) -> str:
    value = numbers[name]
    if name in AUDITED_COUNTS:
        return name_count(round(value))
    if name in AUDITED_SHARES:
        return n.share(value)
    if name == "bytes_per_round":
        return n.size(value)
    low, high = numbers.get("told.low"), numbers.get("told.high")
    if name == "told.auroc" and low is not None and high is not None:
        return f"{n.significant(value)} ({n.significant(low)} to {n.significant(high)})"
    return n.significant(value)


def list_warnings(run: RunStatus | HospitalRun, now: float) -> list[str]:
    """What somebody has to do something about, most serious first."""
    found = []
    if isinstance(run, HospitalRun):
        if run.uncovered:
            found.append(UNCOVERED.format(count=say_messages(run.uncovered)))
        if run.other_terms:
            found.append(OTHER_TERMS)
        return found
    if run.silent and run.heard is not None:
        found.append(SILENT.format(since=n.duration(now - run.heard)))
    if run.stop_asked:
        found.append(STOP_ASKED)
    if run.unreadable:
        found.append(say_unreadable(run.unreadable))
    return found


def say_unreadable(count: int) -> str:
    return UNREADABLE.format(count=say_plural(count, "line", "lines"))
