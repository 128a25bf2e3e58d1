"""The body of a cell as code: compiled with its last expression apart, and executed with or without ``await``."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import tokenize
from collections.abc import Coroutine
from contextvars import ContextVar
from types import CodeType
from typing import Any

__all__ = ["compile_cell", "evaluate", "names_here"]

TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
#: The names that the body being executed in this context runs over; ``None`` outside of bodies.
names_here: ContextVar[dict[str, Any] | None] = ContextVar("names_here", default=None)
SILENT_TOKENS = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.DEDENT})


def compile_cell(source: str, filename: str) -> tuple[CodeType | None, CodeType | None]:
    """Compile a cell's body, and its last expression apart when its value is to be shown (no ``;`` behind it).

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
    tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST | TOP_LEVEL_AWAIT)
    last: CodeType | None = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not _is_silenced(source):
        value = tree.body.pop().value
        last = compile(ast.Expression(value), filename, "eval", TOP_LEVEL_AWAIT)
    body = compile(tree, filename, "exec", TOP_LEVEL_AWAIT) if tree.body else None
    return body, last


def _is_silenced(source: str) -> bool:
    """Whether the last statement ends in ``;`` as IPython reads it (comments behind it do not count)."""
    if ";" not in source:
        return False
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = [token.string for token in tokens if token.type not in SILENT_TOKENS]
    return bool(said) and said[-1] == ";"


def evaluate(code: CodeType, namespace: dict[str, Any]) -> Any:
    """Execute compiled code over a namespace and return the value of an expression; what awaits gets its own loop."""
    token = names_here.set(namespace)
    try:
        result = eval(code, namespace)  # noqa: S307 - running the user's code is the purpose
        return _awaited(result) if code.co_flags & inspect.CO_COROUTINE else result
    finally:
        names_here.reset(token)


def _awaited(result: Coroutine[Any, Any, Any]) -> Any:
    work = _stoppable(result)
    try:
        return asyncio.run(work)
    finally:
        work.close()  # a stop may have come before either was awaited
        result.close()


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
