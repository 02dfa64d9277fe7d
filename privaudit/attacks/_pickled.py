"""What a pickle holds, found by reading its opcodes: nothing in it is imported, called or built."""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from privaudit.errors import PrivauditError

MOST = 20_000_000
"""Opcodes that are read of one pickle: above, it is refused."""
LARGEST = 2**30
"""Bytes of arrays that are taken from one file: a few bytes of a pickle can name one array many times."""
LETTERS = 100
"""Of a text as a value, its first letters count."""
DTYPE = re.compile(r"[<>=|]?([?bBhHiIlLqQefd]|[biuf][1248]|[SU][0-9]{1,4}|b1|f16)")
SCALAR = int | float | str | None
STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip


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
                raise _refused(f"a pickle of more than {MOST:,} steps")
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


@dataclass(eq=False)
class Held:
    """What a file holds. arrays: of numbers, yes or no, or texts; groups: lists of arrays of whole numbers,
    which may say which rows belong to each level of a column."""

    arrays: list[np.ndarray] = field(default_factory=list)
    groups: list[list[np.ndarray]] = field(default_factory=list)
    size: int = 0

    def weigh(self, size: int) -> None:
        """Count this many bytes; refuse a file that holds too many."""
        self.size += size
        if self.size > LARGEST:
            raise _refused(f"a file whose arrays take more than {LARGEST:,} bytes")


def held(content: bytes, storages: Mapping[str, bytes]) -> Held:
    """The arrays of one pickle. storages: bytes of tensors that lie outside it, by name."""
    stream = io.BytesIO(content)
    found = Held()
    while stream.tell() < len(content):
        # Files of older kinds are several pickles one after another.
        at = stream.tell()
        if at and content[at : at + 1] != b"\x80":
            break
        _collect(Walk(stream).run(), storages, found)
    return found


def _collect(root: Any, storages: Mapping[str, bytes], found: Held) -> None:
    """Every array under a node, each node once, without recursion."""
    todo, seen = [root], {id(root)}
    while todo:
        node = todo.pop()
        parts: list[Any] = []
        if isinstance(node, Made):
            array = _array(node, storages, found)
            if array is not None:
                found.arrays.append(array)
            else:
                parts = [node.given, *node.state, *node.items]
        elif isinstance(node, Pairs):
            parts = [part for pair in node.items for part in pair]
            values([value for _, value in node.items], storages, found)
        elif isinstance(node, list | tuple):
            parts = list(node)
            values(node, storages, found)
        elif isinstance(node, np.ndarray):
            found.arrays.append(node)
        for part in parts:
            if isinstance(part, Made | Pairs | list | tuple | np.ndarray) and id(part) not in seen:
                seen.add(id(part))
                todo.append(part)


def values(node: list[Any] | tuple[Any, ...], storages: Mapping[str, bytes], found: Held) -> None:
    """A list's own numbers or texts as an array; its arrays of whole numbers as a group."""
    if len(node) < 2:
        return
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


def _array(node: Made, storages: Mapping[str, bytes], found: Held) -> np.ndarray | None:
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


def _shaped(data: Any, kind: Any, shape: Any, fortran: bool, found: Held) -> np.ndarray | None:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return None
    if isinstance(data, Made) and data.name == "_codecs encode":
        text = data.given[0][0] if isinstance(data.given[0], tuple) else data.given[0]
        if not isinstance(text, str):
            return None
        found.weigh(len(text))
        data = text.encode("latin1")
    if isinstance(data, list):
        return _lettered(data, shape, found)
    dtype = _dtype(kind)
    if dtype is None or not isinstance(data, bytes | bytearray):
        return None
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data):
        return None
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _lettered(
    data: list[Any] | tuple[Any, ...], shape: tuple[int, ...], found: Held
) -> np.ndarray | None:
    if int(np.prod(shape, dtype=object)) != len(data) or not all(isinstance(one, SCALAR) for one in data):  # fmt: skip
        return None
    found.weigh(8 * len(data))
    if not any(isinstance(one, str) for one in data):
        return _numbers(data).reshape(shape)
    texts = ["" if one is None else str(one)[:LETTERS] for one in data]
    found.weigh(4 * len(texts) * max(map(len, texts), default=0))
    return np.array(texts).reshape(shape)


def _dtype(kind: Any) -> np.dtype[Any] | None:
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


def _tensor(given: tuple[Any, ...], storages: Mapping[str, bytes]) -> np.ndarray | None:
    if len(given) < 4 or not isinstance(given[0], Outside) or not isinstance(given[0].told, tuple):
        return None
    told, (offset, size, stride) = given[0].told, given[1:4]
    kind = told[1].name.rpartition(" ")[2] if isinstance(told[1], Global) else ""
    content = storages.get(str(told[2]))
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


def _between(stream: io.BytesIO, state: Any) -> np.ndarray | None:
    """The array that joblib wrote right after its description; the stream is left behind it."""
    if not isinstance(state, Pairs):
        return None
    told = {key: value for key, value in state.items if isinstance(key, str)}
    dtype, shape = _dtype(told.get("dtype")), told.get("shape")
    if (
        dtype is None
        or not isinstance(shape, tuple)
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise _refused("a joblib file with objects inside its arrays")  # fmt: skip
    if told.get("numpy_array_alignment_bytes"):
        pad = stream.read(1)
        stream.seek(pad[0] if pad else 0, io.SEEK_CUR)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise ValueError("truncated")
    return _shaped_raw(data, dtype, shape, told.get("order") == "F")


def _shaped_raw(
    data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool
) -> np.ndarray:
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _refused(what: str) -> PrivauditError:
    return PrivauditError(
        what,
        "the file is read step by step, without running it, and this cannot be",
        "audit the file that is really handed out, or have the generator saved as arrays",
    )


__all__ = ["Held", "held", "values"]
