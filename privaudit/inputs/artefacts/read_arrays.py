"""The arrays inside a released file, whatever software wrote it; nothing of the file is run."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.artefacts.onnx_arrays import list_fields, read_onnx
from privaudit.inputs.artefacts.pickled_arrays import Content, read_pickle, spread_sparse, values
from privaudit.inputs.artefacts.ubjson_arrays import is_ubjson, parse_ubjson

LARGEST = 2**30
"""Bytes that a file may unpack to: above, it is refused unread."""
MOST_PARTS = 100_000
"""Parts that an archive may have."""
SAFE = dict(
    zip(
        ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"),
        ("<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "u1", "?"),
        strict=True,
    )
)
"""Types of safetensors, and numpy's."""


PACKED: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    *((b"\x78" + level, zlib.decompressobj) for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x5d\x00\x00", lzma.LZMADecompressor),
)
"""How a file that joblib compressed begins, and what unpacks it."""
CODE = ".py"
DEBUG = ".debug_pkl"
MARKS = ("version", "byteorder", "serialization_id", ".format_version", ".storage_alignment")
"""Parts of a torch archive that hold no array."""
OVERHEAD = 400
"""Bytes that an archive may spend on a part beside its content and its name, thrice."""
TOKEN = 200
"""A word of more letters is packed data."""
SHORT = 64
"""Raw bytes of no more are no file."""
NESTED = 4
"""How often raw bytes in raw bytes are looked into."""
WORDS = re.compile(r"[\s,;:=|()\[\]{}\"']+")
SCANNED = ("<f8", "<f4", "<i8", "<i4", "<f2", "<i2")
"""As what raw bytes are read that are of no known kind."""


def read_arrays(file: bytes) -> Content:
    """What a file holds, read without running it.

    Zip archives (torch.save, TorchScript, numpy.savez, skops and this project's), pickles (plain,
    joblib, compressed), safetensors, .npy, JSON, Universal Binary JSON, ONNX and plain text such as
    LightGBM's; raw bytes and long texts inside are opened as if they were files. An archive with a
    part of another kind is refused as a whole: what was not read was not looked into.

    Raises:
        PrivauditError: a file of another kind, a damaged one, or one that unpacks to more than
            `LARGEST` bytes.
    """
    try:
        found = _open(file)
        _look_into(found, 0)
        if len(found.scalars) > 1:
            found.arrays.append(np.array(found.scalars))
        return found
    except PrivauditError:
        raise
    except Exception as error:
        # Readers of damaged files raise whatever a list of errors would not hold.
        raise _unreadable(type(error).__name__) from None


def _open(file: bytes) -> Content:
    if len(file) > LARGEST:
        raise _large(len(file))
    behind = 0
    if file[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(file)) as stream:
            file = stream.read(LARGEST + 1)
        if len(file) > LARGEST:
            raise _large(len(file))
    for magic, make in PACKED:
        if file.startswith(magic):
            unpacker = make()
            file = unpacker.decompress(file, LARGEST + 1)
            behind = len(getattr(unpacker, "unused_data", b""))
            if len(file) > LARGEST:
                raise _large(len(file))
            break
    if zipfile.is_zipfile(io.BytesIO(file)):
        found = _archive(file)
    else:
        found = Content()
        _part("", file, {}, found)
    found.packed += behind
    return found


