"""Arrays among the nodes of a pickle that was read without being run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.inputs.artefacts.pickle_opcodes import (
    Global,
    Made,
    Outside,
    Pairs,
    Walk,
    dtype_of,
    is_shape,
    record_of,
    refused,
)

LARGEST = 2**30
"""Bytes of arrays that are taken from one file: a few bytes can name one array many times."""
LONG = 1000
"""A text of more letters may be packed data."""
LETTERS = 100
"""Of a text as a value, its first letters count."""
SCALAR = int | float | str | None
STORAGES = dict(
    zip(
        ("Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool"),
        ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"),
        strict=True,
    )
)
"""Torch's names of storages, less "Storage", and numpy's types."""


@dataclass(eq=False)
class Content:
    """What a file holds.

    arrays: of numbers, yes or no, or texts; groups: lists of arrays of whole numbers, which may
    state which rows belong to each level of a column; size: bytes counted so far; unread: bytes of
    texts and raw bytes that became no array; packed: those of them that are raw, or one long text;
    words: texts that may name a level; blobs: raw bytes that are yet to be looked into; scalars:
    numbers that stand alone.
    """

    arrays: list[np.ndarray] = field(default_factory=list)
    groups: list[list[np.ndarray]] = field(default_factory=list)
    size: int = 0
    unread: int = 0
    packed: int = 0
    words: set[str] = field(default_factory=set)
    blobs: list[bytes] = field(default_factory=list)
    scalars: list[float] = field(default_factory=list)

    def take(self, text: str | bytes) -> None:
        """Take a text that no array is made of, each once: forests name their settings anew."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if len(text) > LONG:
            self.blobs.append(text.encode("utf-8", "surrogatepass"))
        elif text not in self.words:
            self.words.add(text)
            self.unread += len(text)

    def weigh(self, size: int) -> None:
        """Count this many bytes; refuse a file that holds too many."""
        self.size += size
        if self.size > LARGEST:
            raise refused(f"a file whose arrays take more than {LARGEST:,} bytes")


def read_pickle(content: bytes, storages: Mapping[str, bytes]) -> Content:
    """The arrays of one pickle. storages: bytes of tensors that lie outside it, by name."""
    stream = io.BytesIO(content)
    found = Content()
    while stream.tell() < len(content):
        # Files of older kinds are several pickles one after another.
        at = stream.tell()
        if at and content[at : at + 1] != b"\x80":
            found.packed += len(content) - at
            break
        _collect(Walk(stream).run(), storages, found)
    return found


def _collect(root: Any, storages: Mapping[str, bytes], found: Content) -> None:
    """Every array under a node, each node once, without recursion."""
    todo, seen = [root], {id(root)}
    texts: set[str | bytes] = set()
    while todo:
        node = todo.pop()
        parts: list[Any] = []
        if isinstance(node, Made):
            found.words.add(node.name.rpartition(" ")[2])
            array = _array(node, storages, found)
            if array is not None and array.dtype.names:
                # Records of several fields, such as the nodes of trees.
                found.arrays += [array[name] for name in array.dtype.names]
            elif array is not None:
                found.arrays.append(array)
            elif not isinstance(number := _scalar(node), Made):
                found.scalars += [float(number)] if isinstance(number, int | float) else []
            else:
                parts = [node.given, *node.state, *node.items]
                _open_sparse(node, storages, found)
        elif isinstance(node, Pairs):
            parts = [part for pair in node.items for part in pair]
            values([value for _, value in node.items], storages, found)
        elif isinstance(node, list | tuple):
            parts = list(node)
            values(node, storages, found)
        elif isinstance(node, np.ndarray):
            found.arrays.append(node)
        for part in parts:
            for one in part if isinstance(part, tuple) else (part,):
                if isinstance(one, Global):
                    found.words.add(one.name.rpartition(" ")[2])
            if isinstance(part, str | bytes | bytearray):
                text = part if isinstance(part, str) else bytes(part)
                if text not in texts:
                    texts.add(text)
                    if isinstance(text, str):
                        found.take(text)
                    else:
                        found.blobs.append(text)
            if isinstance(part, Made | Pairs | list | tuple | np.ndarray) and id(part) not in seen:
                seen.add(id(part))
                todo.append(part)


def _open_sparse(node: Made, storages: Mapping[str, bytes], found: Content) -> None:
    """The table that a sparse matrix of scipy stands for."""
    if not node.name.startswith("scipy.sparse") or not node.state:
        return
    state = node.state[-1]
    if not isinstance(state, Pairs):
        return
    parts: dict[str, Any] = {key: part for key, part in state.items if isinstance(key, str)}
    arrays = {
        key: _array(parts[key], storages, found) if isinstance(parts.get(key), Made) else None
        for key in ("data", "indices", "indptr")
    }
    shape = parts.get("_shape")
    form = node.name.rpartition(" ")[2][:3]
    dense = spread_sparse(arrays, shape, form, found)
    if dense is not None:
        found.arrays.append(dense)


def spread_sparse(
    arrays: Mapping[str, np.ndarray | None], shape: Any, form: str, found: Content
) -> np.ndarray | None:
    """(r, w) of the arrays of a compressed matrix; form: csr or csc. None where they are none."""
    data, indices, indptr = (arrays.get(key) for key in ("data", "indices", "indptr"))
    if data is None or indices is None or indptr is None or form not in ("csr", "csc"):
        return None
    if not is_shape(shape) or len(shape) != 2 or len(data) != len(indices):
        return None
    rows, columns = shape if form == "csr" else shape[::-1]
    ends: np.ndarray = indptr.astype(np.int64)
    counts: np.ndarray = ends[1:] - ends[:-1]
    if len(counts) != rows or (counts < 0).any() or counts.sum() != len(indices):
        return None
    places = indices.astype(np.int64)
    if len(places) and not 0 <= places.min() <= places.max() < columns:
        return None
    found.weigh(8 * rows * columns)
    dense = np.zeros((rows, columns))
    dense[np.repeat(np.arange(rows), counts), places] = data
    return dense if form == "csr" else dense.T


