"""The two ways in which a flow run waits: a thread stops until something comes, an event loop does other things.

In: what is to be waited for.  Out: it has come.  Every way is awaited, so what goes on between the waits is written
once; in a thread nothing is ever left waiting, so there the whole is run through like a plain call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from orch_notebook.functions.loops import loops
from orch_notebook.functions.performances import Performance
from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.places import Place

__all__ = ["InLoop", "InThread", "Waits", "run_through"]

R = TypeVar("R")


class Waits(Protocol):
    """How a flow run waits."""

    async def body(self, call: Call, work: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
        """Have the flow's body run, in a thread by `call` and in an event loop by `work`; return what it raised."""

    async def idle(self, performance: Performance, patience: float | None) -> bool:
        """Wait until every task run has ended; False if `patience` is over."""

    async def pause(self, performance: Performance, seconds: float) -> None:
        """Wait before the body begins again; a cancel cuts it short."""

    async def end(self, performance: Performance, *, is_stuck: bool) -> None:
        """Wait until the run's end is stored; not where a thread `is_stuck` that cannot be stopped."""


class InThread:
    """Waits in a thread, with its place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def body(self, call: Call, work: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
        """Perform `call` here."""
        return self._place.perform(call)[1]

    async def idle(self, performance: Performance, patience: float | None) -> bool:
        """Wait until every task run has ended; False if `patience` is over."""
        return performance.endings.wait_until_idle(patience)

    async def pause(self, performance: Performance, seconds: float) -> None:
        """Wait before the body begins again."""
        performance.pause(seconds)

    async def end(self, performance: Performance, *, is_stuck: bool) -> None:
        """Wait until the run's end is stored."""
        performance.course.join(0.0 if is_stuck else None)


class InLoop:
    """Waits in an event loop, whose threads are never stuck: what is stopped there ends at its next ``await``."""

    async def body(self, call: Call, work: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
        """Await `work` here."""
        error: BaseException | None = await loops().perform(call, work())
        return error

    async def idle(self, performance: Performance, patience: float | None) -> bool:
        """Wait until every task run has ended."""
        await loops().until(performance.endings.tell_idle)
        return True

    async def pause(self, performance: Performance, seconds: float) -> None:
        """Wait before the body begins again."""
        await loops().until(functools.partial(performance.tell_later, seconds))

    async def end(self, performance: Performance, *, is_stuck: bool) -> None:
        """Wait until the run's end is stored."""
        await loops().until(performance.course.tell_end)
        performance.course.join()


def run_through(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end that never waits for an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        value: R = done.value
        return value
    raise RuntimeError("What runs in a thread has waited for an event loop.")
