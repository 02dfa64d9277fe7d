"""Whether a run still says what it said: by sums, statement, signature, re-derivation and ledger."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from privaudit import __version__, verdicts
from privaudit.engine.folder import curves, manifest
from privaudit.engine.folder import read as read_audit
from privaudit.engine.version import packages
from privaudit.errors import PrivauditError
from privaudit.evidence import bom, ledger, seals, sign, statement, sums
from privaudit.evidence.derive import Say, derive
from privaudit.results import Audit, to_json
from privaudit.stats.version import STATISTICS

State = Literal["holds", "fails", "not checked"]

ROUNDING = 1e-9
"""Relative difference that other versions of numeric libraries may make."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what came of it, each fault, and what a reader must know."""

    name: str
    state: State
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """Everything that was looked at in one run."""

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
    run: Path, *, key: Path | None = None, policy: Path | None = None,
    say: Say = lambda _: None, numbers: bool = True,
) -> Verification:  # fmt: skip
    """Look at a run by all means there are. Nothing of it is changed, and nothing in it is executed.

    key: the signer's public key, known from elsewhere; policy: the policy file that the verdicts are
    of; numbers: whether to make every number again (seconds to minutes). Raises PrivauditError where
    there is no run, or the key or policy given cannot be read.
    """
    run = _found(run)
    trusted = None if key is None else sign.public_key(key)
    checks = [_sums(run)]
    try:
        audit = read_audit(run)
    except (PrivauditError, OSError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, PrivauditError) else "it cannot be read"
        checks.append(Check("audit", "fails", (f"shareable/audit.json: {why}",)))
        return Verification(run.name, tuple(checks))
    checks += [
        _statement(run, audit),
        _signatures(run, None if trusted is None else sign.name_of(trusted)),
        _documents(run, audit),
        _numbers(run, audit, say)
        if numbers
        else Check("numbers", "not checked", notes=("left out as asked",)),
        _verdicts(run, audit, policy),
        _attempts(run, audit),
    ]
    return Verification(run.name, tuple(checks))


def _found(run: Path) -> Path:
    """The run's folder, given as such, by its shareable folder, or as `latest`."""
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
            "give a run folder, for example runs/latest",
        )
    return run


def _state(faults: Sequence[str]) -> State:
    return "fails" if faults else "holds"


def _sums(run: Path) -> Check:
    faults = sums.check(run)
    notes: tuple[str, ...] = ()
    if not (run / sums.RESTRICTED).is_dir():
        notes = ("restricted/ is not here: its files were not looked at",)
    return Check("files", _state(faults), faults, notes)


def _statement(run: Path, audit: Audit) -> Check:
    path = run / statement.FILE
    try:
        named = statement.read(path)
    except FileNotFoundError:
        return Check("statement", "fails", (f"{statement.FILE}: missing",))
    except ValueError as error:
        return Check("statement", "fails", (f"{statement.FILE}: {error}",))
    faults = []
    try:
        listed = sums.read(run / sums.SUMS)
        listed.pop(statement.FILE, None)
        if listed != named:
            faults.append(f"{statement.FILE}: names other files or sums than {sums.SUMS}")
        by = statement.rendered_by(path)
        wanted = statement.render(audit, named, seals.read_verdicts(run), by)
        if path.read_bytes() != wanted:
            faults.append(f"{statement.FILE}: says other things than the audit")
    except (OSError, ValueError, PrivauditError) as error:
        faults.append(f"{statement.FILE}: cannot be compared ({type(error).__name__})")
    return Check("statement", _state(faults), tuple(faults))


def _signatures(run: Path, trusted: str | None) -> Check:
    try:
        found = list(sign.signatures(run))
    except PrivauditError as error:
        lost = () if trusted is None else (f"signatures: {error.what}",)
        return Check("signature", "fails" if lost else "not checked", lost, (error.fix,))
    faults: list[str] = [f"signatures/{one.file}: {fault}" for one in found for fault in one.faults]
    good = [one.key for one in found if not one.faults]
    notes = []
    if trusted is not None and trusted not in good:
        signed = ", ".join(good) or "nobody"
        faults.append(f"not signed with the key given ({trusted}): signed by {signed}")
    elif trusted is not None:
        notes.append(f"signed with the key given ({trusted})")
    elif good:
        notes.append(
            f"signed with {', '.join(good)}; whose key that is was not checked: give it with --key"
        )
    elif not found:
        notes.append(
            "not signed: whoever can write to the run could have changed files and sums alike"
        )
    if (run / sums.SIGNATURES / sign.BUNDLE).exists():
        notes.append(
            "signatures/sigstore.json is for `sigstore verify`, and was not looked at here"
        )
    state: State = "not checked" if not found and not faults else _state(faults)
    return Check("signature", state, tuple(faults), tuple(notes))


