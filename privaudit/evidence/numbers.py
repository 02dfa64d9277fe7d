"""Whether every number of a run follows from what is stored of it, and the shared document from the
exact one."""

from __future__ import annotations

from pathlib import Path

from privaudit import commitments, plugins
from privaudit.disclosure import disclose
from privaudit.engine.folder import EXACT, read_exact
from privaudit.engine.version import packages
from privaudit.errors import PrivauditError
from privaudit.evidence import ledger, planned
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.evidence.compare import Compare, Derived
from privaudit.evidence.derive import Progress, derive
from privaudit.restricted import NAME
from privaudit.results import Audit
from privaudit.seeds import commit_to, derive_entropy
from privaudit.stats.version import STATISTICS

ROUNDING = 1e-9
"""Relative difference that other versions of numeric libraries may make."""
NUMERIC = ("numpy", "scipy")


def load_exact(run: Path) -> Audit | str:
    """The exact document, or what is wrong with it."""
    try:
        return read_exact(run)
    except (PrivauditError, OSError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, PrivauditError) else "missing or not readable"
        return f"restricted/{EXACT}: {why}; no number was verified"


def check_numbers(run: Path, audit: Audit, exact: Audit | str, progress: Progress) -> Check:
    """Recompute every number of the exact document, and make the shared one of it again."""
    made = audit.manifest
    if made.statistics != STATISTICS:
        # Whoever can change a number can change this too: it must not switch the check off.
        fault = (
            f"manifest.statistics: {made.statistics or 'unknown'} (privaudit {made.version}), and "
            f"this is {STATISTICS}: no number was verified; install that version to recompute them"
        )
        return conclude("numbers", [fault])
    if isinstance(exact, str):
        return conclude("numbers", [exact])
    moved = find_moved(exact, NUMERIC)
    found = derive(run, exact, rounding=ROUNDING if moved else 0.0, progress=progress)
    compare = Compare(found, 0.0)
    planned.check_plan(exact, run / NAME, compare)
    planned.check_stored(exact, run / NAME, compare)
    notes = [f"{found.numbers} numbers were recomputed from the stored scores and compared"]
    if found.rounded:
        why = ", ".join(moved)
        notes.append(f"{found.rounded} differ in their last digits, as {why} may make them")
    notes += [f"not recomputed: {what}" for what in found.left]
    here = {one[0]: one[2] for one in plugins.packages()}
    notes += [
        f"the plug-in {one.name} is of other code than the run's: its attacks were judged by this"
        for one in exact.manifest.plugins
        if here.get(one.name) != one.sha256
    ]
    faults = [*compare_shared(run, audit, exact), *found.faults]
    return conclude("numbers", faults, notes)


def leave_numbers(run: Path, audit: Audit, exact: Audit | str) -> Check:
    """Do not recompute the numbers, as asked; the two documents are compared all the same."""
    faults = [exact] if isinstance(exact, str) else compare_shared(run, audit, exact)
    return leave("numbers", "left out as asked", faults)


def compare_shared(run: Path, audit: Audit, exact: Audit) -> list[str]:
    """What does not fit between the two documents, and the key of the folder of runs."""
    return [*_shared(audit, exact), *_keyed(run, audit, exact)]


def find_moved(audit: Audit, names: tuple[str, ...]) -> list[str]:
    """Those of these libraries that are of another version here than in the run."""
    here, made = packages(), audit.manifest.packages
    return [
        f"{name} {made[name]} -> {here.get(name, 'none')}"
        for name in names
        if name in made and here.get(name) != made[name]
    ]


def _shared(audit: Audit, exact: Audit) -> list[str]:
    """Whether what is shared is the exact document after disclosure control, and its commitment to
    the seed opens."""
    faults = []
    entropy = exact.manifest.entropy
    if entropy is None or commit_to(entropy) != audit.manifest.seed_commitment:
        faults.append("manifest.seed_commitment: is not that of the stored secret")
    found = Derived()
    Compare(found, 0.0)("shareable/audit.json", audit, disclose(exact))
    return [*faults, *found.faults]


def _keyed(run: Path, audit: Audit, exact: Audit) -> list[str]:
    """Whether the streams come from the seed under the key, and the commitments are under it."""
    key = ledger.find_key(run.parent)
    if key is None:
        return []
    faults = []
    if derive_entropy(key, exact.manifest.seed) != exact.manifest.entropy:
        faults.append("manifest.entropy: does not come from the seed under the key of this folder")
    own = commitments.kind(commitments.commit(key, ""))
    for name in ("records_fingerprint", "split_fingerprint"):
        made = getattr(audit.manifest, name)
        if made and commitments.kind(made) != own:
            faults.append(f"manifest.{name}: was made under another key")
    return faults


__all__ = [
    *("NUMERIC", "ROUNDING", "check_numbers", "find_moved", "leave_numbers", "load_exact"),
    "compare_shared",
]
