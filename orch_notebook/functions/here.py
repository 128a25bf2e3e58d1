"""Performs a call in the thread that asks for it: what ``task()`` does, as against ``task.submit()``.

It is a runner like any other, so a task that is called directly has its retries, timeouts and states from the same
engine; only that the caller's own thread does the work, and waits for what is still to come.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from orch_notebook.functions.futures import ring, wait_for_bell
from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.places import this_place

if TYPE_CHECKING:
    from orch_notebook.functions.futures import Future

__all__ = ["Here"]


class Here:
    """Performs the attempts of one task run in the thread that made this."""

    __slots__ = ("_bell", "_calls")

    name = ""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._bell: threading.Lock | None = None

    def start(self, call: Call) -> None:
        """Leave `call` to the thread that waits."""
        self._calls.append(call)
        self._wake()

    def follows(self, call: Call, after: Call) -> bool:
        """Leave every call to the caller, who takes one after the other."""
        return False

    def stop(self, call: Call) -> bool:
        """Raise :class:`TaskStopped` in the thread that performs `call`."""
        place = call.place
        return place is not None and place.stop(call)

    def close(self) -> None:
        """Do nothing: the thread belongs to the caller."""

    def _wake(self) -> None:
        bell = self._bell
        if bell is not None:
            ring(bell)

    def perform_until_done(self, future: Future) -> None:
        """Perform what comes until the task run has ended; call it in a quiet place.

        Raises
        ------
        BaseException
            The caller itself is stopped or interrupted; the task run is then cancelled.
        """
        place = this_place()
        while not future.is_done:
            if self._calls:
                place.carry(self._calls.popleft())
                continue
            if self._bell is None:
                self._bell = threading.Lock()
                self._bell.acquire()
                future.tell(self._wake)
                continue  # what came before there was a bell was not heard
            try:
                wait_for_bell(self._bell)
            except BaseException:
                future.performance.abandon(future)
                raise
