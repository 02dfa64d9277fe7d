"""Audits from Python: one call, and findings that show themselves in a notebook."""
