"""privaudit synthesize."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privaudit.errors import PrivauditError

if TYPE_CHECKING:
    from privaudit.contracts import Claim, Generator, Sampler
    from privaudit.inputs.schema import TableSchema
    from privaudit.records import Records

PATH = click.Path(path_type=Path)
LEAST = 50
"""Rows at least to learn from: of fewer, a generator could only repeat people."""
MOST = 10_000_000
ENDINGS = (".csv", ".parquet")
FEW = 10
"""Shares that rest on fewer patients are not printed."""


@click.command("synthesize")
@click.argument("table", type=PATH, required=False)
@click.option("--generator", metavar="NAME", help="See `privaudit list generators`.")
@click.option(
    "--rows",
    type=click.IntRange(1, MOST),
    required=True,
    metavar="N",
    help="Synthetic rows to draw.",
)
@click.option(
    "--out", type=PATH, required=True, metavar="FILE", help="Where to write them: .csv or .parquet."
)
@click.option(
    "--schema",
    "schema_file",
    type=PATH,
    metavar="FILE",
    help="What the columns are. Without it one is proposed and written beside the output.",
)
@click.option(
    "--target", default="", metavar="COLUMN", help="The outcome, where no schema names it."
)
@click.option(
    "--patient", default="", metavar="COLUMN", help="Who the patient is, where no schema names it."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME.FIELD=VALUE",
    help="Change one setting of the generator, e.g. ctgan.epochs=100. Repeatable.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="The same seed gives the same table. Without it every table is another, and noise is secret.",
)
@click.option("--save", type=PATH, metavar="FILE", help="Keep the fitted generator too.")
@click.option(
    "--from",
    "model",
    type=PATH,
    metavar="FILE",
    help="Draw from a generator kept by --save; no TABLE then.",
)
@click.option(
    "--checked",
    is_flag=True,
    help="The schema's bounds and levels are public knowledge although they equal the proposal.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")
def command(**options: Any) -> int:
    """Learn from TABLE (CSV or Parquet) and write a table of synthetic patients.

    Standard output holds the path of the new table alone. A synthetic table is not private because it is
    synthetic: audit it with `privaudit audit-table` before it leaves the house. After Ctrl-C the same
    command goes on where a long training stopped.
    """  # fmt: skip
    start = time.perf_counter()
    _check_places(options)
    if options["model"] is not None:
        kind, sampler, schema, told = _opened(options)
        entropy = _entropy(options["seed"])
        table = _draw(sampler, options["rows"], entropy)
    else:
        kind, sampler, schema, told, table = _learned(options)
    _write(table, sampler, schema, options)
    told |= {
        "out": str(options["out"]),
        "rows": len(table),
        "columns": len(table.columns),
        "generator": kind,
        "saved": str(options["save"]) if options["save"] else None,
        "claim": _claim(sampler.claim),
        "notes": list(sampler.notes),
        "seconds": round(time.perf_counter() - start, 2),
    }
    for note in sampler.notes:
        _say(f"note: {note}")
    _say(f"done: {len(table):,} rows in {told['seconds']:.1f} s; {_promised(sampler.claim)}")
    click.echo(json.dumps(told, indent=1) if options["as_json"] else str(options["out"]))
    return 0


def _check_places(options: Mapping[str, Any]) -> None:
    """Refuse what would fail at the end before anything long begins."""
    out, table, model = options["out"], options["table"], options["model"]
    if out.suffix.lower() not in ENDINGS:
        raise PrivauditError(
            f"--out with the ending {out.suffix or 'none'!r}",
            f"tables are written as {' or '.join(ENDINGS)}",
            "end the file's name in .csv or .parquet",
        )
    if (table is None) == (model is None):
        raise PrivauditError(
            "both a TABLE and --from" if table else "neither a TABLE nor --from",
            "a generator either learns from a table or was kept by --save",
            "give one of the two",
        )
    if table is not None and not options["generator"]:
        from privaudit import plugins

        raise PrivauditError(
            "no --generator",
            f"there are: {', '.join(plugins.members('generators')) or 'none'}",
            "begin with --generator copula, which takes seconds and is hard to beat",
        )
    if model is not None and (options["settings"] or options["save"]):
        raise PrivauditError(
            "--set or --save beside --from",
            "a fitted generator is drawn from as it is",
            "leave them out, or fit again from the table",
        )
    taken = {"--out": out, "--save": options["save"]}
    given = [p for p in (table, model, options["schema_file"]) if p is not None]
    for name, path in taken.items():
        if path is not None and any(_same(path, other) for other in given):
            raise PrivauditError(
                f"{name} names one of the files to be read",
                "it would be replaced by what is made of it",
                "write to another file",
            )
    if options["save"] is not None and _same(out, options["save"]):
        raise PrivauditError(
            "--out and --save name one file", "one would replace the other", "use two names"
        )


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _learned(
    options: Mapping[str, Any],
) -> tuple[str, Sampler, TableSchema, dict[str, Any], Records]:
    from privaudit import plugins
    from privaudit.engine.folder import private
    from privaudit.inputs import read_table as tables
    from privaudit.inputs.user_release import named_classes

    name = options["generator"]
    generator = _built(name, plugins.load("generators", name), options["settings"])
    _keep_apart(generator, options)
    epsilon = getattr(generator, "epsilon", None)
    schema, told = _schema(options, epsilon is not None)
    records = tables.records(options["table"], schema)
    _check_records(records)
    if told["proposed"]:
        named_classes((records,), schema.target)
    _announce(records, schema, name, generator, options)
    if epsilon is not None and options["seed"] is not None:
        _say(
            "warning: the noise comes from --seed: whoever learns the seed can subtract it. "
            "Leave --seed out for a table that is to be handed out."
        )
    state = _state(generator, records, options)
    private(state.parent)
    private(state)
    entropy = _entropy(options["seed"], state / "entropy")
    from privaudit.seeds import Seeds

    with _progress() as progress:
        sampler = generator.fit(
            records, Seeds(entropy).rng("fit", name),
            checkpoint=state / "training", progress=progress,
        )  # fmt: skip
    table = _draw(sampler, options["rows"], entropy)
    if epsilon is None:
        _prevalence(records, table, told)
    shutil.rmtree(state, ignore_errors=True)
    _leave(state.parent)
    return name, sampler, schema, told, table


def _built(name: str, kind: type, settings: Sequence[str]) -> Generator:
    from privaudit.engine.configure import build

    texts = {}
    for text in settings:
        left, equals, value = text.partition("=")
        whose, dot, field = left.strip().partition(".")
        if not (equals and dot and field) or whose != name:
            raise PrivauditError(
                f"a setting {text!r}",
                f"settings of this command read {name}.FIELD=VALUE",
                f"write for example --set {name}.FIELD=VALUE (`privaudit explain {name}` lists the fields)",
            )
        texts[field] = value.strip()
    made: Generator = build(kind, name, texts)
    return made


def _keep_apart(generator: Generator, options: Mapping[str, Any]) -> None:
    """Copies of real rows are written nowhere but into a restricted folder."""
    if not getattr(generator, "copies", False):
        return
    for name in ("out", "save"):
        path = options[name]
        if path is not None and "restricted" not in path.resolve().parent.parts:
            raise PrivauditError(
                f"--{name} outside a folder called restricted",
                f"the generator {options['generator']!r} hands out real rows: it is a yardstick for audits",
                f"write to restricted/{path.name}, or use --generator copula",
            )


def _schema(options: Mapping[str, Any], promised: bool) -> tuple[TableSchema, dict[str, Any]]:
    """The schema given, or one proposed, written beside the output."""
    from privaudit.inputs import schema

    if options["schema_file"] is not None:
        found = schema.read(options["schema_file"])
        _agree(found, options)
        if promised and not options["checked"]:
            proposed, _ = schema.propose(
                options["table"], target=found.target, patient=found.patient
            )
            if [(c.bounds, c.levels) for c in proposed.columns] == [
                (c.bounds, c.levels) for c in found.columns
            ]:
                raise PrivauditError(
                    "a schema with the very bounds and levels that were proposed from the table",
                    "they were read off the data: a promise would not cover what they tell of its extremes",
                    "put in ranges and levels that are public knowledge; where all are, add --checked",
                )
        return found, {"schema": str(options["schema_file"]), "proposed": False}
    if promised:
        raise PrivauditError(
            f"the generator {options['generator']!r} without --schema",
            "its promise needs bounds and levels that are public knowledge; a proposed schema reads them off the data",
            "run `privaudit schema TABLE --out schema.toml`, put in public ranges and levels, and give it with --schema",
        )
    found, notes = schema.propose(
        options["table"], target=options["target"], patient=options["patient"]
    )
    beside = options["out"].with_name(options["out"].stem + ".schema.toml")
    if any(p is not None and _same(beside, p) for p in (options["table"], options["save"])):
        raise PrivauditError(
            "no place for the proposed schema",
            "it would replace a file named in this command",
            "give another --out",
        )
    schema.write(found, beside, notes)
    _say("no --schema: one was proposed from the table. A person must check it:")
    for note in notes:
        _say(f"  check: {note}")
    return found, {"schema": str(beside), "proposed": True, "check": list(notes)}


def _agree(schema: TableSchema, options: Mapping[str, Any]) -> None:
    for role in ("target", "patient"):
        asked, has = options[role], getattr(schema, role)
        if asked and asked != has:
            raise PrivauditError(
                f"--{role} {asked!r} beside a schema whose {role} is {has or 'not named'!r}",
                "the schema says what each column is",
                f"change {role} in the schema, or leave --{role} out",
            )


def _check_records(records: Records) -> None:
    import numpy as np

    if len(records) < LEAST:
        raise PrivauditError(
            f"a table of {len(records)} rows",
            f"a generator learns distributions: from fewer than {LEAST} rows it could only repeat people",
            f"give at least {LEAST} rows; several hundred for anything useful",
        )
    patients = len(np.unique(records.patient))
    if patients < LEAST:
        raise PrivauditError(
            f"a table of {len(records):,} rows of {patients} patients",
            f"many rows of few people are still few people: from fewer than {LEAST} patients a generator "
            "could only repeat them",
            f"give the rows of at least {LEAST} patients; or name the right column with --patient",
        )
    present = np.bincount(records.y, minlength=len(records.classes))
    absent = [c for c, n in zip(records.classes, present, strict=True) if not n]
    if absent:
        _say(f"warning: no row has the outcome {', '.join(map(repr, absent))}: none will be drawn")
    X = records.X
    same, empty = [], []
    for j, column in enumerate(records.columns):
        seen = X[~np.isnan(X[:, j]), j]
        if not len(seen):
            empty.append(column.name)
        elif (seen == seen[0]).all():
            same.append(column.name)
    if same:
        _say(f"note: one value in every row, and so in the new table: {_listed(same)}")
    if empty:
        _say(f"note: never recorded, and so missing in the new table: {_listed(empty)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _announce(
    records: Records, schema: TableSchema, name: str, generator: Generator, options: Mapping[str, Any]
) -> None:  # fmt: skip
    import numpy as np

    patients = len(np.unique(records.patient))
    outcome = (
        f"outcome {schema.target!r} of {len(schema.classes)} classes"
        if schema.target
        else "no outcome named (--target)"
    )
    _say(
        f"will: learn from {len(records):,} rows of {patients:,} patients, {len(schema.columns)} columns, {outcome}"
    )
    if schema.ignored:
        _say(f"      leave aside {_listed(schema.ignored)}")
    promise = getattr(generator, "epsilon", None)
    word = f"promise epsilon {promise:g} per patient" if promise is not None else "promise nothing"
    _say(
        f"      train {name} ({'minutes' if generator.costly else 'seconds'}), {word}, and draw {options['rows']:,} rows"
    )


def _state(generator: Generator, records: Records, options: Mapping[str, Any]) -> Path:
    """A private folder beside the output, named by what is trained on what."""
    text = f"{generator!r}\0{records.fingerprint}\0{options['seed']}"
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder: Path = options["out"].resolve().parent / "restricted"
    return folder / f"{options['out'].stem}-{mark}"


def _entropy(seed: int | None, kept: Path | None = None) -> int:
    """The seed given, or a secret one: kept in the private folder while a training goes on."""
    if seed is not None:
        return seed
    if kept is None:
        return secrets.randbits(128)
    if kept.is_file() and kept.read_text().isdigit():
        return int(kept.read_text())
    drawn = secrets.randbits(128)
    kept.touch(mode=0o600)
    kept.write_text(str(drawn))
    return drawn


def _leave(folder: Path) -> None:
    """Remove the private folder where nothing but its notice is left in it."""
    if {path.name for path in folder.iterdir()} <= {"README.md"}:
        shutil.rmtree(folder, ignore_errors=True)


def _draw(sampler: Sampler, rows: int, entropy: int) -> Records:
    from privaudit.seeds import Seeds

    return sampler.sample(rows, Seeds(entropy).rng("sample"))


def _opened(options: Mapping[str, Any]) -> tuple[str, Sampler, TableSchema, dict[str, Any]]:
    """A fitted generator from its file, and the schema to write its rows by."""
    import numpy as np

    from privaudit import plugins
    from privaudit.inputs import schema

    try:
        file = options["model"].read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the file of --from cannot be read: {error.strerror}",
            "it holds the fitted generator",
            "check the path given",
        ) from None
    name = options["generator"] or _named(file)
    kind: Any = plugins.load("generators", name)
    _keep_apart(kind, {**options, "generator": name})
    sampler = kind.load(file)
    one = sampler.sample(1, np.random.default_rng(0))
    target = options["target"] or "outcome"
    if options["schema_file"] is not None:
        found = schema.read(options["schema_file"])
        _agree(found, options)
        if found.columns != one.columns or (found.target and found.classes != one.classes):
            raise PrivauditError(
                f"a schema of {len(found.columns)} columns for a generator of {len(one.columns)}",
                "its rows are written by the schema that it learnt with",
                "give that schema, or none",
            )
    else:
        named = one.classes if len(one.classes) > 1 else ()
        found = schema.TableSchema(one.columns, target if named else "", named)
    _say(f"will: draw {options['rows']:,} rows of {len(one.columns)} columns from a kept {name}")
    return name, sampler, found, {"schema": None, "proposed": False}


def _named(file: bytes) -> str:
    """The generator that a kept file says it is of. Nothing else of it is read."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive, archive.open("header.json") as stream:
            name = json.loads(stream.read(1 << 25))["generator"]
        if isinstance(name, str):
            return name
    except Exception:  # whatever a damaged or foreign file raises; the reason says nothing more
        pass
    raise PrivauditError(
        "a file of --from that is no kept generator",
        "such a file holds a header and arrays of numbers, as --save writes them; no other is opened",
        "give the file that --save wrote",
    )


