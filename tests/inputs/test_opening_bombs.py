"""Small files made to fill memory or a disk, to end a parser, or to be read in two ways."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from opening import answer, audit, made

from privaudit.errors import PrivauditError
from privaudit.inputs import check_parquet, parquet_footer, table_file
from privaudit.inputs.artefacts.read_arrays import read_arrays
from privaudit.inputs.documents import parse_toml
from privaudit.inputs.models.json_text import parse_json, parse_ubjson
from privaudit.inputs.models.zip_parts import check_parts, read_parts
from privaudit.inputs.schema import read_schema
from privaudit.inputs.table_file import open_table


def read(path: Path) -> None:
    with open_table(path, "the table") as table:
        for _ in table.batches(table.columns):
            pass


def zipped(parts: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts:
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def test_a_packed_table_of_one_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "MAX_LINE_BYTES", 1 << 20)
    # Noise, so that it is not refused for how small it is packed.
    noise = np.random.default_rng(0).integers(97, 122, 3 << 20, dtype=np.uint8).tobytes()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b'a,b\n1,"' + noise, 1))
    with pytest.raises(PrivauditError, match="a line of more than"):
        read(tmp_path / "t.csv.gz")


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a" * (5 << 20))
    with pytest.raises(PrivauditError, match="header of more than"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize("times", [2, 40])
def test_many_packed_members_count_together(times: int, tmp_path: Path) -> None:
    one = gzip.compress(b"a,b\n" + b"1,2\n" * (4 << 20))
    (tmp_path / "t.csv.gz").write_bytes(one * times)
    if times == 2:
        read(tmp_path / "t.csv.gz")
        return
    with pytest.raises(PrivauditError, match="unpacks to more than"):
        read(tmp_path / "t.csv.gz")


def write_parquet(path: Path, **how: Any) -> bytes:
    frame = pl.DataFrame({"a": np.arange(1000), "b": ["x"] * 1000})
    frame.write_parquet(path, **how)
    return path.read_bytes()


def edit_footer(raw: bytes, old: int, new: int, places: int = 99) -> bytes:
    """The file with one number of its metadata replaced by another of as many bytes."""
    length = struct.unpack("<I", raw[-8:-4])[0]
    start = len(raw) - 8 - length
    footer = raw[start:-8]
    assert varint(old) in footer
    footer = footer.replace(varint(old), varint(new), places)
    return raw[:start] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def varint(number: int) -> bytes:
    number, found = number << 1, b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def test_rows_that_are_only_declared_are_refused(tmp_path: Path) -> None:
    raw = write_parquet(tmp_path / "t.parquet")
    read(tmp_path / "t.parquet")
    for rows in (2**31, 10**12):
        (tmp_path / "t.parquet").write_bytes(edit_footer(raw, 1000, rows))
        with pytest.raises(PrivauditError):
            read(tmp_path / "t.parquet")


def test_groups_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    raw = write_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(edit_footer(raw, 1000, 999, places=1))
    with pytest.raises(PrivauditError, match="cannot be read to its end"):
        read(tmp_path / "t.parquet")


def test_a_group_that_memory_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(check_parquet, "measure_memory", lambda: 20_000)
    with pytest.raises(PrivauditError, match="a group of 1,000 rows"):
        read(tmp_path / "t.parquet")


def test_a_parquet_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(np.random.default_rng(0).choice(list("ab"), 1000).tolist())
    # One text of a megabyte in each row: the dictionary holds it once, and plain pages do not.
    frame = pl.DataFrame({"a": [text * 500] * 500})
    frame.write_parquet(tmp_path / "t.parquet", compression="zstd", use_pyarrow=False)
    footer = parquet_footer.read_footer(tmp_path / "t.parquet")
    monkeypatch.setattr(check_parquet, "FREE_BYTES", 1_000)
    monkeypatch.setattr(check_parquet, "MAX_RATIO", 0.1)
    assert footer.unpacked > 1_000
    with pytest.raises(PrivauditError, match="unpacks to"):
        read(tmp_path / "t.parquet")


def test_tables_within_tables_are_refused(tmp_path: Path) -> None:
    deep: Any = [[1]]
    for _ in range(30):
        deep = [{"a": deep}]
    pl.DataFrame({"a": deep}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(PrivauditError, match="lists or structures"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("depth", [70, 200_000])
def test_metadata_of_any_depth_is_refused(depth: int, tmp_path: Path) -> None:
    # A struct whose first field is a struct, and so on: a reader by recursion ends there.
    footer = b"\x1c" * depth
    raw = b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
    (tmp_path / "t.parquet").write_bytes(raw)
    with pytest.raises(PrivauditError, match="cannot be read to its end"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    "parts",
    [
        [("a", b"1"), ("a", b"2")],
        [("schema.json", b"{}"), ("SCHEMA.json", b"{}")],
        [("../a", b"1")],
        [("/etc/a", b"1")],
        [("a", b"\0" * (80 << 20))],
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_traps_are_refused(
    parts: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    raw = zipped(parts)
    with pytest.raises(PrivauditError):
        check_parts(raw, "a skops file")
    with pytest.raises(PrivauditError):
        read_parts(raw, "a skops file")
    for name in ("m.skops", "m.pt"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(PrivauditError):
            answer(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays_of_two_parts_of_one_name_are_refused() -> None:
    def array(value: float) -> bytes:
        out = io.BytesIO()
        np.save(out, np.full((3, 2), value))
        return out.getvalue()

    assert len(read_arrays(zipped([("a.npy", array(1)), ("b.npy", array(2))])).arrays) == 2
    with pytest.raises(PrivauditError, match="two parts of one name"):
        read_arrays(zipped([("a.npy", array(1)), ("a.npy", array(2))]))


def test_an_archive_whose_parts_are_larger_than_it_says(tmp_path: Path) -> None:
    raw = bytearray(zipped([("a", b"\0" * 5000)]))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = raw.index(mark) + at
        raw[place : place + 4] = struct.pack("<I", 10)
    with pytest.raises(PrivauditError, match="cannot be unpacked"):
        read_parts(bytes(raw), "a skops file")


def test_a_skops_file_of_other_types_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    from sklearn.preprocessing import FunctionTransformer
    from skops.io import dumps

    target = tmp_path / "written"
    raw = dumps(FunctionTransformer(np.log))
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    bad = [(n, p.replace(b'"log"', b'"system"').replace(b'"numpy"', b'"os"')) for n, p in parts]
    assert bad != parts
    (tmp_path / "m.skops").write_bytes(zipped(bad))
    with pytest.raises(PrivauditError):
        answer(tmp_path / "m.skops")
    assert not target.exists()


def test_a_deep_skops_schema_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    deep = b'{"__class__": "list", "content": ' * 5_000 + b"1" + b"}" * 5_000
    (tmp_path / "m.skops").write_bytes(zipped([("schema.json", deep)]))
    with pytest.raises(PrivauditError):
        answer(tmp_path / "m.skops")


def forge_nodes(raw: bytes, names: tuple[str, str], value: int) -> bytes:
    """A skops file whose first node has these children in every tree."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    forged = False
    for name, part in parts.items():
        if not name.endswith(".npy"):
            continue
        array = np.load(io.BytesIO(part), allow_pickle=False)
        if array.dtype.names and names[0] in array.dtype.names:
            array = array.copy()
            array[names[0]][0] = array[names[1]][0] = value
            out = io.BytesIO()
            np.save(out, array)
            parts[name], forged = out.getvalue(), True
    assert forged
    return zipped(list(parts.items()))


