"""A TorchScript archive, inspected before torch sees it: its parts, its code, its pickles.

Torch runs code of the file while it loads it, so that a search through a loaded module comes too
late. What was inspected is written to an archive of its own, and torch is handed that one: a second
part of one name, or bytes that another reader of zip files finds elsewhere, never reach it.
"""

from __future__ import annotations

import ast
import io
import pickletools
import re
import zipfile
from collections.abc import Iterator

from privaudit.errors import PrivauditError
from privaudit.inputs.models.graph_allowlist import ATEN, PACKED, is_allowed, refuse_operation
from privaudit.inputs.models.script_tensors import check_storages
from privaudit.inputs.models.zip_parts import read_parts

_DATA = re.compile(r"(data|constants)/\d{1,9}")
_CODE = re.compile(r"code/[A-Za-z0-9_./]+\.py")
_PLAIN = ("version", "byteorder", "data.pkl", "constants.pkl")
_LEFT_OUT = re.compile(
    r"code/.*\.debug_pkl|extra/.*|traced_inputs(\.pkl|/\d+)|\.data/.*|\.format_version|\.storage_alignment"
)
"""Parts that a model does not need to answer."""

MAX_CODE = 8 << 20

_TYPE_NAMES = """
    Tensor List Optional Tuple Dict Union Final Module NoneType Device Any NamedTuple Enum number
    Scalar Layout complex str NotImplemented
"""
_FUNCTION_NAMES = """
    annotate uninitialized unchecked_cast int float bool str complex len range getattr isinstance
    list dict tuple min max abs zip enumerate sorted
"""
_TYPES = frozenset(_TYPE_NAMES.split())
_BUILTINS = frozenset(_FUNCTION_NAMES.split())
_VALUES = frozenset({"__torch__", "CONSTANTS", "inf", "nan", "infj", "nanj", "__annotations__"})
_NODES = (
    *(ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign),
    *(ast.AnnAssign, ast.AugAssign, ast.For, ast.While, ast.If, ast.Assert, ast.Expr, ast.Pass),
    *(ast.Break, ast.Continue, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Call),
    *(ast.Compare, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List),
    *(ast.Tuple, ast.Slice, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
    *(ast.keyword, ast.Delete, ast.ListComp, ast.comprehension),
)
_GLOBALS = re.compile(
    r"torch\._utils _rebuild_(tensor_v2|qtensor|parameter)|torch (\w+Storage|per_tensor_affine|"
    r"per_channel_affine|q?u?int8|qint32)|torch\.jit\._pickle (build_(int|tensor|double|bool)list|"
    r"restore_type_tag)|collections OrderedDict|torch device"
)
_OPENERS = frozenset({"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"})


def inspect_script(raw: bytes) -> bytes:
    """The archive's inspected parts, as an archive.

    Raises:
        PrivauditError: It is no TorchScript, or names what `graph_allowlist` does not.
    """
    parts = read_parts(raw, "a TorchScript file")
    roots = {name.partition("/")[0] for name in parts}
    code = [name for name in parts if "/code/" in name and name.endswith(".py")]
    if not code:
        raise PrivauditError(
            "a torch file that is no TorchScript",
            "it is a pickle (torch.save): loading it may run any code",
            "export with torch.jit.script or torch.jit.trace and torch.jit.save, or save the "
            "weights as safetensors and name the module (--module module:factory)",
        )
    if len(roots) != 1:
        raise _strange("parts outside its one folder")
    (root,) = roots
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            inner = name[len(root) + 1 :]
            if _LEFT_OUT.fullmatch(inner):
                continue
            if inner not in _PLAIN and not _DATA.fullmatch(inner) and not _CODE.fullmatch(inner):
                raise _strange("parts that a model has none of")
            if inner.endswith(".py"):
                _check_code(part)
            elif inner.endswith(".pkl"):
                _check_pickle(part)
                home = f"{root}/{inner.removesuffix('.pkl')}"
                check_storages(part, {k: len(v) for k, v in parts.items()}, home)
            archive.writestr(zipfile.ZipInfo(f"archive/{inner}"), part)
    return out.getvalue()


def _check_code(part: bytes) -> None:
    """Refuse code that names an operation, a type or a function that is not on the list."""
    if len(part) > MAX_CODE:
        raise _strange(f"code of more than {MAX_CODE:,} bytes")
    try:
        text = part.decode("ascii")
        tree = ast.parse(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise _strange("code that cannot be read") from None
    bound = set(_list_bound(tree))
    chained: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise refuse_operation(type(node).__name__)
        if isinstance(node, ast.Attribute):
            _check_attribute(node, chained)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "getattr":
                _check_getattr(node)
        elif isinstance(node, ast.Name) and id(node) not in chained:
            _check_name(node, bound)


def _list_bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _check_name(node: ast.Name, bound: set[str]) -> None:
    known = node.id in _TYPES or node.id in _BUILTINS or node.id in _VALUES
    reserved = node.id in ("torch", "ops")
    if reserved or not (known or node.id in bound):
        raise refuse_operation(node.id)
    if not isinstance(node.ctx, ast.Load) and (known and node.id != "__annotations__"):
        raise refuse_operation(node.id)


def _check_attribute(node: ast.Attribute, chained: set[int]) -> None:
    """One name after a dot. `torch.add` and `ops.prim.dtype` are operations; after anything else it
    may be a part of a module or a method, and torch finds an operation of that name too."""
    base = node.value
    if isinstance(base, ast.Name) and base.id == "torch":
        chained.add(id(base))
        if not is_allowed("aten", node.attr):
            raise refuse_operation(f"torch.{node.attr}")
        return
    if isinstance(base, ast.Name) and base.id == "ops":
        # Half of a name: it has to be followed by the other.
        if id(node) not in chained:
            raise refuse_operation(f"ops.{node.attr}")
        chained.add(id(base))
        return
    if isinstance(base, ast.Attribute) and _spell(base) == f"ops.{base.attr}":
        if not is_allowed(base.attr, node.attr):
            raise refuse_operation(f"ops.{base.attr}.{node.attr}")
        chained.add(id(base))
        return
    if _spell(node).startswith("__torch__."):
        if ".classes" in _spell(node) and not f"{PACKED}.".startswith(f"{_spell(node)}."):
            raise refuse_operation(_spell(node))
        return
    _check_method(node.attr)


def _check_getattr(node: ast.Call) -> None:
    name = node.args[1] if len(node.args) == 2 and not node.keywords else None
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        raise refuse_operation("getattr")
    _check_method(name.value)


def _check_method(name: str) -> None:
    if name not in ATEN and name in _list_operations():
        raise refuse_operation(name)


def _list_operations() -> frozenset[str]:
    """The names of all operations that this torch knows as methods of a tensor."""
    if not _KNOWN:
        import torch

        names = (one.name.partition("::") for one in torch._C._jit_get_all_schemas())
        _KNOWN.update(name for space, _, name in names if space == "aten")
    return frozenset(_KNOWN)


_KNOWN: set[str] = set()


def _spell(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def _check_pickle(part: bytes) -> None:
    """Refuse a pickle that names anything but the file's own classes and tensors."""
    try:
        for code, argument, _ in pickletools.genops(part):
            if code.name in _OPENERS:
                raise refuse_operation(code.name)
            if code.name == "GLOBAL":
                _check_global(str(argument))
            elif code.name == "STACK_GLOBAL":
                raise refuse_operation("STACK_GLOBAL")
    except (ValueError, IndexError, UnicodeDecodeError, RecursionError):
        raise _strange("data that cannot be read") from None


def _check_global(name: str) -> None:
    spelled = name.replace(" ", ".")
    if spelled.startswith("__torch__."):
        if ".classes" in spelled and spelled != PACKED:
            raise refuse_operation(spelled)
        return
    if not _GLOBALS.fullmatch(name):
        raise refuse_operation(spelled)


def _strange(what: str) -> PrivauditError:
    return PrivauditError(
        f"a TorchScript file with {what}",
        "torch.jit.save writes none such: the file is damaged or forged",
        "do not use this file; export the model again from where it was trained",
    )


__all__ = ["inspect_script"]
