"""The promise, by the real engine: random programs run threaded give what running them top to bottom gives.

Names, printed text, values of last expressions and errors are compared.  Where a task fails, what does not come after
it in any way is held against a run without the others, and what takes in something of it never runs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orch_notebook.model.cells import Cell
from orch_notebook.model.flows import CellFlow, CellTask, PlainCell
from orch_notebook.model.headers import TaskHeader
from orch_notebook.runtime.bodies import compile_cell, evaluate
from orch_notebook.runtime.calls import describe_failure
from orch_notebook.runtime.hooks import PlainHooks
from tests.model.cells.programs import programs
from tests.model.cells.test_programs import keep_what_runs, picture
from tests.runtime.test_programs import Notebook

FAILURES = ["1 / 0", "if n is not None: raise ValueError(n)", "xs.nothing", "d['nothing']", "assert m > 99, n"]


class Shown(PlainHooks):
    """Keeps what the last expressions of cells were."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def show(self, cell: CellTask, value: Any, capture: object) -> None:
        """Keep a value's repr."""
        self.values[cell.name] = masked(repr(value))


def masked(text: str) -> str:
    """Return text without addresses."""
    return re.sub(r"0x[0-9a-f]+", "0x", text)


class TopToBottom:
    """Cells run in order in one namespace; a cell that fails ends it."""

    def __init__(self, cells: list[Cell]) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.printed: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.error = ""
        random.seed(0)
        for cell in cells:
            out = io.StringIO()
            body, last = compile_cell(cell.source, cell.name)
            try:
                with contextlib.redirect_stdout(out):
                    if body is not None:
                        evaluate(body, self.names, self.names)
                    if last is not None:
                        self.values[cell.name] = masked(repr(evaluate(last, self.names, self.names)))
            except Exception as error:
                self.error = describe_failure(error)["error"]
                return
            self.printed[cell.name] = masked(out.getvalue().rstrip("\n"))


class AsFlow(Notebook):
    """Cells run as a flow by the real engine."""

    def __init__(self, cells: list[Cell]) -> None:
        super().__init__()
        self.flow = CellFlow("random")
        self.flow.know(["__name__"])
        random.seed(0)
        for cell in cells:
            if cell.is_task:
                self.flow.define(CellTask(cell.name, TaskHeader(), cell.source))
            else:
                self.flow.define(PlainCell(cell.name, cell.source))
                exec(compile(cell.source, cell.name, "exec"), self.names)
        random.seed(0)
        self.shown = Shown()

    def go(self, threads: int | None, seed: int) -> dict[str, str]:
        """Run, and return the names of the states in which the tasks ended."""
        pick = random.Random(seed)
        way: dict[str, Any] = {"threads": threads} if threads else {"pick": lambda n: pick.randrange(n)}
        tasks = [task.name for task in self.flow]
        return dict(zip(tasks, self.run(hooks=self.shown, **way), strict=True))

    def printed(self, task: str) -> str:
        """Return what a task printed."""
        return masked("\n".join(text for name, text in self.lines if name == task))

    def errors(self) -> dict[str, str]:
        """Return what was recorded of the tasks that failed."""
        events = [event for event in self.recorded.events if "error" in (getattr(event, "details", None) or {})]
        return {event.task: event.details["error"] for event in events}


@pytest.fixture(autouse=True)
def _restless_threads() -> Iterator[None]:
    """Let threads take turns a hundred times as often, so that tasks really run through each other."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


# The nightly profile looks at 5,000 examples.
@pytest.mark.timeout(3600)
@settings(suppress_health_check=list(HealthCheck))
@given(programs(), st.sampled_from((None, 4, 16)), st.integers(0, 2**16))
def test_a_threaded_run_gives_what_top_to_bottom_gives(cells: list[Cell], threads: int | None, seed: int) -> None:
    """Names and which of them share an object, printed text and last values are those of a plain notebook."""
    cells = keep_what_runs(cells)
    expected = TopToBottom(cells)
    assert not expected.error
    try:
        flow = AsFlow(cells)
    except Exception as refused:
        assert "reads" in str(refused)
        return
    states = flow.go(threads, seed)
    assert set(states.values()) <= {"Completed"}, (states, flow.errors())
    tasks = [cell.name for cell in cells if cell.is_task]
    assert {task: flow.printed(task) for task in tasks} == {task: expected.printed[task] for task in tasks}
    assert flow.shown.values == {task: value for task, value in expected.values.items() if task in tasks}
    assert picture(flow.names) == picture(expected.names)


# The nightly profile looks at 5,000 examples.
@pytest.mark.timeout(3600)
@settings(suppress_health_check=list(HealthCheck))
@given(programs(), st.data(), st.sampled_from((None, 4, 16)), st.integers(0, 2**16))
def test_what_fails_takes_along_only_what_needs_it(
    cells: list[Cell], data: st.DataObject, threads: int | None, seed: int
) -> None:
    """The rest is as without it, the error is that of a plain notebook, and what needs the failed task never runs."""
    cells = keep_what_runs(cells)
    tasks = [cell.name for cell in cells if cell.is_task]
    assume(tasks)
    failing = data.draw(st.sampled_from(tasks))
    cells = [with_failure(cell, data) if cell.name == failing else cell for cell in cells]
    try:
        flow = AsFlow(cells)
    except Exception as refused:
        assert "reads" in str(refused)
        return
    graph, wiring = flow.flow.graph, flow.flow.wiring
    after = graph.reach(failing, graph.successors)
    states = flow.go(threads, seed)
    above = cells[: [cell.name for cell in cells].index(failing) + 1]
    assert states[failing] == "Failed"
    assert flow.errors()[failing] == TopToBottom(above).error
    for task in tasks[tasks.index(failing) :]:
        makers = set(wiring.bindings[task].values())
        if any(states.get(maker) in ("Failed", "UpstreamFailed") for maker in makers if maker is not None):
            assert states[task] == "UpstreamFailed", (task, states)
    rest = [cell for cell in cells if cell.name not in after]
    expected = TopToBottom(rest)
    for cell in rest:
        if cell.is_task:
            assert states[cell.name] == "Completed", (cell.name, states)
            assert flow.printed(cell.name) == expected.printed[cell.name]
    touched = {name for task in after for name in _touched(wiring.effects[task])}
    if not any(wiring.effects[task].mutates for task in after):
        found, told = picture(flow.names), picture(expected.names)
        assert {k: v for k, v in found.items() if k not in touched} == {
            k: v for k, v in told.items() if k not in touched
        }


def _touched(effects: Any) -> frozenset[str]:
    return effects.writes | effects.mutates | effects.deletes


def with_failure(cell: Cell, data: st.DataObject) -> Cell:
    """Put a statement that fails among the statements of a cell."""
    lines = cell.source.splitlines()
    starts = [
        min(part.lineno for part in [node, *getattr(node, "decorator_list", ())]) - 1
        for node in ast.parse(cell.source).body
    ]
    starts.append(len(lines))
    at = data.draw(st.sampled_from(starts))
    failure = data.draw(st.sampled_from(FAILURES))
    return Cell(cell.name, "\n".join([*lines[:at], failure, *lines[at:]]))
