"""From names and `component.field=value` texts to the parts of an audit. Nothing is evaluated."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any

from privaudit import plugins
from privaudit.contracts import Attack, Learner, Method, Task
from privaudit.engine.profiles import Profile
from privaudit.engine.texts import parse_value, settable
from privaudit.errors import PrivauditError
from privaudit.facts import Reason, ReasonCode
from privaudit.results import Untrained


@dataclass(frozen=True)
class Entry:
    """One subject to be: a method with its learner, named `method-learner`, `method` or
    `method@epsilon`."""

    name: str
    method_name: str
    learner_name: str
    method: Method


@dataclass(frozen=True)
class Request:
    """What is to be audited, how, and from which seed every random stream comes.

    seed: None for one that is drawn with the key of the folder of runs. entropy: the seed under
    that key (`privaudit.seeds.derive_entropy`), as `privaudit.engine.run` sets it.

    every: all methods were asked for, so that one that refuses these data is a result and no error.
    untrained: methods that could not be made here, for want of a library. judges: learners by name
    that are trained on a synthetic table to measure its utility.
    """

    task_name: str
    task: Task
    entries: tuple[Entry, ...]
    attacks: Mapping[str, Attack]
    profile: str
    seed: int | None = None
    confidence: float = 0.95
    exact_counts: bool = False
    command: str = ""
    every: bool = False
    untrained: tuple[Untrained, ...] = ()
    judges: Mapping[str, Learner] = field(default_factory=dict)
    entropy: int = 0


EVERY = "all"
"""The name that asks for every method."""


def request(
    task: str,
    profile: Profile,
    *,
    seed: int | None = None,
    methods: Sequence[str] = (),
    learners: Sequence[str] = (),
    generators: Sequence[str] = (),
    attacks: Sequence[str] = (),
    settings: Iterable[str] = (),
    confidence: float = 0.95,
    exact_counts: bool = False,
    command: str = "",
) -> Request:
    """Build every part by name.

    learners, generators, methods, attacks: names (attacks also by family) that narrow the profile;
    methods may be `all`, and a method's name may end in `@EPSILON`, the guarantee to train it at.
    settings: `component.field=value`, where a component is `task`, or a learner, method or attack
    of this run.
    """
    _check(confidence)
    own = _Settings(profile.settings, settings)
    made_task = own.make(plugins.load("tasks", task), "task")
    every = EVERY in methods
    subjects = _Subjects(profile, own, every, pictures=made_task.pictures)
    entries, untrained = subjects.make(methods, learners, generators)
    made_attacks = _attacks(profile, own, attacks)
    judges = _judges(own) if any("generator" in settable(e.method) for e in entries) else {}
    own.refuse_unused()
    if not entries or not made_attacks:
        why = "; ".join(
            f"{one.name} needs {one.reason.params.get('library', 'columns')}" for one in untrained
        )
        raise PrivauditError(
            f"{len(entries)} subjects and {len(made_attacks)} attacks",
            f"an audit needs at least one of each{f' ({why})' if why else ''}",
            "install what is missing" if why else "name fewer restrictions",
        )
    return Request(
        task,
        made_task,
        tuple(entries),
        made_attacks,
        profile.name,
        seed,
        confidence,
        exact_counts,
        command,
        every,
        tuple(untrained),
        judges,
    )


def given(
    task_name: str,
    task: Task,
    entries: Sequence[Entry],
    profile: Profile,
    *,
    seed: int | None = None,
    attacks: Sequence[str] = (),
    settings: Iterable[str] = (),
    confidence: float = 0.95,
    exact_counts: bool = False,
    command: str = "",
    randomised: bool = False,
) -> Request:
    """An audit of user-supplied releases: the task's `Prepared` holds the split, the entries'
    methods hand out the releases. An attack that refuses them is a result and no error.

    randomised: members were assigned at random, each patient with equal chance; without that no
    bound on epsilon holds, and the attacks that give one are left out.
    """
    _check(confidence)
    own = _Settings(profile.settings, settings)
    made = _attacks(profile, own, attacks)
    bounds = [name for name, attack in made.items() if attack.family == "epsilon"]
    if attacks and bounds and not randomised:
        raise PrivauditError(
            f"the attack {', '.join(bounds)} on what a user supplied",
            "its bound on epsilon holds where membership was assigned at random, each patient with "
            "equal chance, which nobody knows of a supplied model",
            "leave it out; `privaudit audit-dp` tests canaries that were assigned at random",
        )
    made = {name: attack for name, attack in made.items() if name not in bounds or randomised}
    own.refuse_unused()
    supplied = max((len(entry.method.shadows) for entry in entries), default=0)
    if supplied:
        for name, attack in made.items():
            if hasattr(attack, "shadows"):
                settings_of: Any = attack
                made[name] = replace(settings_of, shadows=supplied)
    return Request(
        task_name,
        task,
        tuple(entries),
        made,
        profile.name,
        seed,
        confidence,
        exact_counts,
        command,
        every=True,
        judges=_judges(_Settings(profile.settings, ())),
    )


def _check(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise PrivauditError(
            f"a confidence of {confidence}",
            "it is the share of intervals that cover, at least 0.5 and below 1",
            "use 0.95 unless your policy says otherwise",
        )


def _attacks(profile: Profile, own: _Settings, asked: Sequence[str]) -> dict[str, Attack]:
    made: dict[str, Attack] = {}
    for name, attack in _choose_attacks(asked, profile).items():
        refits = {"shadows": str(profile.refits)} if "shadows" in settable(attack) else {}
        made[name] = own.make(attack, name, profile=refits)
    return made


def _judges(own: _Settings) -> dict[str, Learner]:
    """Every learner that reads a table alone."""
    kinds: dict[str, Any] = {n: plugins.load("learners", n) for n in plugins.members("learners")}
    return {n: own.make(kind, n) for n, kind in kinds.items() if kind.reads == "table"}


class _Subjects:
    """Makes the entries of a request: each method with the learners it can be composed with.

    pictures: whether the task's records are pictures, which not every method and learner reads.
    """

    def __init__(
        self, profile: Profile, own: _Settings, every: bool, *, pictures: bool = False
    ) -> None:
        self.profile, self.own, self.every, self.pictures = profile, own, every, pictures
        self.entries: list[Entry] = []
        self.untrained: list[Untrained] = []

    def make(
        self, methods: Sequence[str], learners: Sequence[str], generators: Sequence[str] = ()
    ) -> tuple[list[Entry], list[Untrained]]:
        known = list(plugins.members("methods"))
        asked = _choose("learners", learners, None) if learners else []
        self.generators = _choose("generators", generators, self.profile.generators)
        for text in self._names(methods, known):
            name, _, epsilon = text.partition("@")
            known_name("methods", name, known)
            try:
                kind: Any = plugins.load("methods", name)
            except ImportError as error:
                self.untrained.append(Untrained(text, name, missing_library(error)))
                continue
            if self.pictures and not can_read_pictures(kind):
                self._leave_out(text, name)
                continue
            if "generator" in settable(kind):
                self._draw(kind, name, epsilon)
                continue
            for at in [epsilon] if epsilon else self._epsilons(kind):
                self._compose(kind, name, at, asked)
        drawn = any("generator" in settable(entry.method) for entry in self.entries)
        if generators and not drawn and not self.untrained:
            raise PrivauditError(
                f"the generator {', '.join(generators)}",
                "no method of this run makes synthetic records",
                "add --methods synthetic, or drop --generators",
            )
        unused = set(asked) - {entry.learner_name for entry in self.entries}
        if unused and not self.every and not self.untrained:
            self._refuse(sorted(unused))
        return self.entries, self.untrained

    def _names(self, methods: Sequence[str], known: list[str]) -> list[str]:
        if self.every:
            return known
        if methods:
            return list(dict.fromkeys(methods))
        return [name for name in known if name in self.profile.methods] or known

    def _epsilons(self, kind: Any) -> tuple[str, ...]:
        """The epsilons to train at: the profile's where all methods are asked, else the default."""
        guarantees = self.every and "epsilon" in settable(kind)
        return (self.profile.epsilons if guarantees else ()) or ("",)

    def _compose(self, kind: Any, name: str, epsilon: str, asked: Sequence[str]) -> None:
        at = f"@{epsilon}" if epsilon else ""
        claimed = {"epsilon": epsilon} if epsilon else {}
        if "learner" not in settable(kind):
            made = self.own.make(kind, name, given_last=claimed)
            self.entries.append(Entry(f"{name}{at}", name, "", made))
            return
        for learner_name in self._learners(kind, name, asked):
            learner = self.own.make(plugins.load("learners", learner_name), learner_name)
            made = self.own.make(kind, name, given_last=claimed, learner=learner)
            self.entries.append(Entry(f"{name}-{learner_name}{at}", name, learner_name, made))

    def _draw(self, kind: Any, name: str, epsilon: str) -> None:
        """One subject for each generator and each epsilon at which it is trained."""
        for generator in self.generators:
            part: Any = plugins.load("generators", generator)
            guarantees = "epsilon" in settable(part)
            for at in [epsilon] if epsilon and guarantees else self._epsilons(part):
                claimed = {"epsilon": at} if at else {}
                made = self.own.make(part, generator, given_last=claimed)
                method = self.own.make(kind, name, generator=made)
                shown = f"@{at}" if at else ""
                self.entries.append(Entry(f"{name}-{generator}{shown}", name, "", method))

    def _learners(self, kind: Any, name: str, asked: Sequence[str]) -> list[str]:
        """Which learners this method is composed with, in the order of their names."""
        can = tuple(getattr(kind, "learners", ())) or tuple(plugins.members("learners"))
        readers = [n for n in plugins.members("learners") if reads_pictures(n)]
        if not self.pictures:
            can = tuple(n for n in can if n not in readers)
        elif asked:
            can = (*can, *(n for n in readers if n not in can))
        else:
            return readers
        if asked:
            fit = [learner for learner in asked if learner in can]
            if not fit and not self.every:
                raise PrivauditError(
                    f"method {name!r} with the learner {', '.join(asked)}",
                    f"it can be composed with: {', '.join(can)}",
                    f"choose one of these, or leave {name!r} out",
                )
            return fit
        if self.every:
            return [n for n in self.profile.beside.get(name, can[:1]) if n in can] or [can[0]]
        narrowed = self.profile.learners
        installed = plugins.members("learners")
        fit = [n for n in installed if n in can and (narrowed is None or n in narrowed)]
        return fit or [can[0]]

    def _leave_out(self, text: str, name: str) -> None:
        """A method that cannot be trained on pictures: a result where all methods were asked for,
        else an error."""
        if not self.every:
            raise PrivauditError(
                f"the method {name!r} on pictures",
                "it reads columns that mean something each, and a pixel means nothing alone",
                "use baseline, local_only, dp_sgd, split_learning or a federation of networks",
            )
        reason = Reason(ReasonCode.NOT_FOR_PICTURES)
        self.untrained.append(Untrained(text, name, reason))

    def _refuse(self, unused: Sequence[str]) -> None:
        raise PrivauditError(
            f"the learner {', '.join(unused)}",
            "no method of this run is composed with it",
            "name a method that is (`privaudit explain METHOD`), or drop it from --learners",
        )


