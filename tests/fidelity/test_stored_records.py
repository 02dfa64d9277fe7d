"""What a generator's file gives back, and that opening it runs nothing."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from table_lab import split

from privaudit import stats
from privaudit.attacks.reconstruction.stored_records import StoredRecords
from privaudit.contracts import Release, Target, Trials
from privaudit.errors import PrivauditError
from privaudit.facts import Setting
from privaudit.inputs.artefacts import pickle_opcodes, pickled_arrays
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.records import Column, Records, Split
from privaudit.seeds import Seeds

CATEGORIES, NUMBERS, ROWS = (
    Setting("variant", name)
    for name in (
        "categories, in row order",
        "numbers, in row order",
        "complete records, in any order",
    )
)


@pytest.fixture(scope="module")
def s() -> Split:
    return split(Seeds(1).rng("stored"), 200, 0.1)


def run(s: Split, file: bytes) -> dict[Setting, Trials]:
    return StoredRecords().run(Target(Release(file=file), s), (), Seeds(2).rng("run"))


def rates(found: dict[Setting, Trials]) -> dict[Setting, tuple[float, float]]:
    """Success over the guess, or over the control where none is made, and the control."""
    return {
        key: (
            float(t.success.mean() - (t.control if t.guess is None else t.guess).mean()),
            float(t.control.mean()),
        )
        for key, t in found.items()
    }


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


class Sampler:
    """As the ctgan package keeps its rows: for each column and level, the numbers of the rows."""

    def __init__(self, codes: np.ndarray) -> None:
        self._rid_by_cat_cols = [
            [np.flatnonzero(column == level) for level in np.unique(column)] for column in codes.T
        ]


def codes(s: Split) -> np.ndarray:
    m = s.members
    return np.column_stack([np.nan_to_num(m.X[:, 14:], nan=9.0), m.y]).astype(int)


def test_lists_of_row_numbers_give_categories_back(s: Split) -> None:
    found = run(s, pickle.dumps(Sampler(codes(s))))
    seen = np.isfinite(s.members.X[:, 14:])
    assert found[CATEGORIES].success.mean() > 0.99
    assert found[CATEGORIES].control.mean() < 0.65
    assert rates(found)[NUMBERS][0] == 0
    assert found[ROWS].success.max() == 0
    assert seen.any()
    assert found[CATEGORIES].patients is not None
    assert len(np.unique(found[CATEGORIES].patients)) == 200


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(s: Split, protocol: int) -> None:
    kept = {
        "X": s.members.X,
        "y": s.members.y,
        "more": [None, True, 1.5, "text", b"b", {1, 2}, 2**80],
    }
    found = run(s, pickle.dumps(kept, protocol))
    assert found[NUMBERS].success.mean() > 0.99
    assert found[CATEGORIES].success.mean() > 0.99
    assert found[ROWS].success.mean() == 1
    assert found[ROWS].control.mean() < 0.06


def test_scaled_shuffled_one_hot_and_text(s: Split) -> None:
    x = s.members.X[:, :14].astype(float)
    scaled = np.nan_to_num((x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0))
    found = run(s, npz(scaled=scaled.T))
    assert found[NUMBERS].success.mean() > 0.99
    assert found[NUMBERS].control.mean() < 0.02
    assert found[ROWS].success.mean() > 0.99
    assert found[ROWS].control.mean() < 0.02
    rows = Seeds(3).rng("some").permutation(200)[:60]
    found = run(s, npz(some=x[rows]))
    assert found[ROWS].success.mean() == pytest.approx(0.3)
    assert rates(found)[NUMBERS][0] == 0
    hot = np.concatenate([np.eye(10)[column] for column in codes(s).T], axis=1)
    found = run(s, npz(hot=hot))
    assert found[CATEGORIES].success.mean() > 0.99
    named = [[f"level {v}" for v in column] for column in codes(s).T.tolist()]
    assert run(s, pickle.dumps(named))[CATEGORIES].success.mean() > 0.99


def test_joblib_gzip_torch_safetensors_npy_and_json(s: Split) -> None:
    import json

    import joblib
    import torch

    x = s.members.X.astype(np.float64)
    out = io.BytesIO()
    joblib.dump({"a": 1, "x": x, "after": [np.arange(5.0)]}, out)
    assert run(s, out.getvalue())[NUMBERS].success.mean() > 0.99
    assert run(s, gzip.compress(pickle.dumps(x)))[NUMBERS].success.mean() > 0.99
    out = io.BytesIO()
    torch.save({"t": torch.tensor(x).T, "s": Sampler(codes(s))}, out)
    found = run(s, out.getvalue())
    assert found[NUMBERS].success.mean() > 0.99
    assert found[CATEGORIES].success.mean() > 0.99
    out = io.BytesIO()
    np.save(out, x)
    assert run(s, out.getvalue())[NUMBERS].success.mean() > 0.99
    told = {"rows": [[None if np.isnan(v) else float(v) for v in row] for row in x]}
    assert run(s, json.dumps(told).encode())[NUMBERS].success.mean() > 0.99
    header = json.dumps(
        {"x": {"dtype": "F64", "shape": list(x.shape), "data_offsets": [0, x.nbytes]}}
    )
    safe = len(header).to_bytes(8, "little") + header.encode() + x.tobytes()
    assert run(s, safe)[NUMBERS].success.mean() > 0.99


def test_models_that_hold_no_row_read_as_none(s: Split) -> None:
    rng = Seeds(4).rng("weights")
    # Tables of 200 rows, one a record, would be refused: they could hold what nobody can read.
    weights = [rng.normal(size=(190, 64)), rng.normal(size=(64, 190)), rng.integers(0, 4, 200)]
    for file in (
        pickle.dumps(weights),
        npz(a=np.arange(200), b=weights[0], c=np.arange(200.0) ** 2),
    ):
        found = run(s, file)
        for key, (gain, _) in rates(found).items():
            assert abs(gain) < 0.02, key


def test_a_member_of_the_wrong_order_or_number_gives_nothing_in_order(s: Split) -> None:
    order = Seeds(5).rng("order").permutation(200)
    found = run(s, pickle.dumps(Sampler(codes(s)[order])))
    assert rates(found)[CATEGORIES][0] < 0.03
    assert run(s, npz(x=s.members.X[:150, 14:]))[CATEGORIES].success.mean() < 0.7


class Trap:
    """Touches a file when it is unpickled, by a call."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.flag}",)


