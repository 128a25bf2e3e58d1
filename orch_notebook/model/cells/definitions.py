"""What defining functions and classes, and importing, does to names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from orch_notebook.model.cells.calls import call_value
from orch_notebook.model.cells.expressions import evaluate, make_function
from orch_notebook.model.cells.following import Arguments, run_code
from orch_notebook.model.cells.frame import Frame
from orch_notebook.model.cells.syntax import is_property
from orch_notebook.model.cells.values import EMPTY, FunctionCode, Value, union

__all__ = ["define_class", "define_function", "import_from", "import_module"]


#: Decorators that make every call of a function leave something behind.
CACHES = frozenset({("path", "functools.cache"), ("path", "functools.lru_cache")})


def define_function(frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Bind a function, after what its decorators, defaults and annotations read."""
    decorators = [evaluate(frame, decorator) for decorator in node.decorator_list]
    spec = node.args
    for arg in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]:
        if arg is not None and arg.annotation is not None:
            evaluate(frame, arg.annotation)
    evaluate(frame, node.returns)
    frame.bind(node.name, decorate(frame, node, make_function(frame, node), decorators))


def decorate(
    frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, made: Value, decorators: list[Value]
) -> Value:
    """Return what the decorators make of a function or class."""
    for decorator, value in zip(reversed(node.decorator_list), reversed(decorators), strict=True):
        if isinstance(decorator, ast.Name) and decorator.id in ("staticmethod", "classmethod", "property"):
            continue
        followed = any(kind in ("function", "class", "instance") for kind, _ in frame.known_of(value))
        if followed:
            made = call_value(frame, value, Arguments(decorator, (made,)))
        else:
            # A library's decorator: what it gives may call, or be, what it was given.
            frame.store(made, value)
            named = decorator.func if isinstance(decorator, ast.Call) else decorator
            if any(base in CACHES for base, _ in evaluate(frame, named)):
                made |= frame.new(decorator, ("stateful", "cache"))
    return made


def import_module(frame: Frame, node: ast.Import) -> None:
    """Bind what ``import a.b as c`` binds."""
    for alias in node.names:
        name, path = alias.name.partition(".")[0], alias.name
        if name == "__main__":
            frame.give_up("it looks up names in __main__")
        frame.summary.imports.add(name)
        if alias.asname:
            frame.bind(alias.asname, frozenset({(("path", path), False)}))
        else:
            frame.bind(name, frozenset({(("path", name), False)}))


def import_from(frame: Frame, node: ast.ImportFrom) -> None:
    """Bind what ``from a import b`` binds; a star makes the cell unreadable."""
    module = "." * node.level + (node.module or "")
    frame.summary.imports.add(module.partition(".")[0])
    if module == "__main__":
        frame.give_up("it looks up names in __main__")
    for alias in node.names:
        if alias.name == "*":
            frame.give_up(f"it imports everything from {module}", rebinds=True)
            frame.summary.stars += (module,)
        else:
            frame.bind(alias.asname or alias.name, frozenset({(("path", f"{module}.{alias.name}"), False)}))


def define_class(frame: Frame, node: ast.ClassDef, execute: Callable[[Frame, Iterable[ast.stmt]], bool]) -> None:
    """Bind a class; `execute` reads its body."""
    decorators = [evaluate(frame, decorator) for decorator in node.decorator_list]
    bases = [evaluate(frame, base) for base in node.bases]
    keywords = {keyword.arg or "": evaluate(frame, keyword.value) for keyword in node.keywords}
    makers = keywords.pop("metaclass", EMPTY)
    parents = tuple({code: None for value in bases for kind, code in frame.known_of(value) if kind == "class"})
    body: dict[str, Value] = {}
    frame.overlays.append((body, True))
    try:
        execute(frame, node.body)
    finally:
        frame.overlays.pop()
    methods: dict[str, FunctionCode] = {}
    held: Value = EMPTY
    for name, value in body.items():
        code = next((code for kind, code in frame.known_of(value) if kind == "function"), None)
        if code is not None:
            methods[name] = code
            # Not the functions themselves: they are found by way of the class.
            held |= frame.contents(value)
        else:
            held |= value
    properties = frozenset(
        part.name
        for part in node.body
        if isinstance(part, ast.FunctionDef) and any(is_property(decorator) for decorator in part.decorator_list)
    )
    maker = next((code for kind, code in frame.known_of(makers) if kind == "class"), None)
    code = frame.linker.class_code(node, parents, methods, properties, maker)
    made = frame.new(node, ("class", code), holds=held | union([*bases, makers]))
    for parent in parents:
        if (method := parent.method("__init_subclass__")) is not None:
            run_code(frame, method, EMPTY, Arguments(node, keywords=keywords), receiver=made)
    if code.maker is not None:
        # Its own class may keep account of the classes it makes.
        given = Arguments(node, keywords=keywords, rest=union([*bases, *body.values()]))
        for name, receiver in (("__new__", makers or union(bases)), ("__init__", made)):
            if (method := code.maker.method(name)) is not None:
                run_code(frame, method, EMPTY, given, receiver=receiver)
    frame.bind(node.name, decorate(frame, node, made, decorators))
