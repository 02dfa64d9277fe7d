"""Whether a run is still what it was, checked by all means there are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from privaudit import __version__, verdicts
from privaudit.disclosure import disclose
from privaudit.engine.folder import EXACT, curves, manifest, read_exact
from privaudit.engine.folder import read as read_audit
from privaudit.engine.version import packages
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, ledger, seals, sign, statement, sums
from privaudit.evidence.compare import Compare, Derived
from privaudit.evidence.derive import Progress, derive
from privaudit.results import Audit, to_json
from privaudit.seeds import commit_to
from privaudit.stats.version import STATISTICS

State = Literal["holds", "fails", "not checked"]

ROUNDING = 1e-9
"""Relative difference that other versions of numeric libraries may make."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked: what came of it, each fault, and what a reader must know."""

    name: str
    state: State
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """Everything that was checked in one run."""

    run: str
    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(fault for check in self.checks for fault in check.faults)

    @property
    def code(self) -> int:
        """0, or 4 where the evidence does not verify."""
        return 4 if self.faults else 0


def verify(
    run: Path,
    *,
    key: Path | None = None,
    policy: Path | None = None,
    progress: Progress = lambda _: None,
    numbers: bool = True,
) -> Verification:
    """Check a run by all means there are. Nothing of it is changed, nothing in it is executed.

    Args:
        run: The run directory, its shareable folder, or `latest`.
        key: The signer's public key, obtained elsewhere.
        policy: The policy file that the run was judged by.
        progress: Called with the name of each subject whose numbers are recomputed.
        numbers: Whether to recompute every number (seconds to minutes).

    Raises:
        PrivauditError: Where there is no run, or the key or policy given cannot be read.
    """
    run = _find(run)
    trusted = None if key is None else sign.key_id(sign.public_key(key))
    checks = [_files(run)]
    try:
        audit = read_audit(run)
    except (PrivauditError, OSError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, PrivauditError) else "it cannot be read"
        checks.append(_check("audit", [f"shareable/audit.json: {why}"]))
        return Verification(run.name, tuple(checks))
    checks += [
        _statement(run, audit),
        _signatures(run, trusted),
        _documents(run, audit),
        _numbers(run, audit, progress) if numbers else _unchecked("numbers", "left out as asked"),
        _verdicts(run, audit, policy),
        _attempts(run, audit),
    ]
    return Verification(run.name, tuple(checks))


def _find(run: Path) -> Path:
    """The run directory, given as such, by its shareable folder, or as `latest`."""
    pointer = run.with_suffix(".txt")
    if not run.exists() and run.name == "latest" and pointer.is_file():
        run = run.parent / pointer.read_text(encoding="utf-8").strip()
    run = run.resolve()
    if run.name == "shareable":
        run = run.parent
    if not run.is_dir():
        raise PrivauditError(
            f"no run at {run.name!r}",
            "a run is a folder with shareable/ and SHA256SUMS in it",
            "give a run directory, for example runs/latest",
        )
    return run


def _check(name: str, faults: Sequence[str], notes: Sequence[str] = ()) -> Check:
    return Check(name, "fails" if faults else "holds", tuple(faults), tuple(notes))


def _unchecked(name: str, note: str, faults: Sequence[str] = ()) -> Check:
    """A check that could not be made; it fails where there is a fault all the same."""
    return Check(name, "fails" if faults else "not checked", tuple(faults), (note,))


def _files(run: Path) -> Check:
    note = "restricted/ is not here: its files were not checked"
    return _check("files", sums.check(run), () if (run / sums.RESTRICTED).is_dir() else (note,))


def _statement(run: Path, audit: Audit) -> Check:
    name, path = statement.FILE, run / statement.FILE
    try:
        stated, rendering = statement.read(path)
    except FileNotFoundError:
        return _check("statement", [f"{name}: missing"])
    except (OSError, ValueError) as error:
        return _check("statement", [f"{name}: {error}"])
    faults = []
    try:
        listed = sums.read(run / sums.SUMS)
        listed.pop(name, None)
        if listed != stated:
            faults.append(f"{name}: names other files or checksums than {sums.SUMS}")
        wanted = statement.render(audit, stated, seals.read_verdicts(run), rendering)
        if path.read_bytes() != wanted:
            faults.append(f"{name}: states other things than the audit")
    except (OSError, ValueError, PrivauditError) as error:
        faults.append(f"{name}: cannot be compared ({type(error).__name__})")
    return _check("statement", faults)


