"""A hospital's own records as its part of a run: prepared, split by a secret, and encoded."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.deploy.homes import HospitalHome, make_private
from pipelines.deploy.refused import Refused
from pipelines.deploy.terms import RunTerms
from pipelines.federated.kernel import streams
from privaudit.contracts import Method, Task
from privaudit.disclosure_limits import MIN_CELL
from privaudit.engine import profiles
from privaudit.engine.configure import request
from privaudit.engine.guarantees import claims_guarantee
from privaudit.engine.rare_names import join_rare_names
from privaudit.errors import PrivauditError
from privaudit.records import Records, Split
from privaudit.restricted import keep_from_git
from privaudit.secure_random import SecretGenerator, derive_key

LEAST = 50
"""Patients to train on, where hospital.toml names no other number."""
KEY = "split.key"


@dataclass(frozen=True, eq=False)
class SiteData:
    """What a hospital takes part with. Nothing here leaves it but `schema`, `patients`, `count`.

    Args:
        task, method: As the terms name them, the task with the hospital's own settings.
        split: Trained on, held out, and what an attacker would own; under a guarantee for patients
            one record of each.
        schema: See `state_schema`.
        patients, count: How many patients and records the hospital is said to train on: with noise
            where a guarantee covers them.
        exact_patients: The true number, for this hospital alone.
        least: Fewer patients than this do not take part.
        real: Whether the records describe people.
    """

    task: Task
    method: Method
    split: Split
    schema: str
    patients: int
    count: int
    exact_patients: int
    least: int
    real: bool = True

    @property
    def trained(self) -> Records:
        """The records that are trained on."""
        return self.split.members

    @property
    def too_few(self) -> bool:
        """Whether this hospital is too small, as far as it may be told."""
        return self.patients < self.least

    @property
    def fingerprint(self) -> str:
        """One name for all records and for who is trained on."""
        split = self.split
        pools = (split.members, split.nonmembers, split.reference)
        return hashlib.sha256("".join(pool.fingerprint for pool in pools).encode()).hexdigest()


def open_data(
    home: HospitalHome,
    terms: RunTerms,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> SiteData:
    """Prepare and split this hospital's records, as `privaudit run` would.

    Raises:
        PrivauditError: The task refuses the records; or, as `Refused`, the terms are not such as
            this hospital's records can be used for.
    """
    own = home.read()
    section = own.get("data", {})
    task = _make_task(section, terms)
    _, method = terms.build()
    check_method(terms, method)
    if not section.get("path"):
        # A task without data makes up some, and a run on them would pass for one on patients.
        raise Refused(
            "no_data",
            "a hospital.toml without a path under [data]",
            "it trains on records of its own",
            "join with --data PATH",
        )
    restricted = make_restricted(home)
    prepared = join_rare_names(
        task.prepare(
            _resolve(home, section, "path"),
            _resolve(home, section, "cache") or make_private(restricted / "cache"),
            progress,
        )
    )
    if prepared.split is not None:
        raise Refused(
            "no_data",
            f"the task {terms.task} with members of its own",
            "a hospital decides by its own secret who is trained on",
            "use a task whose records are not split yet",
        )
    if prepared.unguaranteed is not None and claims_guarantee(method):
        raise Refused(
            "no_data",
            f"{terms.method} on records that allow no guarantee",
            "bounds, levels or classes may have been read off them, or nobody says whose they are",
            "check the schema, and say so with the task's setting `checked`",
        )
    records = prepared.records
    if records.outcome_kind != "class":
        raise Refused("no_data", "an outcome that is a number", "only classes can be trained")
    schema = state_schema(records)
    if terms.schema and terms.schema != schema:
        raise Refused(
            "bad_terms",
            "records of another schema than the terms name",
            "columns, channels and classes have to be the same at every hospital",
            "compare the task, its settings and the schema with the operator",
        )
    least = max(int(section.get("least_patients", LEAST)), terms.least_patients, MIN_CELL)
    people = len(np.unique(records.patient))
    if people < 3:
        raise Refused("no_data", "records of fewer than 3 patients", "they cannot be split")
    key = load_key(home)
    split = Split.assign(records, SecretGenerator(derive_key(key, "split")))
    exact = len(np.unique(split.members.patient))
    said = count = exact
    if terms.method == "federated_private":
        # Drawn once for these records under these terms, however often a worker starts.
        rng = SecretGenerator(derive_key(key, "run", terms.fingerprint, records.fingerprint))
        said = count = count_with_noise(method, split.members, exact, rng.child("count"))
        pools = (split.members, split.nonmembers, split.reference)
        split = Split(
            *(choose_one_each(pool, rng.child("rows", i)) for i, pool in enumerate(pools))
        )
    else:
        count = len(split.members)
    return SiteData(task, method, split, schema, said, count, exact, least, prepared.real)


def check_method(terms: RunTerms, method: Method) -> None:
    """Refuse a method whose settings a hospital cannot honour, or should not."""
    from pipelines.deploy.deployable import check_deployable

    try:
        check_deployable(method, len(terms.roster))
    except PrivauditError as error:
        raise Refused("bad_terms", error.what, error.because, error.fix) from None
    if terms.method != "federated_private":
        return
    if terms.seed is not None:
        raise Refused(
            "bad_terms",
            f"federated_private with the seed {terms.seed}",
            "noise that whoever knows the seed can draw again protects nobody",
            "leave the seed out",
        )


def choose_one_each(pool: Records, rng: np.random.Generator) -> Records:
    """One record of each patient, by chance: what `federated_private` trains on."""
    order = rng.permutation(len(pool))
    _, first = np.unique(pool.patient[order], return_index=True)
    return pool.take(np.sort(order[first]))


def count_with_noise(method: Method, members: Records, exact: int, rng: np.random.Generator) -> int:
    """How many patients a hospital is said to have, as `federated_private` counts them."""
    from privaudit.dp.noise import add_gaussian

    own: Any = method
    multiplier = own._count_noise(members)
    (noisy,) = add_gaussian(np.array([float(exact)]), multiplier, 1.0, rng)
    return int(max(np.rint(noisy), np.ceil(2 * multiplier)))


def client_stream(terms: RunTerms, name: str) -> np.random.Generator:
    """A hospital's random stream: the simulation's where the terms name a seed, else secret and
    new at every call."""
    if terms.seed is None:
        return SecretGenerator(os.urandom(32))
    clients = streams(np.random.default_rng(terms.seed))["clients"].spawn(len(terms.roster))
    return clients[terms.roster.index(name)]


def state_schema(records: Records) -> str:
    """sha256 of what has to be the same at every hospital: columns, channels and classes, not the
    names of its wards and subgroups."""
    hours = None if records.series is None else records.series.shape[1]
    parts = [
        [asdict(column) for column in records.columns],
        [asdict(channel) for channel in records.channels],
        hours,
        records.classes,
        records.ordered,
        records.outcome_kind,
        records.image,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_restricted(home: HospitalHome) -> Path:
    """The folder of what never leaves the hospital, kept from version control."""
    folder = make_private(home.root / "restricted")
    keep_from_git(home.root, folder)
    return folder


def load_key(home: HospitalHome) -> bytes:
    """The hospital's secret, which says who is trained on; drawn where there is none yet."""
    path = make_restricted(home) / KEY
    if not path.exists():
        made = path.with_name(f".tmp-{secrets.token_hex(4)}")
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            # Fails where another process was first, whose key is then everybody's.
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    key = path.read_bytes()
    if len(key) != 32:
        raise Refused(
            "bad_state",
            "a split.key that is not 32 bytes long",
            "with another one other patients would be trained on",
            "take it from a backup",
        )
    return key


