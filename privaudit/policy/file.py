"""The policy file: an organisation's own limits, read strictly."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.limits import MIN_CELL, MIN_FALSE_POSITIVES
from privaudit.policy.metrics import METRICS, Metric, metric
from privaudit.policy.rules import (
    RELEASES,
    SCHEMA,
    Context,
    Exemption,
    Guard,
    Limit,
    Policy,
    Regression,
    Statistics,
)
from privaudit.policy.words import suggest
from privaudit.stats.catalogue import FPRS, PRIORS

LARGEST = 1_000_000
"""No policy is longer than this many bytes."""


def read(path: Path | str, *, today: date | None = None) -> Policy:
    """The policy in a TOML file.

    today: the day on which it must stand, now unless told. A fault of the file, and a policy past its
    review or not yet approved, is a PrivauditError; an expired waiver is none, it only waives nothing.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_file() and size > LARGEST:
            raise PrivauditError(
                f"a policy of {size:,} bytes",
                f"a policy is a text of at most {LARGEST:,} bytes",
                "give the policy file, not a table or a report",
            )
        raw = path.read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the policy {path.name!r} cannot be read",
            f"the system says: {error.strerror}",
            "give the path of a policy file; `privaudit init` writes one to begin with",
        ) from None
    policy = parse(raw, path.name)
    check_dates(policy, date.today() if today is None else today)
    return policy


def parse(raw: bytes, name: str = "the policy") -> Policy:
    """The policy in these bytes, whatever day it is."""
    try:
        # Some editors begin a file with a mark of its encoding.
        tree = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise PrivauditError(
            f"{name} is not a text in UTF-8", "a policy is TOML", "save it as UTF-8 text"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise PrivauditError(
            f"{name} is not valid TOML: {error}",
            'a policy is TOML: key = value, [table], [[limit]], texts in "quotes"',
            "mend the line named, or begin with `privaudit init`",
        ) from None
    except RecursionError:
        raise PrivauditError(
            f"{name} holds lists within lists too deep to read",
            'a policy is TOML: key = value, [table], [[limit]], texts in "quotes"',
            "begin with `privaudit init`",
        ) from None
    return build(tree, hashlib.sha256(raw).hexdigest())


def build(tree: Mapping[str, Any], sha256: str = "") -> Policy:
    """The policy that these tables hold, as TOML gives them."""
    return _policy(_Table(tree, ""), sha256)


def check_dates(policy: Policy, today: date) -> None:
    """Refuse a policy that is past its review or not yet approved."""
    if policy.review_by < today:
        raise PrivauditError(
            f"the policy {policy.name!r} was to be reviewed by {policy.review_by.isoformat()}",
            f"today is {today.isoformat()}: limits that nobody has looked at since decide nothing",
            "have its owner review it and set a new review_by",
        )
    if policy.approved_on is not None and policy.approved_on > today:
        raise PrivauditError(
            f"the policy {policy.name!r} is approved on {policy.approved_on.isoformat()}",
            f"today is {today.isoformat()}: it does not stand yet",
            "set approved_on to the day on which it was approved",
        )


class _Table:
    """One table of the file: every key is taken once, and what is left over is unknown."""

    def __init__(self, tree: Mapping[str, Any], where: str) -> None:
        self.tree, self.where, self.known = dict(tree), where, []  # type: ignore[var-annotated]

    def __call__(
        self, key: str, check: Callable[[Any], Any], wanted: str, default: Any = ...
    ) -> Any:
        """The value of a key as `check` returns it; a ValueError or TypeError of it is a fault."""
        self.known.append(key)
        if key not in self.tree:
            if default is ...:
                raise PrivauditError(
                    f"{self.place(key)} is missing", f"it is {wanted}", f"add {key} = ..."
                )
            return default
        value = self.tree[key]
        try:
            return check(value)
        except (ValueError, TypeError):
            raise PrivauditError(
                f"{self.place(key)} = {_shown(value)}", f"it is {wanted}", "mend it in the policy"
            ) from None

    def tables(self, key: str) -> list[_Table]:
        """The tables of [[key]], each named by its id where it has one."""
        self.known.append(key)
        found = self.tree.get(key, [])
        if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
            raise PrivauditError(
                f"{key} is not a list of tables",
                f"each {key} is written under a line of its own: [[{key}]]",
                f"write [[{key}]] with two brackets",
            )
        return [
            _Table(part, f"{key} {part.get('id') or part.get('limit') or number}")
            for number, part in enumerate(found, 1)
        ]

    def table(self, key: str) -> _Table:
        """The table [key], empty where there is none."""
        self.known.append(key)
        found = self.tree.get(key, {})
        if not isinstance(found, dict):
            raise PrivauditError(
                f"{key} = {_shown(found)}",
                f"{key} is a table",
                f"write [{key}] on a line of its own",
            )
        return _Table(found, key)

    def done(self) -> None:
        """Refuse keys that nothing asked for."""
        for key in self.tree:
            if key not in self.known:
                raise PrivauditError(
                    f"no key {key!r} in {self.where or 'the policy'}",
                    f"keys there are: {', '.join(self.known)}",
                    suggest(key, self.known) or "take it out, or see docs/ci.md",
                )

    def place(self, key: str) -> str:
        return f"{self.where}: {key}" if self.where else key


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, date) else value.isoformat()
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    found = tuple(_text(part) for part in value)
    if len(set(found)) != len(found):
        raise ValueError
    return found


