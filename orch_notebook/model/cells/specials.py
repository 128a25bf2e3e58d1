"""Calls that reach around the names: ``super``, ``exec``, ``eval``, ``globals`` and a few more builtins."""

from __future__ import annotations

import ast
from typing import Any

from orch_notebook.model.cells.calls import call_value
from orch_notebook.model.cells.following import Arguments, call_special, run_code
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.libraries import advance
from orch_notebook.model.cells.syntax import NAMESPACES
from orch_notebook.model.cells.values import EMPTY, Value, union

__all__ = ["call_builtin", "call_super"]


def call_super(frame: Frame, receiver: Value, name: str, given: Arguments) -> Value:
    """Call a method as the parents of the receiver's class have it."""
    results: list[Value] = []
    if name == "__new__":
        classes = [(kind, code) for kind, code in frame.known_of(receiver) if kind == "class"]
        return frame.new(given.node, *(("instance", code) for _, code in classes), holds=receiver)
    for atom in receiver:
        for kind, code in frame.tags_of(atom):
            if kind != "instance":
                continue
            owner = next((c for c in lineage(code) if frame.code in c.methods.values()), code)
            if (method := owner.after(name)) is not None:
                results.append(run_code(frame, method, EMPTY, given, receiver=frozenset({atom})))
    if not results:
        if name == "__init__":
            frame.store(receiver, given.everything)
        elif given.is_discarded:
            frame.change(receiver)
    return union(results)


def lineage(code: Any) -> list[Any]:
    """Return a class and all it inherits from."""
    return [code, *(ancestor for parent in code.parents for ancestor in lineage(parent))]


def call_builtin(frame: Frame, name: str, called: Value, node: ast.Call, given: Arguments) -> Value | None:
    """Handle the builtins that reach around the names, such as ``exec``, ``eval`` and ``globals``."""
    if called != {(("path", "builtins." + name), False)}:
        return None
    if name in ("exec", "eval"):
        text = given.constants.get("0")
        if isinstance(text, str):
            frame.linker.read_source(frame, text)
        else:
            frame.give_up(f"it calls {name}()", rebinds=name == "exec")
        return frame.new(node)
    if name == "type" and len(given.positional) == 1:
        return frame.classes_of(given.positional[0])
    if name == "dir" and not node.args and frame.code is None:
        frame.give_up("it uses dir()")
    if name in NAMESPACES and not node.args:
        if frame.code is None or name == "globals":
            frame.give_up(f"it uses {name}()", rebinds=True)
        return EMPTY
    if name == "open":
        kind = Arguments(given.node, given.positional, given.keywords, given.rest, given.constants)
        return call_value(frame, called, kind)
    if name in ("len", "str", "repr", "bool", "hash", "abs", "next", "print", "round", "int", "float") and frame.tags:
        for value in given.positional:
            call_special(frame, value, f"__{name}__", node)
            if name in ("print", "str", "repr"):
                call_special(frame, value, "__str__", node)
                call_special(frame, value, "__repr__", node)
    if name == "next" and given.positional:
        frame.change(given.positional[0])
        return advance(frame, given.positional[0], node)
    return None