def _make_task(section: Mapping[str, Any], terms: RunTerms) -> Task:
    """The task with this hospital's own settings, never with the operator's."""
    if section.get("task") != terms.task:
        raise Refused(
            "bad_terms",
            f"a run of the task {terms.task}",
            f"this hospital's hospital.toml names {section.get('task')!r}",
            "join with --task, or ask the operator",
        )
    settings = [str(part) for part in section.get("settings", [])]
    if wrong := [part for part in settings if not part.startswith("task.")]:
        raise PrivauditError(
            f"the setting {wrong[0].split('=')[0]!r} in [data] of hospital.toml",
            "only the task is set there: task.field=value",
            "remove it",
        )
    asked = [part for part in terms.settings if part.startswith("task.")]
    if wrong := [part for part in asked if part not in settings]:
        # `task.equal_rows=true` would switch a refusal off, and a path would be read.
        raise Refused(
            "bad_terms",
            f"the setting {wrong[0].split('=')[0]!r} in the terms",
            "how a hospital reads its records is its own to say",
            "write the same into `settings` under [data] in hospital.toml, if you agree",
        )
    made = request(
        terms.task,
        profiles.PROFILES["smoke"],
        methods=(terms.method,),
        attacks=("threshold",),
        settings=settings,
    )
    return made.task


def _resolve(home: HospitalHome, section: Mapping[str, Any], name: str) -> Path | None:
    given = section.get(name, "")
    return home.root / str(given) if given else None


__all__ = [
    *("LEAST", "SiteData", "check_method", "choose_one_each", "client_stream"),
    *("count_with_noise", "load_key", "make_restricted", "open_data", "state_schema"),
]