def _signatures(run: Path, trusted: str | None) -> Check:
    try:
        found = list(sign.signatures(run))
    except PrivauditError as error:
        lost = () if trusted is None else (f"signatures: {error.what}",)
        return _unchecked("signature", error.fix, lost)
    faults = [f"signatures/{one.file}: {fault}" for one in found for fault in one.faults]
    valid = [one.key for one in found if not one.faults]
    notes = []
    if trusted is not None and trusted not in valid:
        signed = ", ".join(valid) or "nobody"
        faults.append(f"not signed with the key given ({trusted}): signed by {signed}")
    elif trusted is not None:
        notes.append(f"signed with the key given ({trusted})")
    elif valid:
        notes.append(f"signed with {', '.join(valid)}; whose key it is was not checked: give --key")
    elif not found:
        notes.append("not signed: whoever can write to the run could change files and checksums")
    if (run / sums.SIGNATURES / sign.BUNDLE).exists():
        notes.append("signatures/sigstore.json is for `sigstore verify`; it was not checked here")
    check = _check("signature", faults, notes)
    return check if found or faults else replace(check, state="not checked")


def _documents(run: Path, audit: Audit) -> Check:
    """Whether every other file of shareable/ is what the audit document makes."""
    from privaudit import report

    faults: list[str] = []
    notes: list[str] = []
    shareable = run / "shareable"
    made: dict[str, Callable[[Audit], str]] = {
        "shareable/audit.json": to_json,
        "shareable/curves.csv": curves,
        f"shareable/{bom.FILE}": bom.render,
        "manifest.json": manifest,
    }
    for name, make in made.items():
        _compare(run / name, name, make(audit), faults)
    if (shareable / report.PDF).exists():
        notes.append("report.pdf was not rendered again; its checksum was checked")
    if _rendering(run) != seals.rendering():
        notes.append(
            f"the report was rendered by other code (privaudit {audit.manifest.version}; here "
            f"{__version__}): it was not rendered again, its checksum was checked"
        )
        return _check("documents", faults, notes)
    with tempfile.TemporaryDirectory(prefix="privaudit-verify-") as scratch:
        try:
            report.write(audit, Path(scratch), seals.read_verdicts(run))
        except PrivauditError as error:
            faults.append(f"the report cannot be rendered again: {error.what}")
        for path in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
            name = path.relative_to(scratch).as_posix()
            text = path.read_text(encoding="utf-8")
            _compare(shareable / name, f"shareable/{name}", text, faults)
    return _check("documents", faults, notes)


def _rendering(run: Path) -> str:
    """Which code made the report, as the statement has it; empty where it does not tell."""
    try:
        return statement.read(run / statement.FILE)[1]
    except (OSError, ValueError):
        return ""


def _compare(path: Path, name: str, wanted: str, faults: list[str]) -> None:
    try:
        if path.read_bytes() != wanted.encode():
            faults.append(f"{name}: is not what the audit document makes")
    except OSError:
        faults.append(f"{name}: missing or not readable")


def _numbers(run: Path, audit: Audit, progress: Progress) -> Check:
    if not (run / sums.RESTRICTED).is_dir():
        note = "restricted/ is not here: the numbers were not recomputed from the scores"
        return _unchecked("numbers", note)
    made = audit.manifest
    if made.statistics != STATISTICS:
        # Whoever can change a number can change this too: it must not switch the check off.
        fault = (
            f"manifest.statistics: {made.statistics or 'unknown'} (privaudit {made.version}), and "
            f"this is {STATISTICS}: no number was verified; install that version to recompute them"
        )
        return _check("numbers", [fault])
    here = packages()
    moved = [
        f"{name} {made.packages[name]} -> {here.get(name, 'none')}"
        for name in ("numpy", "scipy")
        if name in made.packages and here.get(name) != made.packages[name]
    ]
    try:
        exact = read_exact(run)
    except (PrivauditError, OSError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, PrivauditError) else "missing or not readable"
        return _check("numbers", [f"restricted/{EXACT}: {why}; no number was verified"])
    found = derive(run, exact, rounding=ROUNDING if moved else 0.0, progress=progress)
    notes = [f"{found.numbers} numbers were recomputed from the stored scores and compared"]
    if found.rounded:
        why = ", ".join(moved)
        notes.append(f"{found.rounded} differ in their last digits, as {why} may make them")
    notes += [f"not recomputed: {what}" for what in found.left]
    return _check("numbers", [*_shared(audit, exact), *found.faults], notes)


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