@pytest.mark.parametrize("value", [10**9, 0, 5])
def test_forged_nodes_of_scikit_learns_trees_are_refused(
    value: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("skops")
    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.tree import DecisionTreeClassifier
    from skops.io import dumps

    X, y = made()
    children = {"tree": ("left_child", "right_child"), "histogram": ("left", "right")}
    models = (
        ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
        ("tree", GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=0)),
        ("histogram", HistGradientBoostingClassifier(max_iter=2, random_state=0)),
    )
    path = tmp_path / "m.skops"
    for kind, model in models:
        raw = dumps(model.fit(X, y))
        path.write_bytes(raw)
        assert answer(path).shape == (300, 2)
        path.write_bytes(forge_nodes(raw, children[kind], value))
        with pytest.raises(PrivauditError, match="no trees"):
            answer(path)
    assert audit(path) == 2
    assert "no trees" in capfd.readouterr().err


MODULE = """
import torch
def make():
    return torch.nn.Sequential(torch.nn.Linear(3, 1))
"""


def header(**change: Any) -> bytes:
    entries: dict[str, Any] = {
        "0.weight": {"dtype": "F32", "shape": [1, 3], "data_offsets": [0, 12]},
        "0.bias": {"dtype": "F32", "shape": [1], "data_offsets": [12, 16]},
    }
    body = json.dumps(entries | change).encode()
    return struct.pack("<Q", len(body)) + body + b"\0" * 16


