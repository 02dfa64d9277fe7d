"""Watches who logs in at the server: two processes with one hospital's kit are an alarm."""

from __future__ import annotations


def watch_logins() -> None:
    """Filled in below."""
