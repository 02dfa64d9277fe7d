"""Attacks that ask who was trained on."""
