"""The terms of a run as a file states them."""

from __future__ import annotations

import dataclasses
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from pipelines.deploy.pages import follow
from pipelines.deploy.pages.facts import Terms
from pipelines.deploy.terms import RunTerms
from privaudit import plugins
from privaudit.errors import PrivauditError

_PROTECTS = {
    "federated_private": "patient_noise",
    "federated_secure": "secure_sum",
    "federated_encrypted": "encrypted_sum",
    "federated_trees": "trees",
}
_SUMS = {"SecureSum": "secure_sum", "EncryptedSum": "encrypted_sum"}


def read_terms(path: Path) -> Terms | None:
    """The terms in a file, signed or not; None where it holds none. Signatures are not looked at:
    what they are for is checked before anything leaves."""
    made = follow.read_document(path)
    if made is None:
        return None
    for text in (made.get("text"), made.get("terms"), made):
        if isinstance(text, dict):
            text = follow.write_object(text)
        try:
            if isinstance(text, str):
                return _describe(RunTerms.read(text))
        except (PrivauditError, TypeError, ValueError, RecursionError):
            continue
    return None


def _describe(terms: RunTerms) -> Terms:
    settings = tuple(follow.as_text(one, 120) for one in terms.settings)
    stated = dict(one.partition("=")[::2] for one in terms.settings if isinstance(one, str))
    rounds = stated.get(f"{terms.method}.rounds", "")
    return Terms(
        run=terms.run,
        task=follow.as_text(terms.task),
        method=terms.method,
        protection=_protection(terms.method, stated.get(f"{terms.method}.protect")),
        rounds=int(rounds) if rounds.isdecimal() and len(rounds) < 7 else _usual(terms.method),
        settings=settings,
        quorum=follow.as_count(terms.quorum) or 0,
        timeout=follow.as_seconds(terms.timeout) or 0.0,
        roster=terms.roster,
        fingerprint=terms.fingerprint,
    )


def _protection(method: str, stated: str | None) -> str:
    """What the method does, and what the settings put in its place."""
    own = _PROTECTS.get(method, "none")
    if stated is None:
        return own
    summed = _SUMS.get(stated.partition("(")[0].strip(), "none")
    if own == "patient_noise":
        return own if summed == "none" else f"{own}+{summed}"
    return summed


@cache
def _usual(method: str) -> int | None:
    """The rounds of a method whose settings state none."""
    try:
        module: Any = importlib.import_module(plugins.members("methods")[method])
        own = {
            one.name: one.default for one in dataclasses.fields(getattr(module, module.__all__[0]))
        }
    except (KeyError, ImportError, AttributeError, PrivauditError):
        return None
    return follow.as_count(own.get("rounds"))


__all__ = ["read_terms"]
