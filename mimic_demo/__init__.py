"""MIMIC-III-shaped tables with no patients."""
