"""From the files that somebody brought to what the engine audits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from privaudit.contracts import FlowStep, Model
from privaudit.errors import PrivauditError
from privaudit.inputs import read_table as tables
from privaudit.inputs import schema as schemas
from privaudit.inputs import user_release as own
from privaudit.inputs.infer_schema import proposal
from privaudit.inputs.models import open_model as models
from privaudit.inputs.models.answers import canonical, probabilities
from privaudit.inputs.models.layout import Encode, Frame, by_name, listed
from privaudit.inputs.models.opened_model import Opened
from privaudit.inputs.schema import TableSchema
from privaudit.records import Column, Records
from privaudit.seeds import Seeds

SAMPLE = 50_000
"""Records a side that are read unless told otherwise."""

WORDS = ("p", "prob", "probability", "proba", "score", "prediction", "predicted", "y_prob", "y_pred", "risk")  # fmt: skip
MEMBER = ("member", "is_member", "membership", "train", "in_train", "trained_on", "split", "set")
INSIDE = ("1", "true", "yes", "member", "members", "train", "training", "in")
OUTSIDE = ("0", "false", "no", "nonmember", "nonmembers", "non-member", "test", "heldout", "held-out", "holdout", "out", "valid", "validation")  # fmt: skip


@dataclass(frozen=True)
class Files:
    """What was named on the command line: paths are read here and told nowhere."""

    members: Path
    nonmembers: Path
    reference: Path | None = None
    schema: Path | None = None
    target: str = ""
    patient: str = ""
    groups: tuple[str, ...] = ()
    sample: int | None = SAMPLE


@dataclass(frozen=True)
class Trust:
    """How far the model's file is trusted, and what it does not say of itself."""

    pickle: bool = False
    module: str = ""
    encode: Encode = ""
    answers: str = ""


def audit(
    path: Path, files: Files, *, trust: Trust, estimator: str, seeds: Seeds, confidence: float
) -> tuple[own.Given, own.Brought, tuple[str, ...]]:
    """The task and the method for a model file and its tables, and notes for the terminal.

    estimator: `module:function`; "" for scikit-learn's clone where the file holds such an estimator;
    "none" for no training again.
    """
    opened, digest = models.unlock(path, trust_pickle=trust.pickle, module=trust.module)
    schema, notes = _schema(files, opened)
    schema, told = _narrowed(schema, opened, trust.encode)
    notes += told
    model = models.bind(opened, schema, encode=trust.encode, answers=trust.answers)
    recipe = _recipe(model, estimator)
    split, flow, facts, read = _read(files, schema, seeds)
    if files.schema is None:
        own.named_classes((split.members, split.nonmembers, split.reference), schema.target)
    twin = None
    if recipe is not None:
        labels = own.in_order(opened.labels, schema.classes) if opened.labels else None
        whole = Frame(schema.names)
        twin = own.twin_of(recipe, model, opened.names, schema.classes, labels, whole)
        try:
            own.tried(twin, split, seeds.rng("tried"))
        except PrivauditError as error:
            if estimator:
                raise
            notes.append(f"The model was not trained again: {error.what}; {error.because}.")
            twin = None
    prepared = own.prepare(
        split, model, seeds=seeds, confidence=confidence, source="the user's own tables",
        flow=flow, notes=(*notes, *read), facts=facts,
    )  # fmt: skip
    how = (f"The model is {opened.form}, read from its file.", *map(_sentence, opened.notes))
    method = own.Brought.of(model, opened.form, digest, notes=how, twin=twin)
    return own.Given.of(prepared, schema.target, _event(schema)), method, (*notes, *read)


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:].rstrip(".") + "."


def _event(schema: TableSchema) -> str:
    last = schema.classes[-1]
    return f"{schema.target} = {last}" if canonical(last) in ("1", "true") else last


