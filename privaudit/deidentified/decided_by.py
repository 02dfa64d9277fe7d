"""Whether a verdict rests on how values were read: evened out, or missing ones fitting all."""

from __future__ import annotations

from dataclasses import replace

from privaudit.deidentified.document import Attacker, Limits, Missing, SensitiveRisk, State
from privaudit.deidentified.judge import judge
from privaudit.deidentified.measure import Measured, measure
from privaudit.deidentified.read import ReleaseTable, as_written


def spelling_decides(
    table: ReleaseTable,
    done: Measured,
    limits: Limits,
    sensitive: list[SensitiveRisk],
    tolerances: dict[str, float],
    missing: tuple[Missing, ...],
) -> bool:
    """Whether values as they are written break a limit of the attacker who knows the table that
    the same values do not break once case and blanks are evened out."""
    if not any(one.respelled for one in table.quasi) or not limits.any:
        return False
    written = table.with_quasi([as_written(one) for one in table.quasi])
    return _breaks(written, done, limits, sensitive, tolerances, missing)


def wildcard_decides(
    table: ReleaseTable,
    done: Measured,
    limits: Limits,
    sensitive: list[SensitiveRisk],
    tolerances: dict[str, float],
    missing: tuple[Missing, ...],
) -> bool:
    """Whether missing values as values of their own, which were not asked for, break a limit of
    the attacker who knows the table that is kept where they fit all."""
    gaps = any(one.silent.any() for one in table.quasi)
    if Missing.VALUE in missing or not gaps or not limits.any:
        return False
    return _breaks(table, done, limits, sensitive, tolerances, (Missing.VALUE,))


def _breaks(
    table: ReleaseTable,
    done: Measured,
    limits: Limits,
    sensitive: list[SensitiveRisk],
    tolerances: dict[str, float],
    missing: tuple[Missing, ...],
) -> bool:
    known = replace(limits, attacker=Attacker.PROSECUTOR)
    other = measure(
        table,
        tolerances=tolerances,
        missing=missing,
        register=None,
        population=None,
        confidence=0.95,
    )
    states = [judge(known, one.risks, sensitive, ())[0] for one in (done, other)]
    return states[0] is not State.EXCEEDS and states[1] is State.EXCEEDS


__all__ = ["spelling_decides", "wildcard_decides"]
