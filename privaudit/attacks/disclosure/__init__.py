"""Attacks that read a patient's characteristics off a model's answers."""