def _schema(files: Files, opened: Opened) -> tuple[TableSchema, list[str]]:
    """The schema given, or one proposed from all tables in which no level is put together."""
    if files.schema is not None:
        found = schemas.read(files.schema)
        for role in ("target", "patient"):
            asked = getattr(files, role)
            if asked and asked != getattr(found, role):
                found = replace(found, **{role: asked}) if not getattr(found, role) else _other(role, asked)  # fmt: skip
        notes: list[str] = []
    else:
        paths = [files.members, files.nonmembers]
        whats = ["the members table", "the non-members table"]
        if files.reference is not None:
            paths.append(files.reference)
            whats.append("the reference table")
        _same_columns(paths, whats)
        found, proposed = proposal(
            paths, target=files.target, patient=files.patient, keep=_kept(opened), rare=True,
            whats=whats,
        )  # fmt: skip
        notes = [f"The schema was proposed, not checked: {note}." for note in proposed]
    if not found.target:
        raise PrivauditError(
            "no target",
            "membership is told from how sure the model is of what was recorded",
            "name the outcome's column: --target COLUMN",
        )
    if files.groups:
        found = replace(found, groups=files.groups)
    return _widened(found, opened), notes


def _other(role: str, asked: str) -> TableSchema:
    raise PrivauditError(
        f"--{role} {asked} with a schema that names another",
        "the schema says what each column is",
        f"leave --{role} out, or change the schema",
    )


def _same_columns(paths: Sequence[Path], whats: Sequence[str]) -> None:
    from privaudit.inputs.table_file import source

    names = []
    for path, what in zip(paths, whats, strict=True):
        with source(path, what) as opened:
            names.append(opened.columns)
    for other, what in zip(names[1:], whats[1:], strict=True):
        first, here = set(names[0]), set(other)
        lacking = [name for name in names[0] if name not in here]
        more = [name for name in other if name not in first]
        if lacking or more:
            raise PrivauditError(
                f"{what} lacks {len(lacking)} columns of the members table: {listed(lacking)}; it has "
                f"{len(more)} others: {listed(more)}",
                "the model is asked the same questions of everybody",
                "give tables of the same columns, or a schema (--schema) of those that both have",
            )


def _kept(opened: Opened) -> frozenset[str]:
    """Columns that the model reads by name: they are features, whatever they look like."""
    return frozenset(opened.names or ())


def _widened(schema: TableSchema, opened: Opened) -> TableSchema:
    """A model may know classes that do not occur in these tables: they are part of its answers."""
    own_labels = [canonical(label) for label in opened.labels or ()]
    if not own_labels and opened.classes and opened.classes > len(schema.classes):
        numbers = [str(i) for i in range(opened.classes)]
        if {canonical(c) for c in schema.classes} <= set(numbers):
            own_labels = numbers
    known = {canonical(name): name for name in schema.classes}
    if own_labels and set(known) < set(own_labels):
        return replace(schema, classes=tuple(known.get(label, label) for label in own_labels))
    return schema


def _narrowed(schema: TableSchema, opened: Opened, encode: Encode) -> tuple[TableSchema, list[str]]:
    """Only the columns that the model reads, where it names them."""
    if opened.names is None:
        return schema, ["The model names no features: the columns are read in the order of the schema."]  # fmt: skip
    texts = {c.name: c.levels for c in schema.columns}
    layout = by_name(opened.names, schema.columns, encode=encode or "codes", known=texts)
    kept = tuple(c for j, c in enumerate(schema.columns) if j in layout.columns)
    left = [c.name for j, c in enumerate(schema.columns) if j not in layout.columns]
    if not left:
        return schema, []
    note = f"The model does not read {len(left)} columns of the tables, which were left aside: {listed(left)}."
    return replace(schema, columns=kept, ignored=(*schema.ignored, *left)), [note]


def _recipe(model: Model, estimator: str):  # type: ignore[no-untyped-def]
    if estimator == "none":
        return None
    if estimator and estimator != "clone":
        return own.named(estimator)
    found = own.cloned(getattr(model, "held", None))
    if found is None and estimator == "clone":
        raise PrivauditError(
            "--estimator clone for a model that scikit-learn cannot clone",
            "only scikit-learn's own way of naming parameters tells how to train again",
            "give --estimator module:function",
        )
    return found


