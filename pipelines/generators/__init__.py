"""Generators of synthetic records, one a file."""
