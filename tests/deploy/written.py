"""Homes of a federation with journals whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.deploy.homes import CoordinatorHome, HospitalHome
from pipelines.deploy.terms import RunTerms

START = 1_790_000_000.0
"""When the first event happens, in seconds since 1970."""
NOW = START + 400.0
ROUNDS = 12
AUDIT = {
    "verdict": "no_leak_seen",
    "rebuilt": {
        "exact": 0.02,
        "control": 0.0,
        "cells": 0.31,
        "cells_control": 0.3,
        "graded": 100,
        "is_above": False,
    },
    "told": {"auroc": 0.53, "low": 0.48, "high": 0.58, "patients": [9, 9], "chance": 0.5},
    "protection": "secure_sum",
    "is_hidden": True,
    "rounds": 20,
    "bytes_per_round": 147_000,
    "patients": 9,
    "records": 740,
    "stated": 750,
    "small_counts": ["patients"],
    "seconds": 1.2,
}
"""The fields of `own_audit.DryRound`."""
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m"


def make_terms(run: str = "first", **changes: Any) -> RunTerms:
    values = {
        "task": "mortality",
        "method": "federated_secure",
        "roster": ("east", "north", "south", "west"),
        "settings": ("federated_secure.rounds=20",),
        **changes,
    }
    return RunTerms(run=run, **values)


def write_lines(path: Path, lines: list[Any]) -> None:
    """Objects as JSON; texts and bytes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for line in lines:
            raw = line if isinstance(line, str | bytes) else json.dumps(line)
            file.write((raw.encode() if isinstance(raw, str) else raw) + b"\n")


def event(after: float, name: str, **what: Any) -> dict[str, Any]:
    return {"t": START + after, "event": name, **what}


def make_round(number: int, hospitals: list[str], **what: Any) -> dict[str, Any]:
    values = {
        "seconds": 1.0 + number / 10,
        "norm": 1.0,
        "loss": 0.7 - number / 50,
        "bytes_up": 1000 * len(hospitals),
        "bytes_down": 500 * len(hospitals),
        **what,
    }
    return event(20.0 + 10 * number, "round", round=number, hospitals=hospitals, **values)


def list_events() -> list[dict[str, Any]]:
    """A run in its twelfth round: north is lost since the ninth, south's tenth update was refused,
    west has not consented, east is well."""
    names = ["east", "north", "south", "west"]
    lines = [event(0, "started", hospitals=names, segment=1)]
    lines += [
        event(1, "hello", hospital="east", state="ready", patients=740, records=900),
        event(2, "hello", hospital="north", state="ready", patients=9, records=9),
        event(3, "hello", hospital="south", state="ready", patients=10, records=12),
        event(4, "hello", hospital="west", state="pending"),
    ]
    for number in range(ROUNDS):
        here = ["east", "north", "south"] if number < 8 else ["east", "south"]
        at = 20.0 + 10 * number
        if number >= 8:
            lines.append(event(at - 2, "no_answer", hospital="north", kind="train", round=number))
        if number == 4:
            lines.append(event(at - 1, "clipped", hospital="east", round=number))
            lines.append(event(at - 1, "recovered", round=number, hospitals=["north"]))
        if number == ROUNDS - 1:
            why = "values that are not finite"
            lines.append(event(at - 1, "refused", hospital="south", round=number, why=why))
            here = ["east"]
        lines.append(make_round(number, here))
    return lines


def make_coordinator(folder: Path, events: list[Any] | None = None) -> CoordinatorHome:
    home = CoordinatorHome(folder)
    folder.mkdir(parents=True, exist_ok=True)
    home.config.write_text(
        'name = "icu-study"\nhost = "fed.example"\nport = 8002\n'
        'hospitals = ["east", "north", "south", "west"]\n'
    )
    lines = list_events() if events is None else events
    write_lines(home.run("first") / "journal.jsonl", lines)
    (home.run("first") / "terms.json").write_text(make_terms().text)
    return home


def left(after: float, kind: str, number: int, size: int, run: str = "first") -> dict[str, Any]:
    """A line of an outbox."""
    values = {"run": run, "round": number, "kind": kind, "bytes": size, "sha256": "ab" * 32}
    return {"t": START + after, **values}


def make_hospital(folder: Path, consented: bool = True) -> HospitalHome:
    """A hospital that has answered three rounds of `first` under a consent given at second 10, and
    is asked for one to `second`."""
    home = HospitalHome(folder)
    folder.mkdir(parents=True, exist_ok=True)
    home.config.write_text(
        'name = "east"\nfederation = "icu-study"\nhost = "fed.example"\nport = 8002\n'
        '[data]\ntask = "mortality"\n'
    )
    for run in ("first", "second"):
        write_terms(home, make_terms(run))
    lines = [left(5, "hello", -1, 15)]
    for number in range(3):
        for kind, size in (("mask_keys", 300), ("masked", 70_000)):
            lines.append(left(20 + number, kind, number, size))
    write_lines(home.outbox, lines)
    if consented:
        write_consent(home)
    return home


def write_terms(home: HospitalHome, terms: RunTerms) -> None:
    path = home.pending(terms.run)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"text": terms.text, "signature": "00"}))


def write_consent(home: HospitalHome, run: str = "first", **changes: Any) -> None:
    """As `consent.grant` writes it."""
    entry = {
        "terms": make_terms(run).fingerprint,
        "rounds": 20,
        "protection": "secure_sum",
        "granted_at": START + 10,
        "by": "Dr Grey",
        "withdrawn_at": None,
        **changes,
    }
    made = json.loads(home.consent.read_text()) if home.consent.exists() else {}
    home.consent.write_text(json.dumps({**made, run: entry}))


def withdraw(home: HospitalHome, run: str) -> None:
    """In place of `consent.withdraw`."""
    write_consent(home, run, withdrawn_at=START + 300)
