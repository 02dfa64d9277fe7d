"""Finds code that reads meaning out of a text made of facts: a walk over syntax trees.

A fact is whatever comes out of a field of FIELDS (`x.reason`, `tree["metric"]`), out of a local
variable that was assigned from one, and what `str`, an f-string, an index or a method makes of it.
Taking such a text apart, or looking for a part of it, is a sin: facts are compared by their codes
and fields.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

FIELDS = frozenset(
    [
        *("metric", "at", "setting", "bound", "reason", "refusal", "caveat", "caveats", "notes"),
        *("code", "params", "how", "details", "made", "error", "distribution_shift"),
        *("control_label", "command"),
    ]
)
NAMES = frozenset(["metric", "setting", "bound", "reason", "refusal", "caveat"])
"""Variables of these names hold facts, wherever they come from."""

METHODS = frozenset(
    [
        *("startswith", "endswith", "partition", "rpartition", "split", "rsplit"),
        *("removeprefix", "removesuffix", "find", "rfind"),
    ]
)
OLD_MARKS = (" / ", ", had ", "defect: ", "control: ", "Does not apply")
"""Marks by which settings and caveats were told apart in schema 1."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module


class _Facts:
    """Which expressions of one function are facts."""

    def __init__(self, function: Function) -> None:
        self.nodes = list(_own(function))
        self.names = set(NAMES)
        size = 0
        while size != len(self.names):
            size = len(self.names)
            for node in self.nodes:
                self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.expr, ast.expr]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.For | ast.comprehension):
            pairs = [(node.target, node.iter)]
        for target, value in pairs:
            if self.is_fact(value):
                self.names |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}

    def is_fact(self, node: ast.AST) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(value=value, attr=attr):
                return attr in FIELDS or self.is_fact(value)
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
                return key in FIELDS or self.is_fact(value)
            case ast.Subscript(value=value):
                return self.is_fact(value)
            case ast.Call(func=ast.Name(id="str" | "repr" | "format"), args=args):
                return any(map(self.is_fact, args))
            case ast.Call(func=ast.Attribute(value=value)):
                return self.is_fact(value)
            case ast.JoinedStr(values=values):
                return any(
                    self.is_fact(v.value) for v in values if isinstance(v, ast.FormattedValue)
                )
            case ast.BinOp(left=left, right=right):
                return self.is_fact(left) or self.is_fact(right)
            case ast.IfExp(body=body, orelse=other):
                return self.is_fact(body) or self.is_fact(other)
            case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt) | ast.SetComp(elt=elt):
                return self.is_fact(elt)
        return False

    def sins(self) -> Iterator[int]:
        for node in self.nodes:
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=args):
                    if any(map(self.is_fact, args)):
                        yield node.lineno
                case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                    if attr in METHODS and self.is_fact(value):
                        yield node.lineno
                case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
                    if not isinstance(left, ast.Constant | ast.JoinedStr):
                        continue
                    if (isinstance(left, ast.Constant) and left.value in OLD_MARKS) or (
                        self.is_fact(right) and not _is_mapping(right)
                    ):
                        yield node.lineno


def _is_mapping(node: ast.AST) -> bool:
    """Whether it is `params` itself, whose keys may be asked for."""
    return isinstance(node, ast.Attribute) and node.attr == "params"


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)
            yield node


def lines_that_read_facts(source: str) -> list[int]:
    """Line numbers at which this module takes a fact's text apart."""
    tree = ast.parse(source)
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted({line for function in functions for line in _Facts(function).sins()})