def _number(low: float, high: float, *, open_: bool = False) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError
        if not (low < value < high if open_ else low <= value <= high):
            raise ValueError
        return float(value)

    return check


def _whole(low: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError
        return value

    return check


def _one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices or not isinstance(value, str):
            raise ValueError
        return value

    return check


def _day(value: Any) -> date:
    # A datetime is a date to isinstance; a policy speaks of days.
    if type(value) is date:
        return value
    if isinstance(value, str):
        return date.fromisoformat(value)
    raise ValueError


def _policy(table: _Table, digest: str) -> Policy:
    schema = table.tree.get("schema")
    table.known.append("schema")
    if schema != SCHEMA:
        raise PrivauditError(
            f"a policy with schema {schema!r}" if schema else "a policy without a schema",
            f"this version reads {SCHEMA}",
            f'begin the file with schema = "{SCHEMA}"',
        )
    quoted = "a text in quotes"
    day = "a day, such as 2027-06-30"
    plain: dict[str, Any] = {
        "name": table("name", _text, quoted),
        "owner": table("owner", _text, quoted, ""),
        "approved_by": table("approved_by", _text, quoted, ""),
        "approved_on": table("approved_on", _day, day, None),
        "review_by": table("review_by", _day, day),
        "criteria": table("criteria", _text, quoted, ""),
    }
    context = _context(table.table("context"))
    statistics = _statistics(table.table("statistics"))
    limits = tuple(_limit(part) for part in table.tables("limit"))
    guards = tuple(_guard(part) for part in table.tables("guard"))
    regressions = tuple(_regression(part) for part in table.tables("regression"))
    rules: tuple[Limit | Guard | Regression, ...] = (*limits, *guards, *regressions)
    ids = [rule.id for rule in rules]
    waivers = tuple(_waiver(part, ids) for part in table.tables("waiver"))
    table.done()
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise PrivauditError(
            f"the id {twice[0]!r} twice", "every rule has an id of its own", "rename one of them"
        )
    if not ids:
        raise PrivauditError(
            "a policy without a rule",
            "a policy holds at least one [[limit]], [[guard]] or [[regression]]",
            "add one, or begin with `privaudit init`",
        )
    return Policy(
        **plain,
        context=context,
        statistics=statistics,
        limits=limits,
        guards=guards,
        regressions=regressions,
        waivers=waivers,
        sha256=digest,
    )


def _context(table: _Table) -> Context:
    made = Context(
        release=table("release", _one_of(*RELEASES), f"one of {', '.join(RELEASES)}", "internal"),
        unit=table("unit", _one_of("patient"), '"patient", whom every interval counts', "patient"),
        subjects=table("subjects", _texts, "a list of names of subjects, none twice", ()),
    )
    table.done()
    return made


def _statistics(table: _Table) -> Statistics:
    made = Statistics(
        confidence=table("confidence", _number(0.5, 1, open_=True), "between 0.5 and 1", 0.95),
        correction=table("correction", _one_of("holm", "none"), '"holm" or "none"', "holm"),
        min_false_positives=table(
            "min_false_positives",
            _whole(MIN_FALSE_POSITIVES),
            f"a whole number of at least {MIN_FALSE_POSITIVES}",
            MIN_FALSE_POSITIVES,
        ),
        min_cell=table(
            "min_cell", _whole(MIN_CELL), f"a whole number of at least {MIN_CELL}", MIN_CELL
        ),
        positive_control=table(
            "positive_control",
            _one_of("required", "optional"),
            '"required" or "optional"',
            "required",
        ),
        on_inconclusive=table(
            "on_inconclusive", _one_of("fail", "pass"), '"fail" or "pass"', "fail"
        ),
    )
    table.done()
    return made


SEVERITIES = _one_of("block", "warn")


def _read_at(table: _Table, known: Metric) -> dict[str, Any]:
    """fpr or prior, where the metric wants it and nowhere else."""
    found: dict[str, Any] = {}
    for key, allowed in (("fpr", FPRS), ("prior", PRIORS)):
        wanted = f"one of {', '.join(f'{a:g}' for a in allowed)}"
        if known.takes == key:
            found[key] = table(key, _among(allowed), wanted)
        elif key in table.tree:
            table.known.append(key)
            raise PrivauditError(
                f"{table.place(key)} for the metric {known.name}",
                f"it is read at no {key}" if not known.takes else f"it is read at a {known.takes}",
                f"take {key} out",
            )
    return found


def _among(allowed: Sequence[float]) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if isinstance(value, bool) or value not in allowed:
            raise ValueError
        return float(value)

    return check


def _metric_of(table: _Table, kinds: tuple[str, ...], use: str) -> Metric:
    name = table("metric", _text, "the name of a metric, such as membership.auc")
    known = metric(name, table.where)
    if known.kind not in kinds:
        fit = sorted(m.name for m in METRICS.values() if m.kind in kinds)
        raise PrivauditError(
            f"{table.where}: metric = {name!r}",
            f"{use}, such as {', '.join(fit[:3])}",
            "use [[guard]] for usefulness and [[limit]] for risk",
        )
    return known


def _range(known: Metric) -> tuple[float, float, str]:
    if known.name in ("epsilon.claimed", "epsilon.lower_bound"):
        return 0, 1000, "a number from 0 to 1000"
    return 0, 1, "a share from 0 to 1 (3 in 100 is 0.03)"


def _attacks(table: _Table) -> tuple[str, ...]:
    from privaudit.plugins import members

    found: tuple[str, ...] = table("attacks", _texts, "a list of names of attacks, none twice", ())
    known = list(members("attacks"))
    for name in found:
        if name not in known:
            raise PrivauditError(
                f"no attack {name!r} in {table.where}",
                f"attacks are: {', '.join(known)}",
                suggest(name, known) or "see `privaudit list attacks`",
            )
    return found


AT = 'a list of settings, such as ["sex"] or ["0.1 sd"]; * stands for anything'
BY = 'a list of groupings, such as ["sex", "age"]'


def _limit(table: _Table) -> Limit:
    name = table("id", _text, "a short name of the rule")
    known = _metric_of(table, ("risk", "claim"), "a limit is about a risk or a promise")
    low, high, range_ = _range(known)
    made = Limit(
        id=name,
        metric=known.name,
        max=table("max", _number(low, high), range_),
        **_read_at(table, known),
        at=table("at", _texts, AT, ()),
        attacks=_attacks(table),
        by=table("by", _texts, BY, ()),
        severity=table("severity", SEVERITIES, '"block" or "warn"', "block"),
    )
    table.done()
    if made.by and known.family != "membership":
        raise PrivauditError(
            f"{table.place('by')} for the metric {known.name}",
            "only membership metrics are measured in groups",
            "take by out",
        )
    if (made.at and not known.family) or (made.at and known.family in ("membership", "epsilon")):
        raise PrivauditError(
            f"{table.place('at')} for the metric {known.name}",
            "it has no settings to choose from",
            "take at out",
        )
    return made


def _guard(table: _Table) -> Guard:
    name = table("id", _text, "a short name of the rule", "")
    known = _metric_of(table, ("use",), "a guard is about usefulness")
    number = _number(-1000, 1000)
    made = Guard(
        id=name or f"guard {known.name}",
        metric=known.name,
        min=table("min", number, "a number", None),
        max=table("max", number, "a number", None),
        by=table("by", _texts, BY, ()),
        severity=table("severity", SEVERITIES, '"block" or "warn"', "block"),
    )
    table.done()
    if (made.min is None) == (made.max is None):
        raise PrivauditError(
            f"{table.where}: {'both min and max' if made.min is not None else 'neither min nor max'}",
            "a guard has one bound",
            "give min where more is better, max for an error; two guards for both",
        )
    return made


def _regression(table: _Table) -> Regression:
    name = table("id", _text, "a short name of the rule", "")
    known = _metric_of(table, ("risk", "use"), "a regression is about a risk or usefulness")
    made = Regression(
        id=name or f"regression {known.name}",
        metric=known.name,
        margin=table("margin", _number(0, 1, open_=True), "a number between 0 and 1"),
        **_read_at(table, known),
        at=table("at", _texts, AT, ()),
        attacks=_attacks(table),
        baseline=table("baseline", _text, "the path of a baseline file", ""),
        candidate_seeds=table("candidate_seeds", _whole(1), "a whole number of at least 1", 3),
        severity=table("severity", SEVERITIES, '"block" or "warn"', "block"),
    )
    table.done()
    return made


def _waiver(table: _Table, ids: Sequence[str]) -> Exemption:
    name = table("limit", _text, "the id of a rule")
    if name not in ids:
        raise PrivauditError(
            f"a waiver of {name!r}",
            f"rules are: {', '.join(ids) or 'none'}",
            suggest(name, ids) or "name the id of a rule of this policy",
        )
    made = Exemption(
        limit=name,
        group=table("group", _text, 'a group, such as "sex: female"', ""),
        subject=table("subject", _text, "the name of a subject", ""),
        reason=table("reason", _text, "why, in a sentence"),
        approved_by=table("approved_by", _text, "who answers for it"),
        expires=table("expires", _day, "a day, such as 2027-06-30"),
    )
    table.done()
    return made


__all__ = [
    "RELEASES",
    "SCHEMA",
    "Context",
    "Exemption",
    "Guard",
    "Limit",
    "Policy",
    "Regression",
    "Statistics",
    "build",
    "check_dates",
    "parse",
    "read",
]
