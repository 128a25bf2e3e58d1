"""Whose code is running: the flow run and the task run that a line of the user's code belongs to.

In: what performs a run says so here.  Out: everybody who must know (loggers, ``runtime.flow_run``, nested calls).
A context variable holds it, so threads and event loops keep it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = [
    "FlowScope",
    "TaskScope",
    "added_tags",
    "cell_scope",
    "deployment",
    "flow_run",
    "flow_scope",
    "tags",
    "task_run",
    "task_scope",
    "within_cell",
]


@dataclass(slots=True)
class FlowScope:
    """The flow run whose code is running."""

    run_id: str
    name: str
    flow: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    attempt: int = 1
    parent_run_id: str | None = None
    deployment: str | None = None
    due_at: datetime | None = None
    is_async: bool = False
    #: Who performs it; what is submitted goes there.
    performance: Any = None
    #: Who takes the lines of its log, where its code is performed in another process.
    recorder: Any = None


@dataclass(slots=True)
class TaskScope:
    """The task run whose code is running."""

    name: str
    task: str
    attempt: int = 1
    tags: tuple[str, ...] = ()
    #: Names its arguments; they are rarely asked for.
    parameters: Callable[[], Mapping[str, Any]] = dict
    #: What the flow run knows of it.
    future: Any = None
    #: By the key of each asset that it makes: what it says of that.
    assets: Mapping[str, dict[str, Any]] = field(default_factory=dict)


flow_scope: ContextVar[FlowScope | None] = ContextVar("orch_flow_scope", default=None)
task_scope: ContextVar[TaskScope | None] = ContextVar("orch_task_scope", default=None)
#: The run and the name of the task whose cell is running here.
cell_scope: ContextVar[tuple[str, str] | None] = ContextVar("orch_cell_scope", default=None)
added_tags: ContextVar[tuple[str, ...]] = ContextVar("orch_added_tags", default=())


@contextmanager
def within_cell(run_id: str, task: str) -> Iterator[None]:
    """Say that what runs in this block is the cell of a task."""
    token = cell_scope.set((run_id, task))
    try:
        yield
    finally:
        cell_scope.reset(token)


@contextmanager
def tags(*words: str) -> Iterator[set[str]]:
    """Add tags to every flow and task run that begins within the block.

    Examples
    --------
    >>> with tags("nightly"), tags("gpu") as now:
    ...     sorted(now)
    ['gpu', 'nightly']
    """
    token = added_tags.set(tuple(dict.fromkeys((*added_tags.get(), *words))))
    try:
        yield set(added_tags.get())
    finally:
        added_tags.reset(token)


class _FlowRun:
    """What ``runtime.flow_run`` tells of the flow run whose code asks; nothing outside of runs."""

    def __getattr__(self, name: str) -> Any:
        scope = flow_scope.get()
        if name in ("id", "run_id"):
            return scope and scope.run_id
        if name in ("name", "attempt", "parent_run_id"):
            return scope and getattr(scope, name)
        if name == "flow_name":
            return scope and scope.flow
        if name == "parent_flow_run_id":
            return scope and scope.parent_run_id
        if name == "run_count":
            return scope.attempt if scope else 0
        if name in ("scheduled_start_time", "due_at"):
            return scope and scope.due_at
        if name == "parameters":
            return dict(scope.parameters) if scope else {}
        if name == "tags":
            return list(scope.tags) if scope else []
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return ["attempt", "due_at", "flow_name", "id", "name", "parameters", "parent_flow_run_id", "run_count", "tags"]


class _TaskRun:
    """What ``runtime.task_run`` tells of the task run whose code asks; nothing outside of tasks."""

    def __getattr__(self, name: str) -> Any:
        scope = task_scope.get()
        if name == "id":
            flow = flow_scope.get()
            return f"{flow.run_id}/{scope.name}" if scope and flow else None
        if name in ("name", "attempt"):
            return scope and getattr(scope, name)
        if name == "task_name":
            return scope and scope.task
        if name == "run_count":
            return scope.attempt if scope else 0
        if name == "parameters":
            return dict(scope.parameters()) if scope else {}
        if name == "tags":
            return list(scope.tags) if scope else []
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return ["attempt", "id", "name", "parameters", "run_count", "tags", "task_name"]


class _Deployment:
    """What ``runtime.deployment`` tells of the deployment that the running flow run is one of."""

    def __getattr__(self, name: str) -> Any:
        scope = flow_scope.get()
        if name in ("id", "name"):
            return scope and scope.deployment
        if name == "flow_run_id":
            return scope and scope.run_id
        if name == "parameters":
            return dict(scope.parameters) if scope and scope.deployment else {}
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return ["flow_run_id", "id", "name", "parameters"]


#: ``from orch_notebook.runtime import flow_run, task_run, deployment``: who asks is told about itself.
flow_run = _FlowRun()
task_run = _TaskRun()
deployment = _Deployment()
