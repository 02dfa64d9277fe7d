"""Made-up hospitals in the format of Challenge 2012, with values that nobody else may see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PATIENT = "7716431"
"""The number of a patient that every hospital has, in a place of its own: the last."""
RARE = "97.431873"
"""A temperature of that patient, in Fahrenheit, that nobody else has."""
FOLDER = "ward-7c1f-restricted"
"""Part of the path of every hospital's data."""
UNITS = (1, 2, 3, 4)


def write_hospital(folder: Path, seed: int, patients: int = 120, unit: int | None = None) -> Path:
    """A folder `set-a` with outcomes: the risk of death rises with the heart rate and with age."""
    rng = np.random.default_rng(seed)
    data = folder / FOLDER
    (data / "set-a").mkdir(parents=True)
    lines = ["RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"]
    for number in range(patients):
        planted = number == patients - 1
        stay = int(PATIENT) if planted else 1_000_000 + seed * 10_000 + number
        age, rate = int(rng.integers(30, 90)), rng.normal(90, 20)
        risk = 1 / (1 + np.exp(-((age - 60) / 15 + (rate - 95) / 15)))
        rows = ["Time,Parameter,Value", f"00:00,RecordID,{stay}", f"00:00,Age,{age}",
                f"00:00,Gender,{rng.integers(2)}", "00:00,Height,170",
                f"00:00,ICUType,{unit or UNITS[seed % 4]}", "00:00,Weight,80"]  # fmt: skip
        for hour in range(0, 48, 6):
            rows.append(f"{hour:02d}:30,HR,{max(30, rate + rng.normal(0, 5)):.0f}")
            rows.append(f"{hour:02d}:30,Temp,{RARE if planted else f'{rng.normal(37, 0.6):.1f}'}")
            rows.append(f"{hour:02d}:30,NISysABP,{rng.normal(120, 15):.0f}")
            rows.append(f"{hour:02d}:30,GCS,{rng.integers(3, 16)}")
        (data / "set-a" / f"{stay}.txt").write_text("\n".join(rows) + "\n")
        lines.append(f"{stay},1,1,5,-1,{int(rng.random() < risk)}")
    (data / "Outcomes-a.txt").write_text("\n".join(lines) + "\n")
    return data


__all__ = ["FOLDER", "PATIENT", "RARE", "write_hospital"]
