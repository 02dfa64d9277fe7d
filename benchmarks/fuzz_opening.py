"""Damaged and forged files of every kind that is opened: each is read or refused, and nothing else.

    python benchmarks/fuzz_opening.py KIND [--minutes 10 | --cases N] [--seed 0]

A model is opened and asked as an audit does it, in a process of its own; a table is read to its
end; a document is read. Files are made of valid ones by changing bytes, numbers and parts. A find
is an error that is no `PrivauditError`, or a reader that ended. What ended a model's own process is
counted apart: it was refused, as it must be. The files of both are stored, with their numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import io
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from privaudit.errors import PrivauditError

KINDS = ("skops", "safetensors", "parquet", "csv", "json", "toml", "torchscript")
CASES_A_PROCESS = 1_000
SECONDS_A_CASE = 120
EXTREMES = (
    *(b"0", b"-1", b"1", b"2147483647", b"-2147483648", b"4294967296", b"9223372036854775807"),
    *(b"1e308", b"NaN", b"-0", b"99999999999999999999999", b"null", b"[]", b"{}", b'""', b"[[[[[["),
)
MODULE = """
import torch
def make():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
"""


def make_seeds(kind: str, home: Path) -> dict[str, bytes]:
    """Valid files of a kind, by the name that each is opened under."""
    seeds = home / "seeds"
    if not seeds.exists():
        # In a process of its own: what the libraries start here would not live through a fork.
        code = (
            "import sys, pathlib, fuzz_opening as f; "
            "f.write_seeds(sys.argv[1], pathlib.Path(sys.argv[2]))"
        )
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        subprocess.run([sys.executable, "-c", code, kind, str(home)], check=True, env=here)
    return {path.name: path.read_bytes() for path in seeds.iterdir()}


def write_seeds(kind: str, home: Path) -> None:
    """Write the valid files into a folder."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    found = _SEEDS[kind](home, X, (X[:, 0] > 0).astype(int))
    (home / "seeds").mkdir()
    for name, raw in found.items():
        (home / "seeds" / name).write_bytes(raw)


