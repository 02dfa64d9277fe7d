"""What a pickle holds, found by reading its opcodes: nothing in it is imported, called or built."""

from __future__ import annotations

import io
import math
import pickletools
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from privaudit.errors import PrivauditError

MOST_STEPS = 20_000_000
"""Opcodes that are read of one pickle: above, it is refused."""
DTYPE = re.compile(r"[<>=|]?([?bBhHiIlLqQefd]|[biuf][1248]|[SU][0-9]{1,4}|b1|f16)")
RECORD = re.compile(r"V([1-9]\d{0,6})")


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
    """A reference to data outside the pickle, such as a tensor's storage."""

    reference: Any


PUSHED = frozenset(
    code.name
    for code in pickletools.opcodes
    if code.arg and not code.stack_before and code.stack_after
    if code.stack_after[0] is not pickletools.anyobject
)
"""Opcodes whose argument is the value itself."""


@dataclass(eq=False)
class Walk:
    """A pickle machine that builds inert nodes in place of objects.

    Lists, tuples, texts, bytes and numbers are themselves; sets are lists; all else is one of the
    classes above. The arrays that joblib puts between opcodes are read where they are. The opcodes
    are those listed here: a new one is refused, not guessed.
    """

    stream: io.BytesIO
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self) -> Any:
        """The root of what is pickled. ValueError or IndexError for a damaged pickle."""
        for count, (code, argument, _) in enumerate(pickletools.genops(self.stream)):
            if count >= MOST_STEPS:
                raise refused(f"a pickle of more than {MOST_STEPS:,} steps")
            if code.name == "STOP":
                break
            if code.name in PUSHED:
                self.stack.append(argument)
            else:
                self._step(code.name, argument)
        return self.stack[-1]

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[int(argument)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[int(argument)])
            case "MARK":
                self.marks.append(len(stack))
            case "APPEND":
                self._add([stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self._add(self._since())
            case "SETITEM":
                self._set(self._last(2))
            case "SETITEMS":
                self._set(self._since())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._last(int(name[-1]))))
            case "TUPLE":
                stack.append(tuple(self._since()))
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "LIST" | "FROZENSET":
                stack.append(self._since())
            case "EMPTY_DICT":
                stack.append(Pairs())
            case "DICT":
                flat = self._since()
                stack.append(Pairs())
                self._set(flat)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "NEXT_BUFFER":
                stack.append(b"")
            case "GLOBAL":
                stack.append(Global(argument))
            case "STACK_GLOBAL":
                module, attribute = self._last(2)
                stack.append(Global(f"{module} {attribute}"))
            case "EXT1" | "EXT2" | "EXT4":
                stack.append(Global(f"copyreg {argument}"))
            case "REDUCE" | "NEWOBJ":
                self._make(self._last(2))
            case "NEWOBJ_EX":
                self._make(self._last(3))
            case "OBJ":
                self._make(self._since())
            case "INST":
                stack.append(Made(Global(argument), self._since()))
            case "BUILD":
                self._build(stack.pop())
            case "PERSID":
                stack.append(Outside(argument))
            case "BINPERSID":
                stack.append(Outside(stack.pop()))
            case "DUP":
                stack.append(stack[-1])
            case "POP" if self.marks and self.marks[-1] == len(stack):
                self.marks.pop()
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._since()
            case "PROTO" | "FRAME" | "READONLY_BUFFER":
                pass
            case _:
                raise ValueError(name)

    def _since(self) -> list[Any]:
        """What lies above the last mark, which is taken away with it."""
        at = self.marks.pop()
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def _last(self, count: int) -> list[Any]:
        """The topmost `count` values, taken away."""
        found = self.stack[-count:]
        if len(found) < count:
            raise ValueError("stack")
        del self.stack[-count:]
        return found

    def _add(self, values: list[Any]) -> None:
        top = self.stack[-1]
        if not isinstance(top, list | Made):
            raise ValueError("append")
        (top if isinstance(top, list) else top.items).extend(values)

    def _set(self, flat: list[Any]) -> None:
        top = self.stack[-1]
        if not isinstance(top, Pairs | Made):
            raise ValueError("setitem")
        top.items.extend(zip(flat[::2], flat[1::2], strict=True))

    def _make(self, parts: list[Any]) -> None:
        self.stack.append(Made(parts[0], parts[1:]))

    def _build(self, state: Any) -> None:
        top = self.stack[-1]
        if isinstance(top, Made):
            top.state.append(state)
            if top.name.endswith("numpy_pickle NumpyArrayWrapper"):
                top.items.append(_between(self.stream, state))
        elif not isinstance(top, Pairs | list):
            raise ValueError("build")


