"""Attacks on federations: what a server reads, and what a malicious client plants."""
