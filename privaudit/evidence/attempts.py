"""Whether a run is the one that the ledger beside it knows: what it was to make, and its seal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from privaudit import commitments
from privaudit.engine import planned
from privaudit.errors import PrivauditError
from privaudit.evidence import ledger, sign, statement, sums
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.evidence.ledger import LEDGER, Ledger
from privaudit.results import Attempts, Audit


@dataclass(frozen=True)
class Held:
    """What a verifier noted of a folder of runs and held elsewhere: the one thing that shows that
    key and ledger are still those. mark: of the key; head: a line of the ledger, by its sha256."""

    mark: str = ""
    head: str = ""


def check_attempts(run: Path, audit: Audit, held: Held | None = None) -> Check:
    """Compare the run with the ledger: attempts up to its own, plan, seal and signatures.

    held: what was noted of ledger and key.
    """
    made = _check_attempts(run, audit)
    lost = tuple(_compare_held(run, audit, held or Held()))
    return replace(made, state="fails", faults=(*made.faults, *lost)) if lost else made


def _compare_held(run: Path, audit: Audit, held: Held) -> Iterator[str]:
    if held.mark:
        key = ledger.find_key(run.parent)
        marks = {commitments.kind(audit.manifest.records_fingerprint).rpartition(":")[2]}
        marks |= set() if key is None else {commitments.mark(key)}
        for other in sorted(marks - {held.mark}):
            yield f"restricted/{commitments.KEY}: is another key ({other}) than {held.mark:.64}"
    if held.head:
        heads = {entry.sha256 for entry in ledger.read(run.parent).entries}
        if held.head not in heads:
            yield f"{LEDGER}: does not hold the line that was noted ({held.head:.64})"


def _check_attempts(run: Path, audit: Audit) -> Check:
    counted, book = audit.manifest.attempts, ledger.read(run.parent)
    if counted is None:
        known = book.of_run(audit.manifest.run, "data", "planned", "ended")
        lost = [f"{LEDGER}: counts this run, and the run states no attempts"] if known else []
        return leave("attempts", "the run counted no attempts", lost)
    if not (run.parent / LEDGER).is_file():
        return leave("attempts", f"{LEDGER} is not beside the run: it could not be checked")
    faults = [*book.faults, *_count_again(book, audit, counted)]
    now = book.count(audit.data.task, audit.manifest.records_fingerprint)
    note = (
        f"{counted.started} attempt(s) on this task and these data when the run was made, "
        f"{now.started} by now"
    )
    if not book.keyed:
        why = f"restricted/{commitments.KEY} is not beside the run"
        return leave("attempts", f"{why}: nobody can tell who wrote {LEDGER}; {note}", faults)
    faults += _check_run(run, audit.manifest.run, book)
    key = ledger.find_key(run.parent)
    which = "" if key is None else commitments.mark(key)
    keep = f"to be noted elsewhere: key {which}, last line of {LEDGER} {book.head}"
    again = len(book.of_run(audit.manifest.run, "resealed"))
    later = f"the run's report was written again {again} time(s)"
    return conclude("attempts", faults, (note, keep, *([later] if again else [])))


def _count_again(book: Ledger, audit: Audit, counted: Attempts) -> Iterator[str]:
    heads = [entry.sha256 for entry in book.entries]
    if counted.head not in heads:
        yield f"{LEDGER}: does not hold what it held when this run was made"
        return
    place = heads.index(counted.head)
    own = book.entries[place]
    if (own.event, own.run) != ("data", audit.manifest.run):
        yield f"{LEDGER}: the line that this run names is about another one"
    then = replace(book, entries=book.entries[: place + 1])
    if then.count(audit.data.task, audit.manifest.records_fingerprint) != counted:
        yield "manifest.attempts: are not those that the ledger held then"


def _check_run(run: Path, name: str, book: Ledger) -> Iterator[str]:
    """What the ledger holds of this run, under the key."""
    key = ledger.find_key(run.parent)
    planned_lines = book.of_run(name, "planned")
    if len(planned_lines) != 1:
        yield f"{LEDGER}: holds {len(planned_lines)} plans of this run instead of one"
    elif key is not None and (run / sums.RESTRICTED).is_dir():
        try:
            text, _ = planned.read(run / sums.RESTRICTED / planned.FILE)
        except (OSError, ValueError):
            text = ""
        if commitments.commit(key, text) != planned_lines[0].plan:
            yield f"restricted/{planned.FILE}: is not the plan that was committed to at the start"
    ended = book.of_run(name, "ended")
    if len(ended) != 1:
        yield f"{LEDGER}: holds {len(ended)} ends of this run instead of one"
    now = sums.digest(run / statement.FILE) if (run / statement.FILE).is_file() else ""
    yield from book.seal_faults(name, now)
    yield from _lost_signatures(run, name, book, now)


def _lost_signatures(run: Path, name: str, book: Ledger, now: str) -> Iterator[str]:
    signers = {one.signer for one in book.of_run(name, "signed") if one.statement == now}
    try:
        valid = {one.key for one in sign.signatures(run) if not one.faults}
    except PrivauditError:
        # Without the library nothing is known of any signature; that check says so.
        return
    if (run / sums.SIGNATURES / sign.BUNDLE).is_file():
        valid.add(sign.SIGSTORE)
    for signer in sorted(signers - valid):
        yield f"signatures: that of {signer} is in {LEDGER}, and is gone"


__all__ = ["Held", "check_attempts"]
