"""The data contract: columns, records of stays, and the split that makes an audit fair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from privaudit.errors import PrivauditError

OutcomeKind = Literal["class", "number", "time"]
"""What the outcome is: one of several classes, a number such as a length of stay in days, or a time
to an event, which a record may leave before it happens."""


@dataclass(frozen=True)
class Column:
    """One column of a table, as publicly known: nothing here is ever read off the data.

    A `category` column holds codes 0..len(levels)-1. `variable` and `statistic` say what a summary
    column summarises (`heart_rate`, `max`), so that an evasion attack or a generator can keep min
    <= mean <= max; a "pixel" of a picture is never missing. integer: whole numbers only; at_most:
    the column that this one never exceeds.
    """

    name: str
    kind: Literal["numeric", "binary", "category"] = "numeric"
    bounds: tuple[float, float] | None = None
    levels: tuple[str, ...] = ()
    sensitive: bool = False
    mutable: bool = True
    unit: str = ""
    variable: str = ""
    statistic: Literal["", "first", "last", "min", "max", "mean", "count", "measured", "pixel"] = ""
    integer: bool = False
    at_most: str = ""


@dataclass(frozen=True, eq=False)
class Records:
    """A table of stays: one row each, with the outcome and the patient who is the unit of privacy.

    X: (n, d) float32, NaN where nothing was measured; y: (n,) int64 class codes 0..k-1, with
    k = len(classes), or, with no classes, (n,) float64: a number in its own unit, or a time to an
    event, negative where the record was censored at that time; patient: (n,) int64; site: (n,)
    int64, an index into `sites`; series: (n, hours, channels) float32, NaN = not measured in that
    hour; groups: name -> (n,) array of str, for subgroup tables. ordered: whether the classes are
    listed in an order that means something, as buckets of a length of stay are: said by whoever
    made the records, never guessed. image: (height, width, channels) where X holds the pixels of
    one picture a row, row by row, channels last; every column is then a pixel.
    """

    columns: tuple[Column, ...]
    X: np.ndarray
    y: np.ndarray
    patient: np.ndarray
    site: np.ndarray
    series: np.ndarray | None = None
    channels: tuple[Column, ...] = ()
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    classes: tuple[str, ...] = ("no", "yes")
    sites: tuple[str, ...] = ("all",)
    outcome_kind: OutcomeKind = "class"
    ordered: bool = False
    image: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "columns", tuple(self.columns))
        put(self, "channels", tuple(self.channels))
        put(self, "X", np.ascontiguousarray(self.X, dtype=np.float32))
        kind = np.int64 if self.outcome_kind == "class" else np.float64
        put(self, "y", np.ascontiguousarray(self.y, dtype=kind))
        put(self, "patient", np.ascontiguousarray(self.patient, dtype=np.int64))
        put(self, "site", np.ascontiguousarray(self.site, dtype=np.int64))
        put(self, "groups", {name: np.asarray(g).astype(str) for name, g in self.groups.items()})
        if self.series is not None:
            put(self, "series", np.ascontiguousarray(self.series, dtype=np.float32))
        self._check()

    def _check(self) -> None:
        if self.X.ndim != 2 or self.X.shape[1] != len(self.columns):
            raise PrivauditError(
                f"a table of shape {self.X.shape} with {len(self.columns)} columns described",
                "every column of X needs one Column",
                "pass X of shape (rows, columns) and one Column for each",
            )
        n = len(self.X)
        lengths = {"y": self.y.shape, "patient": self.patient.shape, "site": self.site.shape}
        lengths |= {f"groups[{name!r}]": g.shape for name, g in self.groups.items()}
        wrong = {name: shape for name, shape in lengths.items() if shape != (n,)}
        if wrong:
            raise PrivauditError(
                f"arrays whose length is not {n}: {wrong}",
                "every array holds one entry a row",
                "pass one entry for every row of X",
            )
        if np.isinf(self.X).any():
            raise PrivauditError(
                "infinite values in X",
                "a model cannot learn from infinity",
                "replace infinite values by NaN, which means not measured",
            )
        if self.outcome_kind != "class":
            self._check_numbers()
        elif n and (self.y.min() < 0 or self.y.max() >= len(self.classes)):
            raise PrivauditError(
                f"outcome codes from {self.y.min()} to {self.y.max()}",
                f"the {len(self.classes)} classes have codes from 0 to {len(self.classes) - 1}",
                "code the outcome 0..k-1 and name every class in `classes`",
            )
        if n and (self.site.min() < 0 or self.site.max() >= len(self.sites)):
            raise PrivauditError(
                f"site codes from {self.site.min()} to {self.site.max()}",
                f"{len(self.sites)} sites are named",
                "code sites 0..s-1 and name every site in `sites`",
            )
        if self.image is not None and (
            len(self.image) != 3 or int(np.prod(self.image)) != len(self.columns)
        ):
            raise PrivauditError(
                f"pictures of {self.image} with {len(self.columns)} columns",
                "a picture is (height, width, channels) and every pixel is one column",
                "pass one column for every pixel and channel",
            )
        if self.series is not None and (
            self.series.ndim != 3
            or self.series.shape[0] != n
            or self.series.shape[2] != len(self.channels)
        ):
            raise PrivauditError(
                f"a series of shape {self.series.shape} for {n} rows and {len(self.channels)} "
                "channels",
                "a series is (rows, hours, channels)",
                "describe every channel with one Column",
            )

    def _check_numbers(self) -> None:
        if self.classes:
            raise PrivauditError(
                f"an outcome that is a number, with {len(self.classes)} classes",
                "a number has no classes",
                "leave `classes` empty, or say that the outcome is a class",
            )
        if self.ordered:
            raise PrivauditError(
                f"an outcome that is a {self.outcome_kind}, with ordered classes",
                "a number has no classes that could be ordered",
                "leave `ordered` out, or say that the outcome is a class",
            )
        if not np.isfinite(self.y).all():
            raise PrivauditError(
                f"{int((~np.isfinite(self.y)).sum()):,} outcomes that are no finite number",
                "an audit needs to know every outcome",
                "drop these rows",
            )

        if self.outcome_kind == "time" and not self.y.all():
            raise PrivauditError(
                f"{int((self.y == 0).sum()):,} times to the event that are 0",
                "nobody is at risk for no time, and the sign says whether the event happened",
                "drop these rows, or give the smallest time that can be told apart",
            )

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: np.ndarray | Sequence[int] | slice) -> Records:
        """The rows given by an index array, a mask or a slice, in that order."""
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            patient=self.patient[rows],
            site=self.site[rows],
            series=None if self.series is None else self.series[rows],
            groups={name: g[rows] for name, g in self.groups.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Records]) -> Records:
        """One table from several of one schema, in order."""
        first = parts[0]
        if any(p.schema != first.schema for p in parts[1:]):
            raise PrivauditError(
                "tables of different schemas",
                "rows can only be joined when columns, channels and classes agree",
                "build all tables by the same pipeline",
            )
        return replace(
            first,
            X=np.concatenate([p.X for p in parts]),
            y=np.concatenate([p.y for p in parts]),
            patient=np.concatenate([p.patient for p in parts]),
            site=np.concatenate([p.site for p in parts]),
            series=None
            if first.series is None
            else np.concatenate([p.series for p in parts if p.series is not None]),
            groups={g: np.concatenate([p.groups[g] for p in parts]) for g in first.groups},
        )

    @cached_property
    def schema(self) -> str:
        """What the columns are, as one JSON string; equal schemas mean interchangeable tables."""
        hours = None if self.series is None else self.series.shape[1]
        parts = [
            [asdict(c) for c in self.columns],
            [asdict(c) for c in self.channels],
            hours,
            self.classes,
            self.sites,
            sorted(self.groups),
        ]
        if self.image is not None:
            parts = [*parts, ["image", *self.image]]
        # The schema of classes is as it was before there were other outcomes: stores outlive that.
        if self.ordered:
            return json.dumps([*parts, "ordered"])
        return json.dumps(parts if self.outcome_kind == "class" else [*parts, self.outcome_kind])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the schema and of every byte: equal fingerprints mean equal tables."""
        digest = hashlib.sha256(self.schema.encode())
        for array in (self.X, self.y, self.patient, self.site, self.series):
            if array is not None:
                digest.update(repr(array.shape).encode())
                digest.update(array.tobytes())
        for name in sorted(self.groups):
            digest.update("\0".join([name, *self.groups[name].tolist()]).encode())
        return digest.hexdigest()

    @cached_property
    def content(self) -> str:
        """sha256 of the schema and of what each patient's rows hold, whatever their order and the
        patients' keys: writing the rows of a table in another order makes no other data."""
        arrays = [part for part in (self.X, self.y, self.site, self.series) if part is not None]
        groups = [(name, self.groups[name].tolist()) for name in sorted(self.groups)]
        rows: dict[Any, list[bytes]] = {}
        for index, patient in enumerate(self.patient.tolist()):
            digest = hashlib.sha256()
            for array in arrays:
                digest.update(array[index].tobytes())
            digest.update("\0".join(f"{name}\0{values[index]}" for name, values in groups).encode())
            rows.setdefault(patient, []).append(digest.digest())
        own = sorted(hashlib.sha256(b"".join(sorted(part))).digest() for part in rows.values())
        return hashlib.sha256(self.schema.encode() + b"\0" + b"".join(own)).hexdigest()