class _Storages(dict[str, bytes]):
    """Bytes of tensors by name, and which were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.used.add(key)
        return super().get(key, default)


def _archive(file: bytes, depth: int = 0) -> Content:
    found = Content()
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        members = archive.infolist()
        if len({member.filename.casefold() for member in members}) != len(members):
            # One reader takes the first of two parts of one name, and another the last.
            raise _unreadable("two parts of one name")
        total = sum(member.file_size for member in members)
        if total > LARGEST or len(members) > MOST_PARTS:
            raise _large(total)
        content = {}
        for member in members:
            with archive.open(member) as stream:
                # The size that the directory states is not trusted.
                content[member.filename] = stream.read(member.file_size + 1)
            if len(content[member.filename]) > member.file_size:
                raise _large(len(content[member.filename]))
        # What lies between and around the parts is in no part.
        stated = sum(m.compress_size + 3 * len(m.filename) + OVERHEAD for m in members)
        found.packed += max(0, len(file) - stated - OVERHEAD)
    storages = {"data": _Storages(), "constants": _Storages()}
    for name, part in content.items():
        home, _, own = name.rpartition("/")
        if _base(home) in storages:
            storages[_base(home)][own] = part
    sparse = {}
    for name, part in content.items():
        home, _, own = name.rpartition("/")
        if _base(home) in storages or not part or _base(name) in MARKS:
            continue
        if name.endswith(CODE):
            _code(part, found)
        elif part[:4] == b"PK\x03\x04" and depth < NESTED:
            _merge(_archive(part, depth + 1), found)
        elif name.endswith(DEBUG):
            # Where torch keeps the source of an exported module.
            inside = read_pickle(part, {})
            found.arrays += inside.arrays
            found.blobs += inside.blobs
            found.packed += inside.packed
        else:
            outside = storages["constants" if own == "constants.pkl" else "data"]
            if not _part(name, part, outside, found):
                raise _unreadable("a part of the archive is of another kind")
            if name.endswith((".npy",)):
                sparse[name.removesuffix(".npy")] = found.arrays[-1]
    for own_storages in storages.values():
        unused = [part for key, part in own_storages.items() if key not in own_storages.used]
        found.packed += sum(map(len, unused))
    _open_npz(sparse, found)
    return found


def _open_npz(arrays: dict[str, np.ndarray], found: Content) -> None:
    """The table of a sparse matrix as scipy.sparse.save_npz writes it."""
    if {"data", "indices", "indptr", "shape"} <= set(arrays):
        shape = tuple(int(n) for n in arrays["shape"].ravel())
        named = arrays.get("format")
        form = bytes(named.tobytes()).decode("latin1")[:3] if named is not None else "csr"
        dense = spread_sparse(arrays, shape, form, found)
        if dense is not None:
            found.arrays.append(dense)


def _merge(inside: Content, found: Content) -> None:
    found.weigh(inside.size)
    found.arrays += inside.arrays
    found.groups += inside.groups
    found.blobs += inside.blobs
    found.scalars += inside.scalars
    found.packed += inside.packed
    for word in inside.words:
        found.take(word)


def _look_into(found: Content, depth: int) -> None:
    """Open raw bytes and long texts as if they were files; what is of no kind stays unread, and is
    read as numbers of every width all the same."""
    blobs, found.blobs = found.blobs, []
    for blob in dict.fromkeys(bytes(one) for one in blobs):
        size = len(blob)
        for make in (lambda: zlib.decompressobj(47), bz2.BZ2Decompressor, lzma.LZMADecompressor):
            try:
                size = max(size, len(make().decompress(blob, LARGEST)))
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
                continue
        found.weigh(size)
        inside = Content()
        try:
            if depth < NESTED and size > SHORT:
                inside = _open(blob)
                _look_into(inside, depth + 1)
            elif blob.isascii():
                _text(blob.decode(), inside)
            else:
                raise ValueError("short")
        except Exception:
            inside = Content(packed=size, unread=size)
            for kind in SCANNED:
                item = np.dtype(kind).itemsize
                if len(blob) >= 40 * item:
                    inside.arrays.append(np.frombuffer(blob[: len(blob) // item * item], kind))
        _merge(inside, found)
        found.unread += inside.unread if not inside.words else 0


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _part(name: str, part: bytes, storages: Mapping[str, bytes], found: Content) -> bool:
    """Whether the part is of a kind that is read, after having read it."""
    start = part[:1]
    if part[:6] == b"\x93NUMPY":
        stream = io.BytesIO(part)
        found.arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
        found.packed += len(part) - stream.tell()
    elif is_ubjson(part):
        root, behind = parse_ubjson(part)
        found.packed += behind
        _json(root, found)
    elif start in (b"{", b"["):
        _json(json.loads(part), found)
    elif len(part) > 8 and part[8:9] == b"{":
        _safetensors(part, found)
    elif not name and part[:1] == b"\x08" and _is_onnx(part):
        read_onnx(part, found)
    elif not name and _is_text(part):
        _text(part.decode(), found)
    elif not name or start == b"\x80" or name.endswith((".pkl", ".pickle")):
        # The oldest pickles have no mark of their own: what is nothing else is read as one.
        if not part:
            raise _unreadable("empty")
        _merge(read_pickle(part, storages), found)
    else:
        return False
    return True


def _is_onnx(part: bytes) -> bool:
    """Whether the bytes are fields of a model of ONNX: its version, then who made it, or a
    graph."""
    try:
        return {number for number, _, _ in list_fields(part)} >= {1, 7}
    except (ValueError, IndexError):
        return False


def _is_text(part: bytes) -> bool:
    """Whether the bytes are lines of names and values, as LightGBM writes them."""
    lines = part[:4000].splitlines()[:20]
    if part[:5] != b"tree\n" and sum(b"=" in line or b"," in line for line in lines) < 3:
        return False
    try:
        text = part.decode()
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\n\r\t" for letter in text[:100_000])


def _text(text: str, found: Content) -> None:
    """Numbers of each line as an array, and words."""
    for line in text.splitlines():
        numbers = []
        for word in WORDS.split(line):
            try:
                numbers.append(float(word))
            except ValueError:
                if len(word) > TOKEN:
                    found.packed += len(word)
                elif word:
                    found.take(word)
        if len(numbers) > 1:
            found.weigh(8 * len(numbers))
            found.arrays.append(np.array(numbers))
        found.scalars += numbers if len(numbers) == 1 else []


def _code(part: bytes, found: Content) -> None:
    """Numbers, texts and comments of an exported module's code; the code itself was inspected."""
    numbers: list[float] = []
    for token in tokenize.tokenize(io.BytesIO(part).readline):
        if token.type == tokenize.NUMBER:
            try:
                numbers.append(float(token.string))
            except ValueError:
                continue
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            _text(token.string, found)
        elif token.type == tokenize.NEWLINE:
            if len(numbers) > 1:
                found.arrays.append(np.array(numbers))
            numbers = []


