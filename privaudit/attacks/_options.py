"""Checks of an attack's settings: what was given, what is allowed, and the default."""

from __future__ import annotations

from privaudit.contracts import Attack
from privaudit.errors import PrivauditError


def check(attack: Attack, name: str, allowed: bool, because: str) -> None:
    """Refuse the setting `name` unless its value is allowed; because: which values are."""
    if not allowed:
        value, usual = getattr(attack, name), getattr(type(attack), name)
        raise PrivauditError(f"{name}={value!r}", because, f"use {usual!r}, the default")


def check_whole(attack: Attack, **least: int) -> None:
    """Refuse settings that are not whole numbers of at least `least`, by name."""
    for name, low in least.items():
        value = getattr(attack, name)
        allowed = type(value) is int and value >= low
        check(attack, name, allowed, f"it is a whole number of at least {low}")


def check_choice(attack: Attack, name: str, *choices: str) -> None:
    """Refuse a setting that is none of these choices."""
    check(attack, name, getattr(attack, name) in choices, f"it is one of {', '.join(choices)}")
