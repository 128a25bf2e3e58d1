"""A notebook made runnable by itself, as the store keeps it and every face shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from orch_notebook.model.runs import iso

__all__ = ["Deployment", "Plan", "ScheduleRow"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a worker executes a run.

    Parameters
    ----------
    notebook : str
        Path of the notebook a person knows.
    snapshot : str
        Path of the pinned copy that is executed.
    folder : str
        Working directory, so that relative data paths mean what they meant while the notebook was written.
    kernel : str or None
        Name of the kernel; None takes the notebook's own.
    retries : int
        How often a run that failed or crashed is repeated.
    retry_delay : float
        Seconds before each repetition.
    timeout : float or None
        Seconds the whole run may take.
    """

    notebook: str
    snapshot: str
    folder: str
    kernel: str | None = None
    retries: int = 0
    retry_delay: float = 0.0
    timeout: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read what :meth:`to_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One schedule of a deployment: its rule, and up to when its due times have been turned into rows."""

    schedule_id: str
    deployment: str
    rule: Mapping[str, Any]
    seen_until: datetime
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """A notebook made runnable by itself.

    Parameters
    ----------
    name : str
        Unique in the store.
    version : int
        Counts up with every promote.
    flow : str
        Name of the flow.
    plan : Plan
        How a worker executes its runs.
    parameters : mapping
        Values that differ from the notebook's own.
    schema : tuple of mapping
        The parameters the notebook declares.
    schedules : tuple of ScheduleRow
        When it runs by itself.
    is_paused : bool
        Its schedules make no runs for now.
    """

    name: str
    version: int
    flow: str
    plan: Plan
    parameters: Mapping[str, Any]
    schema: tuple[Mapping[str, Any], ...]
    created_at: datetime
    updated_at: datetime
    schedules: tuple[ScheduleRow, ...] = field(default=())
    is_paused: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the row that ``orch deployments --json`` prints."""
        return {
            "name": self.name,
            "version": self.version,
            "flow": self.flow,
            "notebook": self.plan.notebook,
            "parameters": dict(self.parameters),
            "schema": [dict(parameter) for parameter in self.schema],
            "schedules": [dict(schedule.rule) for schedule in self.schedules],
            "is_paused": self.is_paused,
            "retries": self.plan.retries,
            "retry_delay": self.plan.retry_delay,
            "timeout": self.plan.timeout,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }
