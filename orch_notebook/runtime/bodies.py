"""The body of a cell as code: compiled with its last expression apart, and executed with or without ``await``."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import tokenize
from collections.abc import Collection, Coroutine
from types import CodeType
from typing import Any

from orch_notebook.model.cells import timed_python
from orch_notebook.runtime.trees import making_trees

__all__ = ["Code", "compile_cell", "evaluate", "run_coroutine"]

#: What a body is compiled to: all of it, or one piece after the other.
Code = CodeType | tuple[CodeType, ...]

TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
#: What a last expression that binds names is kept under until it is shown.
SHOWN = "__orch_shown"
SILENT_TOKENS = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT})


def compile_cell(
    source: str, filename: str, late: Collection[str] = (), shown: str = "last_expr"
) -> tuple[Code | None, CodeType | None]:
    """Compile a cell's body, and its last expression apart when its value is to be shown (no ``;`` behind it).

    Parameters
    ----------
    source, filename : str
        The body, and the name under which tracebacks find its lines.
    late : collection of str
        Names that it binds as globals even where it runs over a namespace of its own.
    shown : str
        Which values are shown, as IPython's ``ast_node_interactivity`` has it; where it is ``all``, the body hands
        them to ``sys.displayhook``.

    Examples
    --------
    >>> body, last = compile_cell("x = 2\\nx + 1", "<cell>")
    >>> namespace = {}
    >>> exec(body, namespace)
    >>> eval(last, namespace)
    3
    >>> compile_cell("1;", "<cell>")[1] is None
    True
    """
    body: Code | None = None
    last: CodeType | None = None
    is_whole = False
    with making_trees:
        tree = _parse(source, filename)
        if (text := timed_python(source)) is not None:
            # Below %%time stands the body itself; at these lines people know it.
            inner = _parse(text, filename)
            source, tree = text, ast.increment_lineno(inner, tree.body[0].lineno)
            is_whole = True
        # IPython compiles statement by statement, so these may stand anywhere, as below a magic.
        tree.body.sort(key=lambda node: not _is_future_import(node))
        if _is_silenced(source):
            shown = "none"
        if shown == "all" and tree.body:
            if late:
                _declare(tree, late)
            return compile(ast.Interactive(tree.body), filename, "single", TOP_LEVEL_AWAIT, dont_inherit=True), None
        if shown == "last_expr_or_assign":
            _add_assigned(tree)
        if shown != "none" and tree.body and isinstance(final := tree.body[-1], ast.Expr):
            tree.body.pop()
            value = final.value
            if any(isinstance(node, ast.NamedExpr) and node.target.id in late for node in ast.walk(value)):
                # Only statements can bind globals, so it is evaluated by one.
                tree.body.append(ast.copy_location(ast.Assign([ast.Name(SHOWN, ast.Store())], value), value))
                value = ast.copy_location(ast.Name(SHOWN, ast.Load()), value)
                ast.fix_missing_locations(tree)
            last = compile(ast.Expression(value), filename, "eval", TOP_LEVEL_AWAIT, dont_inherit=True)
        pieces = [tree] if is_whole or not _repeats_constants(tree) else [ast.Module([node], []) for node in tree.body]
        if late and tree.body:
            for piece in pieces:
                _declare(piece, late)
        if tree.body:
            codes = [compile(each, filename, "exec", TOP_LEVEL_AWAIT, dont_inherit=True) for each in pieces]
            body = codes[0] if len(codes) == 1 else tuple(codes)
    return body, last


def _repeats_constants(tree: ast.Module) -> bool:
    """Whether statements have equal constants that are one object if they are compiled together.

    IPython compiles each by itself, so ``a = 300`` and ``b = 300`` give two.  What awaits has to stay in one loop, and
    what speaks of globals or of the future speaks for all that follows.
    """
    seen: set[tuple[type, Any]] = set()
    is_repeated = False
    for statement in tree.body:
        found: set[tuple[type, Any]] = set()
        for node in ast.walk(statement):
            match node:
                case ast.Await() | ast.AsyncFor() | ast.AsyncWith() | ast.Global():
                    return False
                case ast.Constant(value=value) if not _is_one_anyway(value):
                    found.add((type(value), value))
                case ast.Tuple(elts=[ast.Constant(), *_]):
                    found.add((tuple, ast.unparse(node)))
        if _is_future_import(statement):
            return False
        is_repeated = is_repeated or not seen.isdisjoint(found)
        seen |= found
    return is_repeated


def _is_one_anyway(value: object) -> bool:
    """Whether Python keeps one object of that value for all code: small numbers, and texts that could be names."""
    if isinstance(value, int):
        return -5 <= value <= 256
    if isinstance(value, str):
        return len(value) < 2 or (value.isascii() and value.replace("_", "a").isalnum())
    return not isinstance(value, float | complex | bytes)


def _add_assigned(tree: ast.Module) -> None:
    """Let a module that ends by binding a name end in that name."""
    match tree.body[-1:]:
        case (
            [ast.Assign(targets=[ast.Name(id=name)])]
            | [ast.AugAssign(target=ast.Name(id=name))]
            | [ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())]
        ):
            tree.body.append(ast.copy_location(ast.Expr(ast.Name(name, ast.Load())), tree.body[-1]))
            ast.fix_missing_locations(tree)


def _parse(source: str, filename: str) -> ast.Module:
    flags = ast.PyCF_ONLY_AST | TOP_LEVEL_AWAIT
    for _ in range(9):
        try:
            # Not inheriting matters: this module's own future import would postpone the annotations of every cell.
            tree: ast.Module = compile(source, filename, "exec", flags, dont_inherit=True)
            return tree
        except SystemError:
            continue  # a thread of somebody else's was making a tree, too
    raise SyntaxError(f"{filename} could not be read: other threads are making syntax trees all the time.")


def _declare(tree: ast.Module, late: Collection[str]) -> None:
    """Declare names global at the top of a module, whose annotations of them would then be an error."""
    _Bare(late).visit(tree)
    start = next((number for number, node in enumerate(tree.body) if not _is_future_import(node)), len(tree.body))
    tree.body.insert(start, ast.copy_location(ast.Global(sorted(late)), ast.Pass(lineno=1, col_offset=0)))
    ast.fix_missing_locations(tree)


def _is_future_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


class _Bare(ast.NodeTransformer):
    """Takes annotations off some names of a module; they are evaluated still."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            return node
        return super().visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if not isinstance(node.target, ast.Name) or node.target.id not in self._names:
            return node
        annotation = ast.copy_location(ast.Expr(node.annotation), node)
        if node.value is None:
            return annotation
        return [ast.copy_location(ast.Assign([node.target], node.value), node), annotation]


