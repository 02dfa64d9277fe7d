"""Everything that will be trained and attacked, known before any of it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from privaudit.attacks._half_samples import supplied_shadows
from privaudit.contracts import Access, Attack, Method, Refit, Release, Target
from privaudit.engine.configure import Entry, Request
from privaudit.engine.nulls import FOLDS, is_trained, null_kind
from privaudit.engine.store import key_of
from privaudit.engine.version import code, code_of_modules, code_of_package
from privaudit.errors import PrivauditError
from privaudit.records import Records, Split
from privaudit.seeds import Seeds

GROUP = 8
"""At most this many refits are trained as one batch, stored and shared."""

VARIANTS = ("subject", "positive", "negative")
"""The release itself, the planted memoriser, and the model that saw no audit record."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A model trained to be attacked: the subject itself, or its null (`privaudit.engine.nulls`).

    rows: that are trained on, in all.
    """

    key: str
    entry: Entry
    variant: str
    rows: int


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive refits of one attack's list, trained together; the unit of storing and
    sharing."""

    key: str
    method: Method
    refits: tuple[Refit, ...]

    @property
    def rows(self) -> int:
        return int(sum(refit.included.sum() for refit in self.refits))


@dataclass(frozen=True, eq=False)
class Step:
    """One attack on one variant of one subject, with the groups of refits it will be given.

    error: why the attack could not state which refits it wants; a PrivauditError is its refusal of
    this subject, and reported as that.
    """

    key: str
    entry: Entry
    attack_name: str
    attack: Attack
    variant: str
    groups: tuple[str, ...]
    error: Exception | None = None

    @property
    def stream(self) -> tuple[str, str, str]:
        """The name of this step's random streams: no other step's change moves them."""
        return (self.entry.name, self.attack_name, self.variant)


@dataclass(frozen=True, eq=False)
class Plan:
    """The whole audit, step by step."""

    fits: tuple[Fit, ...]
    groups: Mapping[str, Group]
    steps: tuple[Step, ...]

    @property
    def refits(self) -> int:
        """How many distinct models are trained again."""
        return sum(len(g.refits) for g in self.groups.values() if not g.method.supplied)

    @property
    def wanted(self) -> int:
        """How many models the attacks ask for in all, before sharing."""
        return sum(
            len(self.groups[key].refits)
            for step in self.steps
            if step.variant == "subject"
            for key in step.groups
            if not self.groups[key].method.supplied
        )


def plan(request: Request, split: Split, *, supplied: bool = False) -> Plan:
    """Ask every attack which refits it wants, share equal ones, and name every step by its content.

    No model exists yet: an attack is asked with a release that shows nothing. supplied: the split
    was supplied, and nobody assigned membership at random.

    Raises:
        PrivauditError: an attack refuses its own settings, and not all methods were asked for.
    """
    seeds = Seeds(request.entropy)
    shared = _Shared()
    pools = {
        pool: getattr(split, pool).fingerprint for pool in ("members", "nonmembers", "reference")
    }
    judge = judge_key(request.confidence)
    fits: list[Fit] = []
    groups: dict[str, Group] = {}
    steps: list[Step] = []
    for entry in request.entries:
        made_by = code(entry.method)
        common = (entry.name, repr(entry.method), made_by, request.entropy, *pools.values())
        own = {"subject": Fit(key_of("subject", *common), entry, "subject", len(split.members))}
        kinds = {
            null_kind(entry.method, attack, split, supplied=supplied)
            for attack in request.attacks.values()
            if attack.family == "membership"
        }
        if kinds & {"folds", "stand_in"}:
            made_so = code_of_modules("privaudit.engine.nulls", "privaudit.engine.stand_ins")
            key = key_of("negative", "folds", made_so, *common)
            own["negative"] = Fit(key, entry, "negative", len(split.members) * (FOLDS - 1))
        elif "reference" in kinds:
            key = key_of("negative", *common)
            own["negative"] = Fit(key, entry, "negative", len(split.reference))
        fits.extend(own.values())
        target = Target(Release(), split, entry.method)
        for name, attack in request.attacks.items():
            keys, error = _declared(target, attack, seeds, shared, groups)
            if isinstance(error, PrivauditError) and not request.every:
                raise error
            variants = VARIANTS if attack.family == "membership" else VARIANTS[:1]
            for variant in variants:
                fit = own["subject"]
                if variant == "negative" and is_trained(
                    entry.method, attack, split, supplied=supplied
                ):
                    fit = own["negative"]
                given = keys
                if variant == "negative" and not keys and entry.method.shadows:
                    given = _group(supplied_shadows(target), seeds, shared, groups)
                key = key_of(variant, name, repr(attack), code(attack), judge, fit.key, *given)
                steps.append(Step(key, entry, name, attack, variant, given, error))
    return Plan(tuple(fits), groups, tuple(steps))


def judge_key(confidence: float) -> str:
    """Names the code and the confidence that estimates and documents are made with."""
    parts = (code_of_package("privaudit.stats"), code_of_package("privaudit.engine"))
    return key_of(*parts, code_of_modules("privaudit.facts", "privaudit.results"), confidence)


def _declared(
    target: Target,
    attack: Attack,
    seeds: Seeds,
    shared: _Shared,
    groups: dict[str, Group],
) -> tuple[tuple[str, ...], Exception | None]:
    """The keys of the groups that this attack wants, adding new ones to `groups`."""
    privileges = {Access.SEAT, Access.RERUN}
    if not attack.needs & privileges <= target.access:
        return (), None
    try:
        asked = attack.refits(target, seeds.child("refits"))
        wanted = [replace(refit, method=refit.method.twin) for refit in asked]
    except Exception as error:
        return (), error
    return _group(wanted, seeds, shared, groups), None


def _group(
    wanted: Sequence[Refit], seeds: Seeds, shared: _Shared, groups: dict[str, Group]
) -> tuple[str, ...]:
    """The keys of these refits' groups, new ones added to `groups`."""
    keys = []
    for part in cut(wanted):
        # A refit's method may hold more than the subject's: who is malicious, say.
        key = key_of(*(refit.key for refit in part), code(part[0].method), seeds.entropy)
        keys.append(key)
        if key not in groups:
            groups[key] = Group(key, part[0].method, tuple(shared(refit) for refit in part))
    return tuple(keys)


def cut(refits: Sequence[Refit]) -> list[tuple[Refit, ...]]:
    """Consecutive refits of one method, pool and question, at most `method.batch` or 8 at once."""
    parts: list[list[Refit]] = []
    for refit in refits:
        last = parts[-1] if parts else []
        size = max(1, min(GROUP, refit.method.batch))
        if last and len(last) < size and _like(last[0], refit):
            last.append(refit)
        else:
            parts.append([refit])
    return [tuple(part) for part in parts]


def _like(one: Refit, other: Refit) -> bool:
    return (
        repr(one.method) == repr(other.method)
        and (one.pool is other.pool or one.pool.fingerprint == other.pool.fingerprint)
        and (one.ask is other.ask or one.ask.fingerprint == other.ask.fingerprint)
    )


class _Shared:
    """Keeps one copy of equal tables, so that attacks that each build their own cost memory
    once."""

    def __init__(self) -> None:
        self.tables: dict[str, Records] = {}

    def __call__(self, refit: Refit) -> Refit:
        pool = self.tables.setdefault(refit.pool.fingerprint, refit.pool)
        ask = self.tables.setdefault(refit.ask.fingerprint, refit.ask)
        if pool is refit.pool and ask is refit.ask:
            return refit
        return replace(refit, pool=pool, ask=ask)
