"""Every exception of the package, one tree.

::

    OrchError
    ├── UsageError                what a person asked cannot be done as asked
    │   ├── HeaderError           a `%%task` or `%flow` line that does not parse
    │   ├── UndefinedName         a task reads a name that nothing defines
    │   ├── UnknownTask           a name that is no task of this flow
    │   ├── CycleError            tasks that wait for each other
    │   ├── ScheduleError         a schedule, instant or time zone that does not parse
    │   ├── ParameterError        an unknown, missing or ill-typed parameter
    │   ├── NotebookError         a notebook that cannot be read or executed
    │   ├── ModuleError           a module whose flow cannot be found or loaded
    │   ├── SecretExposed         what is to be kept holds the value of a secret
    │   ├── NotFound              no such run or deployment
    │   └── MissingContext        what can only be asked inside a run was asked outside
    ├── FlowRunError              how a flow run ended, raised where somebody waits for it
    │   ├── FlowRunFailed
    │   ├── FlowRunTimedOut
    │   ├── FlowRunSuspended      it has not ended: it goes on when somebody resumes it
    │   └── FlowRunCancelled
    ├── TaskError                 what befell a task besides what its own code raised
    │   ├── NotPicklable          a value that cannot travel to a task's process or back
    │   ├── ProcessDied           the process that performed a task ended under it
    │   ├── TaskTimedOut
    │   ├── TaskCancelled
    │   ├── TaskCrashed
    │   ├── UpstreamFailed        it never ran, because what it needs failed
    │   └── ReturnedFailure       it returned a state that says so
    ├── StoreError                the store cannot do what it should
    │   ├── StoreUnavailable      read-only, damaged or from a newer version
    │   │   └── StoreAway         it does not answer, is locked or full; asked again later it may do it
    │   ├── LeaseLost             another process owns this run now
    │   └── HistoryConflict       two owners wrote one run's history
    └── ImpossibleEvent           an event that cannot follow the present state

Messages are written for the person who reads them: what happened, to which task, what to try.
All of them survive pickling, so they can come back from another process.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CycleError",
    "FlowRunCancelled",
    "FlowRunError",
    "FlowRunFailed",
    "FlowRunSuspended",
    "FlowRunTimedOut",
    "HeaderError",
    "HistoryConflict",
    "ImpossibleEvent",
    "LeaseLost",
    "MissingContext",
    "ModuleError",
    "NotFound",
    "NotPicklable",
    "NotebookError",
    "OrchError",
    "ParameterError",
    "ProcessDied",
    "ReturnedFailure",
    "ScheduleError",
    "SecretExposed",
    "StoreAway",
    "StoreError",
    "StoreUnavailable",
    "TaskCancelled",
    "TaskCrashed",
    "TaskError",
    "TaskTimedOut",
    "UndefinedName",
    "UnknownTask",
    "UpstreamFailed",
    "UsageError",
]


def _rebuild(kind: type[OrchError], message: str, details: dict[str, Any]) -> OrchError:
    return kind(message, **details)


class OrchError(Exception):
    """The root of the tree.

    Parameters
    ----------
    message : str
        One or two sentences for a person.
    **details
        What the message speaks of, as attributes (``error.task``, ``error.run_id`` …).
    """

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.details = details

    def __getattr__(self, name: str) -> Any:
        # Guarded because unpickling asks for attributes before __init__ has run.
        details = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.details)


class UsageError(OrchError):
    """What a person asked cannot be done as asked."""

    def _render_traceback_(self) -> list[str]:
        # In a notebook the line says it all; where in our code it was found helps nobody.
        return [f"{type(self).__name__}: {self}"]


class HeaderError(UsageError):
    """A ``%%task`` or ``%flow`` line that does not parse."""


class UndefinedName(UsageError):
    """A task reads a name that nothing defines."""


class UnknownTask(UsageError):
    """A name that is no task of this flow."""


class CycleError(UsageError):
    """Tasks that wait for each other; ``path`` lists them in order."""


class ScheduleError(UsageError):
    """A schedule, instant or time zone that does not parse."""


class ParameterError(UsageError):
    """An unknown, missing or ill-typed parameter."""


class NotebookError(UsageError):
    """A notebook that cannot be read or executed."""


class ModuleError(UsageError):
    """A module whose flow cannot be found or loaded."""


class SecretExposed(UsageError):
    """What is to be kept holds the value of a secret, which would lie open in a file."""


class NotFound(UsageError):
    """No such run or deployment."""


class MissingContext(UsageError):
    """What can only be asked inside a run was asked outside."""


class FlowRunError(OrchError):
    """How a flow run ended; ``run_id`` names it."""

    def _render_traceback_(self) -> list[str]:
        # Each failed task shows its own traceback; the frames of the engine would only bury it.
        return [f"{type(self).__name__}: {self}"]


class FlowRunFailed(FlowRunError):
    """At least one task of the run failed; ``tasks`` names them."""


class FlowRunTimedOut(FlowRunError, TimeoutError):
    """The flow took longer than its timeout."""


class FlowRunSuspended(FlowRunError):
    """The run waits for an answer and holds no process meanwhile; resumed, it goes on in another."""


class FlowRunCancelled(FlowRunError):
    """The run was cancelled."""


class TaskError(OrchError):
    """What befell a task besides what its own code raised."""

    def drawn(self) -> list[str]:
        """Return the lines to show in place of a traceback, whose frames would all be ours."""
        return [f"{type(self).__name__}: {self}"]

    _render_traceback_ = drawn


class NotPicklable(TaskError):
    """A value that cannot travel to a task's process or back; ``name`` is the variable."""


class ProcessDied(TaskError):
    """The process that performed a task ended under it; ``exitcode`` tells how."""


class TaskTimedOut(TaskError, TimeoutError):
    """The task took longer than its timeout."""


class TaskCancelled(TaskError):
    """The task run was cancelled."""


class TaskCrashed(TaskError):
    """The task crashed."""


class UpstreamFailed(TaskError):
    """The task never ran, because one that it needs failed; ``culprit`` names it."""


class ReturnedFailure(TaskError):
    """A task or flow returned a state that says it did not end well."""


class StoreError(OrchError):
    """The store cannot do what it should."""


class StoreUnavailable(StoreError):
    """The store is locked, read-only, full, or written by a newer version."""


class StoreAway(StoreUnavailable):
    """The store does not answer, is locked or full; asked again in a while it may do what it should.

    ``is_undone`` tells that it has surely done nothing; else what was asked may have been done all the same.
    """


class LeaseLost(StoreError):
    """Another process owns this run now; whoever sees this must stop working on it."""


class HistoryConflict(StoreError):
    """Two owners wrote one run's history; the later write was refused."""


class ImpossibleEvent(OrchError):
    """An event that cannot follow the present state of its task or run."""
