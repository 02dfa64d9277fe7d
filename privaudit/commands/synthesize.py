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

from privaudit.commands._inputs import OUTCOME, PATIENT
from privaudit.commands._options import JSON, PATH, option, with_options
from privaudit.commands._synthetic_schema import are_same, find_schema
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.words import USUAL

if TYPE_CHECKING:
    from privaudit.contracts import Claim, Generator, Sampler
    from privaudit.inputs.schema import TableSchema
    from privaudit.records import Records

MIN_ROWS = 50
"""Rows and patients to train on: of fewer, a generator could only repeat people."""

MAX_ROWS = 10_000_000
ENDINGS = (".csv", ".parquet")
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Steps in which the real share of an outcome is printed."""

_SCHEMA = (
    "What the columns are, as `privaudit schema` proposes it. [default: proposed, and written "
    "beside "
    "the output]"
)
_SET = "Change one setting of the generator, such as ctgan.epochs=100. Repeatable."
_SEED = "The same seed gives the same table. [default: a secret one, so that noise stays secret]"
_CHECKED = (
    "What the schema states of this column is public knowledge, although it may have been read off "
    "the data; `all` for every column. Repeatable; for private generators."
)


@click.command("synthesize")
@click.argument("table", type=PATH, required=False)
@with_options(
    option("--generator", "NAME", "The generator; see `privaudit list generators`."),
    option("--rows", "N", "Synthetic rows to draw.", click.IntRange(1, MAX_ROWS), required=True),
    option("--out", "FILE", "Where to write them: .csv or .parquet.", PATH, required=True),
    option("--schema", "FILE", _SCHEMA, PATH),
    OUTCOME,
    PATIENT,
    click.option("--set", "settings", multiple=True, metavar="NAME.FIELD=VALUE", help=_SET),
    option("--seed", "N", _SEED, click.IntRange(min=0)),
    option("--save", "FILE", "Store the fitted generator too.", PATH),
    click.option(
        "--from",
        "model",
        type=PATH,
        metavar="FILE",
        help="Draw from a generator that --save stored; no TABLE then.",
    ),
    click.option("--checked", multiple=True, metavar="COLUMN", help=_CHECKED),
    JSON,
)
def command(**options: Any) -> int:
    """Make a synthetic table from TABLE, a CSV or Parquet file.

    A synthetic table is not private because it is synthetic: audit it with `privaudit audit-table`
    before it is handed out. After Ctrl-C the same command resumes where a long training stopped.
    Prints the path of the new table.
    """
    start = time.perf_counter()
    _check_paths(options)
    if options["model"] is not None:
        kind, sampler, schema, answer = _load(options)
        entropy = _choose_entropy(options["seed"])
        table = _draw(sampler, options["rows"], entropy)
    else:
        kind, sampler, schema, answer, table = _train(options)
    _write(table, sampler, schema, options)
    answer |= {
        "out": str(options["out"]),
        "rows": len(table),
        "columns": len(table.columns),
        "generator": kind,
        "saved": str(options["save"]) if options["save"] else None,
        "claim": _claim(sampler.claim),
        "notes": list(map(USUAL.fill, sampler.notes)),
        "seconds": round(time.perf_counter() - start, 2),
    }
    for note in answer["notes"]:
        _print(f"note: {note}")
    _print(
        f"done: {len(table):,} rows in {answer['seconds']:.1f} s; {_describe_claim(sampler.claim)}"
    )
    click.echo(json.dumps(answer, indent=1) if options["as_json"] else str(options["out"]))
    return 0


def _check_paths(options: Mapping[str, Any]) -> None:
    """Refuse what would fail at the end before any training begins."""
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
            "a generator is either trained on a table or was stored by --save",
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
    given = [p for p in (table, model, options["schema"]) if p is not None]
    for name, path in taken.items():
        if path is not None and any(are_same(path, other) for other in given):
            raise PrivauditError(
                f"{name} names one of the files to be read",
                "it would be replaced by what is made of it",
                "write to another file",
            )
    if options["save"] is not None and are_same(out, options["save"]):
        raise PrivauditError(
            "--out and --save name one file", "one would replace the other", "use two names"
        )


def _train(options: Mapping[str, Any]) -> tuple[str, Sampler, TableSchema, dict[str, Any], Records]:
    from privaudit import plugins
    from privaudit.engine.folder import private
    from privaudit.inputs import read_table

    name = options["generator"]
    generator = _build(name, plugins.load("generators", name), options["settings"])
    _require_restricted(generator, options)
    epsilon = getattr(generator, "epsilon", None)
    schema, answer = find_schema(options, epsilon is not None, _print)
    records = read_table.read_table(options["table"], schema)
    _check_records(records)
    if epsilon is None:
        _check_classes(records, schema.outcome)
        _note_constants(records)
    _announce(records, schema, name, generator, options)
    if epsilon is not None and options["seed"] is not None:
        _print(
            "warning: the noise comes from --seed: whoever knows the seed can subtract it. "
            "Leave --seed out for a table that is to be handed out."
        )
    state = _name_state(generator, records, options)
    private(state.parent)
    private(state)
    entropy = _choose_entropy(options["seed"], state / "entropy")
    from privaudit.seeds import Seeds

    with _progress() as progress:
        sampler = generator.fit(
            records,
            Seeds(entropy).secret_rng("fit", name),
            checkpoint=state / "training",
            progress=progress,
        )
    table = _draw(sampler, options["rows"], entropy)
    if epsilon is None:
        _compare_prevalence(records, table, answer)
    shutil.rmtree(state, ignore_errors=True)
    _remove_if_empty(state.parent)
    return name, sampler, schema, answer, table


def _build(name: str, kind: type, settings: Sequence[str]) -> Generator:
    from privaudit.engine.configure import build

    texts = {}
    for text in settings:
        left, equals, value = text.partition("=")
        whose, dot, field = left.strip().partition(".")
        if not (equals and dot and field) or whose != name:
            raise PrivauditError(
                f"a setting {text!r}",
                f"settings of this command read {name}.FIELD=VALUE",
                f"write for example --set {name}.FIELD=VALUE (`privaudit explain {name}` lists the "
                "fields)",
            )
        texts[field] = value.strip()
    made: Generator = build(kind, name, texts)
    return made


def _require_restricted(generator: Generator, options: Mapping[str, Any]) -> None:
    """Copies of real rows are written nowhere but into a restricted folder."""
    if not getattr(generator, "copies", False):
        return
    for name in ("out", "save"):
        path = options[name]
        if path is not None and "restricted" not in path.resolve().parent.parts:
            raise PrivauditError(
                f"--{name} outside a folder called restricted",
                f"the generator {options['generator']!r} hands out real rows: it is a reference "
                "for audits",
                f"write to restricted/{path.name}, or use --generator copula",
            )


def _check_records(records: Records) -> None:
    import numpy as np

    if len(records) < MIN_ROWS:
        raise PrivauditError(
            f"a table of fewer than {MIN_ROWS} rows",
            "a generator models distributions: from so few rows it could only repeat people",
            f"give at least {MIN_ROWS} rows; several hundred for anything useful",
        )
    if len(np.unique(records.patient)) < MIN_ROWS:
        raise PrivauditError(
            f"a table of {_count(len(records))} rows of fewer than {MIN_ROWS} patients",
            "many rows of few people are still few people, whom a generator could only repeat",
            f"give the rows of at least {MIN_ROWS} patients; or name the right column with "
            "--patient",
        )


def _check_classes(records: Records, outcome: str) -> None:
    """Refuse outcomes that a few patients have; a guarantee, where one is claimed, covers them."""
    import numpy as np

    patients = [
        len(np.unique(records.patient[records.y == c])) for c in range(len(records.classes))
    ]
    few = sum(0 < count < MIN_CELL for count in patients)
    if few:
        raise PrivauditError(
            f"the outcome {outcome!r} has {few} classes of fewer than {MIN_CELL} patients",
            "whatever a generator learns of so few patients is theirs",
            "join them with another class, leave these patients out, or use a private generator "
            "such as dp_histogram",
        )
    absent = [c for c, n in zip(records.classes, patients, strict=True) if not n]
    if absent:
        _print(
            f"warning: no row has the outcome {', '.join(map(repr, absent))}: none will be drawn"
        )


def _note_constants(records: Records) -> None:
    """Columns of one value, and without any, for the person who holds the table."""
    import numpy as np

    X = records.X
    same, empty = [], []
    for j, column in enumerate(records.columns):
        there = ~np.isnan(X[:, j])
        seen = X[there, j]
        if len(np.unique(records.patient[there])) < MIN_CELL:
            empty.append(column.name)
        elif (seen == seen[0]).all():
            same.append(column.name)
    if same:
        _print(f"note: one value in every row, and so in the new table: {_listed(same)}")
    if empty:
        _print(
            f"note: recorded for fewer than {MIN_CELL} patients or for none, and so missing in the "
            f"new table: {_listed(empty)}"
        )


def _count(count: int) -> str:
    """A count of real rows or patients as it is printed: rounded to tens."""
    return f"about {round(count, -1):,}" if count >= MIN_CELL else f"fewer than {MIN_CELL}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _announce(
    records: Records,
    schema: TableSchema,
    name: str,
    generator: Generator,
    options: Mapping[str, Any],
) -> None:
    import numpy as np

    patients = len(np.unique(records.patient))
    outcome = (
        f"outcome {schema.outcome!r} of {len(schema.classes)} classes"
        if schema.outcome
        else "no outcome named (--outcome)"
    )
    _print(
        f"will: train on {_count(len(records))} rows of {_count(patients)} patients, "
        f"{len(schema.columns)} columns, {outcome}"
    )
    if schema.ignored:
        _print(f"      leave aside {_listed(schema.ignored)}")
    epsilon = getattr(generator, "epsilon", None)
    claim = "no privacy claimed" if epsilon is None else f"epsilon {epsilon:g} per patient"
    _print(
        f"      train {name} ({'minutes' if generator.costly else 'seconds'}), {claim}, and draw "
        f"{options['rows']:,} rows"
    )


def _name_state(generator: Generator, records: Records, options: Mapping[str, Any]) -> Path:
    """A private folder beside the output, named by what is trained on what."""
    text = f"{generator!r}\0{records.fingerprint}\0{options['seed']}"
    mark = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder: Path = options["out"].resolve().parent / "restricted"
    return folder / f"{options['out'].stem}-{mark}"


def _choose_entropy(seed: int | None, file: Path | None = None) -> int:
    """The seed given, or a secret one: stored in the private folder while a training goes on."""
    if seed is not None:
        return seed
    if file is None:
        return _draw_entropy()
    if file.is_file() and file.read_text().isdigit():
        return int(file.read_text())
    drawn = _draw_entropy()
    file.touch(mode=0o600)
    file.write_text(str(drawn))
    return drawn


def _draw_entropy() -> int:
    """256 bits, the first of them 1: `Seeds` tells such a number from a seed that was typed in."""
    return secrets.randbits(255) | 1 << 255


def _remove_if_empty(folder: Path) -> None:
    """Remove the private folder where nothing but its notice is left in it."""
    if {path.name for path in folder.iterdir()} <= {"README.md"}:
        shutil.rmtree(folder, ignore_errors=True)


def _draw(sampler: Sampler, rows: int, entropy: int) -> Records:
    from privaudit.seeds import Seeds

    return sampler.sample(rows, Seeds(entropy).secret_rng("sample"))


def _load(options: Mapping[str, Any]) -> tuple[str, Sampler, TableSchema, dict[str, Any]]:
    """A fitted generator from its file, and the schema to write its rows by."""
    import numpy as np

    from privaudit import plugins
    from privaudit.inputs.schema import TableSchema, name_roles, read_schema, refuse_numbers

    try:
        file = options["model"].read_bytes()
    except OSError as error:
        raise PrivauditError(
            f"the file of --from cannot be read: {error.strerror}",
            "it holds the fitted generator",
            "check the path given",
        ) from None
    name = options["generator"] or _read_generator_name(file)
    kind: Any = plugins.load("generators", name)
    _require_restricted(kind, {**options, "generator": name})
    sampler = kind.load(file)
    one = sampler.sample(1, np.random.default_rng(0))
    target = options["outcome"] or "outcome"
    if options["schema"] is not None:
        found = refuse_numbers(read_schema(options["schema"]))
        found = name_roles(found, outcome=options["outcome"], patient=options["patient"])
        if found.columns != one.columns or (found.outcome and found.classes != one.classes):
            raise PrivauditError(
                f"a schema of {len(found.columns)} columns for a generator of {len(one.columns)}",
                "its rows are written by the schema that it was trained with",
                "give that schema, or none",
            )
    else:
        named = one.classes if len(one.classes) > 1 else ()
        found = TableSchema(one.columns, target if named else "", named)
    _print(
        f"will: draw {options['rows']:,} rows of {len(one.columns)} columns from a stored {name}"
    )
    return name, sampler, found, {"schema": None, "proposed": False}


def _read_generator_name(file: bytes) -> str:
    """The generator that a stored file says it is of. Nothing else of it is read."""
    import io

    try:
        with zipfile.ZipFile(io.BytesIO(file)) as archive, archive.open("header.json") as stream:
            name = json.loads(stream.read(1 << 25))["generator"]
        if isinstance(name, str):
            return name
    except Exception:  # whatever a damaged or foreign file raises; the reason says nothing more
        pass
    raise PrivauditError(
        "a file of --from that is no stored generator",
        "such a file holds a header and arrays of numbers, as --save writes them; no other is "
        "opened",
        "give the file that --save wrote",
    )


def _write(
    table: Records, sampler: Sampler, schema: TableSchema, options: Mapping[str, Any]
) -> None:
    from privaudit.inputs.read_table import write_table
    from privaudit.inputs.table_file import write_atomically

    if options["save"] is not None:
        with write_atomically(options["save"]) as part:
            part.write_bytes(sampler.save())
    write_table(table, schema, options["out"])


def _compare_prevalence(real: Records, table: Records, answer: dict[str, Any]) -> None:
    """Print the prevalence of each outcome on both sides, which generators often get wrong.

    The real one in steps of ten rows or more: with more digits it would be a count.
    """
    import numpy as np

    if len(real.classes) < 2:
        return
    shares = {}
    step = next((s for s in _STEPS if s * len(real) >= MIN_CELL), _STEPS[-1])
    for c, name in enumerate(real.classes[:20]):
        patients = [len(np.unique(real.patient[side])) for side in (real.y == c, real.y != c)]
        one = None
        if min(patients) >= MIN_CELL:
            one = round(round(float((real.y == c).mean()) / step) * step, 2)
        two = float((table.y == c).mean())
        shares[name] = {"real": one, "synthetic": two}
        text = (
            f"about {one:.0%}"
            if one is not None
            else f"not shown, fewer than {MIN_CELL} patients on a side"
        )
        _print(f"outcome {name!r}: {text} real, {two:.1%} synthetic")
    answer["outcome"] = shares


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


def _describe_claim(claim: Claim) -> str:
    if claim.epsilon is None:
        return "no privacy is claimed: audit the table before it is handed out"
    from privaudit.report.numbers import claimed

    return (
        f"claimed: epsilon {claimed(claim.epsilon)} at delta {claim.delta:g} per {claim.unit} "
        f"({claim.neighbours}), for this one fit: each fit on the same patients adds its own"
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A function to hand to a training: a bar on a terminal, a line a tenth elsewhere."""
    if not sys.stderr.isatty():
        printed: dict[str, int] = {}

        def line(what: str, share: float) -> None:
            tenth, part = int(10 * share), what.partition(":")[0]
            if tenth > printed.get(part, -1):
                printed[part] = tenth
                _print(f"train: {what} {tenth * 10} %")

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


def _print(text: str) -> None:
    click.echo(text, err=True)
