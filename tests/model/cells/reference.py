"""A small executor that runs cells in any order their wiring allows, for comparing with top to bottom.

Each task sees just its bound versions.  All tasks share one globals object that is emptied and filled anew for each of
them, so a function, wherever it was defined, sees the names of the task that calls it.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from orch_notebook.model.cells import Cell, Wiring


class TooLongError(Exception):
    """A program that does not seem to end."""


@contextlib.contextmanager
def limit_steps(steps: int) -> Iterator[None]:
    """Stop code that takes more than so many lines."""
    left = steps

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooLongError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def run_in_order(cells: Sequence[Cell]) -> tuple[dict[str, str], dict[str, Any]]:
    """Run cells top to bottom in one namespace; return what each printed and the names at the end."""
    names: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__"}
    printed: dict[str, str] = {}
    random.seed(0)
    for cell in cells:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(cell.source, cell.name, "exec"), names)
        printed[cell.name] = out.getvalue()
    return printed, names


def run_by_wiring(
    cells: Sequence[Cell], wiring: Wiring, choose: Callable[[list[str]], str]
) -> tuple[dict[str, str], dict[str, Any], list[str]]:
    """Run plain cells first, then tasks in an order the edges allow, `choose` picking among those that may start."""
    shared: dict[str, Any] = {}
    random.seed(0)
    printed: dict[str, str] = {}
    outputs: dict[str, dict[str, Any]] = {}
    environment: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__"}
    for cell in cells:
        if not cell.is_task:
            printed[cell.name], environment = run_one(cell, shared, environment)
    tasks = {cell.name: cell for cell in cells if cell.is_task}
    waiting = {name: {edge.before for edge in wiring.edges if edge.after == name} for name in tasks}
    order: list[str] = []
    gone: dict[str, set[str]] = {}
    while waiting:
        name = choose([name for name, before in waiting.items() if not before])
        del waiting[name]
        for before in waiting.values():
            before.discard(name)
        given: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__"}
        for read, producer in wiring.bindings[name].items():
            source = environment if producer is None else outputs[producer]
            if read in source:
                given[read] = source[read]
        printed[name], names = run_one(tasks[name], shared, given)
        effects = wiring.effects[name]
        outputs[name] = {each: names[each] for each in effects.writes | effects.mutates if each in names}
        gone[name] = {each for each in effects.deletes if each not in names}
        order.append(name)
    final = dict(environment)
    for name in tasks:
        final.update(outputs[name])
        for each in gone[name]:
            final.pop(each, None)
    return printed, final, order


def run_one(cell: Cell, shared: dict[str, Any], given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Run one cell with these names and return what it printed and the names afterwards."""
    out = io.StringIO()
    shared.clear()
    shared.update(given)
    with contextlib.redirect_stdout(out):
        exec(compile(cell.source, cell.name, "exec"), shared)
    return out.getvalue(), dict(shared)


def latest_first(ready: list[str]) -> str:
    """Choose what stands lowest in the notebook: the order that trusts the wiring most."""
    return ready[-1]


def at_random(seed: int) -> Callable[[list[str]], str]:
    """Choose by lot."""
    return random.Random(seed).choice
