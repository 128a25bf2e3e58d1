"""Questions that the shape of the source answers, whatever its names stand for."""

from __future__ import annotations

import ast
from collections.abc import Sequence

__all__ = [
    "NAMESPACES",
    "as_load",
    "is_call_of",
    "is_namespace",
    "is_property",
    "jumps",
    "makes_copy",
    "may_swallow",
    "names_guarded",
    "namespace_key",
    "runs_at_least_once",
    "unpacks_evenly",
]


def makes_copy(index: ast.AST) -> bool:
    """Whether an index gives a copy in arrays and frames: a mask, or a list of labels."""
    if isinstance(index, ast.Compare | ast.List | ast.ListComp):
        return True
    if isinstance(index, ast.BinOp) and isinstance(index.op, ast.BitAnd | ast.BitOr):
        return True
    return isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.Invert)


def namespace_key(node: ast.AST) -> str | None:
    """Return the name that ``globals()["name"]`` speaks of."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "globals"
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ):
        return node.slice.value
    return None


NAMESPACES = ("globals", "locals", "vars")


def is_namespace(node: ast.AST) -> bool:
    """Whether this is a bare ``globals()`` or one of its kin."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMESPACES and not node.args
    )


def is_call_of(node: ast.AST, name: str) -> bool:
    """Whether this is a plain call of that name."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def unpacks_evenly(target: ast.AST, value: ast.AST) -> bool:
    """Whether targets and values stand one for one."""
    return (
        isinstance(target, ast.Tuple | ast.List)
        and isinstance(value, ast.Tuple | ast.List)
        and len(target.elts) == len(value.elts)
        and not any(isinstance(part, ast.Starred) for part in [*target.elts, *value.elts])
    )


def as_load(node: ast.expr) -> ast.expr:
    """Return the expression that reads what a target writes."""
    if isinstance(node, ast.Name):
        return ast.Name(node.id, ast.Load())
    if isinstance(node, ast.Attribute):
        return ast.Attribute(node.value, node.attr, ast.Load())
    if isinstance(node, ast.Subscript):
        return ast.Subscript(node.value, node.slice, ast.Load())
    return node


def runs_at_least_once(node: ast.expr) -> bool:
    """Whether a loop over this surely takes a first turn.

    Examples
    --------
    >>> [runs_at_least_once(ast.parse(text, mode="eval").body) for text in ("range(3)", "[a, b]", "xs", "range(n)")]
    [True, True, False, False]
    """
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(not isinstance(element, ast.Starred) for element in node.elts)
    if isinstance(node, ast.Dict):
        return bool(node.keys) and all(node.keys)
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name) and node.func.id == "range":
        numbers = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if len(numbers) == len(node.args) and all(isinstance(number, int) for number in numbers):
            return len(range(*numbers)) > 0  # type: ignore[arg-type]
        return False
    if isinstance(node.func, ast.Name) and node.func.id in ("enumerate", "sorted", "list", "reversed", "zip", "tuple"):
        return bool(node.args) and all(runs_at_least_once(argument) for argument in node.args)
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("items", "keys", "values"):
        return isinstance(node.func.value, ast.Dict) and runs_at_least_once(node.func.value)
    return False


def jumps(body: Sequence[ast.stmt]) -> bool:
    """Whether a loop's body may leave a turn before its end."""
    for statement in body:
        if isinstance(statement, ast.Break | ast.Continue):
            return True
        if isinstance(statement, BRANCHING):
            parts = [getattr(statement, part, ()) for part in ("body", "orelse", "finalbody")]
            parts += [part.body for kind in ("handlers", "cases") for part in getattr(statement, kind, ())]
            if any(map(jumps, parts)):
                return True
        elif isinstance(statement, ast.For | ast.AsyncFor | ast.While) and jumps(statement.orelse):
            return True
    return False


#: Statements whose bodies belong to the same turn of a loop.
BRANCHING = (ast.If, ast.With, ast.Try, ast.Match, ast.TryStar, ast.AsyncWith)


def may_swallow(node: ast.expr) -> bool:
    """Whether a context manager may hide that its body stopped half-way."""
    name = node.func if isinstance(node, ast.Call) else node
    last = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return last in ("suppress", "raises", "assertRaises", "ExitStack", "TestCase")


def names_guarded(node: ast.Try | ast.TryStar) -> set[str]:
    """Return the names whose absence the handlers deal with."""
    for handler in node.handlers:
        caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for kind in caught:
            if kind is None or (isinstance(kind, ast.Name) and kind.id in ("NameError", "Exception", "BaseException")):
                return {child.id for part in node.body for child in ast.walk(part) if isinstance(child, ast.Name)}
    return set()


def is_property(node: ast.expr) -> bool:
    """Whether a decorator makes a method run when its attribute is loaded."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in ("property", "cached_property", "setter")