def can_read_pictures(method: Any) -> bool:
    """Whether a method can be trained on pictures: by itself, or with a learner that reads them.
    A synthetic table has none."""
    fields = settable(method)
    return bool(method.pictures) or ("learner" in fields and "generator" not in fields)


def reads_pictures(learner: str) -> bool:
    """Whether a learner reads pictures and nothing else."""
    kind: Any = plugins.load("learners", learner)
    return bool(kind.reads == "picture")


def missing_library(error: ImportError, fix: str = "") -> Reason:
    """Which library is not installed; fix: what to do, where the error states it."""
    library = (error.name or "").partition(".")[0]
    return Reason(ReasonCode.MISSING_EXTRA, {"library": library, "fix": fix})


def _choose(kind: str, asked: Sequence[str], default: Sequence[str] | None) -> list[str]:
    known = plugins.members(kind)
    if asked:
        return [known_name(kind, name, known) for name in dict.fromkeys(asked)]
    return [name for name in known if default is None or name in default]


def _choose_attacks(asked: Sequence[str], profile: Profile) -> dict[str, Any]:
    """Attacks by name or by family, sorted by name."""
    known = plugins.members("attacks")
    every: dict[str, Any] = {name: plugins.load("attacks", name) for name in known}
    families = {attack.family for attack in every.values()}
    wanted: set[str] = set(profile.keep([*known]))
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
        self,
        kind: Callable[..., Any],
        name: str,
        *,
        profile: Mapping[str, str] | None = None,
        given_last: Mapping[str, str] | None = None,
        **given: Any,
    ) -> Any:
        """given_last: texts that go before all settings."""
        self.seen.add(name)
        texts = {**self.profile.get(name, {}), **(profile or {}), **self.own.get(name, {})}
        return build(kind, name, {**texts, **(given_last or {})}, **given)

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
        name, dot, what = left.strip().partition(".")
        if not (equals and dot and name and what):
            raise PrivauditError(
                f"a setting {text!r}",
                "a setting reads COMPONENT.FIELD=VALUE",
                "write for example task.window=24 or mlp.hidden=32",
            )
        found.setdefault(name, {})[what] = value.strip()
    return found


def build(kind: Callable[..., Any], name: str, texts: Mapping[str, str], **given: Any) -> Any:
    """An instance of the dataclass `kind`, its fields read from texts by their annotated types."""
    allowed = [f for f in settable(kind) if f not in given]
    hints = typing.get_type_hints(kind)
    values = dict(given)
    for known, text in texts.items():
        if known not in allowed:
            near = difflib.get_close_matches(known, allowed, n=1)
            raise PrivauditError(
                f"no field {known!r} in {name!r}",
                f"its fields are: {', '.join(allowed) or 'none'}",
                f"did you mean {name}.{near[0]}?" if near else "set one of these",
            )
        values[known] = parse_value(text, hints[known], f"{name}.{known}")
    if is_dataclass(kind):
        needed = [
            f.name
            for f in fields(kind)
            if f.init and f.default is MISSING and f.default_factory is MISSING
        ]
        lacking = [need for need in needed if need not in values]
        if lacking:
            raise PrivauditError(
                f"{name!r} without {', '.join(lacking)}",
                "this has no default",
                f"add --set {name}.{lacking[0]}=VALUE",
            )
    return kind(**values)
