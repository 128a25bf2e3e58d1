"""What operators may give: numbers and texts make numbers and texts, lists share elements, the rest is new."""

from __future__ import annotations

import ast

from orch_notebook.model.cells.following import call_special
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.values import EMPTY, Value, join_texts

__all__ = ["OPERATORS", "is_plain", "operate"]

OPERATORS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv", ast.Mod: "mod",
    ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.LShift: "lshift", ast.RShift: "rshift", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
    ast.Eq: "eq", ast.NotEq: "ne", ast.In: "contains", ast.NotIn: "contains", ast.USub: "neg", ast.UAdd: "pos",
    ast.Invert: "invert", ast.Not: "bool",
}  # fmt: skip


def is_plain(value: Value) -> bool:
    """Whether a value is a number or a text, or nothing that could be changed in place."""
    return all(base[0] == "text" for base, _ in value)


def operate(frame: Frame, node: ast.AST, operator: ast.AST, left: Value, right: Value) -> Value:
    """Return what an operator may give."""
    if is_plain(left) and is_plain(right):
        # Numbers make numbers; texts, and paths of pathlib, make texts.
        if isinstance(operator, ast.Add):
            return join_texts([left, right])
        return join_texts([left, right], "/") if isinstance(operator, ast.Div) else EMPTY
    name = OPERATORS.get(type(operator), "")
    special = EMPTY
    if frame.tags:
        special = call_special(frame, left, f"__{name}__", node, right) | call_special(
            frame, right, f"__r{name}__", node, left
        )
        known = frame.known_of(left | right)
        if ("type", "list") in known or ("type", "dict") in known:
            # Joining or repeating lists makes a new list of the same elements.
            return special | frame.new(node, ("type", "list"), holds=frame.element(left) | frame.element(right))
        if ("type", "frame") in known:
            return special | frame.new(node, ("type", "frame"))
    return special | frame.new(node)