def _verdicts(run: Path, audit: Audit, policy: Path | None) -> Check:
    name = f"shareable/{seals.VERDICTS}"
    try:
        stored = seals.read_verdicts(run)
    except PrivauditError as error:
        return _check("verdicts", [f"{name}: {error.what}"])
    if stored is None:
        return _unchecked("verdicts", "the run holds no verdicts")
    faults = []
    if stored.audit_sha256 not in ("", sums.digest(run / "shareable" / "audit.json")):
        faults.append(f"{name}: was made of another audit.json")
    if policy is None:
        note = "the verdicts were not recomputed: give the policy with --policy"
        return _unchecked("verdicts", note, faults)
    made = _judge(policy, audit, stored)
    if isinstance(made, str):
        return _check("verdicts", [*faults, made])
    if made is None:
        note = "they compare with a baseline: make them again with `privaudit check --baseline`"
        return _unchecked("verdicts", note, faults)
    faults += _differences(stored, made)
    if not faults and made != stored and audit.manifest.version == __version__:
        faults.append(f"{name}: is not what judging the audit again makes")
    notes = () if made == stored else (f"this version ({__version__}) gives other details",)
    return _check("verdicts", faults, () if faults else notes)


def _differences(stored: verdicts.Verdicts, made: verdicts.Verdicts) -> list[str]:
    """Every verdict whose subject matter, state or numbers are not those recomputed."""
    found = []
    before, after = ([_facts(one) for one in all_of.verdicts] for all_of in (stored, made))
    for index in range(max(len(before), len(after))):
        one, other = ((a[index] if index < len(a) else None) for a in (before, after))
        if one != other:
            found.append(f"verdict {_shown(one)} is stored, {_shown(other)} is recomputed")
    if (stored.state, stored.code) != (made.state, made.code):
        found.append(f"verdict overall: {stored.state} is stored, {made.state} is recomputed")
    return found


def _facts(one: verdicts.Verdict) -> verdicts.Verdict:
    """What a verdict is about, its state and its numbers, without how it was reasoned."""
    return replace(one, reason=None, n={}, chance=None)  # type: ignore[arg-type]


def _shown(one: verdicts.Verdict | None) -> str:
    if one is None:
        return "none"
    about = " / ".join(p for p in (one.rule, one.subject, one.attack, str(one.setting or "")) if p)
    numbers = ", ".join("-" if n is None else f"{n:.6g}" for n in (one.value, one.lower, one.upper))
    return f"{about}: {one.state} (limit {one.limit:g}; {numbers})"


def _judge(policy: Path, audit: Audit, stored: verdicts.Verdicts) -> verdicts.Verdicts | str | None:
    """The verdicts recomputed as on the day of the run; a text where it is another policy."""
    from privaudit.policy import judge
    from privaudit.policy.file import parse

    try:
        rules = parse(policy.read_bytes(), policy.name)
    except OSError as error:
        raise PrivauditError(
            f"the policy {policy.name!r} cannot be read",
            f"the system reports: {error.strerror}",
            "give the policy file that the run was judged by",
        ) from None
    if rules.sha256 != stored.policy_sha256:
        return (
            f"the policy given ({rules.sha256[:12]}) is not the one that the run was judged by "
            f"({stored.policy_sha256[:12]})"
        )
    if stored.baseline:
        return None
    # A policy or waiver that has expired since was in force on that day, or the next where the run
    # went on past midnight; the document's clock is UTC and the judge's is the place's own.
    day = date.fromisoformat(audit.manifest.created[:10])
    made, why = [], ""
    for late in (0, 1, -1):
        today = day + timedelta(days=late)
        try:
            made.append(judge(rules, audit, audit_sha256=stored.audit_sha256, today=today))
        except PrivauditError as error:
            why = error.what
    if not made:
        return f"the policy given was not in force on the day of the run: {why}"
    return next((one for one in made if one == stored), made[0])


def _attempts(run: Path, audit: Audit) -> Check:
    """Whether the ledger beside the run is whole and holds what it held when the run was made."""
    counted, name = audit.manifest.attempts, ledger.LEDGER
    if counted is None:
        lost: list[str] = []
        if any(entry.run == audit.manifest.run for entry in ledger.read(run.parent).entries):
            lost.append(f"{name}: counts this run, and the run states no attempts")
        return _unchecked("attempts", "the run counted no attempts", lost)
    if not (run.parent / name).is_file():
        return _unchecked("attempts", f"{name} is not beside the run: it could not be checked")
    book = ledger.read(run.parent)
    faults = list(book.faults)
    heads = [entry.sha256 for entry in book.entries]
    if counted.head not in heads:
        faults.append(f"{name}: does not hold what it held when this run was made")
    else:
        then = replace(book, entries=book.entries[: heads.index(counted.head) + 1])
        if then.count(audit.data.task, audit.manifest.records_fingerprint) != counted:
            faults.append("manifest.attempts: are not those that the ledger held then")
    now = book.count(audit.data.task, audit.manifest.records_fingerprint)
    note = (
        f"{counted.started} attempt(s) on this task and these data when the run was made, "
        f"{now.started} by now"
    )
    return _check("attempts", faults, (note,))


__all__ = ["Check", "Verification", "verify"]