def _read(files: Files, schema: TableSchema, seeds: Seeds):  # type: ignore[no-untyped-def]
    keys: dict[str, int] = {}
    most = files.sample
    share = None if most is None else round(most / (1 - own.REFERENCE))
    sizes = {"members": most, "non-members": most if files.reference else share, "reference": most}
    paths = {
        "members": files.members,
        "non-members": files.nonmembers,
        "reference": files.reference,
    }
    read: dict[str, Records] = {}
    whole: dict[str, int] = {}
    for what, path in paths.items():
        if path is not None:
            read[what], whole[what] = tables.counted(
                path, schema, what=what, keys=keys, most=sizes[what], rng=seeds.rng("read", what)
            )
    split, notes = own.pools(
        read["members"], read["non-members"], read.get("reference"), seeds.rng("reference"),
        schema.patient,
    )  # fmt: skip
    drawn = {what: (len(part), whole[what]) for what, part in read.items() if len(part) < whole[what]}  # fmt: skip
    if drawn:
        told = "; ".join(f"{n:,} of {of:,} rows of the {what} table" for what, (n, of) in drawn.items())  # fmt: skip
        notes = (
            *notes,
            f"Of large tables a sample of whole patients was drawn by lot: {told} (--sample).",
        )
    rows, left = sum(whole.values()), sum(whole.values()) - sum(map(len, read.values()))
    kept = sum(map(len, read.values()))
    patients = sum(len(np.unique(part.patient)) for part in read.values())
    flow = (FlowStep("rows of the tables, less those not drawn into the sample", left, kept, patients),)  # fmt: skip
    return split, flow, {"rows of the tables": rows}, notes


# No model, but what it answered


@dataclass(frozen=True)
class Asked:
    """A file of probabilities: which columns hold them, and who is a member."""

    path: Path
    target: str
    member: str = ""
    probabilities: tuple[str, ...] = ()
    patient: str = ""
    groups: tuple[str, ...] = ()
    sample: int | None = SAMPLE


@dataclass(frozen=True, eq=False)
class Told:
    """A model of which only its answers for these records are known: the records hold their logarithms."""

    classes: int

    def predict_proba(self, records: Records) -> np.ndarray:
        """(n, classes): see `privaudit.contracts.Model`."""
        from privaudit.inputs.models.answers import from_logits

        return from_logits(records.X, len(records), self.classes)


def predictions(
    asked: Asked, *, seeds: Seeds, confidence: float
) -> tuple[own.Given, own.Brought, tuple[str, ...]]:
    """The task and the method for a table of probabilities with outcomes and membership."""
    import hashlib

    from privaudit.inputs.table_file import source

    what = "the predictions table"
    with source(asked.path, what) as opened:
        names = opened.columns
    if not asked.target:
        raise PrivauditError(
            "--predictions without --target",
            "membership is told from how sure the model is of what was recorded",
            "name the column of the recorded outcome: --target COLUMN",
        )
    member = _role(asked.member, MEMBER, names, "--member", "who was trained on (1 or 0)")
    rest = [n for n in names if n not in (asked.target, member, asked.patient, *asked.groups)]
    classes = _classes(asked, what)
    columns = _probability_columns(asked.probabilities, rest, classes)
    schema = TableSchema(
        tuple(Column(name) for name in columns), asked.target, classes, asked.patient,
        (*asked.groups, member),
    )  # fmt: skip
    most = None if asked.sample is None else 2 * asked.sample
    read, rows = tables.counted(
        asked.path, schema, what="predictions", most=most, rng=seeds.rng("read", "predictions")
    )
    own.named_classes((read,), asked.target)
    inside = _inside(read.groups[member], member)
    p = probabilities(
        read.X.astype(np.float64), len(read), len(classes), who="the predictions table"
    )
    # Logarithms keep the order of answers that are nearly sure, which a float32 probability does not.
    logs = np.log(np.clip(p, 1e-300, 1.0))
    groups = {name: read.groups[name] for name in asked.groups}
    told = Records(
        tuple(Column(f"log probability of {name}") for name in classes), logs, read.y, read.patient,
        read.site, groups=groups, classes=classes,
    )  # fmt: skip
    split, notes = own.pools(
        told.take(inside), told.take(~inside), None, seeds.rng("reference"), asked.patient
    )
    model = Told(len(classes))
    if len(read) < rows:
        notes = (*notes, f"A sample of {len(read):,} of {rows:,} rows was drawn, whole patients by lot.")  # fmt: skip
    prepared = own.prepare(
        split, model, seeds=seeds, confidence=confidence, source="the user's own table of probabilities",
        notes=notes, reads=False,
    )  # fmt: skip
    digest = hashlib.sha256(told.fingerprint.encode()).hexdigest()
    method = own.Brought.of(model, "probabilities", digest, notes=(own.ANSWERS_ONLY,))
    return own.Given.of(prepared, asked.target, _event(schema)), method, notes


