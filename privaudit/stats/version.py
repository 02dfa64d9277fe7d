"""Which statistics made a number: estimates of different versions must not be compared."""

from __future__ import annotations

STATISTICS = "3"
"""Raised whenever an estimate or an interval moves on the same evidence; a test of golden numbers
asks for it."""

__all__ = ["STATISTICS"]
