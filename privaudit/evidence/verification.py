"""Whether a run is still what it was, checked by all means there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privaudit import plugins
from privaudit.engine.folder import read as read_audit
from privaudit.errors import PrivauditError
from privaudit.evidence import ledger, seals, sign, statement, sums
from privaudit.evidence.attempts import Held, check_attempts
from privaudit.evidence.checks import NAMES, Check, Verification, conclude, leave
from privaudit.evidence.claims import check_claims
from privaudit.evidence.derive import Progress
from privaudit.evidence.documents import check_documents, check_pdf
from privaudit.evidence.judged import check_verdicts
from privaudit.evidence.numbers import check_numbers, leave_numbers, load_exact
from privaudit.evidence.retraining import Again, check_retraining
from privaudit.results import Audit

ALWAYS = ("files", "statement", "documents", "numbers", "attempts")
"""What every run should have."""


def verify(
    run: Path,
    *,
    key: Path | None = None,
    policy: Path | None = None,
    progress: Progress = lambda _: None,
    numbers: bool = True,
    require: Sequence[str] | None = None,
    again: Again | None = None,
    held: Held | None = None,
) -> Verification:
    """Check a run by all means there are. Nothing of it is changed, nothing in it is executed.

    Args:
        run: The run directory, its shareable folder, or `latest`.
        key: The signer's public key, obtained elsewhere.
        policy: The policy file that the run was judged by.
        progress: Called with the name of each subject whose numbers are recomputed.
        numbers: Whether to recompute every number (seconds to minutes).
        require: The checks that must be made; by default all that the run should have.
        again: What to train again, None for nothing.
        held: What was noted elsewhere of the key and the ledger of its folder of runs.

    Raises:
        PrivauditError: Where there is no run, the key or policy given cannot be read, or two
            attacks that are installed have one name.
    """
    # An attack in the place of another would make its numbers anew, and find them right.
    plugins.refuse_doubles()
    for name in set(require or ()) - set(NAMES):
        raise PrivauditError(
            f"no check called {name!r}",
            f"checks are: {', '.join(NAMES)}",
            "name these, separated by commas",
        )
    run = _find(run)
    trusted = None if key is None else sign.key_id(sign.public_key(key))
    checks = [_files(run)]
    try:
        audit = read_audit(run)
    except (PrivauditError, OSError, UnicodeDecodeError) as error:
        why = error.what if isinstance(error, PrivauditError) else "it cannot be read"
        checks.append(conclude("audit", [f"shareable/audit.json: {why}"]))
        return Verification(run.name, tuple(checks), tuple(require or ALWAYS))
    pdf = check_pdf(run)
    checks += [
        _statement(run, audit),
        _signatures(run, trusted),
        check_documents(run, audit),
        *([] if pdf is None else [pdf]),
        *_restricted(run, audit, progress, numbers, again),
        check_verdicts(run, audit, policy),
        check_attempts(run, audit, held),
    ]
    order = {name: place for place, name in enumerate(NAMES)}
    checks.sort(key=lambda check: order[check.name])
    if require is None:
        require = _should_have(run, audit, trusted, numbers, again)
    return Verification(run.name, tuple(checks), tuple(require))


def _restricted(
    run: Path, audit: Audit, progress: Progress, numbers: bool, again: Again | None
) -> list[Check]:
    """What is checked by what is stored under `restricted/`."""
    names = ["numbers", "claims", *([] if again is None else ["retraining"])]
    if not (run / sums.RESTRICTED).is_dir():
        return [
            leave(name, "restricted/ is not here, and what it takes is in it") for name in names
        ]
    exact = load_exact(run)
    if numbers:
        found = [check_numbers(run, audit, exact, progress)]
    else:
        found = [leave_numbers(run, audit, exact)]
    if isinstance(exact, str):
        return [*found, *(conclude(name, [exact]) for name in names if name != "numbers")]
    found.append(check_claims(run, exact))
    if again is not None:
        found.append(check_retraining(run, exact, again))
    return found


def _should_have(
    run: Path, audit: Audit, trusted: str | None, numbers: bool, again: Again | None
) -> tuple[str, ...]:
    """The checks that must be made of this run, whatever was taken out of it."""
    signed = trusted is not None or (run / sums.SIGNATURES).exists()
    signed = signed or bool(ledger.read(run.parent).of_run(run.name, "signed"))
    wanted = {
        "signature": signed,
        "verdicts": (run / "shareable" / seals.VERDICTS).exists() or statement.is_judged(run),
        "retraining": again is not None,
        # Training all of it again makes the claims again too.
        "claims": any(one.claim.epsilon is not None for one in audit.subjects)
        and (again is None or again.steps is not None),
        # Leaving the numbers out is no reason to pass over that they cannot be recomputed.
        "numbers": numbers or not (run / sums.RESTRICTED).is_dir(),
    }
    return tuple(n for n in NAMES if wanted.get(n, n in ALWAYS))


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


def _files(run: Path) -> Check:
    note = "restricted/ is not here: its files were not checked"
    return conclude("files", sums.check(run), () if (run / sums.RESTRICTED).is_dir() else (note,))


def _statement(run: Path, audit: Audit) -> Check:
    name, path = statement.FILE, run / statement.FILE
    try:
        stated, rendering = statement.read(path)
    except FileNotFoundError:
        return conclude("statement", [f"{name}: missing"])
    except (OSError, ValueError) as error:
        return conclude("statement", [f"{name}: {error}"])
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
    if audit.manifest.run != run.name:
        # Else a good run could stand in the place of another, under its name.
        faults.append(f"{name}: is of a run of another name than this folder's")
    return conclude("statement", faults)


def _signatures(run: Path, trusted: str | None) -> Check:
    try:
        found = list(sign.signatures(run))
    except PrivauditError as error:
        lost = () if trusted is None else (f"signatures: {error.what}",)
        return leave("signature", error.fix, lost)
    faults = [f"signatures/{one.file}: {fault}" for one in found for fault in one.faults]
    valid = {one.key: one for one in found if not one.faults}
    notes = [_word_signature(one) for one in valid.values()]
    if trusted is not None and trusted not in valid:
        signed = ", ".join(valid) or "nobody"
        faults.append(f"not signed with the key given ({trusted}): signed by {signed}")
    elif trusted is not None:
        notes.insert(0, f"signed with the key given ({trusted})")
    elif valid:
        notes.append("whose key it is was not checked: give --key")
    elif not found:
        notes.append("not signed: whoever can write to the run could change files and checksums")
    if (run / sums.SIGNATURES / sign.BUNDLE).exists():
        notes.append("signatures/sigstore.json is for `sigstore verify`; it was not checked here")
    if found or faults:
        return conclude("signature", faults, notes)
    return Check("signature", "not checked", (), tuple(notes))


def _word_signature(one: sign.Signature) -> str:
    """Who signed when, and what had been verified then."""
    by_state: dict[str, list[str]] = {}
    for name, state in one.verified.items():
        by_state.setdefault(state, []).append(name)
    then = "; ".join(f"{state}: {', '.join(sorted(by_state[state]))}" for state in sorted(by_state))
    return f"signed with {one.key} at {one.at}, when verified: {then}"


__all__ = ["verify"]
