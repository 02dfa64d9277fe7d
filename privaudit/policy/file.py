"""The policy file: an organisation's own limits, read strictly."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import cattrs
from cattrs.errors import AttributeValidationNote, ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from privaudit.errors import PrivauditError
from privaudit.policy.metrics import METRICS, PolicyMetric, find_metric
from privaudit.policy.rules import (
    EPSILON,
    SCHEMA,
    SHARE,
    Context,
    Exemption,
    Guard,
    Key,
    LeftOut,
    Limit,
    Policy,
    Regression,
    Statistics,
)
from privaudit.policy.suggest import suggest
from privaudit.stats.catalogue import FPRS, PRIORS

LARGEST = 1_000_000
"""No policy is longer than this many bytes."""

TABLES: Mapping[str, type] = {"context": Context, "statistics": Statistics}
LISTS: Mapping[str, tuple[str, type]] = {
    "limit": ("limits", Limit),
    "guard": ("guards", Guard),
    "regression": ("regressions", Regression),
    "waiver": ("waivers", Exemption),
    "not_tested": ("left_out", LeftOut),
}
"""Key in the file -> field of the policy, and what each of its tables is."""


def read(path: Path | str, *, today: date | None = None) -> Policy:
    """Read the policy in a TOML file.

    Args:
        path: The file.
        today: The day on which it must stand; now where it is None.

    Returns:
        The policy. An expired waiver is no fault of it: it only waives nothing.

    Raises:
        PrivauditError: A fault of the file, or a policy past its review or not yet approved.
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
    except (ValueError, RecursionError) as error:
        raise PrivauditError(
            f"{name} is not valid TOML: {error}",
            'a policy is TOML: key = value, [table], [[limit]], texts in "quotes"',
            "begin with `privaudit init`",
        ) from None
    return build(tree, hashlib.sha256(raw).hexdigest())


def build(tree: Mapping[str, Any], sha256: str = "") -> Policy:
    """The policy that these tables hold, as TOML gives them."""
    schema = tree.get("schema")
    if schema != SCHEMA:
        raise PrivauditError(
            f"a policy with schema {schema!r}" if schema else "a policy without a schema",
            f"this version reads {SCHEMA}",
            f'begin the file with schema = "{SCHEMA}"',
        )
    inner = {"schema", *TABLES, *LISTS}
    head = {key: value for key, value in tree.items() if key not in inner}
    parts: dict[str, Any] = {key: _table(tree, key, kind) for key, kind in TABLES.items()}
    for key, (name, kind) in LISTS.items():
        parts[name] = tuple(_rule(part, key, kind, at) for at, part in _tables(tree, key))
    policy = replace(_structure(head, Policy, "", sorted(inner)), **parts, sha256=sha256)
    _check_ids(policy)
    result: Policy = policy
    return result


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


@cache
def keys_of(kind: type) -> Mapping[str, Key]:
    """The keys that a table of this type may hold."""
    hints = get_type_hints(kind, include_extras=True)
    found = {}
    for one in fields(kind):
        notes = [note for note in get_args(hints[one.name])[1:] if isinstance(note, Key)]
        if notes:
            found[one.name] = notes[0]
    return found


@cache
def _converter(kind: type) -> cattrs.Converter:
    """Strict: every key is read as its `Key` asks, and no other key is let through."""
    made = cattrs.Converter(forbid_extra_keys=True)
    known = keys_of(kind)
    overrides = {
        one.name: override(struct_hook=_hook(known[one.name]))
        if one.name in known
        else override(omit=True)
        for one in fields(kind)
    }
    options: dict[str, Any] = {"_cattrs_forbid_extra_keys": True, **overrides}
    made.register_structure_hook(kind, make_dict_structure_fn(kind, made, **options))
    return made


def _hook(key: Key) -> Callable[[Any, Any], Any]:
    return lambda value, _: key.read(value)


def _structure(tree: Mapping[str, Any], kind: type, where: str, more: Sequence[str] = ()) -> Any:
    """One table of the file. more: keys beside it that are read elsewhere."""
    try:
        return _converter(kind).structure(tree, kind)
    except ClassValidationError as group:
        raise _fault(group, tree, kind, where, more) from None


def _fault(
    group: ClassValidationError,
    tree: Mapping[str, Any],
    kind: type,
    where: str,
    more: Sequence[str],
) -> PrivauditError:
    """The first fault of a table: a key that is missing, or wrong, before one that is unknown."""
    known = keys_of(kind)
    unknown: list[str] = []
    for error in group.exceptions:
        if isinstance(error, ForbiddenExtraKeysError):
            unknown += sorted(map(str, error.extra_fields))
            continue
        notes = getattr(error, "__notes__", ())
        name = next(note.name for note in notes if isinstance(note, AttributeValidationNote))
        epsilon = name == "max" and tree.get("metric") in EPSILONS
        return _misfit(tree, name, EPSILON if epsilon else known[name].wanted, where)
    names = [*known, *more]
    return PrivauditError(
        f"no key {unknown[0]!r} in {where or 'the policy'}",
        f"keys there are: {', '.join(names)}",
        suggest(unknown[0], names) or "take it out, or see docs/ci.md",
    )


def _misfit(tree: Mapping[str, Any], name: str, wanted: str, where: str) -> PrivauditError:
    """That a key is missing, or holds what it must not."""
    if name not in tree:
        return PrivauditError(
            f"{_place(where, name)} is missing", f"it is {wanted}", f"add {name} = ..."
        )
    return PrivauditError(
        f"{_place(where, name)} = {_shown(tree[name])}", f"it is {wanted}", "mend it in the policy"
    )


