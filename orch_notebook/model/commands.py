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
    """Let `delay` seconds pass, more or less by `jitter`, then start this attempt."""

    task: str
    attempt: int
    delay: float
    jitter: float = 0.0

    def seconds(self, drawn: float) -> float:
        """Return how long to wait, where an even draw from 0 to 1 gave `drawn`: at most ``delay * (1 + jitter)``.

        The mean is `delay`, so that many who wait come apart and none of them waits longer for it on the whole.

        Examples
        --------
        >>> [AwaitRetry("load", 2, 10.0, 0.5).seconds(drawn) for drawn in (0.0, 0.5, 1.0)]
        [5.0, 10.0, 15.0]
        >>> [AwaitRetry("load", 2, 10.0, 3.0).seconds(drawn) for drawn in (0.0, 0.5, 1.0)]
        [0.0, 5.0, 40.0]
        """
        if self.jitter <= 1:
            return self.delay * (1 + self.jitter * (2 * drawn - 1))
        # Nobody waits less than nothing: u ** k has the mean 1 / (k + 1).
        return self.delay * (1 + self.jitter) * float(drawn**self.jitter)


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
