"""Attacks that rebuild training records from the finished model."""
