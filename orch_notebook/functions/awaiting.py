"""Tasks and flows of ``async def`` on an event loop: the same engine, with the work awaited instead of called.

Loaded when the first of them is called.  What is called directly runs in the loop of its caller; what is submitted runs
in a thread of the runner, in a loop of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from orch_notebook.runtime.bodies import run_coroutine
from orch_notebook.runtime.calls import Call, TaskStopped

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future
    from orch_notebook.functions.performances import Performance
    from orch_notebook.functions.tasks import FunctionTask

__all__ = ["HereAsync", "call", "drain", "perform", "run", "run_anywhere", "sleep", "until"]


async def until(tell: Callable[[Callable[[], object]], bool]) -> None:
    """Wait for the end of what ``tell(callback)`` speaks of; False means that it has come."""
    loop = asyncio.get_running_loop()
    came = loop.create_future()

    def note() -> None:
        if not came.done():
            came.set_result(None)

    def told() -> None:
        try:
            loop.call_soon_threadsafe(note)
        except RuntimeError:  # the loop has ended, and nobody waits any more
            pass

    if tell(told):
        await came


async def sleep(seconds: float) -> None:
    """Let time pass."""
    await asyncio.sleep(seconds)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in a loop of this thread that can be stopped."""
    return run_coroutine(work)


def run_anywhere(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; in a thread of its own where a loop is running here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_coroutine(work)
    outcome: list[Any] = []
    context = copy_context()

    def perform() -> None:
        try:
            outcome.append((context.run(run_coroutine, work), None))
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.append((None, error))

    thread = threading.Thread(target=perform, daemon=True)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


async def drain(items: Any) -> list[Any]:
    """Return everything that an asynchronous generator yields."""
    return [item async for item in items]


class HereAsync:
    """Performs the attempts of one task run in the event loop that made this."""

    name = ""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: deque[Call] = deque()
        self._came = asyncio.Event()
        self._work: asyncio.Task[Any] | None = None

    def start(self, call: Call) -> None:
        """Leave `call` to the coroutine that waits."""
        self._calls.append(call)
        self._wake()

    def follows(self, call: Call, after: Call) -> bool:
        """Leave every call to the caller, who takes one after the other."""
        return False

    def stop(self, call: Call) -> bool:
        """Cancel the work of `call` at its next ``await``."""
        work = self._work
        if work is None or call.is_told:
            return False
        call.is_told = True
        self._loop.call_soon_threadsafe(work.cancel)
        return True

    def close(self) -> None:
        """Do nothing: the loop belongs to the caller."""

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._came.set)
        except RuntimeError:  # the loop has ended
            pass

    async def perform_until_done(self, future: Future) -> None:
        """Perform what comes until the task run has ended."""
        future.tell(self._wake)
        try:
            while not future.is_done:
                if self._calls:
                    await self._carry(future, self._calls.popleft())
                    continue
                await self._came.wait()
                self._came.clear()
        except BaseException:
            future.performance.abandon(future)
            raise

    async def _carry(self, future: Future, call: Call) -> None:
        if not call.begin(call):
            return
        # A task of its own, so that its stop is not taken for one of the caller's.
        self._work = self._loop.create_task(_attempt(future, call.attempt))
        details: Mapping[str, Any] | None = None
        error: BaseException | None = None
        caller_stopped = False
        if call.stop_reason:
            self._work.cancel()
        try:
            details = await asyncio.shield(self._work)
        except asyncio.CancelledError as cancelled:
            if not self._work.done():
                # It was the caller who was cancelled: the work ends with it.
                caller_stopped = True
                call.stop_reason = call.stop_reason or "cancel"
                self._work.cancel()
                await asyncio.wait([self._work])
            error = TaskStopped() if call.stop_reason else cancelled
        except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its outcome
            error = raised
        self._work = None
        call.end(call, details, error)
        if caller_stopped:
            raise asyncio.CancelledError


async def _attempt(future: Future, number: int) -> Mapping[str, Any] | None:
    """Do the work of one attempt."""
    with future.performance.attempting(future, number) as attempt:
        if attempt.reused is not None:
            return attempt.reused
        async with attempt.slots():
            value = await future.task.perform_async(future, attempt.args, attempt.kwargs)
        return attempt.take(value)


async def call(
    performance: Performance,
    task: FunctionTask[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wait_for: Any = None,
) -> Future:
    """Perform a task run and return its future, which has ended.

    This event loop does the work, unless the task names a runner that takes it elsewhere.
    """
    if task.is_elsewhere:
        future = performance.submit(task, args, kwargs, wait_for)
        try:
            await until(future.tell)
        except BaseException:
            performance.abandon(future)
            raise
        return future
    here = HereAsync()
    future = performance.submit(task, args, kwargs, wait_for, here)
    future.is_direct = True
    await here.perform_until_done(future)
    return future


class _LoopPlace:
    """Where the body of an asynchronous flow runs; a stop is a cancel of its work."""

    def __init__(self, work: asyncio.Task[Any]) -> None:
        self.ident = threading.get_ident()
        self._work = work
        self._loop = work.get_loop()

    def stop(self, call: Call) -> bool:
        """Cancel the work at its next ``await``."""
        if call.is_told:
            return True
        call.is_told = True
        try:
            self._loop.call_soon_threadsafe(self._work.cancel)
        except RuntimeError:  # the loop has ended
            return False
        return True


async def perform(body: Call, work: Coroutine[Any, Any, None]) -> BaseException | None:
    """Do the work of a flow's body; returns its error."""
    inner = asyncio.get_running_loop().create_task(work)
    body.place = _LoopPlace(inner)  # type: ignore[assignment]
    if body.stop_reason:
        inner.cancel()
    try:
        await asyncio.shield(inner)
        return None
    except asyncio.CancelledError as cancelled:
        if not inner.done():  # whoever awaits the flow was cancelled, and hears of it at the end
            body.stop_reason = "caller"
            inner.cancel()
            await asyncio.wait([inner])
            return cancelled
        return TaskStopped() if body.stop_reason else cancelled
    except BaseException as error:  # noqa: BLE001 - whatever the body raises is the flow's outcome
        return error
    finally:
        body.place = None
