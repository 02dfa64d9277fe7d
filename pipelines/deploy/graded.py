"""What a hospital says it counted, checked: untrusted JSON to blocks of counts, or a refusal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.deploy.grade import ATTEMPTS, CUTS, FORM, LEAST, LEVELS, MEMBERSHIP, WITHHELD
from pipelines.deploy.ladders import read_ladder, refuse_counts
from pipelines.deploy.messages import ANSWERS
from privaudit.disclosure_limits import MIN_CELL

if TYPE_CHECKING:
    from pipelines.deploy.terms import RunTerms

POOLS = ("members", "nonmembers")
MOST = 10**7
"""Patients of one hospital at most: a number beyond that is a lie or a fault."""
COLUMN = re.compile(r"[\w .,:/%()+<>=-]{1,80}")
COLUMNS = 200
PROTECTIONS = ("", "secure_sum", "encrypted_sum")
PARTS = (*MEMBERSHIP, *ATTEMPTS, "utility", "pools", "unknown")


@dataclass(frozen=True)
class Attempts:
    """Blocks [succeeded, tried] of members, of a guess on them, and of the control.

    control_pool: whose the control is.
    """

    members: list[int]
    control: list[int]
    control_pool: str
    guess: list[int] | None = None


@dataclass(frozen=True)
class Game:
    """Two pools of these sizes, with the blocks of those who score above `LEVELS`: those whom the
    attack should find, and the others."""

    first: list[int]
    second: list[int]
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Outcomes:
    """Held-out patients with one outcome: how many, and blocks of those predicted to be above
    `CUTS`, and above the hospital's own `LEVELS`."""

    patients: int
    above: list[int]
    ranked: list[int]


