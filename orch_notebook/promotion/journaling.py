"""How the execution of a notebook goes, written into the history of its run.

In: what the client reports while cells run.  Out: in the journal, the lines that cells write and how they end; of a
notebook without tasks, whose code cells count as tasks, the states of these.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import FlowRunFailed
from orch_notebook.model.events import Event, LogWritten, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.notebooks import code_cells, has_tasks
from orch_notebook.runtime.clock import Clock
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.ledger import Journal
from orch_notebook.runtime.lines import LINE_LIMIT, Lines

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["ENDINGS", "RunRecord", "end_cells", "graph_of_cells"]

#: The state in which each kind of ending leaves a run.
ENDINGS: Mapping[str, tuple[StateType, str]] = {
    "completed": (StateType.COMPLETED, "Completed"),
    "failed": (StateType.FAILED, "Failed"),
    "timed out": (StateType.FAILED, "TimedOut"),
    "crashed": (StateType.CRASHED, "Crashed"),
}

#: The state in which a cell is left that did not end by itself, by the name of the error shown in it.
CELL_ENDINGS: Mapping[str, tuple[StateType, str]] = {
    "KernelDied": (StateType.CRASHED, "Crashed"),
    "TimedOut": (StateType.FAILED, "TimedOut"),
    "Stopped": (StateType.CANCELLED, "Cancelled"),
}


class RunRecord:
    """Writes down how the execution of a notebook goes; a :class:`~orch_notebook.promotion.execution.Progress`.

    Parameters
    ----------
    journal : Journal
        Where it is written.
    clock : Clock
        The time.
    tasks : mapping
        For a notebook without tasks, the name of the task that each code cell counts as; else empty.
    quiet : collection of int
        Cells whose output is not recorded here: those of tasks, which record their own.
    cells : int
        Cells of the notebook, to say how far it is.
    limit : int
        Characters of output kept per cell.
    began : callable
        Called when the first cell starts; the executed notebook has been written once by then.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        tasks: Mapping[int, str],
        quiet: Collection[int],
        cells: int,
        limit: int,
        began: Callable[[], object] = lambda: None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._tasks = tasks
        self._quiet = quiet
        self._cells = cells
        self._limit = limit
        self._began: Callable[[], object] | None = began
        self._open: set[str] = set()
        #: The tasks that have begun.
        self.seen: set[str] = set()
        self._lines: dict[int, Lines] = {}
        self._started_at: datetime = clock.now()
        self._kept = 0

    def cell_started(self, index: int, cell_id: str) -> None:
        """Note that a cell runs."""
        self._started_at = self._clock.now()
        self._kept = 0
        if self._began is not None:
            self._began()
            self._began = None
        reach("execute.cell")
        if task := self._tasks.get(index):
            self._open.add(task)
            self.seen.add(task)
            self._journal.record(TaskStateChanged(self._started_at, task, 1, State(StateType.RUNNING)))

    def cell_ended(self, index: int, cell_id: str, error: Mapping[str, Any] | None) -> None:
        """Note how a cell ended."""
        reach("execute.cell_ended")
        if (lines := self._lines.pop(index, None)) is not None:
            lines.finish()
        now = self._clock.now()
        seconds = (now - self._started_at).total_seconds()
        task = self._tasks.get(index)
        if task is None:
            how = f"raised {error['ename']}: {error['evalue']}"[:500] if error else "done"
            level = logging.ERROR if error else logging.INFO
            self._say(level, f"Cell {index + 1} of {self._cells} {how} ({seconds:.1f} s)")
            # Failed tasks bring their own tracebacks; the engine's frames above them help nobody.
            if error and error["ename"] != FlowRunFailed.__name__:
                for line in strip_colours("\n".join(error["traceback"])).splitlines():
                    self._say(level, line[:LINE_LIMIT])
            return
        self._open.discard(task)
        if error is None:
            self._journal.record(TaskStateChanged(now, task, 1, State(StateType.COMPLETED)))
            return
        line = f"{error['ename']}: {error['evalue']}"[:2000]
        details = {"error": line, "traceback": [strip_colours(text) for text in error["traceback"]]}
        kind, name = CELL_ENDINGS.get(error["ename"], ENDINGS["failed"])
        state = State(kind, name, line.splitlines()[0][:300])
        self._journal.record(TaskStateChanged(now, task, 1, state, details))

    def output(self, index: int, message: Mapping[str, Any]) -> None:
        """Note the lines a cell wrote."""
        if index in self._quiet:
            return
        text = str(message["text"])
        self._kept += len(text)
        if self._kept > self._limit:
            if self._kept - len(text) <= self._limit:
                self._say(
                    logging.WARNING,
                    f"Cell {index + 1} wrote more than {self._limit:,} characters; no more are kept here.",
                )
            return
        lines = self._lines.get(index)
        if lines is None:
            lines = self._lines[index] = Lines(partial(self._line, self._tasks.get(index, "")))
        lines.write(str(message["name"]), text)

    def _line(self, task: str, level: int, line: str) -> None:
        self._journal.record(LogWritten(self._clock.now(), task, 1 if task else 0, level, line))

    def _say(self, level: int, text: str) -> None:
        self._line("", level, text)

    def unfinished(self, state: State) -> list[Event]:
        """Return the events that end the cells which were running."""
        now = self._clock.now()
        return [TaskStateChanged(now, task, 1, state) for task in self._open]


def strip_colours(text: str) -> str:
    """Return a text without the codes that colour it in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def graph_of_cells(notebook: NotebookNode) -> Graph:
    """Return a notebook without tasks as one: a task for each code cell, each waiting for the one before."""
    if has_tasks(notebook):
        return Graph()
    tasks = [
        Task(f"cell-{index}", cell_index=index, cell_id=cell.id)
        for index, cell in code_cells(notebook)
        if cell.source.strip()
    ]
    edges = [Edge(before.name, after.name, "barrier") for before, after in pairwise(tasks)]
    return Graph(tuple(tasks), tuple(edges))


def end_cells(graph: Graph, record: RunRecord, state: State, clock: Clock) -> list[Event]:
    """Return the events that end every cell of a plain notebook that has not ended."""
    if not graph.tasks or state.type is StateType.COMPLETED:
        return []
    never_ran = State(StateType.CANCELLED, "UpstreamFailed", f"The run ended before it: {state.name}.")
    unseen = [task.name for task in graph.tasks if task.name not in record.seen]
    return [*record.unfinished(state), *(TaskStateChanged(clock.now(), name, 0, never_ran) for name in unseen)]
