"""Performs task runs one at a time, in an order that whoever makes the runner chooses."""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable
from itertools import count

from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.places import this_place
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = ["OrderedRunner"]


class _Line:
    """A queue that gives out first what ranks lowest, and the end only when nothing else is left."""

    def __init__(self, rank: Callable[[str], float]) -> None:
        self._rank = rank
        self._heap: list[tuple[float, int, Call | None]] = []
        self._numbers = count()
        self._filled = threading.Condition()

    def put(self, call: Call | None) -> None:
        rank = float("inf") if call is None else self._rank(call.task)
        with self._filled:
            heapq.heappush(self._heap, (rank, next(self._numbers), call))
            self._filled.notify()

    def get(self) -> Call | None:
        with self._filled:
            while not self._heap:
                self._filled.wait()
            return heapq.heappop(self._heap)[2]

    def get_nowait(self) -> Call | None:
        with self._filled:
            if not self._heap:
                raise queue.Empty
            return heapq.heappop(self._heap)[2]


class OrderedRunner(ThreadRunner):
    """One thread that always performs the ready task of the lowest rank.

    Parameters
    ----------
    rank : callable
        ``rank(task)`` gives a task's place in the order.  An order that the graph allows is kept exactly; where a
        task is not ready when its turn comes, because it awaits a retry or never runs, the next one goes on.

    Examples
    --------
    >>> runner = OrderedRunner(["plot", "load"].index)
    """

    def __init__(self, rank: Callable[[str], float]) -> None:
        super().__init__(1)
        self._queue = _Line(rank)  # type: ignore[assignment]  # the same three methods, and no others are called

    def _work(self) -> None:
        place = this_place()
        while (call := self._next()) is not None:
            if not call.has_begun:
                # The engine lets nothing begin before it has handed out all that is ready.  What came meanwhile and
                # ranks lower goes first, and this one, which has begun, waits.
                if call.begin(call):
                    self._queue.put(call)
                continue
            details, error = place.perform(call, self._context)
            if (following := call.end(call, details, error)) is not None:
                self._queue.put(following)
