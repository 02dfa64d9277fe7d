"""What a pickle holds, found by reading its opcodes: nothing in it is imported, called or built."""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError

MOST = 20_000_000
"""Opcodes that are read of one pickle: above, it is refused."""
DTYPE = re.compile(r"[<>=|]?([?bBhHiIlLqQefd]|[biuf][1248]|[SU][0-9]{1,4}|b1|f16)")


@dataclass(frozen=True)
class Global:
    """The name of something that the pickle would have imported."""

    name: str


@dataclass(eq=False)
class Made:
    """Something that the pickle would have built: by what, from what, with what state after."""

    by: Any
    given: Any
    state: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.by.name if isinstance(self.by, Global) else ""


@dataclass(eq=False)
class Pairs:
    """A dictionary as keys and values, so that no key of the file's is ever hashed."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Outside:
    """A reference to data kept outside the pickle, such as a tensor's storage."""

    told: Any


@dataclass(eq=False)
class Walk:
    """A pickle machine that builds inert nodes in place of objects.

    Lists, tuples, texts, bytes and numbers are themselves; sets are lists; all else is one of the classes
    above. The arrays that joblib puts between opcodes are read where they stand.
    """

    stream: io.BytesIO
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """The root of what is pickled. ValueError or IndexError for a damaged pickle."""
        for count, (code, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count >= MOST:
                raise refused(f"a pickle of more than {MOST:,} steps")
            if code.name == "STOP":
                break
            self._step(code.name, argument)
        return self.stack[-1]

    def _step(self, name: str, argument: Any) -> None:
        if name in ("PROTO", "FRAME", "READONLY_BUFFER"):
            return
        if name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in PUSHED:
            self.stack.append(argument)
        elif name in STEPS:
            STEPS[name](self, argument)
        else:
            raise ValueError(name)

    def since(self) -> list[Any]:
        """What lies above the last mark, which is taken away with it."""
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def drop(self) -> None:
        self.since()

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def add(self, values: list[Any]) -> None:
        top = self.stack[-1]
        if isinstance(top, list):
            top.extend(values)
        elif isinstance(top, Made):
            top.items.extend(values)
        else:
            raise ValueError("append")

    def set(self, flat: list[Any]) -> None:
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        top = self.stack[-1]
        if isinstance(top, Pairs | Made):
            top.items.extend(pairs)
        else:
            raise ValueError("setitem")

    def make(self, count: int) -> None:
        parts = self.stack[-count:]
        del self.stack[-count:]
        self.stack.append(Made(parts[0], parts[1:]))

    def build(self) -> None:
        state = self.stack.pop()
        top = self.stack[-1]
        if isinstance(top, Made):
            top.state.append(state)
            if top.name.endswith("numpy_pickle NumpyArrayWrapper"):
                top.items.append(_between(self.stream, state))
        elif not isinstance(top, Pairs | list):
            raise ValueError("build")


def _pop_name(walk: Walk) -> None:
    last = walk.stack.pop()
    walk.stack.append(Global(f"{walk.stack.pop()} {last}"))


def _instance(walk: Walk, name: str) -> None:
    walk.stack.append(Made(Global(name), walk.since()))


def _object(walk: Walk, _: Any) -> None:
    parts = walk.since()
    walk.stack.append(Made(parts[0], parts[1:]))


def _tuple(count: int) -> Callable[[Walk, Any], None]:
    def step(walk: Walk, _: Any) -> None:
        parts = tuple(walk.stack[-count:])
        if len(parts) < count:
            raise ValueError("tuple")
        del walk.stack[-count:]
        walk.stack.append(parts)

    return step


def _pop(walk: Walk, _: Any) -> None:
    if walk.marks and walk.marks[-1] == len(walk.stack):
        walk.marks.pop()
    else:
        walk.stack.pop()


def _setitem(walk: Walk, _: Any) -> None:
    flat = walk.stack[-2:]
    del walk.stack[-2:]
    walk.set(flat)


def _dict(walk: Walk, _: Any) -> None:
    flat = walk.since()
    walk.stack.append(Pairs())
    walk.set(flat)


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_LIST": list,
    "EMPTY_SET": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": Pairs, "NEXT_BUFFER": bytes,
}  # fmt: skip
PUSHED = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
STEPS: dict[str, Callable[[Walk, Any], None]] = {
    "MARK": lambda w, _: w.marks.append(len(w.stack)),
    "POP": _pop,
    "POP_MARK": lambda w, _: w.drop(),
    "DUP": lambda w, _: w.stack.append(w.stack[-1]),
    "LIST": lambda w, _: w.stack.append(w.since()),
    "TUPLE": lambda w, _: w.stack.append(tuple(w.since())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dict,
    "FROZENSET": lambda w, _: w.stack.append(w.since()),
    "APPEND": lambda w, _: w.add([w.stack.pop()]),
    "APPENDS": lambda w, _: w.add(w.since()),
    "ADDITEMS": lambda w, _: w.add(w.since()),
    "SETITEM": _setitem,
    "SETITEMS": lambda w, _: w.set(w.since()),
    "GET": lambda w, a: w.stack.append(w.memo[int(a)]),
    "BINGET": lambda w, a: w.stack.append(w.memo[a]),
    "LONG_BINGET": lambda w, a: w.stack.append(w.memo[a]),
    "PUT": lambda w, a: w.put(int(a)),
    "BINPUT": lambda w, a: w.put(a),
    "LONG_BINPUT": lambda w, a: w.put(a),
    "MEMOIZE": lambda w, _: w.put(len(w.memo)),
    "GLOBAL": lambda w, a: w.stack.append(Global(a)),
    "STACK_GLOBAL": lambda w, _: _pop_name(w),
    "EXT1": lambda w, a: w.stack.append(Global(f"copyreg {a}")),
    "EXT2": lambda w, a: w.stack.append(Global(f"copyreg {a}")),
    "EXT4": lambda w, a: w.stack.append(Global(f"copyreg {a}")),
    "REDUCE": lambda w, _: w.make(2),
    "NEWOBJ": lambda w, _: w.make(2),
    "NEWOBJ_EX": lambda w, _: w.make(3),
    "INST": lambda w, a: _instance(w, a),
    "OBJ": _object,
    "BUILD": lambda w, _: w.build(),
    "PERSID": lambda w, a: w.stack.append(Outside(a)),
    "BINPERSID": lambda w, _: w.stack.append(Outside(w.stack.pop())),
}


def _between(stream: io.BytesIO, state: Any) -> np.ndarray | None:
    """The array that joblib wrote right after its description; the stream is left behind it."""
    if not isinstance(state, Pairs):
        return None
    told = {key: value for key, value in state.items if isinstance(key, str)}
    dtype, shape = dtype_of(told.get("dtype")), told.get("shape")
    if (
        dtype is None
        or not isinstance(shape, tuple)
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise refused("a joblib file with objects inside its arrays")  # fmt: skip
    if told.get("numpy_array_alignment_bytes"):
        pad = stream.read(1)
        stream.seek(pad[0] if pad else 0, io.SEEK_CUR)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("truncated")
    return np.frombuffer(data, dtype=dtype).reshape(
        shape, order="F" if told.get("order") == "F" else "C"
    )


def dtype_of(kind: Any) -> np.dtype[Any] | None:
    if not isinstance(kind, Made) or kind.name != "numpy dtype" or not kind.given:
        return None
    first = kind.given[0][0] if isinstance(kind.given[0], tuple) else kind.given[0]
    if not isinstance(first, str) or DTYPE.fullmatch(first) is None:
        return None
    order = "="
    if kind.state and isinstance(kind.state[-1], tuple) and len(kind.state[-1]) > 1:
        told = kind.state[-1][1]
        order = told if told in ("<", ">") else "="
    return np.dtype(first).newbyteorder(order)  # type: ignore[arg-type]


def refused(what: str) -> PrivauditError:
    return PrivauditError(
        what,
        "the file is read step by step, without running it, and this cannot be",
        "audit the file that is really handed out, or have the generator saved as arrays",
    )


__all__ = ["Global", "Made", "Outside", "Pairs", "Walk", "dtype_of", "refused"]