def _is_silenced(source: str) -> bool:
    """Whether the last statement ends in ``;`` as IPython reads it (comments behind it do not count)."""
    if ";" not in source:
        return False
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = [token.string for token in tokens if token.type not in SILENT_TOKENS]
    return bool(said) and said[-1] == ";"


def evaluate(code: Code, globals: dict[str, Any], locals: dict[str, Any]) -> Any:
    """Execute compiled code over namespaces and return the value of an expression; what awaits gets its own loop."""
    if isinstance(code, tuple):
        for piece in code:
            eval(piece, globals, locals)  # noqa: S307 - running the user's code is the purpose
        return None
    result = eval(code, globals, locals)  # noqa: S307
    if code.co_flags & inspect.CO_COROUTINE:
        return run_coroutine(result)
    return result


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a loop of its own, which a stop of the thread ends."""
    work = _stoppable(coroutine)
    try:
        return asyncio.run(work)
    finally:
        work.close()  # a stop may have come before either was awaited
        coroutine.close()


async def _stoppable(work: Coroutine[Any, Any, Any]) -> Any:
    """Await work in a loop that wakes five times a second: a stop is only raised where Python runs."""
    loop = asyncio.get_running_loop()
    alarm: asyncio.TimerHandle

    def wake() -> None:
        nonlocal alarm
        alarm = loop.call_later(0.2, wake)

    alarm = loop.call_later(0.2, wake)
    try:
        return await work
    finally:
        alarm.cancel()
