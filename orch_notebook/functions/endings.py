"""How the task runs of a flow run end: their futures are told, hooks called, and whoever waits is woken.

In: the futures of task runs, and the last event of each.  Out: futures that are done, and which of them failed.  The
engine notes an end in the midst of its work; what follows from it is done when nothing of the engine is held.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from orch_notebook.functions.futures import Future, ring, wait_for_bell
from orch_notebook.model.events import TaskStateChanged
from orch_notebook.model.states import StateType

__all__ = ["Endings"]

logger = logging.getLogger("orch_notebook")


class Endings:
    """The task runs of one flow run that have not ended, and what follows when they do.

    Attributes
    ----------
    lock : Lock
        Held while a future becomes done.
    failed : dict
        By name the futures that ended badly.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.failed: dict[str, Future] = {}
        self._open: dict[str, Future] = {}
        self._noted: deque[Future] = deque()
        self._unresolved = 0
        self._is_given_up = False
        self._told_idle: list[Callable[[], object]] = []

    def expect(self, future: Future) -> None:
        """Expect the end of a task run that is about to be added."""
        with self.lock:
            self._open[future.name] = future
            self._unresolved += 1

    def withdraw(self, future: Future) -> None:
        """Expect it no more: it could not be added."""
        with self.lock:
            self._open.pop(future.name, None)
            self._unresolved -= 1

    def find(self, name: str) -> Future | None:
        """Return the future of a task run that has not ended."""
        return self._open.get(name)

    @property
    def names(self) -> list[str]:
        """The task runs that have not ended."""
        return list(self._open)

    def note(self, event: TaskStateChanged) -> None:
        """Take note of a task run's last event."""
        future = self._open.pop(event.task, None)
        if future is not None:
            future.state_now = event.state
            future.details = event.details
            future.attempt = event.attempt
            self._noted.append(future)

    def resolve(self) -> None:
        """Do what follows from the ends that were noted: hooks, and whoever waits."""
        while True:
            try:
                future = self._noted.popleft()
            except IndexError:
                return
            future.task.tell_end(future)
            if not future.task.options.cache_result_in_memory:
                future.performance.keeper.drop(future)
            with self.lock:
                future.is_done = True
                future.args, future.kwargs, future.context = (), {}, None
                waiters, future.waiters = future.waiters, None
                if future.state_now.type in (StateType.FAILED, StateType.CRASHED):
                    self.failed[future.name] = future
                self._unresolved -= 1
                if not self._unresolved and self._told_idle:
                    waiters = [*(waiters or ()), *self._told_idle]
                    self._told_idle = []
            _tell(waiters or (), future)

    def give_up(self) -> None:
        """Let nobody wait any more: what is still being performed will not be heard of."""
        with self.lock:
            self._is_given_up = True
            told, self._told_idle = self._told_idle, []
        for tell in told:
            tell()

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until every task run has ended and what follows from it is done; False if that takes too long."""
        bell = threading.Lock()
        bell.acquire()
        while self.tell_idle(lambda: ring(bell)):
            if not wait_for_bell(bell, timeout):
                return False
        return True

    def tell_idle(self, callback: Callable[[], object]) -> bool:
        """Have `callback` called when every task run has ended; False if they have."""
        with self.lock:
            if not self._unresolved or self._is_given_up:
                return False
            self._told_idle.append(callback)
            return True

    def unobserved(self) -> list[Future]:
        """Return the task runs that failed and of which nobody has asked how they ended."""
        return [future for future in self.failed.values() if not future.is_observed]


def _tell(waiters: Iterable[Callable[[], Any]], future: Future) -> None:
    for tell in waiters:
        try:
            tell()
        except Exception:
            logger.exception("What was to be done after task %r failed.", future.name)