def values(
    node: list[Any] | tuple[Any, ...], storages: Mapping[str, bytes], found: Content
) -> None:
    """A list's own numbers or texts as an array; its arrays of whole numbers as a group."""
    if len(node) < 2:
        return
    node = [_scalar(one) if isinstance(one, Made) else one for one in node]
    if all(isinstance(one, SCALAR) for one in node):
        array = _lettered(node, (len(node),), found)
        if array is not None:
            found.arrays.append(array)
        return
    rows = [one for one in node if isinstance(one, list | tuple)]
    if len(rows) == len(node) and rows[0] and len({len(row) for row in rows}) == 1:
        found.weigh(8 * len(rows) * len(rows[0]))
        if all(isinstance(one, int | float | None) for row in rows for one in row):
            found.arrays.append(np.stack([_numbers(row) for row in rows]))
    group = []
    for one in node:
        array = _array(one, storages, found) if isinstance(one, Made) else None
        if array is None and isinstance(one, list) and all(type(item) is int for item in one):
            found.weigh(8 * len(one))
            array = _numbers(one)
        if array is None or array.ndim != 1 or (len(array) and not _whole(array)):
            return
        found.weigh(8 * len(array))
        group.append(array.astype(np.int64))
    found.groups.append(group)


def _scalar(node: Made) -> Any:
    """The number that a node would have become, if it is one of numpy; else the node."""
    given = node.given[0] if node.given and isinstance(node.given[0], tuple) else tuple(node.given)
    if not node.name.endswith("multiarray scalar") or len(given) != 2:
        return node
    dtype = dtype_of(given[0])
    if dtype is None or not isinstance(given[1], bytes) or len(given[1]) != dtype.itemsize:
        return node
    return np.frombuffer(given[1], dtype=dtype)[0].item()


def _whole(array: np.ndarray) -> bool:
    return array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool(np.all(np.isfinite(array) & (array == np.floor(array))))
    )


def _numbers(values: Any) -> np.ndarray:
    return np.array([np.nan if one is None else _float(one) for one in values], dtype=np.float64)


def _float(one: Any) -> float:
    try:
        return float(one)
    except OverflowError:
        return float("nan")


def _array(node: Made, storages: Mapping[str, bytes], found: Content) -> np.ndarray | None:
    """The array that a node would have become, if it is one that can be read."""
    given = node.given[0] if node.given and isinstance(node.given[0], tuple) else tuple(node.given)
    module, _, name = node.name.partition(" ")
    if name == "NumpyArrayWrapper":
        return node.items[0] if node.items and isinstance(node.items[0], np.ndarray) else None
    if module.startswith("numpy") and name == "_reconstruct" and node.state:
        state = node.state[-1]
        if isinstance(state, tuple) and len(state) == 5:
            return _shaped(state[4], state[2], state[1], bool(state[3]), found)
    if module.startswith("numpy") and name == "_frombuffer" and len(given) == 4:
        return _shaped(given[0], given[1], given[2], given[3] == "F", found)
    if module.startswith("torch") and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
        return _tensor(given, storages)
    return None


def _shaped(data: Any, kind: Any, shape: Any, fortran: bool, found: Content) -> np.ndarray | None:
    if not is_shape(shape):
        return None
    if isinstance(data, Made) and data.name == "_codecs encode":
        text = data.given[0][0] if isinstance(data.given[0], tuple) else data.given[0]
        if not isinstance(text, str):
            return None
        found.weigh(len(text))
        data = text.encode("latin1")
    if isinstance(data, list):
        return _lettered(data, shape, found)
    dtype = dtype_of(kind) or record_of(kind)
    if dtype is None or not isinstance(data, bytes | bytearray):
        return None
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data):
        return None
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _lettered(
    data: list[Any] | tuple[Any, ...], shape: tuple[int, ...], found: Content
) -> np.ndarray | None:
    if int(np.prod(shape, dtype=object)) != len(data):
        return None
    if not all(isinstance(one, SCALAR) for one in data):
        return None
    found.weigh(8 * len(data))
    if not any(isinstance(one, str) for one in data):
        return _numbers(data).reshape(shape)
    texts = ["" if one is None else str(one)[:LETTERS] for one in data]
    found.weigh(4 * len(texts) * max(map(len, texts), default=0))
    return np.array(texts).reshape(shape)


def _tensor(given: tuple[Any, ...], storages: Mapping[str, bytes]) -> np.ndarray | None:
    if len(given) < 4 or not isinstance(given[0], Outside):
        return None
    outside, (offset, size, stride) = given[0].reference, given[1:4]
    if not isinstance(outside, tuple):
        return None
    kind = outside[1].name.rpartition(" ")[2] if isinstance(outside[1], Global) else ""
    content = storages.get(str(outside[2]))
    kind = kind.removesuffix("Storage")
    if kind not in STORAGES or content is None or not isinstance(size, tuple):
        return None
    dtype = np.dtype(STORAGES[kind])
    flat = np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype=dtype)
    if not all(type(n) is int and n >= 0 for n in (offset, *size, *stride)):
        return None
    count = int(np.prod(size, dtype=object))
    inside = flat[offset : offset + count]
    if len(inside) != count:
        return None
    row = tuple(int(np.prod(size[i + 1 :], dtype=object)) for i in range(len(size)))
    if stride == row or count == 0:
        return inside.reshape(size)
    if len(size) == 2 and stride == (1, size[0]):
        return inside.reshape(size[::-1]).T
    return inside
