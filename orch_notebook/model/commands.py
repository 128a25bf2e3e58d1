"""What a run's machine tells its engine to do: plain values, compared in tests and carried out by nobody here."""

from __future__ import annotations

from dataclasses import dataclass

from orch_notebook.model.states import State

__all__ = ["AwaitRetry", "Command", "EndRun", "EndTask", "StartTask", "StopTask"]


@dataclass(frozen=True, slots=True)
class StartTask:
    """Perform this attempt as soon as there is room."""

    task: str
    attempt: int


@dataclass(frozen=True, slots=True)
class AwaitRetry:
    """Let `delay` seconds pass (times up to ``1 + jitter``), then start this attempt."""

    task: str
    attempt: int
    delay: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class EndTask:
    """Record that the task ends in this state without being performed.

    `culprit` is the task at fault, `origin` the task run whose outcome still holds.
    """

    task: str
    state: State
    culprit: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class StopTask:
    """Stop the attempt that is being performed."""

    task: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """Record that the run ends in this state."""

    state: State


Command = StartTask | AwaitRetry | EndTask | StopTask | EndRun