def _skops(home: Path, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    dumps = importlib.import_module("skops.io").dumps
    models = {
        "a.skops": make_pipeline(StandardScaler(), LogisticRegression()),
        "b.skops": RandomForestClassifier(2, max_depth=3, random_state=0),
    }
    return {name: dumps(model.fit(X, y)) for name, model in models.items()}


def _safetensors(home: Path, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    from safetensors.torch import save

    (home / "fuzzed_module.py").write_text(MODULE)
    sys.path.insert(0, str(home))
    from fuzzed_module import make  # type: ignore[import-not-found]

    return {"m.safetensors": save(make().state_dict())}


def _json(home: Path, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    from lightgbm import LGBMClassifier
    from xgboost import XGBClassifier

    boosted = XGBClassifier(n_estimators=3, max_depth=3, n_jobs=1).fit(X, y).get_booster()
    light = LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, y)
    return {
        "x.json": bytes(boosted.save_raw("json")),
        "x.ubj": bytes(boosted.save_raw("ubj")),
        "l.txt": light.booster_.model_to_string().encode(),
    }


def _torchscript(home: Path, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    import torch

    (home / "fuzzed_module.py").write_text(MODULE)
    sys.path.insert(0, str(home))
    from fuzzed_module import make

    found = {}
    for name, made in (
        ("s.pt", torch.jit.script(make())),
        ("t.pt", torch.jit.trace(make(), torch.zeros(2, 3))),
    ):
        out = io.BytesIO()
        torch.jit.save(made, out)
        found[name] = out.getvalue()
    return found


def _tables(kind: str, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    import polars as pl

    frame = pl.DataFrame(
        {"age": X[:, 0], "lab": X[:, 1], "sex": np.where(y > 0, "F", "M"), "died": y}
    )
    if kind == "parquet":
        found = {}
        for way in ("snappy", "zstd", "gzip", "uncompressed"):
            out = io.BytesIO()
            frame.write_parquet(out, compression=way, row_group_size=50)
            found[f"{way}.parquet"] = out.getvalue()
        return found
    text = frame.write_csv().encode()
    return {"t.csv": text, "t.csv.gz": gzip.compress(text, mtime=0)}


def _toml(home: Path, X: np.ndarray, y: np.ndarray) -> dict[str, bytes]:
    from privaudit.inputs.schema import TableSchema, format_schema
    from privaudit.records import Column

    columns = (
        Column("age", bounds=(18, 95), unit="years", integer=True),
        Column("sex", "category", levels=("F", "M"), sensitive=True),
    )
    schema = format_schema(TableSchema(columns, "died", ("0", "1"), "pid"))
    starters = (Path(__file__).parents[1] / "privaudit/policy/starters").glob("*.toml")
    return {"schema.toml": schema.encode()} | {
        f"policy-{path.name}": path.read_bytes().replace(b"$review_by", b"2099-01-01")
        for path in starters
    }


_SEEDS: dict[str, Callable[[Path, np.ndarray, np.ndarray], dict[str, bytes]]] = {
    "skops": _skops,
    "safetensors": _safetensors,
    "json": _json,
    "torchscript": _torchscript,
    "parquet": lambda home, X, y: _tables("parquet", X, y),
    "csv": lambda home, X, y: _tables("csv", X, y),
    "toml": _toml,
}


def mutate(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: inside of an archive's parts, of a compressed file, or of the bytes."""
    way = rng.random()
    if raw[:2] == b"PK" and way < 0.75:
        return _mutate_archive(raw, rng)
    if raw[:2] == b"\x1f\x8b" and way < 0.5:
        return gzip.compress(mutate(gzip.decompress(raw), rng), mtime=0)
    for _ in range(int(rng.integers(1, 5))):
        raw = _CHANGES[int(rng.integers(len(_CHANGES)))](raw, rng)
    return raw


def _mutate_archive(raw: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    at = int(rng.integers(len(parts)))
    name, part = parts[at]
    way = rng.random()
    if way < 0.75:
        parts[at] = (name, mutate(part, rng))
    elif way < 0.85:
        parts.append((name, mutate(part, rng)))
    elif way < 0.95:
        del parts[at]
    else:
        parts[at] = (name + chr(int(rng.integers(33, 127))), part)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, part in parts:
            made.writestr(zipfile.ZipInfo(name), part)
    return out.getvalue()


def _place(raw: bytes, rng: np.random.Generator) -> int:
    # Headers lie at the start and at the end, and most of a file is neither.
    near = int(rng.integers(0, 400)) % max(len(raw), 1)
    way = rng.random()
    if way < 0.3:
        return near
    return len(raw) - 1 - near if way < 0.6 else int(rng.integers(0, max(len(raw), 1)))


def _flip(raw: bytes, rng: np.random.Generator) -> bytes:
    if not raw:
        return b"\0"
    at = _place(raw, rng)
    return raw[:at] + bytes([raw[at] ^ (1 << int(rng.integers(8)))]) + raw[at + 1 :]


def _overwrite(raw: bytes, rng: np.random.Generator) -> bytes:
    at, count = _place(raw, rng), int(rng.integers(1, 9))
    return raw[:at] + rng.bytes(count) + raw[at + count :]


def _widen(raw: bytes, rng: np.random.Generator) -> bytes:
    form = ("<i", "<q", ">i", ">q")[int(rng.integers(4))]
    value = (-1, 0, 2**31 - 1, 2**30, 1 << 16)[int(rng.integers(5))]
    number, at = struct.pack(form, value), _place(raw, rng)
    return raw[:at] + number + raw[at + len(number) :]


def _cut(raw: bytes, rng: np.random.Generator) -> bytes:
    at = _place(raw, rng)
    return raw[:at] if rng.random() < 0.3 else raw[:at] + raw[at + int(rng.integers(1, 64)) :]


def _repeat(raw: bytes, rng: np.random.Generator) -> bytes:
    at, size = _place(raw, rng), int(rng.integers(1, 200))
    times = int(rng.choice([1, 2, 50]))
    return raw[:at] + raw[at : at + size] * times + raw[at:]


def _renumber(raw: bytes, rng: np.random.Generator) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", raw[: 1 << 20]))
    if not numbers:
        return _flip(raw, rng)
    found = numbers[int(rng.integers(len(numbers)))]
    new = EXTREMES[int(rng.integers(len(EXTREMES)))]
    return raw[: found.start()] + new + raw[found.end() :]


def _nest(raw: bytes, rng: np.random.Generator) -> bytes:
    at = _place(raw, rng)
    mark = (b"[", b'{"a":', b"(", b"[[", b'"')[int(rng.integers(5))]
    return raw[:at] + mark * int(rng.choice([1, 100, 20_000])) + raw[at:]


_CHANGES = (_flip, _overwrite, _widen, _cut, _repeat, _renumber, _nest)


def open_case(path: Path) -> None:
    """Open a file as the product does."""
    if path.suffix == ".toml":
        _read_document(path)
    elif path.suffix in (".csv", ".gz", ".parquet"):
        _read_table(path)
    else:
        _ask_model(path)


def _ask_model(path: Path) -> None:
    from privaudit.inputs.artefacts.read_arrays import read_arrays
    from privaudit.inputs.models.open_model import bind, open_model
    from privaudit.inputs.schema import TableSchema
    from privaudit.records import Column, Records

    module = "fuzzed_module:make" if path.suffix == ".safetensors" else ""
    columns = tuple(Column(name) for name in ("a", "b", "c"))
    failed: list[PrivauditError] = []
    try:
        opened, _ = open_model(path, module=module)
        named = tuple(Column(name) for name in opened.names or ()) or columns
        model = bind(
            opened, TableSchema(named, "y", ("0", "1")), answers="logits" if module else ""
        )
        n = 20
        X = np.random.default_rng(1).normal(size=(n, len(named)))
        nobody = np.zeros(n)
        model.predict_proba(Records(named, X, nobody, nobody, nobody, classes=("0", "1")))
    except PrivauditError as error:
        failed.append(error)
    # What looks for stored records reads the same file in the audit's own process; not all kinds.
    with contextlib.suppress(PrivauditError):
        read_arrays(path.read_bytes())
    if failed:
        raise failed[0]


def _read_table(path: Path) -> None:
    from privaudit.inputs.table_file import open_table

    with open_table(path, "the table") as table:
        for _ in table.batches(table.columns):
            pass


def _read_document(path: Path) -> None:
    from privaudit.inputs.schema import read_schema
    from privaudit.policy.file import read

    (read if path.name.startswith("policy") else read_schema)(path)


def run_cases(kind: str, home: Path, seed: int, part: range, until: float, log: Path) -> None:
    """Open these cases, and write after each what came of it."""
    seeds = make_seeds(kind, home)
    names = sorted(seeds)
    with log.open("a") as out:
        for number in part:
            if time.monotonic() > until:
                break
            rng = np.random.default_rng([seed, number])
            name = names[int(rng.integers(len(names)))]
            path = home / name
            path.write_bytes(mutate(seeds[name], rng))
            out.write(f"{number} ")
            out.flush()
            signal.alarm(SECONDS_A_CASE)
            out.write(f"{json.dumps(_open_and_name(path))}\n")
            signal.alarm(0)


def _open_and_name(path: Path) -> str:
    try:
        open_case(path)
    except PrivauditError as error:
        words = ("ended the process", "takes too long", "more memory", "is no answer")
        contained = [word for word in words if word in error.what]
        return f"contained: {error.what}" if contained else "refused"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"find: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
    return "read"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cases", type=int, help="so many, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="where finds are stored")
    chosen = parser.parse_args()
    minutes = chosen.minutes if chosen.cases is None else math.inf
    counts = fuzz(chosen.kind, minutes, chosen.cases or sys.maxsize, chosen.seed, chosen.out)
    print(chosen.kind, f"{counts.total()} cases:", dict(counts.most_common()))


def fuzz(kind: str, minutes: float, cases: int, seed: int, out: Path) -> Counter[str]:
    """What came of so many cases, or of those of so many minutes, by kind of end."""
    until, first = time.monotonic() + 60 * minutes, 0
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder), Path(folder) / "log"
        while first < cases and time.monotonic() < until:
            part = range(first, min(first + CASES_A_PROCESS, cases))
            child = os.fork()
            if not child:
                os.chdir(home)
                code = 1
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, 2)
                try:
                    run_cases(kind, home, seed, part, until, log)
                    code = 0
                except BaseException:
                    traceback.print_exc(file=sys.stdout)
                    sys.stdout.flush()
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            lines = log.read_text().splitlines() if log.exists() else []
            log.unlink(missing_ok=True)
            if status and (not lines or '"' in lines[-1]):
                raise SystemExit("the harness itself failed")
            for line in lines:
                number, _, name = line.partition(" ")
                found = json.loads(name) if name else f"find: the reader ended ({status})"
                counts[found] += 1
                if found.startswith(("find", "contained")):
                    _store(kind, home, seed, int(number), out, found)
            first += max(len(lines), 1)
    return counts


def _store(kind: str, home: Path, seed: int, number: int, out: Path, found: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    seeds = make_seeds(kind, home)
    rng = np.random.default_rng([seed, number])
    name = sorted(seeds)[int(rng.integers(len(seeds)))]
    (out / f"{kind}-{seed}-{number}-{name}").write_bytes(mutate(seeds[name], rng))
    print(f"{kind} case {number}: {found}", flush=True)


if __name__ == "__main__":
    main()