def _between(stream: io.BytesIO, state: Any) -> Any:
    """The array that joblib wrote right after its description; the stream is left behind it.

    An array of objects is a pickle of its own there, and what it would have become is returned.
    """
    if not isinstance(state, Pairs):
        return None
    header: dict[str, Any] = {key: value for key, value in state.items if isinstance(key, str)}
    shape: Any = header.get("shape")
    text = _type_text(header.get("dtype"))
    if text.startswith("O"):
        return Walk(stream).run()
    dtype = dtype_of(header.get("dtype")) or record_of(header.get("dtype"))
    if dtype is None or not is_shape(shape):
        raise refused("a joblib file with arrays of another kind than numbers and texts")
    if header.get("numpy_array_alignment_bytes"):
        pad = stream.read(1)
        stream.seek(pad[0] if pad else 0, io.SEEK_CUR)
    size = math.prod(shape) * dtype.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("truncated")
    order: Literal["C", "F"] = "F" if header.get("order") == "F" else "C"
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


def _type_text(kind: Any) -> str:
    """How numpy names the type that a node would have become; "" for no type."""
    if not isinstance(kind, Made) or kind.name != "numpy dtype" or not kind.given:
        return ""
    first = kind.given[0][0] if isinstance(kind.given[0], tuple) else kind.given[0]
    return first if isinstance(first, str) else ""


def is_shape(shape: Any) -> bool:
    """Whether this is a tuple of sizes, as an array's shape."""
    return isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)


def dtype_of(kind: Any) -> np.dtype[Any] | None:
    """The numpy type of numbers, yes or no, or texts that a node would have become, if one."""
    first = _type_text(kind)
    if DTYPE.fullmatch(first) is None:
        return None
    order = "="
    if kind.state and isinstance(kind.state[-1], tuple) and len(kind.state[-1]) > 1:
        stated = kind.state[-1][1]
        order = stated if stated in ("<", ">") else "="
    return np.dtype(first).newbyteorder(order)  # type: ignore[arg-type]


def record_of(kind: Any) -> np.dtype[Any] | None:
    """The numpy type of records of several fields that a node would have become, if one.

    Fields that are no numbers or texts are left out.
    """
    record = RECORD.fullmatch(_type_text(kind))
    state = kind.state[-1] if record is not None and kind.state else None
    if record is None or not isinstance(state, tuple) or len(state) < 5:
        return None
    fields = dict(state[4].items) if isinstance(state[4], Pairs) else {}
    known = {
        name: (dtype, place[1])
        for name, place in fields.items()
        if isinstance(name, str) and isinstance(place, tuple) and len(place) >= 2
        if (dtype := dtype_of(place[0])) is not None and type(place[1]) is int
    }
    size = int(record[1])
    inside = all(0 <= at <= size - dtype.itemsize for dtype, at in known.values())
    if not known or not inside:
        return None
    return np.dtype(
        {
            "names": list(known),
            "formats": [dtype for dtype, _ in known.values()],
            "offsets": [at for _, at in known.values()],
            "itemsize": size,
        }
    )


def refused(what: str) -> PrivauditError:
    """The error of a file that is not read."""
    return PrivauditError(
        what,
        "the file is read step by step, without running it, and this cannot be",
        "audit the file that is really handed out, or have the generator saved as arrays",
    )
