"""From names and `component.field=value` texts to the parts of an audit. Nothing is evaluated."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin

from privaudit import plugins
from privaudit.contracts import Attack, Method, Task
from privaudit.engine.profiles import Profile
from privaudit.errors import PrivauditError


@dataclass(frozen=True)
class Entry:
    """One subject to be: a method with its learner, named `method-learner`."""

    name: str
    method_name: str
    learner_name: str
    method: Method


@dataclass(frozen=True)
class Request:
    """What is to be audited, how, and from which entropy every random stream comes."""

    task_name: str
    task: Task
    entries: tuple[Entry, ...]
    attacks: Mapping[str, Attack]
    profile: str
    entropy: int
    confidence: float = 0.95
    exact_counts: bool = False
    command: str = ""


def request(
    task: str,
    profile: Profile,
    *,
    entropy: int,
    methods: Sequence[str] = (),
    learners: Sequence[str] = (),
    attacks: Sequence[str] = (),
    settings: Iterable[str] = (),
    confidence: float = 0.95,
    exact_counts: bool = False,
    command: str = "",
) -> Request:
    """Build every part by name.

    learners, methods, attacks: names (attacks also by family) that narrow the profile; settings:
    `component.field=value`, where a component is `task`, or a learner, method or attack of this run.
    """
    if not 0.5 <= confidence < 1:
        raise PrivauditError(
            f"a confidence of {confidence}",
            "it is the share of intervals that cover, at least 0.5 and below 1",
            "use 0.95 unless your policy says otherwise",
        )
    own = _Settings(profile.settings, settings)
    made_task = own.make(plugins.load("tasks", task), "task")
    chosen_learners = _choose("learners", learners, profile.learners)
    made_learners = {n: own.make(plugins.load("learners", n), n) for n in chosen_learners}
    entries: list[Entry] = []
    for name in _choose("methods", methods, None):
        kind = plugins.load("methods", name)
        if "learner" in _fields(kind):
            for learner_name, learner in made_learners.items():
                method = own.make(kind, name, learner=learner)
                entries.append(Entry(f"{name}-{learner_name}", name, learner_name, method))
        else:
            entries.append(Entry(name, name, "", own.make(kind, name)))
    made_attacks: dict[str, Attack] = {}
    for name, attack in _choose_attacks(attacks, profile.attacks).items():
        refits = {"shadows": str(profile.refits)} if "shadows" in _fields(attack) else {}
        made_attacks[name] = own.make(attack, name, profile=refits)
    own.refuse_unused()
    if not entries or not made_attacks:
        raise PrivauditError(
            f"{len(entries)} subjects and {len(made_attacks)} attacks",
            "an audit needs at least one of each",
            "name fewer restrictions",
        )
    return Request(
        task, made_task, tuple(entries), made_attacks, profile.name, entropy, confidence,
        exact_counts, command,
    )  # fmt: skip


def _choose(kind: str, asked: Sequence[str], default: Sequence[str] | None) -> list[str]:
    known = plugins.members(kind)
    if asked:
        return [known_name(kind, name, known) for name in dict.fromkeys(asked)]
    return [name for name in known if default is None or name in default]


def _choose_attacks(asked: Sequence[str], default: Sequence[str] | None) -> dict[str, Any]:
    """Attacks by name or by family, sorted by name."""
    known = plugins.members("attacks")
    every: dict[str, Any] = {name: plugins.load("attacks", name) for name in known}
    families = {attack.family for attack in every.values()}
    wanted: set[str] = set(known if default is None else default)
    if asked:
        wanted = set()
        for name in asked:
            if name in families:
                wanted |= {n for n, attack in every.items() if attack.family == name}
            else:
                wanted.add(known_name("attacks", name, [*known, *sorted(families)]))
    return {name: attack for name, attack in every.items() if name in wanted}


def known_name(kind: str, name: str, known: Iterable[str]) -> str:
    """`name` if it is known, or an error with a suggestion."""
    known = list(known)
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    raise PrivauditError(
        f"no {kind[:-1]} called {name!r}",
        f"known {kind}: {', '.join(known) or 'none'}",
        f"did you mean {near[0]!r}?" if near else "choose one of these",
    )


class _Settings:
    """Texts by component and field; knows which were used."""

    def __init__(self, profile: Mapping[str, str], own: Iterable[str]) -> None:
        self.profile = _parse(f"{key}={value}" for key, value in profile.items())
        self.own = _parse(own)
        self.seen: set[str] = set()

    def make(
        self, kind: Callable[..., Any], name: str, *, profile: Any = None, **given: Any
    ) -> Any:
        self.seen.add(name)
        texts = {**self.profile.get(name, {}), **(profile or {}), **self.own.get(name, {})}
        return build(kind, name, texts, **given)

    def refuse_unused(self) -> None:
        for name in self.own:
            if name not in self.seen:
                near = difflib.get_close_matches(name, self.seen, n=1)
                raise PrivauditError(
                    f"a setting for {name!r}",
                    f"this run is made of: {', '.join(sorted(self.seen))}",
                    f"did you mean {near[0]!r}?" if near else f"let {name!r} take part, or drop it",
                )


def _parse(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        name, dot, field = left.strip().partition(".")
        if not (equals and dot and name and field):
            raise PrivauditError(
                f"a setting {text!r}",
                "a setting reads COMPONENT.FIELD=VALUE",
                "write for example task.window=24 or mlp.hidden=32",
            )
        found.setdefault(name, {})[field] = value.strip()
    return found


def _fields(kind: Any) -> list[str]:
    return [f.name for f in fields(kind) if f.init] if is_dataclass(kind) else []


def build(kind: Callable[..., Any], name: str, texts: Mapping[str, str], **given: Any) -> Any:
    """An instance of the dataclass `kind`, its fields read from texts by their annotated types."""
    allowed = [f for f in _fields(kind) if f not in given]
    hints = typing.get_type_hints(kind)
    values = dict(given)
    for field, text in texts.items():
        if field not in allowed:
            near = difflib.get_close_matches(field, allowed, n=1)
            raise PrivauditError(
                f"no field {field!r} in {name!r}",
                f"its fields are: {', '.join(allowed) or 'none'}",
                f"did you mean {name}.{near[0]}?" if near else "set one of these",
            )
        values[field] = read(text, hints[field], f"{name}.{field}")
    if is_dataclass(kind):
        needed = [
            f.name
            for f in fields(kind)
            if f.init and f.default is MISSING and f.default_factory is MISSING
        ]
        lacking = [field for field in needed if field not in values]
        if lacking:
            raise PrivauditError(
                f"{name!r} without {', '.join(lacking)}",
                "this has no default",
                f"add --set {name}.{lacking[0]}=VALUE",
            )
    return kind(**values)


def read(text: str, hint: Any, where: str) -> Any:
    """A value of the annotated type from text: numbers, yes/no, texts, choices, and lists of them."""
    try:
        return _read(text, hint)
    except (ValueError, TypeError, KeyError):
        raise PrivauditError(
            f"{where}={text}",
            f"it must be {_spell(hint)}",
            f"write {where}=VALUE with such a value",
        ) from None


def _read(text: str, hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for kind in sorted(args, key=lambda kind: kind is str):
            try:
                return _read(text, kind)
            except (ValueError, TypeError, KeyError):
                continue
        raise ValueError(text)
    if hint is type(None):
        if text.lower() in ("none", ""):
            return None
        raise ValueError(text)
    if origin is Literal:
        for choice in args:
            if text == str(choice):
                return choice
        raise ValueError(text)
    if origin is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        kinds = [args[0]] * len(parts) if len(args) == 2 and args[1] is ... else list(args)
        return tuple(_read(part, kind) for part, kind in zip(parts, kinds, strict=True))
    if hint is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
            text.lower()
        ]
    if hint in (int, float, str):
        return hint(text)
    raise TypeError(hint)


def _spell(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_spell(kind) for kind in args)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in args)
    if origin is tuple:
        return f"a comma-separated list, each {_spell(args[0])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, "none" if hint is type(None) else "a value that cannot be given as text")
