"""Says which ICU source a folder holds, before anything is read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from pipelines.sources._mimic3_tables import FORMS, NEEDED, find
from privaudit.errors import PrivauditError

Source = Literal["mimic-iii", "challenge-2012"]

_KNOWN_FORMS = (*FORMS, ".tar.gz", ".txt", ".csv.zst", ".zip", ".csv.bz2", ".csv.xz")
_ONLY_IN_IV = ("omr", "emar", "provider", "hcpcsevents", "ingredientevents", "poe", "pharmacy")


def recognise(data: Path) -> Source:
    """What a folder holds: MIMIC-III tables, or the PhysioNet/CinC Challenge 2012.

    Looks at file names alone.

    Raises:
        PrivauditError: Naming no file but known tables, for a path that is missing or no folder,
            MIMIC-IV, a folder one level too high, and anything else.
    """
    name = data.resolve().name
    if not data.exists():
        raise PrivauditError(
            f"nothing exists at {name!r}",
            "a source is a folder of MIMIC-III tables or of the PhysioNet Challenge 2012",
            "check the path for a typing error, or leave it out to use the generated demo",
        )
    if not data.is_dir():
        raise PrivauditError(
            f"{_form(data)} is a file, not a folder",
            "a source is the folder that holds all the tables",
            "give the folder that the file lies in",
        )
    try:
        source = _look(data)
        inside = sorted(p for p in data.iterdir() if p.is_dir() and not p.name.startswith("."))
        if source is None and not _is_mimic_iv(data):
            right = [(sub.name, found) for sub in inside if (found := _look(sub))]
            if right:
                raise PrivauditError(
                    f"{name!r} is one level too high",
                    f"its subfolder {right[0][0]!r} looks like {right[0][1]}",
                    f"give the subfolder {right[0][0]!r}",
                )
    except PermissionError:
        raise PrivauditError(
            f"{name!r} may not be listed",
            "the folder's permissions do not let you read it",
            "ask for read permission on the folder",
        ) from None
    if _is_mimic_iv(data):
        raise PrivauditError(
            f"{name!r} holds MIMIC-IV",
            "MIMIC-IV has other tables and item ids than MIMIC-III; reading it by the rules of "
            "MIMIC-III would give wrong numbers",
            "give a folder of MIMIC-III v1.4",
        )
    if source is None:
        raise PrivauditError(
            f"{name!r} holds no source that can be read",
            f"looked for {', '.join(NEEDED)} as .csv.gz, .csv or .parquet, or for set-a with "
            f"Outcomes-a.txt; found {_contents(data)}",
            "give the folder of MIMIC-III v1.4, of its demo, or of the PhysioNet Challenge 2012",
        )
    return source


def _look(folder: Path) -> Source | None:
    if _is_mimic_iv(folder):
        return None
    if len([table for table in find(folder) if table in NEEDED]) >= 2:
        return "mimic-iii"
    names = {p.name.lower() for p in folder.iterdir()}
    sets = [s for s in "abc" if names & {f"set-{s}", f"set-{s}.tar.gz", f"set-{s}.zip"}]
    if sets or any(f"outcomes-{s}.txt" in names for s in "abc"):
        return "challenge-2012"
    return None


def _is_mimic_iv(folder: Path) -> bool:
    names = {p.name.lower() for p in folder.iterdir()}
    if {"hosp", "icu"} <= names and (folder / "icu").is_dir():
        return True
    stems = {n.split(".")[0] for n in names}
    if stems & {"cptevents", "inputevents_cv", "inputevents_mv"}:
        return False
    return len(stems & set(_ONLY_IN_IV)) >= 2 or {"procedureevents", "inputevents"} <= stems


def _form(path: Path) -> str:
    name = path.name.lower()
    form = next((f for f in _KNOWN_FORMS if name.endswith(f)), None)
    return f"a *{form}" if form else "what was given"


def _contents(folder: Path) -> str:
    """What lies in a folder, by kind: file names may themselves be private."""
    counts: Counter[str] = Counter()
    for path in folder.iterdir():
        form = next((f for f in _KNOWN_FORMS if path.name.lower().endswith(f)), None)
        counts["folders" if path.is_dir() else f"*{form}" if form else "other files"] += 1
    tables = [t for t in find(folder) if t in NEEDED]
    counted = [f"{n} {kind}" for kind, n in sorted(counts.items())]
    return (", ".join(counted) or "nothing") + (
        f" (among them {', '.join(tables)})" if tables else ""
    )
