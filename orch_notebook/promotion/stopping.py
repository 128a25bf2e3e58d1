"""Ending an execution early: when time is up, or when somebody asks.

In: a time limit, a wish, a kernel.  Out: an interrupt, which lets the notebook tidy up, then, some seconds later, the
end of the kernel; and the verdict, which is what the executed notebook says happened.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from orch_notebook.model.durations import interval_words
from orch_notebook.model.sizes import size_words
from orch_notebook.promotion.memory import LOOK_EVERY, memory_of

__all__ = ["Stop", "Verdict", "Watch"]

#: Seconds between the interrupt and the end of the kernel.
GRACE = 5.0
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an execution was ended: its kind, and the name and text of the error shown in the cell."""

    kind: str
    ename: str
    evalue: str


class Stop:
    """A wish to end an execution; :meth:`request` may be called from any thread and from a signal handler.

    Examples
    --------
    >>> stop = Stop()
    >>> previous = signal.signal(signal.SIGTERM, lambda *_: stop.request("the worker shuts down"))
    >>> stop.requested
    False
    >>> _ = signal.signal(signal.SIGTERM, previous)
    """

    def __init__(self) -> None:
        self.reason = ""
        self.grace = GRACE
        self._listeners: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody has asked."""
        return bool(self.reason)

    def request(self, reason: str = "it was asked to stop", grace: float = GRACE) -> None:
        """Interrupt the cell that runs, start no other, and end the kernel if it takes more than `grace` seconds."""
        self.reason = self.reason or reason
        self.grace = min(self.grace, grace)
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when somebody asks, at once if somebody has."""
        self._listeners.append(listener)
        if self.requested:
            listener()


class Watch:
    """A thread that waits for the time limit or a wish to stop, then interrupts the kernel, and later kills it.

    Parameters
    ----------
    timeout : float or None
        Seconds from entering on; ``None`` is no limit.
    stop : Stop
        Whose wish counts.
    memory : int, optional
        Bytes that the kernel and what it starts may take; beyond that it is killed, since it would not stop in time.
    """

    def __init__(self, timeout: float | None, stop: Stop, memory: int | None = None) -> None:
        self._memory = memory
        self._broken: Verdict | None = None
        self._thread = threading.Thread(target=self._watch, name="orch-notebook-watch", daemon=True)
        self._timeout = timeout
        self._stop = stop
        # SimpleQueue, because its put() may be interrupted by a signal handler that puts too; an Event would deadlock.
        self._words: SimpleQueue[Any] = SimpleQueue()
        stop.listen(lambda: self._words.put("stop"))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._words.put("leave")
        self._thread.join()

    @property
    def verdict(self) -> Verdict | None:
        """Why the execution ends early, from the moment on that this is known."""
        if self._broken is None and self._stop.requested:
            return Verdict("stopped", "Stopped", f"The notebook was interrupted: {self._stop.reason}.")
        return self._broken

    def kernel_is(self, provisioner: Any) -> None:
        """Learn which kernel to interrupt: its provisioner, which takes signals."""
        self._words.put(provisioner)

    def _watch(self) -> None:
        kernel: Any = None
        ending = False
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            looks = self._memory is not None and kernel is not None and self.verdict is None
            try:
                word = self._words.get(timeout=min(LOOK_EVERY, left or LOOK_EVERY) if looks else left)
            except Empty:
                if looks and self._takes_too_much(kernel):
                    _send(kernel, KILL)
                    continue
                if deadline is None or time.monotonic() < deadline:
                    continue
                if ending:
                    _send(kernel, KILL)
                    deadline = None
                    continue
                limit = interval_words(self._timeout or 0)
                text = f"The notebook took longer than {limit} and was interrupted."
                self._broken = Verdict("timed out", "TimedOut", text)
            else:
                if word == "leave":
                    return
                if word != "stop":
                    kernel = word
            if self.verdict is not None:
                # Asked twice, it is interrupted twice, but the second wish does not prolong the grace.
                _send(kernel, signal.SIGINT if self._stop.grace or self._broken else KILL)
                if not ending:
                    ending, deadline = True, time.monotonic() + self._stop.grace

    def _takes_too_much(self, kernel: Any) -> bool:
        taken = memory_of(kernel.pid)
        if self._memory is None or taken <= self._memory:
            return False
        text = f"The notebook took {size_words(taken)} of memory, and may take {size_words(self._memory)}."
        self._broken = Verdict("failed", "MemoryExceeded", text)
        return True


def _send(provisioner: Any, signum: int) -> None:
    # A kernel that has just ended needs no signal.
    if provisioner is not None:
        with suppress(OSError):
            asyncio.run(provisioner.send_signal(signum))