def _role(given: str, words: Sequence[str], names: Sequence[str], option: str, what: str) -> str:
    if given:
        if given not in names:
            raise PrivauditError(
                f"{option} {given}",
                f"the predictions table has: {listed(list(names))}",
                "name one of its columns",
            )
        return given
    found = [name for name in names if name.strip().lower() in words]
    if len(found) != 1:
        raise PrivauditError(
            f"{len(found)} columns of the predictions table look like {what}",
            f"it has: {listed(list(names))}",
            f"name the column: {option} COLUMN",
        )
    return found[0]


def _classes(asked: Asked, what: str) -> tuple[str, ...]:
    proposed, _ = proposal([asked.path], target=asked.target, rare=True, whats=[what])
    return proposed.classes


def _probability_columns(
    given: tuple[str, ...], rest: Sequence[str], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """One column for two classes (of the last one), else one a class in the order of the classes."""
    if given:
        absent = [name for name in given if name not in rest]
        if absent or len(given) not in (1, len(classes)):
            raise PrivauditError(
                f"--probabilities {','.join(given)}",
                f"it names one column (of the class {classes[-1]!r}) or {len(classes)}, in the order "
                f"{', '.join(classes)}; columns left are: {listed(list(rest))}",
                "name the columns that hold probabilities",
            )
        return given
    per = []
    for name in classes:
        forms = [f"{word}{mark}{name}".lower() for word in WORDS for mark in ("_", "", ".", "=")]
        per.append([column for column in rest if column.lower() in forms])
    if all(len(found) == 1 for found in per):
        return tuple(found[0] for found in per)
    single = [column for column in rest if column.lower() in WORDS]
    if len(single) == 1 and len(classes) == 2:
        return (single[0],)
    raise PrivauditError(
        "no column of the predictions table looks like probabilities",
        f"expected is one called {', '.join(WORDS[:4])}, or one a class (p_{classes[0]}, ...)",
        "name them: --probabilities A,B",
    )


def _inside(labels: np.ndarray, member: str) -> np.ndarray:
    lower = np.char.lower(labels.astype(str))
    # A whole number may have been spelled with a point.
    lower = np.where(np.isin(lower, ("1.0", "0.0")), np.char.replace(lower, ".0", ""), lower)
    inside, outside = np.isin(lower, INSIDE), np.isin(lower, OUTSIDE)
    strange = int((~(inside | outside)).sum())
    if strange:
        raise PrivauditError(
            f"{strange:,} rows whose {member!r} is neither member nor non-member",
            "read are 1, true, yes, member, train and 0, false, no, nonmember, test",
            "say of each row whether the model was trained on it",
        )
    if not inside.any() or inside.all():
        raise PrivauditError(
            "a predictions table with members alone" if inside.any() else "a predictions table without members",
            "an audit compares members with non-members",
            "give rows of both",
        )  # fmt: skip
    return inside


__all__ = ["Asked", "Files", "Trust", "audit", "predictions"]
