"""Arrays of an ONNX file: constants, attributes of its operations, and what else it holds.

Protocol buffers, fields of onnx.proto in ONNX 1.x. A field that is not known counts as unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from privaudit.inputs.artefacts.pickled_arrays import Content

TYPES = {
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
}
"""Types of ONNX tensors, and numpy's."""
BFLOAT16 = 16
DEEPEST = 40
Field = tuple[int, int, "int | bytes"]


def read_onnx(file: bytes, found: Content) -> None:
    """Everything in a model's file. ValueError or IndexError for a damaged one."""
    for number, _, value in list_fields(file):
        if number == 7 and isinstance(value, bytes):
            _graph(value, found, 0)
        elif number == 25 and isinstance(value, bytes):
            _function(value, found, 0)
        else:
            _rest(number, value, (2, 3, 4, 6), {8: (1,), 14: (1, 2)}, found)


def _rest(
    number: int,
    value: int | bytes,
    texts: tuple[int, ...],
    messages: dict[int, tuple[int, ...]],
    found: Content,
) -> None:
    """Fields that hold texts, or messages of texts; any other is unread."""
    if isinstance(value, int):
        return
    if number in texts:
        found.take(value)
    elif number in messages:
        for inner, _, part in list_fields(value):
            _rest(inner, part, messages[number], {}, found)
    else:
        found.packed += len(value)


def _function(part: bytes, found: Content, depth: int) -> None:
    for number, _, value in list_fields(part):
        if number == 7 and isinstance(value, bytes):
            _node(value, found, depth)
        elif number == 11 and isinstance(value, bytes):
            _attribute(value, found, depth)
        else:
            _rest(number, value, (1, 4, 5, 6, 8, 10, 13), {9: (1,), 14: (1, 2)}, found)


def _graph(part: bytes, found: Content, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("graphs in graphs")
    for number, _, value in list_fields(part):
        if isinstance(value, int):
            continue
        if number == 1:
            _node(value, found, depth)
        elif number == 5:
            _tensor(value, found)
        elif number == 15:
            _sparse(value, found)
        elif number in (11, 12, 13):
            _value_info(value, found)
        else:
            _rest(number, value, (2, 10), {16: (1, 2)}, found)


def _value_info(part: bytes, found: Content) -> None:
    for number, _, value in list_fields(part):
        if number == 2 and isinstance(value, bytes):
            # A type: sizes and names of sizes.
            found.unread += len(value)
        else:
            _rest(number, value, (1, 3), {4: (1, 2)}, found)


def _node(part: bytes, found: Content, depth: int) -> None:
    for number, _, value in list_fields(part):
        if number == 5 and isinstance(value, bytes):
            _attribute(value, found, depth)
        else:
            _rest(number, value, (1, 2, 3, 4, 6, 7, 8), {9: (1, 2)}, found)


def _attribute(part: bytes, found: Content, depth: int) -> None:
    floats: list[np.ndarray] = []
    whole: list[np.ndarray] = []
    texts: list[bytes] = []
    for number, wire, value in list_fields(part):
        if number in (2, 7):
            floats.append(_fixed(value, "<f4"))
        elif number in (3, 8):
            whole.append(_whole(value))
        elif isinstance(value, int) or wire != 2:
            continue
        elif number == 9:
            texts.append(value)
        elif number in (5, 10):
            _tensor(value, found)
        elif number in (6, 11):
            _graph(value, found, depth + 1)
        elif number in (22, 23):
            _sparse(value, found)
        else:
            _rest(number, value, (1, 4, 13, 21), {}, found)
    _add(floats, found)
    _add(whole, found)
    _take_texts(texts, found)


def _take_texts(texts: list[bytes], found: Content) -> None:
    for one in set(texts):
        found.take(one)
    if len(texts) > 1:
        words = [one[:100].decode("utf-8", "replace") for one in texts]
        found.weigh(4 * len(words) * max(map(len, words)))
        found.arrays.append(np.array(words))


def _add(parts: list[np.ndarray], found: Content) -> None:
    if parts:
        joined = np.concatenate(parts)
        found.weigh(joined.nbytes)
        if len(joined) > 1:
            found.arrays.append(joined)
        else:
            found.scalars += [float(one) for one in joined]


def _sparse(part: bytes, found: Content) -> None:
    for number, _, value in list_fields(part):
        if number in (1, 2) and isinstance(value, bytes):
            _tensor(value, found)


def _tensor(part: bytes, found: Content) -> None:
    dims: list[np.ndarray] = []
    kind = 0
    numbers: list[np.ndarray] = []
    texts: list[bytes] = []
    raw = b""
    readers: dict[int, Callable[[int | bytes], np.ndarray]] = {
        4: lambda v: _fixed(v, "<f4"),
        5: _whole,
        7: _whole,
        10: lambda v: _fixed(v, "<f8"),
        11: _whole,
    }
    for number, _, value in list_fields(part):
        if number == 1:
            dims.append(_whole(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number in readers:
            numbers.append(readers[number](value))
        elif number == 6 and isinstance(value, bytes):
            texts.append(value)
        elif number == 9 and isinstance(value, bytes):
            raw = value
        else:
            _rest(number, value, (8, 12), {13: (1, 2), 16: (1, 2)}, found)
    _take_texts(texts, found)
    if raw and kind == BFLOAT16 and len(raw) % 2 == 0:
        numbers.append((np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4"))
    elif raw and kind in TYPES and len(raw) % np.dtype(TYPES[kind]).itemsize == 0:
        numbers.append(np.frombuffer(raw, TYPES[kind]))
    elif raw:
        found.blobs.append(raw)
    if not numbers:
        return
    flat = np.concatenate(numbers)
    if kind == 10 and not raw:
        # Half precision is written as whole numbers.
        flat = flat.astype("<u2").view("<f2")
    found.weigh(flat.nbytes)
    shape = tuple(np.concatenate([*dims, np.empty(0, dtype=np.int64)]).tolist())
    fits = all(n >= 0 for n in shape) and int(np.prod(shape, dtype=object)) == len(flat)
    if len(flat) == 1:
        found.scalars.append(float(flat[0]))
    else:
        found.arrays.append(flat.reshape(shape) if fits else flat)


def _fixed(value: int | bytes, kind: str) -> np.ndarray:
    """Numbers of fixed width, one or many."""
    if isinstance(value, int):
        raise ValueError("a number of another width")
    return np.frombuffer(value, kind).copy()


def _whole(value: int | bytes) -> np.ndarray:
    """One whole number, or several packed, each in seven bits a byte."""
    if isinstance(value, int):
        return np.array([value - (1 << 64) if value >= 1 << 63 else value], dtype=np.int64)
    codes = np.frombuffer(value, np.uint8)
    if not len(codes):
        return np.empty(0, dtype=np.int64)
    ends = np.flatnonzero(codes < 128)
    if not len(ends) or ends[-1] != len(codes) - 1:
        raise ValueError("a number that is cut short")
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 9:
        raise ValueError("a number of too many bytes")
    parts = (codes & 127).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.bitwise_or.reduceat(parts, starts).view(np.int64)


def list_fields(raw: bytes) -> Iterator[Field]:
    """(number, wire type, value) of a message's fields: whole numbers, or the bytes of others."""
    at = 0
    while at < len(raw):
        key, at = read_varint(raw, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("a field without a number")
        if wire == 0:
            value, at = read_varint(raw, at)
            yield number, wire, value
            continue
        if wire == 2:
            size, at = read_varint(raw, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("a wire type that ONNX does not use")
        if at + size > len(raw):
            raise ValueError("cut short")
        yield number, wire, raw[at : at + size]
        at += size


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """A whole number in seven bits a byte, and where the next begins."""
    found = shift = 0
    while True:
        byte = raw[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of too many bytes")


__all__ = ["list_fields", "read_onnx", "read_varint"]
