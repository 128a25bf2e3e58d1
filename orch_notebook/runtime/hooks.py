"""What a face adds to the execution of a task cell."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

from orch_notebook.model.cells import timed_python
from orch_notebook.model.flows import CellTask
from orch_notebook.runtime.bodies import compile_cell, evaluate
from orch_notebook.runtime.capture import Capture, showing
from orch_notebook.runtime.namespaces import Body
from orch_notebook.runtime.timing import timed

__all__ = ["CellHooks", "PlainHooks", "execute"]


class CellHooks(Protocol):
    """What a face adds to the execution of a task cell; all are called in the thread that performs it."""

    def filename(self, cell: CellTask) -> str:
        """Return the name under which tracebacks find the cell's lines."""
        ...

    def label(self, filename: str) -> str:
        """Return what people call the cell that bears this file name; nothing if none does."""
        ...

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Take note that an attempt begins."""
        ...

    def shown(self) -> str:
        """Return which values of a body are shown, in the words of :func:`compile_cell`."""
        ...

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put the value of an expression that is to be shown into the capture."""
        ...

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Take note that an attempt has ended, well or with an error."""
        ...

    def away(self, cell: CellTask, labels: Mapping[str, str]) -> CellHooks:
        """Return hooks that can be pickled and do for this cell in another process what these do here.

        Parameters
        ----------
        cell : CellTask
            The cell.
        labels : mapping
            What people call the cells whose code is used there, by file name.
        """
        ...

    def again(self, cell: CellTask, outputs: list[dict[str, Any]]) -> None:
        """Take note of what the task put out when the result that takes its place was made."""
        ...


class PlainHooks:
    """Hooks for when there is no Jupyter: text only."""

    def filename(self, cell: CellTask) -> str:
        """Return ``<task NAME>`` and let tracebacks find its lines."""
        name = f"<task {cell.name}>"
        lines = [f"{line}\n" for line in cell.body.splitlines()]
        linecache.cache[name] = (len(cell.body), None, lines, name)
        return name

    def label(self, filename: str) -> str:
        """Call no cell anything: its file name says it."""
        return ""

    def begin(self, cell: CellTask, capture: Capture) -> None:
        """Do nothing."""

    def shown(self) -> str:
        """Return that only the last expression's is."""
        return "last_expr"

    def show(self, cell: CellTask, value: Any, capture: Capture) -> None:
        """Put the value's repr into the capture."""
        if value is not None:
            data = {"text/plain": repr(value)}
            capture.put({"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": None})

    def end(self, cell: CellTask, capture: Capture, error: BaseException | None) -> None:
        """Do nothing."""

    def away(self, cell: CellTask, labels: Mapping[str, str]) -> CellHooks:
        """Return these: they hold nothing."""
        return self

    def again(self, cell: CellTask, outputs: list[dict[str, Any]]) -> None:
        """Do nothing."""


def execute(cell: CellTask, body: Body, hooks: CellHooks, capture: Capture) -> Any:
    """Run a cell's body, show the value of its last expression, or those that the face wants, and return the last."""
    late = body.late if body.locals is not body.globals else ()
    code, last = compile_cell(cell.body, hooks.filename(cell), late, hooks.shown())
    token = showing.set(lambda value: hooks.show(cell, value, capture))
    try:
        with nullcontext() if timed_python(cell.body) is None else timed():
            if code is not None:
                evaluate(code, body.globals, body.locals)
            value = evaluate(last, body.globals, body.locals) if last is not None else None
        if last is not None:
            hooks.show(cell, value, capture)
        return value
    finally:
        showing.reset(token)
