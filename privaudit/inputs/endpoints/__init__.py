"""Deployed models: asked over HTTP, within a budget, and never twice about the same row."""
