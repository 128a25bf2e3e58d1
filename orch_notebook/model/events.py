"""What happened: recorded facts, past tense, each readable from its own JSON.

A run's history is its events in order.  Folding them through :class:`~orch_notebook.model.machine.RunMachine` gives
where the run stands; nothing else is needed to pick a run up after a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from orch_notebook.model.graph import Graph
from orch_notebook.model.states import State
from orch_notebook.model.tasks import Task

__all__ = ["Event", "LogWritten", "RunCreated", "RunStateChanged", "TaskAdded", "TaskStateChanged", "event_from_json"]


@dataclass(frozen=True, slots=True)
class RunCreated:
    """A flow run was made, with all that is known of it beforehand."""

    at: datetime
    flow: str
    graph: Graph = field(default_factory=Graph)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the instant."""
        return {"flow": self.flow, "graph": self.graph.to_json(), "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, at: datetime, data: Mapping[str, Any]) -> RunCreated:
        """Read what :meth:`to_json` wrote."""
        return cls(at, data["flow"], Graph.from_json(data["graph"]), data["parameters"])


@dataclass(frozen=True, slots=True)
class TaskAdded:
    """A task run appeared while the flow ran, or one that did not end well is to run again.

    Parameters
    ----------
    at : datetime
        When, aware UTC.
    task : Task
        What it is.
    upstream : tuple of str
        The tasks it waits for.
    lenient : tuple of str
        Those among them that need not end well.
    """

    at: datetime
    task: Task
    upstream: tuple[str, ...] = ()
    lenient: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything but the instant."""
        data = {"task": self.task.to_json(), "upstream": self.upstream}
        if self.lenient:
            data["lenient"] = self.lenient
        return data

    @classmethod
    def from_json(cls, at: datetime, data: Mapping[str, Any]) -> TaskAdded:
        """Read what :meth:`to_json` wrote."""
        return cls(at, Task.from_json(data["task"]), tuple(data["upstream"]), tuple(data.get("lenient", ())))


@dataclass(frozen=True, slots=True)
class TaskStateChanged:
    """A task run entered a state.

    Parameters
    ----------
    at : datetime
        When, aware UTC.
    task : str
        The task's name.
    attempt : int
        Which try this is about, counted from 1; 0 before the first.
    state : State
        The state it entered.
    details : mapping
        What else is known: ``due_at`` of a retry, ``traceback`` of a failure, ``cached_from``, ``note``.
    """

    at: datetime
    task: str
    attempt: int
    state: State
    details: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return everything but the instant."""
        data: dict[str, Any] = {"task": self.task, "attempt": self.attempt, "state": self.state.to_json()}
        if self.details:
            data["details"] = dict(self.details)
        return data

    @classmethod
    def from_json(cls, at: datetime, data: Mapping[str, Any]) -> TaskStateChanged:
        """Read what :meth:`to_json` wrote."""
        return cls(at, data["task"], data["attempt"], State.from_json(data["state"]), data.get("details"))


@dataclass(frozen=True, slots=True)
class RunStateChanged:
    """The flow run itself entered a state."""

    at: datetime
    state: State

    def to_json(self) -> dict[str, Any]:
        """Return everything but the instant."""
        return {"state": self.state.to_json()}

    @classmethod
    def from_json(cls, at: datetime, data: Mapping[str, Any]) -> RunStateChanged:
        """Read what :meth:`to_json` wrote."""
        return cls(at, State.from_json(data["state"]))


@dataclass(frozen=True, slots=True)
class LogWritten:
    """A task, or the run when `task` is empty, wrote a line.

    `level` is Python's logging number; what was printed bears 20 (stdout) or 30 (stderr).
    """

    at: datetime
    task: str
    attempt: int
    level: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return everything but the instant."""
        return {"task": self.task, "attempt": self.attempt, "level": self.level, "text": self.text}

    @classmethod
    def from_json(cls, at: datetime, data: Mapping[str, Any]) -> LogWritten:
        """Read what :meth:`to_json` wrote."""
        return cls(at, data["task"], data["attempt"], data["level"], data["text"])


Event = RunCreated | TaskAdded | TaskStateChanged | RunStateChanged | LogWritten

KINDS = {kind.__name__: kind for kind in (RunCreated, TaskAdded, TaskStateChanged, RunStateChanged, LogWritten)}


def event_from_json(kind: str, at: float, data: Mapping[str, Any]) -> Event:
    """Read an event back.

    Parameters
    ----------
    kind : str
        The name of its class.
    at : float
        Seconds since the epoch.
    data : mapping
        What its ``to_json`` gave.

    Examples
    --------
    >>> event_from_json("RunStateChanged", 0.0, {"state": {"type": "RUNNING"}}).state.name
    'Running'
    """
    return KINDS[kind].from_json(datetime.fromtimestamp(at, UTC), data)