@dataclass(frozen=True, eq=False)
class Split:
    """Who was trained on, who was not, and what the attacker owns: three pools of patients.

    members and nonmembers are exchangeable: each patient was assigned to one at random. No
    patient is in two pools; the schema is one; none is empty.
    """

    members: Records
    nonmembers: Records
    reference: Records

    def __post_init__(self) -> None:
        pools = {
            "members": self.members,
            "nonmembers": self.nonmembers,
            "reference": self.reference,
        }
        empty = [name for name, pool in pools.items() if not len(pool)]
        if empty:
            raise PrivauditError(
                f"no records in: {', '.join(empty)}",
                "an audit compares members with non-members, and the attacker owns a third pool",
                "use more patients (a few hundred give a meaningful audit)",
            )
        if len({pool.schema for pool in pools.values()}) > 1:
            raise PrivauditError(
                "pools with different columns",
                "members, non-members and reference must be one kind of table",
                "split one table of records",
            )
        ids = [np.unique(pool.patient) for pool in pools.values()]
        joined = np.concatenate(ids)
        shared = len(joined) - len(np.unique(joined))
        if shared:
            raise PrivauditError(
                f"{shared} patients are in two pools",
                "a patient on both sides makes the audit read a leak that is none, or miss one",
                "split by patient, for example with Split.assign",
            )

    @classmethod
    def assign(cls, records: Records, rng: np.random.Generator, reference: float = 0.2) -> Split:
        """Assign patients to pools at random: `reference` of them to the attacker, each other
        one to the members or the non-members with equal chance."""
        if not 0 < reference < 1:
            raise PrivauditError(
                f"a reference share of {reference}",
                "it is a share of the patients, above 0 and below 1",
                "use 0.2 unless you have a reason",
            )
        ids = np.unique(records.patient)
        if len(ids) < 3:
            raise PrivauditError(
                f"{len(ids)} patient(s)",
                "three pools need at least three patients",
                "use more patients (a few hundred give a meaningful audit)",
            )
        order = rng.permutation(ids)
        owned = max(1, round(reference * len(ids)))
        is_member = rng.random(len(ids) - owned) < 0.5
        if is_member.all() or not is_member.any():
            is_member[0] = not is_member[0]
        rest = order[owned:]
        pools = (rest[is_member], rest[~is_member], order[:owned])
        return cls(*(records.take(np.isin(records.patient, pool)) for pool in pools))

    @cached_property
    def audit(self) -> Records:
        """Members, then non-members: the records whose membership an attack must tell."""
        return Records.concatenate([self.members, self.nonmembers])

    @cached_property
    def is_member(self) -> np.ndarray:
        """(len(audit),) bool, the answer sheet of the membership game."""
        return np.arange(len(self.members) + len(self.nonmembers)) < len(self.members)


def row_codes(records: Records) -> np.ndarray:
    """(n,) uint64: a code of each row's inputs and outcome; equal rows have equal codes.

    A multilinear hash of the bytes modulo 2^64 with fixed random odd factors, in one pass.
    """
    rng = np.random.default_rng(20240607)
    n = len(records)
    y = records.y if records.outcome_kind == "class" else (records.y + 0.0).view(np.uint64)
    codes = y.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for table in (records.X, records.series):
        if table is None:
            continue
        flat = np.ascontiguousarray(table).reshape(n, -1).view(np.uint32)
        factors = rng.integers(0, 2**63, flat.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
            1
        )
        step = max(1, 2**21 // max(1, flat.shape[1]))
        for start in range(0, n, step):
            part = flat[start : start + step].astype(np.uint64) + np.uint64(1)
            # The product's high bits carry the mixing; folding them in keeps low bits from
            # aligning.
            product = part * factors
            codes[start : start + step] += (product ^ (product >> np.uint64(29))).sum(
                axis=1, dtype=np.uint64
            )
    return codes
