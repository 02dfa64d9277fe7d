"""The arrays inside a released file, whatever software wrote it; nothing of the file is run."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError
from privaudit.inputs.artefacts.pickled_arrays import Content, read_pickle, values

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
CODE = (".py", ".debug_pkl")
MARKS = ("version", "byteorder", "serialization_id", ".format_version", ".storage_alignment")
"""Parts of a torch archive that hold no array."""


def read_arrays(file: bytes) -> Content:
    """What a file holds, read without running it.

    Zip archives (torch.save, numpy.savez, skops and this project's), pickles (plain, joblib,
    compressed), safetensors, .npy and JSON. An archive with a part of another kind is refused as a
    whole: what was not read was not looked into.

    Raises:
        PrivauditError: a file of another kind, a damaged one, or one that unpacks to more than
            `LARGEST` bytes.
    """
    try:
        return _open(file)
    except PrivauditError:
        raise
    except Exception as error:
        # Readers of damaged files raise whatever a list of errors would not hold.
        raise _unreadable(type(error).__name__) from None


def _open(file: bytes) -> Content:
    if len(file) > LARGEST:
        raise _large(len(file))
    if file[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(file)) as stream:
            file = stream.read(LARGEST + 1)
        if len(file) > LARGEST:
            raise _large(len(file))
    for magic, unpacker in PACKED:
        if file.startswith(magic):
            file = unpacker().decompress(file, LARGEST + 1)
            if len(file) > LARGEST:
                raise _large(len(file))
            break
    if zipfile.is_zipfile(io.BytesIO(file)):
        return _archive(file)
    found = Content()
    _part("", file, {}, found)
    return found


def _archive(file: bytes) -> Content:
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
    storages = {
        name.rpartition("/data/")[2]: part for name, part in content.items() if "/data/" in name
    }
    for name, part in content.items():
        if "/data/" in name or not part or name.endswith(CODE) or _base(name) in MARKS:
            continue
        if not _part(name, part, storages, found):
            raise _unreadable("a part of the archive is of another kind")
    return found


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _part(name: str, part: bytes, storages: dict[str, bytes], found: Content) -> bool:
    """Whether the part is of a kind that is read, after having read it."""
    start = part[:1]
    if part[:6] == b"\x93NUMPY":
        found.arrays.append(np.lib.format.read_array(io.BytesIO(part), allow_pickle=False))
    elif start in (b"{", b"["):
        _json(json.loads(part), found)
    elif len(part) > 8 and part[8:9] == b"{":
        _safetensors(part, found)
    elif not name or start == b"\x80" or name.endswith((".pkl", ".pickle")):
        # The oldest pickles have no mark of their own: what is nothing else is read as one.
        if not part:
            raise _unreadable("empty")
        inside = read_pickle(part, storages)
        found.arrays += inside.arrays
        found.groups += inside.groups
        found.unread += inside.unread
    else:
        return False
    return True


def _json(root: Any, found: Content) -> None:
    todo = [root]
    while todo:
        node = todo.pop()
        inner = list(node.values()) if isinstance(node, dict) else node
        if isinstance(inner, list):
            values(inner, {}, found)
            todo += [part for part in inner if isinstance(part, dict | list)]


def _safetensors(part: bytes, found: Content) -> None:
    (length,) = struct.unpack("<Q", part[:8])
    header = json.loads(part[8 : 8 + length])
    body = part[8 + length :]
    for entry in header.values():
        if isinstance(entry, dict) and entry.get("dtype") in SAFE:
            start, end = entry["data_offsets"]
            flat = np.frombuffer(body[int(start) : int(end)], dtype=SAFE[entry["dtype"]])
            found.arrays.append(flat.reshape([int(n) for n in entry["shape"]]))


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
        "and numpy, pickles, safetensors, .npy and JSON",
        "give the file as it is handed out, or save what is handed out in one of these kinds",
    )


__all__ = ["read_arrays"]