def _place(where: str, key: str) -> str:
    return f"{where}: {key}" if where else key


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, date) else value.isoformat()
    return text if len(text) <= 60 else text[:57] + "..."


def _table(tree: Mapping[str, Any], key: str, kind: type) -> Any:
    """The table [key], of defaults alone where there is none."""
    found = tree.get(key, {})
    if not isinstance(found, dict):
        raise PrivauditError(
            f"{key} = {_shown(found)}", f"{key} is a table", f"write [{key}] on a line of its own"
        )
    return _structure(found, kind, key)


def _tables(tree: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The tables of [[key]], each named by its id where it has one."""
    found = tree.get(key, [])
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise PrivauditError(
            f"{key} is not a list of tables",
            f"each {key} is written under a line of its own: [[{key}]]",
            f"write [[{key}]] with two brackets",
        )
    return [
        (f"{key} {part.get('id') or part.get('limit') or part.get('family') or number}", part)
        for number, part in enumerate(found, 1)
    ]


def _rule(tree: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """One rule or waiver. A guard and a regression are named by their metric where they have no
    id."""
    if key in ("guard", "regression") and "id" not in tree:
        tree = {"id": f"{key} {tree.get('metric')}", **tree}
    made = _structure(tree, kind, where)
    if isinstance(made, LeftOut):
        _check_attacks(made.attacks, where, made.family)
    elif not isinstance(made, Exemption):
        _check_metric(made, tree, where)
    return made


EPSILONS = ("epsilon.claimed", "epsilon.lower_bound")
"""Metrics whose limit is no share."""

KINDS = {
    Limit: (("risk", "claim"), "a limit is about a risk or a privacy guarantee"),
    Guard: (("use",), "a guard is about utility"),
    Regression: (("risk", "use"), "a regression is about a risk or utility"),
}


def _check_metric(rule: Limit | Guard | Regression, tree: Mapping[str, Any], where: str) -> None:
    """Refuse keys that do not go with the metric of the rule."""
    known = find_metric(rule.metric, where)
    kinds, use = KINDS[type(rule)]
    if known.kind not in kinds:
        fit = sorted(m.name for m in METRICS.values() if m.kind in kinds)
        raise PrivauditError(
            f"{where}: metric = {rule.metric!r}",
            f"{use}, such as {', '.join(fit[:3])}",
            "use [[guard]] for utility and [[limit]] for risk",
        )
    if isinstance(rule, Regression) and rule.metric == "epsilon.lower_bound":
        raise PrivauditError(
            f"{where}: metric = {rule.metric!r}",
            "that an attack proves no more than before is no evidence that a candidate leaks no "
            "more: the number has no upper bound",
            "compare membership.auc or membership.tpr, and keep the proof as a [[limit]]",
        )
    if isinstance(rule, Guard):
        if (rule.min is None) == (rule.max is None):
            found = "both min and max" if rule.min is not None else "neither min nor max"
            raise PrivauditError(
                f"{where}: {found}",
                "a guard has one bound",
                "give min where more is better, max for an error; two guards for both",
            )
        return
    if isinstance(rule, Limit) and rule.max > 1 and rule.metric not in EPSILONS:
        raise _misfit(tree, "max", SHARE, where)
    _check_read_at(known, tree, where)
    _check_attacks(rule.attacks, where)
    if isinstance(rule, Limit) and rule.by and known.family != "membership":
        raise _useless(where, "by", known, "only membership metrics are measured in groups")
    if rule.at and known.family in ("", "membership", "epsilon"):
        raise _useless(where, "at", known, "it has no settings to choose from")


def _useless(where: str, key: str, known: PolicyMetric, because: str) -> PrivauditError:
    return PrivauditError(
        f"{_place(where, key)} for the metric {known.name}", because, f"take {key} out"
    )


def _check_read_at(known: PolicyMetric, tree: Mapping[str, Any], where: str) -> None:
    """fpr or prior, where the metric wants it and nowhere else."""
    for key, allowed in (("fpr", FPRS), ("prior", PRIORS)):
        if known.takes == key and key not in tree:
            raise _misfit(tree, key, f"one of {', '.join(f'{a:g}' for a in allowed)}", where)
        if known.takes != key and key in tree:
            because = f"it is read at {f'a {known.takes}' if known.takes else f'no {key}'}"
            raise _useless(where, key, known, because)


def _check_attacks(names: Sequence[str], where: str, family: str = "") -> None:
    from privaudit.plugins import load, members

    known = list(members("attacks"))
    for name in names:
        if name not in known:
            raise PrivauditError(
                f"no attack {name!r} in {where}",
                f"attacks are: {', '.join(known)}",
                suggest(name, known) or "see `privaudit list attacks`",
            )
        own = getattr(load("attacks", name), "family", "") if family else ""
        if own != family:
            raise PrivauditError(
                f"the attack {name!r} in {where}",
                f"it is of the family {own}",
                "name attacks of the family that is left out",
            )


def _check_ids(policy: Policy) -> None:
    ids = [rule.id for rule in policy.rules]
    for waiver in policy.waivers:
        if waiver.limit not in ids:
            raise PrivauditError(
                f"a waiver of {waiver.limit!r}",
                f"rules are: {', '.join(ids) or 'none'}",
                suggest(waiver.limit, ids) or "name the id of a rule of this policy",
            )
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
