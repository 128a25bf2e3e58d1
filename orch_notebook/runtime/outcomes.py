"""How an attempt ended: the state its task enters, and what is recorded with it.

In: a call that has been performed, what it left or raised, and whether it was told to stop.  Out: a state and details.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orch_notebook.errors import ProcessDied, TaskTimedOut
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.calls import Call, TaskStopped

__all__ = ["Describe", "outcome_of"]

#: ``describe(error, call)`` returns what is recorded of an exception.
Describe = Callable[[BaseException, Call], dict[str, Any]]

Outcome = tuple[State, Mapping[str, Any] | None]

COMPLETED = State(StateType.COMPLETED)
CACHED = State(StateType.COMPLETED, "Cached")


def outcome_of(
    call: Call, details: Mapping[str, Any] | None, error: BaseException | None, describe: Describe
) -> Outcome:
    """Return the state that a task enters by the end of an attempt, and its details.

    Parameters
    ----------
    call : Call
        The attempt; its ``stop_reason`` is ``"cancel"`` or says what took too long.
    details : mapping or None
        What is known of a completion.
    error : BaseException or None
        What was raised.
    """
    if error is None:  # perhaps it was told to stop, and was done before it heard
        return CACHED if details and "cached_from" in details else COMPLETED, details
    if call.stop_reason == "cancel" and isinstance(error, TaskStopped | KeyboardInterrupt):
        return State(StateType.CANCELLED, "Cancelled"), None
    if call.stop_reason and isinstance(error, TaskStopped):
        found = describe(TaskTimedOut(call.stop_reason, task=call.task), call)
        final = {"retriable": False} if found.get("retriable") is False else {}
        return State(StateType.FAILED, "TimedOut", call.stop_reason), {"error": call.stop_reason, **final}
    found = describe(error, call)
    if isinstance(error, ProcessDied):
        return State(StateType.CRASHED, "Crashed", str(error)), found
    return State(StateType.FAILED, "Failed", found["error"].splitlines()[0][:300] if found["error"] else ""), found
