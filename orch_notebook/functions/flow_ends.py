"""How a flow run ended, as its body's outcome and its task runs' decide together.

In: the performance of the run, what the body returned or raised, and whether it was told to stop.  Out: one state with
what ``result()`` gives or raises.
"""

from __future__ import annotations

from typing import Any

from orch_notebook.errors import FlowRunCancelled, FlowRunFailed, FlowRunTimedOut, ReturnedFailure
from orch_notebook.functions.futures import Future
from orch_notebook.functions.outcomes import Outcome, Suspension
from orch_notebook.functions.performances import Performance
from orch_notebook.model.states import StateType

__all__ = ["after_error", "after_value", "cancelled", "timed_out"]

T = StateType


def cancelled(performance: Performance, error: BaseException | None) -> Outcome:
    """Return the end of a run that was cancelled; `error` is raised, if it is its caller's own."""
    said = f"Flow {performance.run.flow!r} was cancelled."
    return Outcome(T.CANCELLED, data=error or FlowRunCancelled(said, run_id=performance.run_id))


def timed_out(performance: Performance, timeout: float | None) -> Outcome:
    """Return the end of a run whose body took too long."""
    why = f"It took longer than its timeout of {timeout:g} s."
    late = FlowRunTimedOut(f"Flow {performance.run.flow!r}: {why}", run_id=performance.run_id)
    return Outcome(T.FAILED, "TimedOut", why, late)


def after_error(performance: Performance, error: BaseException) -> Outcome:
    """Return the end that an error of the body means, which goes into the run's log."""
    if isinstance(error, Suspension):
        return Outcome(T.PAUSED, "Suspended", error.waits_for, error.error)
    performance.log_failure(error)
    return Outcome(T.FAILED, message=_line(error), data=error)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def after_value(performance: Performance, value: Any) -> Outcome:
    """Return the end that a return value means; task runs that failed unobserved speak where it is silent."""
    try:
        outcome = _of_value(value)
    except BaseException as failed:  # noqa: BLE001 - a future that it returned
        return Outcome(T.FAILED, message=_line(failed), data=failed)
    is_silent = outcome.is_completed() and type(value) is not Outcome
    unobserved = performance.endings.unobserved() if is_silent else []
    return _unobserved(performance, unobserved) if unobserved else outcome


def _unobserved(performance: Performance, futures: list[Future]) -> Outcome:
    names = ", ".join(repr(future.name) for future in futures[:3]) + (" …" if len(futures) > 3 else "")
    count = len(futures)
    why = f"{count} task{'s' if count > 1 else ''} failed and nobody asked how they ended: {names}."
    cause = futures[0].failure()
    failure = FlowRunFailed(
        f"Flow {performance.run.flow!r}: {why} First: {type(cause).__name__}: {cause}",
        run_id=performance.run_id,
        tasks=[future.name for future in futures],
    )
    failure.__cause__ = cause
    return Outcome(T.FAILED, message=why, data=failure)


def _of_value(value: Any) -> Outcome:
    """Return the state that a value means: a state or future speaks for itself, several must all be well."""
    if isinstance(value, Future):
        return value.outcome()
    if isinstance(value, Outcome):
        return value
    if isinstance(value, list | tuple | set) and value:
        told = [each for each in value if isinstance(each, Future | Outcome)]
        if len(told) == len(value):
            outcomes = [each.outcome() if isinstance(each, Future) else each for each in told]
            bad = [each for each in outcomes if not each.is_completed()]
            if bad:
                said = f"{len(bad)} of {len(outcomes)} returned states are not Completed."
                cause = bad[0].data if isinstance(bad[0].data, BaseException) else ReturnedFailure(said)
                return Outcome(T.FAILED, message=said, data=cause)
            return Outcome(T.COMPLETED, data=type(value)(each.data for each in outcomes))
    return Outcome(T.COMPLETED, data=value)
