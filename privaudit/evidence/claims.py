"""Whether each privacy guarantee follows from how its method was set, made again.

A method that can state its guarantee before it is trained has a function `claim` of its members. Of
the others the mechanisms that were composed are stored, and composed again: that shows that epsilon
follows from the noise stated, and not that this noise was added.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from privaudit import plugins
from privaudit.composition import add_up, group_claims
from privaudit.contracts import Access, Claim, Mechanism
from privaudit.engine import measure
from privaudit.errors import PrivauditError
from privaudit.evidence.checks import Check, conclude, leave
from privaudit.evidence.compare import Compare, Derived
from privaudit.evidence.planned import read_json
from privaudit.evidence.stored import Stored, Unreadable
from privaudit.records import Records
from privaudit.results import Audit, Subject, from_tree
from privaudit.results import ClaimText as Text

ROUNDING = 1e-9
LEAST = 0.5
"""Of the epsilon asked for, what a method that adds noise for it claims at least: it would add more
noise than it needs."""
COMPOSES = "dp_accounting"
"""The library that composes."""


def check_claims(run: Path, audit: Audit) -> Check:
    """Make every claim again. audit: the exact document."""
    found = Derived()
    compare = Compare(found, ROUNDING)
    try:
        members = Stored(run).split.members
    except Unreadable as error:
        return conclude("claims", [f"restricted/split.npz: {error}; no claim can be made again"])
    made = 0
    steps_of: dict[str, tuple[Mechanism, ...]] = {}
    for subject in audit.subjects:
        where = f"{subject.name}.claim"
        try:
            stored = _read_stored(run, subject)
        except (KeyError, TypeError, ValueError):
            compare.fault(f"{where}: what is stored of it cannot be read")
            continue
        steps_of[subject.name] = stored.mechanisms
        again = _make_again(subject, members)
        if again is not None:
            made += 1
            compare(where, subject.claim, measure.claim(again))
            steps = [asdict(one) for one in again.mechanisms]
            compare(f"{where}.mechanisms", [asdict(one) for one in stored.mechanisms], steps)
        elif subject.claim.epsilon is not None:
            _compose_again(subject, stored, compare)
            _compare_with_asked(subject, compare)
            found.left.append(subject.name)
        elif stored.mechanisms:
            compare.fault(f"{where}: nothing is claimed, and mechanisms of a guarantee are stored")
    unmade = _check_composed(audit, steps_of, compare)
    if found.left:
        names = ", ".join(found.left)
        note = (
            f"not recomputed: claim of {names}: the method cannot state it from its settings; the "
            "mechanisms stored were composed again"
        )
        return leave("claims", f"{note}{unmade and f'; {unmade}'}", found.faults)
    if unmade:
        return leave("claims", unmade, found.faults)
    claimed = f"{made} claim(s) made again from the settings of the method"
    return conclude("claims", found.faults, (claimed if made else "no guarantee is claimed",))


def _read_stored(run: Path, subject: Subject) -> Claim:
    """The claim of a release as it was stored when it was trained."""
    tree: Any = read_json(run / "restricted" / "releases" / f"{subject.name}.json")
    text = from_tree(tree["claim"], Text)
    steps = tuple(from_tree(part, Mechanism) for part in tree["mechanisms"])
    unit: Any = text.unit
    neighbours: Any = text.neighbours
    covers = frozenset(Access[name] for name in text.covers)
    return Claim(text.epsilon, text.delta, unit, neighbours, covers, text.basis, steps)


def _make_again(subject: Subject, members: Records) -> Claim | None:
    """The claim of a method set like this one, None where it cannot be stated before training."""
    if subject.method not in plugins.members("methods"):
        return None
    try:
        kind: Any = plugins.load("methods", subject.method)
        if not callable(getattr(kind, "claim", None)):
            return None
        found: Claim = build(kind, subject.params).claim(members)
    except (ImportError, PrivauditError, TypeError, ValueError, SyntaxError):
        return None
    return found


def build(kind: Any, params: Mapping[str, str]) -> Any:
    """A dataclass from the texts that `privaudit.engine.document.params` made of one.

    Raises:
        ValueError: For a text that is no plain value, such as that of a part with settings.
        TypeError: For settings that it does not have.
    """
    if not is_dataclass(kind) or not set(params) <= {field.name for field in fields(kind)}:
        raise TypeError("other settings")
    given: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in params:
            # A setting of None is left out of a document.
            if field.default is not None:
                given[field.name] = None
        elif isinstance(field.default, str):
            given[field.name] = params[field.name]
        else:
            given[field.name] = ast.literal_eval(params[field.name])
    made: Any = kind
    return made(**given)


def _compare_with_asked(subject: Subject, compare: Compare) -> None:
    """Whether a method that is set to an epsilon claims it, or a little less."""
    try:
        asked = float(subject.params["epsilon"])
    except (KeyError, ValueError):
        return
    claimed = subject.claim.epsilon or 0.0
    if not LEAST * asked <= claimed <= asked * (1 + ROUNDING):
        compare.fault(
            f"{subject.name}.claim.epsilon: {claimed:.6g} is stored, and the method was set to "
            f"{asked:.6g}"
        )


def _compose_again(subject: Subject, stored: Claim, compare: Compare) -> None:
    from privaudit.dp import accounting

    where = f"{subject.name}.claim.epsilon"
    try:
        again = accounting.compose([stored], stored.delta)
    except ImportError:
        return
    except PrivauditError as error:
        compare.fault(f"{where}: no epsilon follows from the mechanisms stored ({error.what})")
        return
    compare(where, subject.claim.epsilon, again.epsilon)


def _check_composed(
    audit: Audit, steps: Mapping[str, tuple[Mechanism, ...]], compare: Compare
) -> str:
    """Compose the claims of all subjects again; why that could not be done, else nothing.

    Sums always hold: a document made where the library that composes was not installed has them.
    """
    claims = {one.name: one.claim for one in audit.subjects}
    sums = tuple(add_up(own) for own in group_claims(claims).values() if len(own) > 1)
    if audit.composed == sums:
        return ""
    try:
        from privaudit.dp.together import compose_claims

        # What composes falls back to sums where the library is missing, which proves nothing.
        importlib.import_module(COMPOSES)
    except ImportError:
        known = "; ".join(f"{one.epsilon:.6g} (delta {one.delta:.3g})" for one in sums)
        return f"not recomputed: what the claims come to together; they add up to {known or 'none'}"
    compare("composed", audit.composed, compose_claims(claims, steps))
    return ""


__all__ = ["build", "check_claims"]
