"""Attacks that rebuild training records from what is released."""