class State:
    """The same, by its state."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __setstate__(self, state: dict) -> None:
        state["flag"].touch()


def test_nothing_of_a_pickle_is_run(s: Split, tmp_path: Path) -> None:
    flag = tmp_path / "ran"

    pickle.loads(pickle.dumps(State(flag)))
    assert flag.exists()
    flag.unlink()
    for protocol in range(6):
        run(s, pickle.dumps([Trap(flag), State(flag), s.members.X], protocol))
    out = io.BytesIO()
    np.save(out, np.array([Trap(flag)], dtype=object), allow_pickle=True)
    with pytest.raises(PrivauditError):
        read_arrays(out.getvalue())
    assert not flag.exists()


def bomb(size: int) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as f,
    ):
        for _ in range(size // 2**20):
            f.write(bytes(2**20))
    return out.getvalue()


def many() -> bytes:
    """A few bytes that name one array a million times over."""
    text = "x" * 2**20
    start = b"\x80\x04c_codecs\nencode\nq\x00X" + len(text).to_bytes(4, "little")
    one = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01\x85N\x89h\x00h\x01\x85Rtb"
    return start + text.encode() + b"q\x010(" + one * 2000 + b"l."


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\x00" * 100,
        b"hello, world",
        b"PK\x03\x04 cut short",
        b"\x80\x04\x95",
        b"\x80\x02.",
        b"\x80\x04K\x01K\x02s.",
        b"\x80\x04K\x01R.",
        b"\x80\x04h\x09.",
        b"{not json",
        b"\x93NUMPY\x01\x00",
        b"\x1f\x8bxx",
        pickle.dumps(list(range(1000)))[:-40],
        b"\x80\x04" + b"\x8e" + b"\xff" * 8 + b"x.",
    ],
)
def test_files_that_are_none_are_refused(s: Split, file: bytes) -> None:
    with pytest.raises(PrivauditError, match="generator's file"):
        run(s, file)


def test_bombs_are_refused_before_they_go_off(s: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.inputs.artefacts.read_arrays.LARGEST", 2**22)
    with pytest.raises(PrivauditError, match="unpacks to"):
        run(s, bomb(2**23))
    with pytest.raises(PrivauditError, match="unpacks to"):
        run(s, gzip.compress(bytes(2**23)))
    monkeypatch.setattr(pickled_arrays, "LARGEST", 2**27)
    with pytest.raises(PrivauditError, match="arrays take more than"):
        run(s, many())
    monkeypatch.setattr(pickle_opcodes, "MOST_STEPS", 1000)
    with pytest.raises(PrivauditError, match="more than 1,000 steps"):
        run(s, pickle.dumps(list(range(2000))))


def test_nesting_without_end_is_walked_without_recursion() -> None:
    deep = b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b"."
    assert read_arrays(deep).arrays == []
    turned = b"\x80\x04)" + b"\x85" * 200_000 + b"."
    assert read_arrays(turned).arrays == []
    loop: list = []
    loop.append(loop)
    assert read_arrays(pickle.dumps(loop)).arrays == []


def test_records_of_several_stays_and_no_numbers(s: Split) -> None:
    pools = (s.members, s.nonmembers, s.reference)
    few = Split(
        *(
            replace(p, columns=p.columns[14:], X=p.X[:, 14:], patient=p.patient // 2 + i * 9999)
            for i, p in enumerate(pools)
        )
    )
    found = run(few, npz(x=few.members.X, y=few.members.y))
    assert NUMBERS not in found
    assert found[CATEGORIES].success.mean() > 0.99
    assert len(found[CATEGORIES].success) == 200
    assert {e.n["patients"] for e in stats.trials(found[CATEGORIES])} == {100}


def test_files_of_the_ctgan_package(tmp_path: Path) -> None:
    """CTGAN's file gives every discrete cell of every training row back; TVAE's none."""
    ctgan = pytest.importorskip("ctgan")
    import pandas as pd
    import torch

    from privaudit.seeds import borrowed_globals

    rng = Seeds(6).rng("ctgan")
    s = split(rng, 120)
    frame = pd.DataFrame(s.members.X, columns=[c.name for c in s.members.columns]).astype(float)
    frame = frame[["x0", "b0", "b1", "unit", "sex"]].assign(died=s.members.y)
    discrete = ["b0", "b1", "unit", "sex", "died"]
    frame[discrete] = frame[discrete].astype(int)
    keep = [0, 14, 15, 17, 18]
    columns = tuple(s.members.columns[j] for j in keep)
    pools = (s.members, s.nonmembers, s.reference)
    s = Split(*(replace(p, columns=columns, X=p.X[:, keep]) for p in pools))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for model, gain in ((ctgan.CTGAN, 1.0), (ctgan.TVAE, 0.0)):
            made = model(epochs=1, enable_gpu=False, batch_size=20)
            with borrowed_globals(rng):
                made.fit(frame, discrete)
            made.save(str(tmp_path / "model.pkl"))
            found = run(s, (tmp_path / "model.pkl").read_bytes())
            if gain:
                assert found[CATEGORIES].success.mean() == 1.0
                assert found[CATEGORIES].control.mean() < 0.65
            else:
                assert np.array_equal(found[CATEGORIES].success, found[CATEGORIES].guess)
            assert found[NUMBERS].success.max() == 0
            assert found[ROWS].success.max() == 0
    finally:
        torch.set_num_threads(threads)


def test_only_columns_of_the_table_count(s: Split) -> None:
    """A generator that saw few columns gives back all it saw."""
    keep = [2, 5, 15, 17]
    table = replace(
        s.members, columns=tuple(s.members.columns[j] for j in keep), X=s.members.X[:, keep]
    )
    file = npz(x=table.X, y=table.y)
    found = StoredRecords().run(Target(Release(table=table, file=file), s), (), Seeds(2).rng("run"))
    # Of two identifying columns one is a gap now and then, which nothing else makes up for.
    for at, least in ((CATEGORIES, 0.95), (NUMBERS, 0.95), (ROWS, 0.7)):
        assert found[at].success.mean() > least
        assert found[at].control.mean() < 0.7


def test_cells_in_one_row_and_compressed_bytes(s: Split) -> None:
    X = np.nan_to_num(s.members.X.astype(np.float64), nan=-7.0)
    for flat in (X.ravel(), np.ascontiguousarray(X.T).ravel()):
        found = run(s, pickle.dumps({"rows": flat}))
        assert rates(found)[ROWS][0] > 0.9
    packed = zlib.compress(np.round(X).astype(np.int64).tobytes(), 9)
    assert len(packed) < 10_000 < 8 * X.size
    with pytest.raises(PrivauditError, match="nobody looked into the rest"):
        run(s, pickle.dumps({"rows": packed}))
    # A name that a forest's trees share is no row.
    names = pickle.dumps([{"note": "n" * 200, "part": np.zeros(2)} for _ in range(100)])
    assert read_arrays(names).unread < 1_000


def test_complete_records_are_found_where_the_audit_reads_a_part_of_them() -> None:
    rng = Seeds(9).rng("part")
    columns = (
        Column("length", bounds=(0, 300)),
        Column("drugs", bounds=(0, 300)),
        Column("ward", kind="category", levels=tuple(f"w{i}" for i in range(60))),
        Column("code", kind="category", levels=tuple(f"c{i}" for i in range(400))),
    )
    n = 4000
    counts = [rng.poisson(m, n) for m in (60, 20)]
    shares = [(k, rng.random(k) ** 3) for k in (60, 400)]
    codes = [rng.choice(k, n, p=p / p.sum()) for k, p in shares]
    x = np.column_stack(counts + codes).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[0, 0] = 290.0
    everyone = Records(columns, x, rng.integers(0, 2, n), np.arange(n), np.zeros(n))
    ends = ((1500, 2000), (2000, 2500), (2500, 2600))
    s = Split(*(everyone.take(np.arange(*pair)) for pair in ends))
    stored = np.column_stack([np.arange(2000.0), x[:2000, ::-1]])[rng.permutation(2000)]
    found = run(s, npz(rows=stored))
    assert found[ROWS].success.mean() > 0.99
    assert found[ROWS].control.mean() < 0.05
    drawn = np.column_stack([rng.permutation(column) for column in stored.T])
    assert run(s, npz(rows=drawn))[ROWS].success.mean() < 0.05


def test_the_opcodes_that_hold_a_value_are_those_of_numbers_texts_and_bytes() -> None:
    texts = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8"}
    numbers = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    bytes_ = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
    assert {*texts, *numbers, *bytes_, "SHORT_BINUNICODE"} == pickle_opcodes.PUSHED
