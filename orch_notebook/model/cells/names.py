"""Which names a function body binds, and which of its enclosing function it captures.

In: the node of a function.  Out: its :class:`~orch_notebook.model.cells.values.FunctionCode`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from orch_notebook.model.cells.values import FunctionCode

__all__ = ["code_of", "target_names"]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.GeneratorExp
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def target_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that an assignment target binds.

    Examples
    --------
    >>> list(target_names(ast.parse("(a, *b), c.d, e[0] = x").body[0].targets[0]))
    ['a', 'b']
    """
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Tuple | ast.List):
        for element in node.elts:
            yield from target_names(element)
    elif isinstance(node, ast.Starred):
        yield from target_names(node.value)


class _Bindings:
    """What one scope binds, declares and loads, without what scopes inside it bind."""

    __slots__ = ("bound", "declared", "is_generator", "loaded", "nonlocals")

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.declared: set[str] = set()
        self.nonlocals: set[str] = set()
        self.loaded: set[str] = set()
        self.is_generator = False

    def visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name):
            (self.loaded if isinstance(node.ctx, ast.Load) else self.bound).add(node.id)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            self._visit_function(node)
            return
        if isinstance(node, ast.ClassDef):
            self.bound.add(node.name)
            self.visit_all([*node.decorator_list, *node.bases, *node.keywords])
            inner = _Bindings()
            inner.visit_all(node.body)
            # A class body is no scope for its methods, so what it binds hides nothing from them.
            self.loaded |= inner.loaded
            self.nonlocals |= inner.nonlocals
            return
        if isinstance(node, COMPREHENSIONS):
            inner = _Bindings()
            inner.visit_all(ast.iter_child_nodes(node))
            targets = {name for generator in node.generators for name in target_names(generator.target)}
            self.loaded |= inner.loaded - targets
            # What else a comprehension binds are walrus targets, and those belong to this scope.
            self.bound |= inner.bound - targets
            return
        if isinstance(node, ast.Global):
            self.declared.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            self.nonlocals.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self.bound.update((alias.asname or alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            self.bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            self.bound.add(node.rest)
        elif isinstance(node, ast.Yield | ast.YieldFrom):
            self.is_generator = True
        self.visit_all(ast.iter_child_nodes(node))

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        if not isinstance(node, ast.Lambda):
            self.bound.add(node.name)
            self.visit_all(node.decorator_list)
        self.visit_all([*node.args.defaults, *node.args.kw_defaults])
        inner = bindings_of(node)
        self.loaded |= (inner.loaded | inner.nonlocals) - (inner.bound - inner.declared - inner.nonlocals)


def bindings_of(node: Function) -> _Bindings:
    """Return what the body of a function binds, its parameters among it."""
    found = _Bindings()
    if isinstance(node, ast.GeneratorExp):
        found.visit_all(ast.iter_child_nodes(node))
        found.is_generator = True
        return found
    found.bound.update(parameters_of(node))
    found.visit_all(node.body if isinstance(node.body, list) else [node.body])
    return found


def parameters_of(node: Function) -> tuple[str, ...]:
    """Return the names of the parameters: by position, then ``*``, by keyword, ``**``."""
    if isinstance(node, ast.GeneratorExp):
        return ()
    given = node.args
    stars = [arg.arg for arg in (given.vararg, given.kwarg) if arg]
    return tuple(arg.arg for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs]) + tuple(stars)


def code_of(node: Function, enclosing: frozenset[str] = frozenset()) -> FunctionCode:
    """Return the code of a function defined where the names `enclosing` are local.

    Examples
    --------
    >>> outer = ast.parse("def f(a): b = a; return lambda c: a + c + d").body[0]
    >>> sorted(code_of(outer).locals)
    ['a', 'b']
    >>> sorted(code_of(outer.body[1].value, code_of(outer).locals).captured)
    ['a']
    """
    found = bindings_of(node)
    outer = found.declared | found.nonlocals
    inside = frozenset(found.bound - outer)
    return FunctionCode(
        node,
        parameters_of(node),
        inside,
        frozenset(((found.loaded - inside) | found.nonlocals) & enclosing),
        frozenset(found.declared),
        frozenset(found.nonlocals),
        frozenset(found.loaded - inside - enclosing),
        found.is_generator,
    )