def _documents(run: Path, audit: Audit) -> Check:
    """Whether every other file of shareable/ is what the audit document makes."""
    from privaudit import report

    faults: list[str] = []
    notes: list[str] = []
    shareable = run / "shareable"
    made: dict[str, Callable[[], str]] = {
        "shareable/audit.json": lambda: to_json(audit),
        "shareable/curves.csv": lambda: curves(audit),
        f"shareable/{bom.FILE}": lambda: bom.render(audit),
        "manifest.json": lambda: manifest(audit),
    }
    for name, make in made.items():
        _same(run / name, name, make(), faults)
    if (shareable / report.PDF).exists():
        notes.append(
            "report.pdf was not rendered again; its sum was looked at like any other file's"
        )
    if statement.rendered_by(run / statement.FILE) != seals.rendering():
        notes.append(
            f"the report was rendered by other code than is here (privaudit {audit.manifest.version}, here "
            f"{__version__}): it was not rendered again, its sum alone was looked at"
        )
        return Check("documents", _state(faults), tuple(faults), tuple(notes))
    scratch = Path(tempfile.mkdtemp(prefix="privaudit-verify-"))
    try:
        report.write(audit, scratch, seals.read_verdicts(run))
        for path in sorted(scratch.rglob("*")):
            if path.is_file():
                name = path.relative_to(scratch).as_posix()
                text = path.read_text(encoding="utf-8")
                _same(shareable / name, f"shareable/{name}", text, faults)
    except PrivauditError as error:
        faults.append(f"the report cannot be rendered again: {error.what}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Check("documents", _state(faults), tuple(faults), tuple(notes))


def _same(path: Path, name: str, wanted: str, faults: list[str]) -> None:
    try:
        if path.read_bytes() != wanted.encode():
            faults.append(f"{name}: is not what the audit document makes")
    except OSError:
        faults.append(f"{name}: missing or not readable")


def _numbers(run: Path, audit: Audit, say: Say) -> Check:
    if not (run / sums.RESTRICTED).is_dir():
        note = "restricted/ is not here: the numbers were not made again from the scores"
        return Check("numbers", "not checked", notes=(note,))
    told = audit.manifest.statistics
    if told != STATISTICS:
        note = (
            f"made with statistics {told or 'unknown'} (privaudit {audit.manifest.version}); this is "
            f"{STATISTICS}: install that version to make the numbers again"
        )
        return Check("numbers", "not checked", notes=(note,))
    own, here = audit.manifest.packages, packages()
    moved = [
        f"{n} {own[n]} -> {here.get(n, 'none')}"
        for n in ("numpy", "scipy")
        if n in own and here.get(n) != own[n]
    ]
    found = derive(run, audit, rounding=ROUNDING if moved else 0.0, say=say)
    notes = [f"{found.numbers} numbers were made again from the stored scores and compared"]
    if found.rounded:
        notes.append(
            f"{found.rounded} differ in their last digits, as {', '.join(moved)} may make them"
        )
    notes += [f"not made again: {what}" for what in found.left]
    return Check("numbers", _state(found.faults), tuple(found.faults), tuple(notes))


def _verdicts(run: Path, audit: Audit, policy: Path | None) -> Check:
    try:
        kept = seals.read_verdicts(run)
    except PrivauditError as error:
        return Check("verdicts", "fails", (f"shareable/{seals.VERDICTS}: {error.what}",))
    if kept is None:
        note = (
            "the run holds no verdicts"
            if policy is None
            else "the run holds no verdicts to compare"
        )
        return Check("verdicts", "not checked", notes=(note,))
    digest = sums.digest(run / "shareable" / "audit.json")
    faults = []
    if kept.audit_sha256 and kept.audit_sha256 != digest:
        faults.append(f"shareable/{seals.VERDICTS}: was made of another audit.json")
    if policy is None:
        note = "the verdicts were not made again: give the policy with --policy"
        return Check("verdicts", "fails" if faults else "not checked", tuple(faults), (note,))
    notes: tuple[str, ...] = ()
    made = _judged(policy, audit, digest, kept)
    if isinstance(made, str):
        faults.append(made)
    elif made is None:
        notes = (
            "the verdicts compare with a baseline: make them again with `privaudit check --baseline`",
        )
        return Check("verdicts", "fails" if faults else "not checked", tuple(faults), notes)
    elif verdicts.to_json(made) != verdicts.to_json(kept):
        told = _moved(kept, made)
        if told:
            faults += told
        elif audit.manifest.version == __version__:
            faults.append(f"shareable/{seals.VERDICTS}: words differ from those made again")
        else:
            notes = (
                f"every state and bound holds; this version ({__version__}) words some otherwise",
            )
    return Check("verdicts", _state(faults), tuple(faults), notes)


def _moved(kept: verdicts.Verdicts, made: verdicts.Verdicts) -> list[str]:
    """Every verdict whose state or numbers are not those made again."""
    told, again = (
        {
            (v.rule, v.subject, v.attack, v.group, number): (
                v.state,
                v.limit,
                v.value,
                v.lower,
                v.upper,
            )
            for number, v in enumerate(one.verdicts)
        }
        for one in (kept, made)
    )
    found = [
        f"verdict on {' / '.join(part for part in key[:4] if part)}: {_plain(told.get(key))} is stored, "
        f"{_plain(again.get(key))} is made again"
        for key in sorted(told.keys() | again.keys())
        if told.get(key) != again.get(key)
    ]
    if (kept.state, kept.code) != (made.state, made.code):
        found.append(f"verdict overall: {kept.state} is stored, {made.state} is made again")
    return found


def _plain(verdict: tuple[str, float, float | None, float | None, float | None] | None) -> str:
    if verdict is None:
        return "none"
    state, limit, *numbers = verdict
    shown = ", ".join("-" if n is None else f"{n:.6g}" for n in numbers)
    return f"{state} (limit {limit:g}; {shown})"


def _judged(
    policy: Path, audit: Audit, digest: str, kept: verdicts.Verdicts
) -> verdicts.Verdicts | str | None:
    """The verdicts made again as on the day of the run; a text where it is another policy."""
    from datetime import date, timedelta

    from privaudit.policy import judge
    from privaudit.policy.file import parse

    try:
        rules = parse(policy.read_bytes(), policy.name)
    except OSError as error:
        raise PrivauditError(
            f"the policy {policy.name!r} cannot be read",
            f"the system says: {error.strerror}",
            "give the policy file that the run was judged by",
        ) from None
    if rules.sha256 != kept.policy_sha256:
        return (
            f"the policy given ({rules.sha256[:12]}) is not the one that the verdicts are of "
            f"({kept.policy_sha256[:12]})"
        )
    if kept.baseline:
        return None
    # A policy or waiver that has expired since was in force on that day, or the next where the run went
    # on past midnight; the document's clock is UTC and the judge's is the place's own.
    day = date.fromisoformat(audit.manifest.created[:10])
    said = digest if kept.audit_sha256 else ""
    made, why = [], ""
    for late in (0, 1, -1):
        try:
            made.append(judge(rules, audit, audit_sha256=said, today=day + timedelta(days=late)))
        except PrivauditError as error:
            why = error.what
    text = verdicts.to_json(kept)
    if not made:
        return f"the policy given did not stand on the day of the run: {why}"
    return next((one for one in made if verdicts.to_json(one) == text), made[0])


def _attempts(run: Path, audit: Audit) -> Check:
    """Whether the ledger beside the run is whole and holds what it held when the run was made."""
    counted = audit.manifest.attempts
    if counted is None:
        return Check("attempts", "not checked", notes=("the run counted no attempts",))
    if not (run.parent / ledger.LEDGER).is_file():
        note = f"{ledger.LEDGER} is not beside the run: what the run counted could not be checked"
        return Check("attempts", "not checked", notes=(note,))
    book = ledger.read(run.parent)
    faults = list(book.faults)
    if counted.head not in {entry.sha256 for entry in book.entries}:
        faults.append(f"{ledger.LEDGER}: does not hold what it held when this run was made")
    now = book.count(audit.data.task, audit.manifest.records_fingerprint)
    notes = (
        f"{counted.started} attempt(s) on this task and these data when the run was made, "
        f"{now.started} by now",
    )
    return Check("attempts", _state(faults), tuple(faults), notes)


def tree(found: Verification) -> str:
    """The verification as JSON."""
    from dataclasses import asdict

    body = {"run": found.run, "code": found.code, "checks": [asdict(c) for c in found.checks]}
    return json.dumps(body, indent=1)


__all__ = ["Check", "Verification", "tree", "verify"]
