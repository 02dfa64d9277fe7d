"""Recipes from raw hospital tables to releases. Each file here is a task."""