def _json(root: Any, found: Content) -> None:
    todo = [root]
    while todo:
        node = todo.pop()
        inner = list(node.values()) if isinstance(node, dict) else node
        if isinstance(node, dict):
            for name in node:
                found.take(name)
        if isinstance(inner, np.ndarray):
            found.weigh(inner.nbytes)
            found.arrays.append(inner)
        elif isinstance(inner, list):
            values(inner, {}, found)
            todo += inner
        elif isinstance(inner, str):
            try:
                found.scalars.append(float(inner))
            except ValueError:
                found.take(inner)
        elif isinstance(inner, int | float):
            try:
                found.scalars.append(float(inner))
            except OverflowError:
                found.packed += 8


def _safetensors(part: bytes, found: Content) -> None:
    (length,) = struct.unpack("<Q", part[:8])
    header = json.loads(part[8 : 8 + length])
    body = part[8 + length :]
    read = 0
    for name, entry in header.items():
        found.take(name)
        if isinstance(entry, dict) and entry.get("dtype") in (*SAFE, "BF16"):
            start, end = (int(n) for n in entry["data_offsets"])
            read += end - start
            if entry["dtype"] == "BF16":
                wide = np.frombuffer(body[start:end], "<u2").astype("<u4") << 16
                flat = wide.view("<f4")
            else:
                flat = np.frombuffer(body[start:end], dtype=SAFE[entry["dtype"]])
            found.arrays.append(flat.reshape([int(n) for n in entry["shape"]]))
        elif name == "__metadata__":
            _json(entry, found)
    found.packed += max(0, len(body) - read)


def _large(size: int) -> PrivauditError:
    return PrivauditError(
        f"a model's or generator's file that unpacks to {size:,} bytes or more",
        f"at most {LARGEST:,} bytes in {MOST_PARTS:,} parts are read",
        "hand out a smaller file",
    )


def _unreadable(reason: str) -> PrivauditError:
    return PrivauditError(
        "a model's or generator's file that cannot be read without running it",
        f"it is damaged or of a kind that is not known ({reason}); read are zip archives of torch "
        "and numpy, pickles, safetensors, .npy, JSON, Universal Binary JSON, ONNX and plain text",
        "give the file as it is handed out, or save what is handed out in one of these kinds",
    )


__all__ = ["read_arrays"]