def test_safetensors_headers_that_are_traps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / "weights_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.safetensors"
    how: dict[str, Any] = {"module": "weights_module:make", "answers": "logits"}
    path.write_bytes(header())
    assert answer(path, **how).shape == (300, 2)
    traps = [
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", (1 << 64) - 1) + b"{}",
        struct.pack("<Q", 4_000_000) + b"[" * 4_000_000,
        header(**{"0.bias": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
        header(**{"0.bias": {"dtype": "F32", "shape": [1], "data_offsets": [12, 1 << 40]}}),
        header(**{"0.bias": {"dtype": "F32", "shape": [1 << 62, 16], "data_offsets": [12, 16]}}),
        header(**{"0.bias": {"dtype": "F32", "shape": [-1], "data_offsets": [16, 12]}}),
    ]
    for raw in traps:
        path.write_bytes(raw)
        with pytest.raises(PrivauditError):
            answer(path, **how)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 300 + "]" * 300,
        "a." * 5_000 + "b = 1",
        "a = " + "9" * 10_000,
        "[" + "a." * 5_000 + "b]",
        "a = " + "{ b = " * 20_000,
    ],
)
def test_documents_that_are_traps_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_toml(text)
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(PrivauditError, match="a schema that cannot be read"):
        read_schema(tmp_path / "s.toml")


@pytest.mark.parametrize("raw", [b"[" * 10**6, b'{"a":' * 10**6, b"[" * 200 + b"]" * 200])
def test_deep_json_is_an_error_and_no_crash(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 10**6,
        b"{U\x01a" * 10**5,
        b"[$l#L" + struct.pack(">q", 1 << 60),
        b"[$l#L" + struct.pack(">q", -1),
        b"[#L" + struct.pack(">q", 1 << 60),
        b"[#U\xff" * 10**5,
        b"{L" + struct.pack(">q", -5) + b"a",
        b"SL" + struct.pack(">q", 1 << 62),
    ],
)
def test_ubjson_that_declares_more_than_it_has_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_ubjson(raw)


def test_an_array_whose_description_is_no_python_is_refused() -> None:
    # Found by fuzzing: numpy reads the description of old versions by Python's own tokens.
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L,, ((((}"
    raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0" * 16
    with pytest.raises(PrivauditError, match="cannot be read without running it"):
        read_arrays(zipped([("a.npy", raw)]))


def test_a_page_that_says_it_holds_anything_is_refused(tmp_path: Path) -> None:
    # Found by fuzzing: Polars sets aside what a page declares, and ends the process.
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": np.arange(50.0)}).write_parquet(path, compression="uncompressed")
    read(path)
    raw = path.read_bytes()
    # The first page's header holds the number of its values (50) as one byte.
    place = raw.index(varint(50), 4)
    assert place < 60
    for number in (b"\x01", b"\x66", b"\x00"):
        path.write_bytes(raw[:place] + number + raw[place + 1 :])
        with pytest.raises(PrivauditError, match="cannot be read to its end"):
            read(path)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_honest_parquet_files_are_read(version: str, dictionary: bool, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [None, "", "a", "bb" * 50] * 50
    table = pyarrow.table({"a": list(range(200)), "b": texts, "c": [None] * 200})
    path = tmp_path / "t.parquet"
    how = {"data_page_version": version, "use_dictionary": dictionary, "data_page_size": 100}
    with parquet.ParquetWriter(path, table.schema, compression="zstd", **how) as writer:
        # A group of no rows says that its pages begin at 0.
        writer.write_table(table.slice(0, 0))
        writer.write_table(table, row_group_size=70)
    footer = parquet_footer.read_footer(path)
    assert (footer.rows, footer.columns, footer.widest) == (200, 3, 70)
    read(path)
