"""Attacks that take a copy of the released model itself."""
