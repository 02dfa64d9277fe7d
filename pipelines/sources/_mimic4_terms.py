"""The words of MIMIC-IV, which its MEDS and FHIR forms share, in those of this project."""

from __future__ import annotations

import polars as pl

from pipelines.sources.features import UNITS

OVER_89 = 91.0
"""What MIMIC-IV says for everybody over 89."""

_UNITS = {
    "Coronary Care Unit (CCU)": "CCU",
    "Cardiac Vascular Intensive Care Unit (CVICU)": "CSRU",
    "Medical Intensive Care Unit (MICU)": "MICU",
    "Surgical Intensive Care Unit (SICU)": "SICU",
    "Trauma SICU (TSICU)": "TSICU",
}
"""Units of one kind; mixed and neurological ones and step-down beds count as "other"."""

_TYPES = {
    "EW EMER.": "emergency",
    "DIRECT EMER.": "emergency",
    "URGENT": "urgent",
    "ELECTIVE": "elective",
    "SURGICAL SAME DAY ADMISSION": "elective",
}
"""Stays for observation say nothing of their urgency and count as "other"."""


def unit(name: pl.Expr) -> pl.Expr:
    """A care unit's name as one of `features.UNITS`; null stays null."""
    found = name.replace_strict(_UNITS, default=UNITS[-1], return_dtype=pl.String)
    return pl.when(name.is_not_null()).then(found)


def admission_type(name: pl.Expr) -> pl.Expr:
    """elective, urgent, emergency or other; null stays null."""
    found = name.replace_strict(_TYPES, default="other", return_dtype=pl.String)
    return pl.when(name.is_not_null()).then(found)


def top_coded(age: pl.Expr) -> pl.Expr:
    """Ages over 89 as MIMIC-IV has them."""
    return pl.when(age >= 90).then(OVER_89).otherwise(age)
