"""One execution of a flow and of each of its tasks, as every face shows them and every ``--json`` prints them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orch_notebook.model.graph import Graph
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task

__all__ = ["FlowRun", "TaskRun", "iso", "seconds_between", "short_id"]

PENDING = State(StateType.PENDING)


def iso(instant: datetime | None) -> str | None:
    """Write an instant as ISO 8601 in UTC, to the millisecond.

    Examples
    --------
    >>> iso(datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC))
    '2026-01-02T03:04:05.678Z'
    """
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from `start` to `end`, never negative; ``None`` where either is unknown."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())


def short_id(run_id: str) -> str:
    """Return what people are shown of a run's id: its end, because ids made in the same minute begin alike.

    Examples
    --------
    >>> short_id("01a1f866-0d8d-7ec7-80aa-1e86cceb495c")
    'cceb495c'
    """
    return run_id[-8:]


@dataclass(frozen=True, slots=True)
class TaskRun:
    """Where one task of a run stands.

    Parameters
    ----------
    run_id : str
        The flow run it belongs to.
    task : Task
        What it is.
    state : State
        Where it stands.
    attempt : int
        The latest try, counted from 1; 0 before the first.
    started_at, ended_at : datetime or None
        Of the latest attempt, aware UTC.
    details : mapping
        ``traceback`` (list of lines), ``error``, ``note``, ``cached_from``, ``due_at``.
    """

    run_id: str
    task: Task
    state: State = PENDING
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def task_run_id(self) -> str:
        """The id of this task run: its flow run's and its name."""
        return f"{self.run_id}/{self.task.name}"

    def seconds(self, now: datetime) -> float | None:
        """Return how long the latest attempt took, or has taken until `now`."""
        return seconds_between(self.started_at, self.ended_at or now)

    def to_json(self) -> dict[str, Any]:
        """Return the row that ``orch show --json`` prints."""
        return {
            "name": self.task.name,
            "task_run_id": self.task_run_id,
            "run_id": self.run_id,
            "cell_index": self.task.cell_index,
            "state": self.state.to_json(),
            "attempts": self.attempt,
            "started_at": iso(self.started_at),
            "ended_at": iso(self.ended_at),
            "duration": seconds_between(self.started_at, self.ended_at),
            "reads": list(self.task.reads),
            "writes": list(self.task.writes),
            "mutates": list(self.task.mutates),
            "cached_from": self.details.get("cached_from"),
            "error": self.details.get("error"),
            "traceback": list(self.details.get("traceback", ())),
            "note": self.details.get("note"),
        }


@dataclass(frozen=True, slots=True)
class FlowRun:
    """One execution of a flow.

    Parameters
    ----------
    run_id : str
        UUIDv7.
    flow : str
        Name of the flow.
    state : State
        Where the run stands.
    created_at : datetime
        When it was made; all instants are aware UTC.
    name : str
        What its flow calls it, where it has a name of its own.
    tags : tuple of str
        Words to find it by.
    about : mapping
        The flow's ``version`` and ``description``, where it has them.
    attempt : int
        1, or more when it repeats a run that failed (`retry_of`).
    deployment, backfill, parent_run_id, retry_of, upstream_run_id : str or None
        What it came from; the last is the run of another deployment after whose end it was started.
    due_at, started_at, ended_at : datetime or None
        When it should start, did, and ended.
    parameters : mapping
        What it was given.
    worker : str or None
        Who executes it.
    notebook, executed_notebook : str or None
        Paths of what is executed and of the executed copy.
    path : str or None
        The file in which its flow stands, where that is known: flows of one name in two files are two flows.
    graph : Graph
        Its tasks and their edges.
    tasks : tuple of TaskRun
        In definition order; only filled when one run is looked at.
    values : mapping
        What it recorded, by name; only filled when one run, or a backfill, is looked at.
    """

    run_id: str
    flow: str
    state: State
    created_at: datetime
    name: str = ""
    tags: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    deployment: str | None = None
    backfill: str | None = None
    parent_run_id: str | None = None
    retry_of: str | None = None
    upstream_run_id: str | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    worker: str | None = None
    notebook: str | None = None
    executed_notebook: str | None = None
    path: str | None = None
    graph: Graph = field(default_factory=Graph)
    tasks: tuple[TaskRun, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self, now: datetime) -> float | None:
        """Return how long the run took, or has taken until `now`."""
        return seconds_between(self.started_at, self.ended_at or now)

    def counts(self) -> Counter[str]:
        """Return how many tasks bear each state name."""
        return Counter(task.state.name for task in self.tasks)

    def to_json(self, *, with_tasks: bool = False) -> dict[str, Any]:
        """Return the row that ``orch runs --json`` prints, or all that ``orch show --json`` does."""
        data: dict[str, Any] = {
            "run_id": self.run_id,
            "flow": self.flow,
            "name": self.name,
            "tags": list(self.tags),
            "deployment": self.deployment,
            "backfill": self.backfill,
            "parent_run_id": self.parent_run_id,
            "retry_of": self.retry_of,
            "upstream_run_id": self.upstream_run_id,
            "state": self.state.to_json(),
            "due_at": iso(self.due_at),
            "created_at": iso(self.created_at),
            "started_at": iso(self.started_at),
            "ended_at": iso(self.ended_at),
            "duration": seconds_between(self.started_at, self.ended_at),
            "attempt": self.attempt,
            "parameters": dict(self.parameters),
            "worker": self.worker,
        }
        if with_tasks:
            data["about"] = dict(self.about)
            data["notebook"] = self.notebook
            data["executed_notebook"] = self.executed_notebook
            data["values"] = dict(self.values)
            data["tasks"] = [task.to_json() for task in self.tasks]
        return data
