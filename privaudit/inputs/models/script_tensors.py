"""Whether the tensors of a TorchScript archive lie within the bytes that it holds for them.

Torch takes their sizes from the file's word and reads what lies behind.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.inputs.artefacts.pickle_opcodes import Global, Made, Outside, Pairs, Walk

ITEM_BYTES = {
    **{"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2},
    **{"Char": 1, "Byte": 1, "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16},
    **{"QInt8": 1, "QUInt8": 1, "QInt32": 4},
}
"""Bytes of an entry, by torch's name of a storage without "Storage"."""


def check_storages(part: bytes, sizes: Mapping[str, int], home: str) -> None:
    """Refuse a pickle of an archive whose tensors reach beyond their bytes.

    Args:
        part: The pickle.
        sizes: Bytes of every part of the archive.
        home: Where the parts of this pickle's tensors lie.

    Raises:
        PrivauditError: A storage that is missing or of another size, a tensor outside of its own.
    """
    try:
        root = Walk(io.BytesIO(part)).run()
        for node in _list_nodes(root):
            if isinstance(node, Outside):
                _check_storage(node.reference, sizes, home)
            elif isinstance(node, Made) and "_rebuild_" in node.name:
                _check_tensor(node)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError):
        raise PrivauditError(
            "a TorchScript file whose tensors do not fit the bytes that it holds",
            "torch would read memory that is not the model's",
            "the file is damaged or forged: export the model again from where it was trained",
        ) from None


def _list_nodes(root: Any) -> Iterator[Any]:
    todo, seen = [root], {id(root)}
    while todo:
        node = todo.pop()
        yield node
        inner: list[Any] = []
        if isinstance(node, Made):
            inner = [node.given, *node.state, *node.items]
        elif isinstance(node, Pairs):
            inner = [one for pair in node.items for one in pair]
        elif isinstance(node, list | tuple):
            inner = list(node)
        for one in inner:
            if isinstance(one, Made | Pairs | Outside | list | tuple) and id(one) not in seen:
                seen.add(id(one))
                todo.append(one)


def _check_storage(reference: Any, sizes: Mapping[str, int], home: str) -> int:
    """How many entries a storage has."""
    kind, storage, key, _, count = reference
    if kind != "storage" or not isinstance(storage, Global) or type(count) is not int:
        raise ValueError("storage")
    item = ITEM_BYTES[storage.name.removeprefix("torch ").removesuffix("Storage")]
    if count < 0 or sizes[f"{home}/{key}"] != count * item:
        raise ValueError("size")
    return count


def _check_tensor(node: Made) -> None:
    if node.name.endswith("_parameter"):
        return
    storage, offset, shape, strides = node.given[0][:4]
    if not isinstance(storage, Outside):
        raise ValueError("storage")
    count = storage.reference[4]
    numbers = (offset, *shape, *strides)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(shape) != len(strides):
        raise ValueError("shape")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if all(shape) and last >= count:
        raise ValueError("reach")


__all__ = ["check_storages"]
