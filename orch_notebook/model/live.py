"""A run as its events tell it: fold them one by one, look at the result at any time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orch_notebook.model.events import Event, LogWritten, RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import StateType

__all__ = ["LiveRun"]


class LiveRun:
    """Folds a run's events into a :class:`FlowRun`.

    Parameters
    ----------
    run : FlowRun
        The run as it was created.

    Notes
    -----
    One thread takes events, any thread may look: what is handed out is immutable.
    """

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._tasks = {task.name: TaskRun(run.run_id, task) for task in run.graph.tasks}
        self._tasks.update((task.name, task) for task in run.tasks)
        self._seen: FlowRun | None = None
        self._added: dict[str, TaskAdded] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Fold events in."""
        for event in events:
            match event:
                case TaskStateChanged():
                    self._take_task(event)
                case RunStateChanged():
                    self._take_run(event)
                case TaskAdded(task=task):
                    self._tasks[task.name] = TaskRun(self._run.run_id, task)
                    self._added[task.name] = event
                case RunCreated(graph=graph, parameters=parameters):
                    self._tasks = {task.name: TaskRun(self._run.run_id, task) for task in graph.tasks}
                    self._run = replace(self._run, graph=graph, parameters=parameters)
                case LogWritten():
                    pass
        self._seen = None

    def _take_task(self, event: TaskStateChanged) -> None:
        before = self._tasks[event.task]
        is_running = event.state.type is StateType.RUNNING
        self._tasks[event.task] = TaskRun(
            before.run_id,
            before.task,
            event.state,
            event.attempt,
            event.at if is_running else before.started_at,
            event.at if event.state.is_final else None,
            event.details or {},
        )

    def _take_run(self, event: RunStateChanged) -> None:
        started_at = self._run.started_at
        if started_at is None and event.state.type is StateType.RUNNING:
            started_at = event.at
        ended_at = event.at if event.state.is_final else None
        self._run = replace(self._run, state=event.state, started_at=started_at, ended_at=ended_at)

    @property
    def run(self) -> FlowRun:
        """The run as it stands."""
        seen = self._seen
        if seen is None:
            graph = self._run.graph.extended((event.task, event.upstream) for event in self._added.values())
            seen = self._seen = replace(self._run, graph=graph, tasks=tuple(self._tasks.values()))
        return seen
