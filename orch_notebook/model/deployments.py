"""A notebook made runnable by itself, as the store keeps it and every face shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from orch_notebook.model.chains import After
from orch_notebook.model.notices import Notice
from orch_notebook.model.policies import CatchUp, Overlap
from orch_notebook.model.retention import Retention
from orch_notebook.model.runs import iso

__all__ = ["Deployment", "Plan", "ScheduleRow"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a worker executes a run.

    Parameters
    ----------
    notebook : str
        Path of the notebook a person knows, or of the module.
    snapshot : str
        Path of what is executed: a pinned copy, or the file itself as it stands then.
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
    queue : str
        Where workers look for it.
    priority : int
        Of the runs that are due, higher ones go first.
    concurrency : int or None
        How many runs of the deployment may go on at once; None for any number.
    overlap : Overlap
        What a due run does while as many go on.
    tags : tuple of str
        Words to find its runs by.
    again : tuple of str
        Tasks that run once more though an earlier attempt has completed them, and with them what comes from them.
    memory : int or None
        Bytes the kernel and what it starts may take; None for what the worker allows.
    env : mapping
        Environment variables of the kernel.
    entrypoint : str
        ``module:flow`` where a flow of a module is executed, ``:task`` where a call of a task that was put by; empty
        for a notebook.
    preload : tuple of str
        Modules that its kernels have imported before the first cell.
    warm : int
        How many kernels are kept started for it before it is due, beside what each worker keeps.
    has_crash_hooks : bool
        The flow has functions to be called when its process has died.
    """

    notebook: str
    snapshot: str
    folder: str
    kernel: str | None = None
    retries: int = 0
    retry_delay: float = 0.0
    timeout: float | None = None
    queue: str = "default"
    priority: int = 0
    concurrency: int | None = None
    overlap: Overlap = Overlap.QUEUE
    tags: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    memory: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: str = ""
    preload: tuple[str, ...] = ()
    warm: int = 0
    has_crash_hooks: bool = False

    @property
    def is_tracked(self) -> bool:
        """Whether the file is executed as it then stands, in place of a pinned copy."""
        return self.snapshot == self.notebook

    @property
    def taker(self) -> str:
        """What is executed, in a word: ``notebook`` or ``flow``."""
        return "flow" if self.entrypoint else "notebook"

    @property
    def words(self) -> str:
        """What is executed, as people write it: the notebook's path, or ``path/to/module.py:flow``."""
        return f"{self.notebook}:{self.entrypoint.rpartition(':')[2]}" if self.entrypoint else self.notebook

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read what :meth:`to_json` wrote."""
        known = dict(data)
        known["overlap"] = Overlap(known.get("overlap", Overlap.QUEUE))
        known["tags"] = tuple(known.get("tags", ()))
        known["again"] = tuple(known.get("again", ()))
        known["preload"] = tuple(known.get("preload", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One schedule of a deployment.

    Parameters
    ----------
    rule : mapping
        What :func:`schedule_from_json` reads.
    seen_until : datetime
        Due times up to here have their rows.
    next_at : datetime or None
        The next due time; None when there is none any more.
    parameters : mapping
        Values for its runs that differ from the deployment's.
    """

    schedule_id: str
    deployment: str
    rule: Mapping[str, Any]
    seen_until: datetime
    next_at: datetime | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
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
    pause_reason : str
        Why, as somebody said.
    catch_up : CatchUp
        Which of the due times that passed while nothing looked still become runs.
    starts_after : tuple of After
        Which ends of other deployments' runs start one of it.
    notices : tuple of Notice
        Who is told what.
    keep : Retention
        How long its runs are kept; by default as the settings say.
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
    pause_reason: str = ""
    catch_up: CatchUp = field(default_factory=CatchUp)
    starts_after: tuple[After, ...] = ()
    notices: tuple[Notice, ...] = ()
    keep: Retention = field(default_factory=Retention)

    def to_json(self) -> dict[str, Any]:
        """Return the row that ``orch deployments --json`` prints."""
        return {
            "name": self.name,
            "version": self.version,
            "flow": self.flow,
            "notebook": self.plan.notebook,
            "entrypoint": self.plan.entrypoint or None,
            "parameters": dict(self.parameters),
            "schema": [dict(parameter) for parameter in self.schema],
            "schedules": [
                {**schedule.rule, **({"parameters": dict(schedule.parameters)} if schedule.parameters else {})}
                for schedule in self.schedules
            ],
            "is_paused": self.is_paused,
            "pause_reason": self.pause_reason,
            "queue": self.plan.queue,
            "priority": self.plan.priority,
            "concurrency": self.plan.concurrency,
            "overlap": self.plan.overlap.value,
            "catch_up": self.catch_up.text,
            "starts_after": [rule.to_json() for rule in self.starts_after],
            "notify": [notice.shown() for notice in self.notices],
            "keep": self.keep.text,
            "tags": list(self.plan.tags),
            "retries": self.plan.retries,
            "retry_delay": self.plan.retry_delay,
            "timeout": self.plan.timeout,
            "memory": self.plan.memory,
            "env": dict(self.plan.env),
            "preload": list(self.plan.preload),
            "warm": self.plan.warm,
            "is_tracked": self.plan.is_tracked,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }
