"""What goes between the audit and the process that holds a model.

To the model go objects of the audit, pickled: it is this project's own process. Back come JSON and
raw numbers, read without trust: nothing that a model's process sends is ever unpickled.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

MAX_HEADER = 64 << 20
MAX_NUMBERS = 16 << 30
"""Bytes of numbers at once: gradients of many records for many weights are large."""

MAX_TEXT = 20_000
"""Letters of one message: a Keras or R remedy is a page, and none is a book."""

_SIZE = struct.Struct("<Q")
_DTYPES = ("<f8", "<f4")


class BrokenAnswer(Exception):
    """What came from a model's process is no answer."""


class Ended(Exception):
    """The process is no more."""


def send_request(stream: BinaryIO, request: Any) -> None:
    """Send one of the audit's own objects to a model's process."""
    body = pickle.dumps(request, protocol=5)
    stream.write(_SIZE.pack(len(body)))
    stream.write(body)
    stream.flush()


def read_request(stream: BinaryIO) -> Any:
    """What the audit sent; only a model's process calls this. EOFError where the audit closed."""
    return pickle.loads(_take(stream, _SIZE.unpack(_take(stream, 8))[0]))


def send_answer(
    stream: BinaryIO, facts: Mapping[str, Any], arrays: Sequence[np.ndarray] = (), blob: bytes = b""
) -> None:
    """Send facts, float arrays and raw bytes to the audit."""
    sent = [
        np.ascontiguousarray(array, dtype="<f4" if array.dtype == np.float32 else "<f8")
        for array in arrays
    ]
    header = json.dumps(
        {
            "facts": facts,
            "arrays": [[array.dtype.str, list(array.shape)] for array in sent],
            "blob": len(blob),
        }
    ).encode()
    stream.write(_SIZE.pack(len(header)))
    stream.write(header)
    for array in sent:
        stream.write(array.reshape(-1).view(np.uint8).data)
    stream.write(blob)
    stream.flush()


def read_answer(
    stream: BinaryIO, most: int = MAX_NUMBERS
) -> tuple[dict[str, Any], list[np.ndarray], bytes]:
    """Facts, arrays of at most `most` bytes together, and raw bytes that a model's process sent.

    Raises:
        Ended: The process closed its end.
        BrokenAnswer: Anything else than an answer.
    """
    try:
        size = _SIZE.unpack(_take(stream, 8))[0]
        if size > MAX_HEADER:
            raise BrokenAnswer("size")
        header = json.loads(_take(stream, size))
        facts, blob = header["facts"], header["blob"]
        shapes = [_check_shape(one) for one in header["arrays"]]
        if not isinstance(facts, dict) or type(blob) is not int or not 0 <= blob <= MAX_HEADER:
            raise BrokenAnswer("header")
        if sum(kind.itemsize * math.prod(shape) for kind, shape in shapes) > most:
            raise BrokenAnswer("size")
        arrays = []
        for dtype, shape in shapes:
            made = np.empty(shape, dtype=dtype)
            _fill(stream, made.reshape(-1).view(np.uint8).data)
            arrays.append(made)
        return facts, arrays, _take(stream, blob)
    except (EOFError, OSError):
        raise Ended from None
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError):
        raise BrokenAnswer("answer") from None


def _check_shape(one: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype, shape = one
    if dtype not in _DTYPES or not isinstance(shape, list) or not 1 <= len(shape) <= 2:
        raise BrokenAnswer("array")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise BrokenAnswer("shape")
    return np.dtype(dtype), tuple(shape)


def _fill(stream: BinaryIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        # BinaryIO of a socket or a pipe: both fill what they are handed.
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        done += count


def _take(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(min(size, 1 << 24))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_scalar(value: Any) -> Any:
    """A label or a level for JSON: what is no plain value goes as its text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_scalar(value: Any) -> Any:
    """What `write_scalar` wrote."""
    if isinstance(value, dict) and set(value) == {"float"}:
        return float(value["float"])
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise BrokenAnswer("value")


def read_text(value: Any, most: int = MAX_TEXT) -> str:
    """A text of a model's process: shown on a terminal, so that no control character stays."""
    if not isinstance(value, str):
        raise BrokenAnswer("text")
    return "".join(c for c in value[:most] if c == "\n" or c.isprintable())


__all__ = [
    "BrokenAnswer",
    "Ended",
    "read_answer",
    "read_request",
    "read_scalar",
    "read_text",
    "send_answer",
    "send_request",
    "write_scalar",
]
