"""MIMIC-III-shaped tables with no patients, for trying the toolkit where no data may go.

Results on these tables are not MIMIC-III results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

VERSION = "1"
"""Changes whenever the same arguments would write other tables."""

EMBEDDED_PATIENTS = 7000
"""Patients that give about 3,000 first intensive care stays of adults, 48 hours or longer."""


def write(
    out: Path,
    patients: int,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Write a folder of generated MIMIC-III tables: PATIENTS.csv.gz and thirteen others.

    out: a folder that does not exist yet, or is empty. patients: how many, newborns among them; a
    folder of fewer patients is the beginning of a folder of more with the same seed. progress is
    called with a stage and a share in [0, 1]. Raises FileExistsError where `out` holds something,
    ValueError for a number out of range. Nothing is left behind when it fails.
    """
    from mimic_demo import folder

    folder.write(Path(out), patients, seed, progress, version=VERSION)


__all__ = ["EMBEDDED_PATIENTS", "VERSION", "write"]