@dataclass(frozen=True)
class Counts:
    """One hospital's statement of one model, as far as it can be checked.

    sent: bytes by kind of message, as the hospital states them; schema: how many columns, channels
    and hours; sizes: pool -> (patients, records), none where it states nothing; membership: attack
    -> members against held-out patients; planted: the same with a planted leak; halves: two halves
    of the held-out patients against each other; utility: for each outcome, how
    many held-out patients have it and where they stand; columns: sensitive column ->
    attempts; inversion: rows read out of what it sent; protected: how that was protected; withheld:
    what it does not state, and a code of `WITHHELD`.
    """

    hospital: str
    real: bool = True
    sent: Mapping[str, int] = field(default_factory=dict)
    schema: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    membership: Mapping[str, Game] = field(default_factory=dict)
    planted: Mapping[str, Game] = field(default_factory=dict)
    halves: Mapping[str, Game] = field(default_factory=dict)
    utility: tuple[Outcomes, ...] = ()
    columns: Mapping[str, Attempts] = field(default_factory=dict)
    inversion: Attempts | None = None
    protected: str = ""
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether it states anything of its patients."""
        return bool(self.sizes)


def read_counts(hospital: str, text: str, terms: RunTerms) -> Counts:
    """A hospital's statement.

    Raises:
        PrivauditError: It is of another run, or holds what no grading makes.
    """
    try:
        made = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise refuse_counts("they are no JSON") from None
    _have(made, _HEAD, _GRADED)
    if made["form"] != FORM:
        raise refuse_counts("they are of another version")
    if (made["run"], made["terms"]) != (terms.run, terms.fingerprint):
        raise refuse_counts("they are of another run")
    if not isinstance(made["real"], bool):
        raise refuse_counts("whether the records are real is true or false")
    withheld = _read_withheld(made["withheld"])
    if not _GRADED & set(made):
        return Counts(hospital, made["real"], _read_sent(made["sent"]), withheld=withheld)
    _have(made, {"pools", "schema", "membership", "attempts"}, {"utility", *_HEAD})
    sizes = _read_sizes(made["pools"])
    columns, inversion, protected = _read_attempts(made["attempts"], sizes)
    _expect_all({*made["membership"], *made["attempts"], *made} & set(PARTS), withheld, terms)
    return Counts(
        hospital,
        made["real"],
        _read_sent(made["sent"]),
        _read_schema(made["schema"]),
        sizes,
        *_read_membership(made["membership"], sizes),
        _read_utility(made["utility"], sizes) if "utility" in made else (),
        columns,
        inversion,
        protected,
        withheld,
    )


_HEAD = frozenset({"form", "run", "terms", "real", "sent", "withheld"})
_GRADED = frozenset({"pools", "schema", "membership", "attempts", "utility"})


def _have(part: Any, needed: Iterable[str], also: Iterable[str] = ()) -> None:
    """Refuse what is no object with these fields."""
    if not isinstance(part, dict):
        raise refuse_counts("an object was wanted")
    if not set(needed) <= set(part) <= {*needed, *also}:
        raise refuse_counts("its fields are not those of a grading")


def _expect_all(stated: set[str], withheld: Mapping[str, str], terms: RunTerms) -> None:
    """Refuse what leaves out a part that was asked for and does not say why."""
    known = {*MEMBERSHIP, *ATTEMPTS}
    asked = {
        "utility",
        "threshold",
        *ATTEMPTS,
        *(n if n in known else "unknown" for n in terms.grade),
    }
    if stated & set(withheld) or not asked <= stated | set(withheld):
        raise refuse_counts("each part that was asked for is stated, or a code says why not")


def _refuse_constant(_: str) -> None:
    raise ValueError("no number")


def _read_withheld(part: Any) -> dict[str, str]:
    if not isinstance(part, dict) or not set(part) <= set(PARTS):
        raise refuse_counts("what is withheld is a part of a grading")
    if not all(isinstance(code, str) and code in WITHHELD for code in part.values()):
        raise refuse_counts("why it is withheld is one of the known codes")
    return part


def _read_sent(part: Any) -> dict[str, int]:
    if not isinstance(part, dict) or not set(part) <= set(ANSWERS):
        raise refuse_counts("what was sent is of the known kinds of message")
    return {kind: _read_whole(size) for kind, size in part.items()}


def _read_schema(part: Any) -> dict[str, int]:
    _have(part, ("columns", "channels", "hours"))
    return {name: _read_whole(size) for name, size in part.items()}


def _read_whole(part: Any) -> int:
    if isinstance(part, bool) or not isinstance(part, int) or not 0 <= part <= 2**53:
        raise refuse_counts("a number is whole and not negative")
    return part


def _read_size(part: Any, least: int) -> int:
    if isinstance(part, bool) or not isinstance(part, int) or not least <= part <= MOST:
        raise refuse_counts(f"a number of patients is a whole number of {least} or more")
    if part % MIN_CELL:
        raise refuse_counts(f"patients are counted in steps of {MIN_CELL}")
    return part


def _read_sizes(part: Any) -> dict[str, tuple[int, int]]:
    _have(part, POOLS)
    found = {}
    for name in POOLS:
        _have(part[name], ("patients", "records"))
        patients = _read_size(part[name]["patients"], LEAST)
        records = _read_size(part[name]["records"], patients)
        found[name] = (patients, records)
    return found


def _read_membership(
    part: Any, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Game], dict[str, Game], dict[str, Game]]:
    """Games, games with a planted leak, and games between halves, by attack."""
    _have(part, (), MEMBERSHIP)
    both = sizes["members"][0], sizes["nonmembers"][0]
    games, planted, halves = {}, {}, {}
    for name, own in part.items():
        _have(own, ("members", "nonmembers", "planted"), ("halves",))
        games[name] = _read_game(own["members"], own["nonmembers"], both)
        _have(own["planted"], ("members", "nonmembers"))
        planted[name] = _read_game(own["planted"]["members"], own["planted"]["nonmembers"], both)
        if "halves" in own:
            _have(own["halves"], ("patients", "first", "second"))
            half = _read_size(own["halves"]["patients"], LEAST)
            if not 0 <= both[1] - 2 * half < 2 * MIN_CELL:
                raise refuse_counts("two halves come to the held-out patients")
            halves[name] = _read_game(own["halves"]["first"], own["halves"]["second"], (half, half))
    return games, planted, halves


def _read_game(first: Any, second: Any, sizes: tuple[int, int]) -> Game:
    steps = len(LEVELS)
    return Game(read_ladder(first, sizes[0], steps), read_ladder(second, sizes[1], steps), sizes)


def _read_utility(part: Any, sizes: Mapping[str, tuple[int, int]]) -> tuple[Outcomes, ...]:
    _have(part, ("outcomes",))
    outcomes = part["outcomes"]
    if not isinstance(outcomes, list) or len(outcomes) != 2:
        raise refuse_counts("two outcomes were wanted")
    found = []
    for own in outcomes:
        _have(own, ("patients", "above", "ranked"))
        size = _read_size(own["patients"], LEAST)
        above = read_ladder(own["above"], size, len(CUTS))
        found.append(Outcomes(size, above, read_ladder(own["ranked"], size, len(LEVELS))))
    left_out = sizes["nonmembers"][0] - sum(one.patients for one in found)
    if not 0 <= left_out < 2 * MIN_CELL:
        raise refuse_counts("the outcomes do not come to the held-out patients")
    return tuple(found)


def _read_attempts(
    part: Any, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Attempts], Attempts | None, str]:
    _have(part, (), ATTEMPTS)
    columns: dict[str, Attempts] = {}
    if "attribute" in part:
        _have(part["attribute"], ("columns",))
        stated = part["attribute"]["columns"]
        if not isinstance(stated, dict) or not 0 < len(stated) <= COLUMNS:
            raise refuse_counts(f"attempts are on 1 to {COLUMNS} columns")
        for name, own in stated.items():
            if not COLUMN.fullmatch(name):
                raise refuse_counts("a column has a plain name")
            _have(own, ("members", "guess", "control"))
            columns[name] = _read_tried(own, sizes, "nonmembers")
    if "gradient_inversion" not in part:
        return columns, None, ""
    own = part["gradient_inversion"]
    _have(own, ("members", "control", "protected"))
    if own["protected"] not in PROTECTIONS:
        raise refuse_counts("there is no such protection")
    return columns, _read_tried(own, sizes, "members"), own["protected"]


def _read_tried(own: Any, sizes: Mapping[str, tuple[int, int]], control: str) -> Attempts:
    members, others = sizes["members"][0], sizes[control][0]
    guess = read_ladder(own["guess"], members, 2, rising=True) if "guess" in own else None
    found = Attempts(
        read_ladder(own["members"], members, 2, rising=True),
        read_ladder(own["control"], others, 2, rising=True),
        control,
        guess,
    )
    if min(found.members[1], found.control[1]) < MIN_CELL:
        raise refuse_counts("of so few attempts no share is stated")
    if guess is not None and guess[1] != found.members[1]:
        raise refuse_counts("a guess is made on those that were tried")
    return found


__all__ = ["POOLS", "Attempts", "Counts", "Game", "Outcomes", "read_counts"]