def _write(
    table: Records, sampler: Sampler, schema: TableSchema, options: Mapping[str, Any]
) -> None:
    from privaudit.inputs import read_table as tables
    from privaudit.inputs.table_file import appear

    if options["save"] is not None:
        with appear(options["save"]) as part:
            part.write_bytes(sampler.save())
    tables.write(table, schema, options["out"])


def _prevalence(real: Records, table: Records, told: dict[str, Any]) -> None:
    """Say how common each outcome is on both sides: generators get this wrong more than anything."""
    import numpy as np

    if len(real.classes) < 2:
        return
    shares = {}
    for c, name in enumerate(real.classes[:20]):
        patients = [len(np.unique(real.patient[side])) for side in (real.y == c, real.y != c)]
        one = float((real.y == c).mean()) if min(patients) >= FEW else None
        two = float((table.y == c).mean())
        shares[name] = {"real": one, "synthetic": two}
        said = (
            f"{one:.1%}" if one is not None else f"not shown, fewer than {FEW} patients on a side"
        )
        _say(f"outcome {name!r}: {said} real, {two:.1%} synthetic")
    told["outcome"] = shares


def _claim(claim: Claim) -> dict[str, Any] | None:
    if claim.epsilon is None:
        return None
    return {
        "epsilon": claim.epsilon,
        "delta": claim.delta,
        "unit": claim.unit,
        "neighbours": claim.neighbours,
        "basis": claim.basis,
    }


def _promised(claim: Claim) -> str:
    if claim.epsilon is None:
        return "no privacy is promised: audit the table before it is handed out"
    return (
        f"promised: epsilon {claim.epsilon:.3g} at delta {claim.delta:g} per {claim.unit} "
        f"({claim.neighbours}), for this one fit: each fit on the same patients adds its own"
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A function to hand to a training: a bar on a terminal, a line a tenth elsewhere."""
    if not sys.stderr.isatty():
        said: dict[str, int] = {}

        def line(what: str, share: float) -> None:
            tenth, part = int(10 * share), what.partition(":")[0]
            if tenth > said.get(part, -1):
                said[part] = tenth
                _say(f"train: {what} {tenth * 10} %")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("train", total=1.0)
        yield lambda what, share: bar.update(task, completed=share, description=what)


def _say(text: str) -> None:
    click.echo(text, err=True)
