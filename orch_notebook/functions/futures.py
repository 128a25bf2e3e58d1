"""Task runs of functions, as the code that submitted them holds them.

A future is told how its task run ended by the engine of its flow run, whichever thread that happens in.  Until somebody
waits for it, it costs a few words of memory and no lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, NamedTuple

from orch_notebook.errors import OrchError, TaskCancelled, TaskCrashed, TaskError, TaskTimedOut, UpstreamFailed
from orch_notebook.functions.outcomes import Away, Outcome
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.calls import without_ours
from orch_notebook.runtime.places import this_place

if TYPE_CHECKING:
    from orch_notebook.functions.performances import Performance
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["Future", "FutureList", "Waited", "as_completed", "ring", "wait", "wait_for_bell"]

PENDING = State(StateType.PENDING)


class Future:
    """A task run that was submitted, and in time what came of it.

    Attributes
    ----------
    name : str
        The task run's name, unique in its flow run.

    Notes
    -----
    ``await future`` waits in an event loop and gives the result.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "attempt",
        "context",
        "details",
        "error",
        "facts",
        "interrupt",
        "is_direct",
        "is_done",
        "is_observed",
        "kwargs",
        "name",
        "performance",
        "state_now",
        "tags",
        "task",
        "value",
        "waiters",
    )

    def __init__(
        self,
        task: FunctionTask[..., Any],
        name: str,
        performance: Performance,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: Context | None,
    ) -> None:
        self.task = task
        self.name = name
        self.performance = performance
        self.args = args
        self.kwargs = kwargs
        self.context = context
        self.tags: tuple[str, ...] = ()
        self.attempt = 0
        self.state_now = PENDING
        self.details: Mapping[str, Any] | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.facts: dict[str, Any] | None = None  # what its attempt wants recorded with its end
        self.interrupt: KeyboardInterrupt | None = None  # Ctrl-C hit its code in the main thread
        self.is_direct = False  # its caller takes what it returns, and has it then
        self.is_done = False
        self.is_observed = False  # somebody has asked how it ended
        self.waiters: list[Callable[[], object]] | None = None

    @property
    def task_run_id(self) -> str:
        """The id of the task run."""
        return f"{self.performance.run_id}/{self.name}"

    @property
    def id(self) -> str:
        """The id of the task run, by the name that hooks of Prefect know."""
        return self.task_run_id

    @property
    def run_count(self) -> int:
        """How many attempts have begun."""
        return self.attempt

    @property
    def state(self) -> Outcome:
        """How the task run stands, or ended."""
        if self.is_done:
            return self.outcome()
        kind = self.performance.state_of(self.name)
        # Final, but what must be done about it has not been done: to the code of the flow it is still going on.
        return Outcome(StateType.RUNNING if kind in (StateType.COMPLETED, StateType.FAILED) else kind)

    def outcome(self) -> Outcome:
        """Return how it ended; from then on it counts as looked at."""
        self.is_observed = True
        now = self.state_now
        data = self.value if now.type is StateType.COMPLETED else self.failure()
        return Outcome(now.type, now.name, now.message, data)

    def failure(self) -> BaseException:
        """Return what is raised where somebody asks for a result that there is not."""
        now, who = self.state_now, f"Task {self.name!r}"
        if now.name == "TimedOut":
            return TaskTimedOut(f"{who}: {now.message}", task=self.name)
        if now.type is StateType.FAILED and self.error is not None:
            return self.error
        if now.name == "UpstreamFailed":
            culprit = (self.details or {}).get("culprit", "")
            error = UpstreamFailed(f"{who} never ran: {now.message}", task=self.name, culprit=culprit)
            if (cause := self.performance.endings.failed.get(culprit)) is not None:
                error.__cause__ = cause.failure()
                cause.is_observed = True  # who looks at this is told of that
            return error
        if now.type is StateType.CANCELLED:
            return TaskCancelled(f"{who} was cancelled. {now.message}".rstrip(), task=self.name)
        if now.type is StateType.CRASHED:
            return TaskCrashed(f"{who} crashed. {now.message}".rstrip(), task=self.name)
        return TaskError(f"{who} ended {now.name}. {now.message}".rstrip(), task=self.name)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it has come within `timeout` seconds."""
        if self.is_done:
            return True
        bell = threading.Lock()
        bell.acquire()
        if not self.tell(lambda: ring(bell)):
            return True
        return wait_for_bell(bell, timeout) or self.is_done

    def tell(self, callback: Callable[[], object]) -> bool:
        """Have `callback` called at the end; False, and it is not called, if the end has come."""
        with self.performance.endings.lock:
            if self.is_done:
                return False
            if self.waiters is None:
                self.waiters = []
            self.waiters.append(callback)
            return True

    def add_done_callback(self, callback: Callable[[Future], object]) -> None:
        """Have ``callback(future)`` called at the end, in the thread that brings it; at once if it has come."""
        if not self.tell(lambda: callback(self)):
            callback(self)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """Wait for the end and return what the task returned.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.
        raise_on_failure : bool
            Raise what the task raised; else return the exception.

        Raises
        ------
        TimeoutError
            It has not ended in time.
        Exception
            What the task raised, or why it never ran.
        """
        if not self.is_done and not self.wait(timeout):
            raise TimeoutError(f"Task {self.name!r} has not ended within {timeout:g} s.")
        return self.take(raise_on_failure)

    def take(self, raise_on_failure: bool = True) -> Any:
        """Return what came of a task run that has ended."""
        self.is_observed = True
        if self.state_now.type is StateType.COMPLETED:
            value = self.value.load() if type(self.value) is Away else self.value
            is_held = self.task.options.cache_result_in_memory
            self.performance.origins.remember(value, self.name, is_held=is_held)
            return value
        error = self.failure()
        if raise_on_failure:
            __tracebackhide__ = True
            raise without_ours(error)
        return error

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.is_done:
            yield from self.performance.await_end(self).__await__()
        return self.take()

    def __repr__(self) -> str:
        return f"<Future of {self.name!r}: {self.state_now.name if self.is_done else 'not ended'}>"

    def __reduce__(self) -> Any:
        raise OrchError(
            f"The future of {self.name!r} lives in the process that submitted it and cannot be sent or kept; "
            "pass it as an argument of a task, or its result()."
        )


def ring(bell: Any) -> None:
    """Wake who waits for a bell; ringing twice is no harm."""
    try:
        bell.release()
    except RuntimeError:
        pass


def wait_for_bell(bell: Any, timeout: float | None = None) -> bool:
    """Wait until a bell rings, with the place of this thread given to others meanwhile; whether it rang in time."""
    place = this_place()
    seconds = -1 if timeout is None else max(0.0, timeout)
    if not place.stack and not place.has_signals:
        return bool(bell.acquire(timeout=seconds))
    # The thread may be a runner's though what it performs right now is a call within the call that the runner knows.
    runner = next((call.runner for call in place.stack if hasattr(call.runner, "lend")), None)
    lend = getattr(runner, "lend", None)
    was_loud = place.hush()
    rang = False
    try:
        if lend is not None:
            lend()
        try:
            place.waiter = bell
            place.expose()  # a stop that was due is raised here, and one that comes wakes the bell
            rang = bool(bell.acquire(timeout=seconds))
        finally:
            place.hush()
            place.waiter = None
            if lend is not None:
                runner.give_back()  # type: ignore[union-attr]
    finally:
        if was_loud:
            place.expose()
    return rang


class FutureList(list[Future]):
    """What ``map`` returns: the futures in order, to be waited for together."""

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, or `timeout` seconds have passed."""
        wait(self, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[Any]:
        """Wait for all and return their results in order.

        Raises
        ------
        TimeoutError
            They have not all ended in time.
        Exception
            What the first of them that failed raised.
        """
        give_up_at = None if timeout is None else time.monotonic() + timeout
        results = []
        for future in self:
            left = None if give_up_at is None else max(0.0, give_up_at - time.monotonic())
            results.append(future.result(left, raise_on_failure))
        return results


class Waited(NamedTuple):
    """The futures that have ended, and those that have not."""

    done: set[Future]
    not_done: set[Future]


def wait(futures: Iterable[Future], timeout: float | None = None) -> Waited:
    """Wait until all have ended, or `timeout` seconds have passed.

    Examples
    --------
    >>> wait([]).done
    set()
    """
    futures = list(futures)
    give_up_at = None if timeout is None else time.monotonic() + timeout
    for future in futures:
        left = None if give_up_at is None else max(0.0, give_up_at - time.monotonic())
        if not future.wait(left):
            break
    done = {future for future in futures if future.is_done}
    return Waited(done, set(futures) - done)


def as_completed(futures: Iterable[Future], timeout: float | None = None) -> Iterator[Future]:
    """Yield futures as they end, the first to end first.

    Raises
    ------
    TimeoutError
        Not all have ended within `timeout` seconds.
    """
    waiting = dict.fromkeys(futures)
    ended: list[Future] = []
    bell = threading.Lock()
    bell.acquire()

    def note(future: Future) -> None:
        ended.append(future)
        ring(bell)

    give_up_at = None if timeout is None else time.monotonic() + timeout
    for future in waiting:
        future.add_done_callback(note)
    given = 0
    while given < len(waiting):
        if given < len(ended):
            given += 1
            yield ended[given - 1]
            continue
        left = None if give_up_at is None else give_up_at - time.monotonic()
        if (left is not None and left <= 0) or (not wait_for_bell(bell, left) and given == len(ended)):
            raise TimeoutError(
                f"{len(waiting) - given} of {len(waiting)} task runs have not ended within {timeout:g} s."
            )
