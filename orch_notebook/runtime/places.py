"""The threads in which calls are performed, and how a stop reaches the code that runs there.

In: calls to perform, and from other threads the wish that one of them stops.  Out: what came of each.  A thread may be
in the midst of several calls, one inside the other (a flow's body, its task, a task which that one called).  A stop is
raised only in code of the user: what the package itself does in the thread is quiet, and hears of it afterwards.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from orch_notebook.runtime.calls import Call, TaskStopped

__all__ = ["Place", "main_thread_signals", "this_place"]

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)

#: Wakes the main thread out of a blocking call of C; by default a process ignores it.  Windows has none.
WAKE = getattr(signal, "SIGURG", None)


class Place:
    """One thread, and the calls it is in the midst of, the outermost first."""

    __slots__ = ("has_signals", "ident", "is_interrupted", "is_pending", "is_quiet", "lock", "stack", "waiter")

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.lock = threading.Lock()
        self.stack: list[Call] = []
        self.is_quiet = True
        self.is_pending = False  # a stop was raised here, and may not have arrived
        self.is_interrupted = False  # Ctrl-C came while it was quiet
        self.has_signals = False  # it is the main thread, and stops come as signals
        self.waiter: threading.Lock | None = None  # what it waits for; released to wake it

    def stop(self, call: Call) -> bool:
        """Raise :class:`TaskStopped` in the code that `call` runs here; False when it does not run here."""
        with self.lock:
            if call not in self.stack:
                return False
            if call.is_told:
                return True  # raised once: what it does now is clean up
            call.is_told = True
            if not self.is_quiet and not self.is_pending:
                self._raise()
            self.wake()
        return True

    def _raise(self) -> None:
        _listen()
        self.is_pending = True
        if self.has_signals and WAKE is not None:
            signal.pthread_kill(self.ident, WAKE)
        else:
            _raise_in_thread(self.ident, TaskStopped)

    def stop_again(self) -> None:
        """Raise a stop once more that was raised where nothing can be raised, and so was lost."""
        with self.lock:
            if not self.is_quiet and any(call.is_told for call in self.stack):
                self._raise()

    def wake(self) -> None:
        """End the wait of this thread, if it waits."""
        waiter = self.waiter
        if waiter is not None and waiter.locked():
            try:
                waiter.release()
            except RuntimeError:  # somebody was quicker
                pass

    def hush(self) -> bool:
        """Let no stop be raised here from now on; whatever was raised has arrived.  Returns whether it was loud."""
        was_loud = not self.is_quiet
        if not was_loud:
            return False
        try:
            with self.lock:
                self.is_quiet = True
            if self.is_pending and not self.has_signals:
                # The user's code may have swallowed it, or it has not arrived: a thread has one slot, so raising it
                # again makes sure that exactly one comes.  Taking it back is possible, but the interpreter then counts
                # it as pending for good: every thread takes its slow path, and one that a debugger traces never gets
                # on (CPython 3.11).  So it is awaited.
                _raise_in_thread(self.ident, TaskStopped)
                while True:
                    pass
        except TaskStopped:
            with self.lock:
                self.is_quiet = True
        except KeyboardInterrupt:
            self.is_interrupted = True
            with self.lock:
                self.is_quiet = True
        self.is_pending = False
        return True

    def expose(self) -> None:
        """Let stops be raised here; one that is due is raised now."""
        with self.lock:
            for call in self.stack:
                if call.is_told:
                    break
            else:
                if not self.is_interrupted:
                    self.is_quiet = False
                    return
        self.is_quiet = False
        if self.is_interrupted:
            self.is_interrupted = False
            raise KeyboardInterrupt
        raise TaskStopped

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let no stop be raised within the block; one that was due is raised at its end."""
        was_loud = self.hush()
        try:
            yield
        finally:
            if was_loud:
                self.expose()

    def carry(self, call: Call, context: Context | None = None) -> Call | None:
        """Perform a call and report its outcome; returns the call that is to be performed here next, if any."""
        if not (call.has_begun or call.begin(call)):
            return None
        details, error = self.perform(call, context)
        return call.end(call, details, error)

    def perform(
        self, call: Call, context: Context | None = None
    ) -> tuple[Mapping[str, Any] | None, BaseException | None]:
        """Do the work of a call, in a copy of `context` if one is given; returns its details and its error."""
        details: Mapping[str, Any] | None = None
        error: BaseException | None = None
        is_done = False
        self.stack.append(call)
        call.place = self
        # Two layers, because a stop can arrive between the end of the work and the moment the thread is quiet.
        try:
            try:
                # Who stops a call gives the reason first and then looks for the place, so one of us sees the other.
                if call.stop_reason:
                    raise TaskStopped
                self.expose()
                if context is None:
                    details = call.perform(call.task, call.attempt)
                else:
                    details = context.copy().run(call.perform, call.task, call.attempt)
                is_done = True
            finally:
                self.hush()
        except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its outcome
            if not is_done:  # else the stop came too late: what the work has published stays
                error = raised
            elif isinstance(raised, KeyboardInterrupt):
                self.is_interrupted = True
            self.hush()
        with self.lock:
            self.stack.pop()
            call.place = None
        if isinstance(error, TaskStopped) and not call.stop_reason and any(outer.is_told for outer in self.stack):
            call.stop_reason = "cancel"  # it was meant for a call that this one is part of, and goes on there
        return details, error


_places = threading.local()


def _listen() -> None:
    """Hear of every stop that hits a finalizer, or the callback of a weak reference or of the garbage collector.

    The interpreter shows such an exception and forgets it: the work would go on for ever, told to stop.
    """
    others = sys.unraisablehook
    if getattr(others, "heeds_stops", False):
        return

    def heed(lost: Any) -> None:
        place: Place | None = getattr(_places, "place", None)
        if place is None or not issubclass(lost.exc_type, TaskStopped):
            others(lost)
        elif place.stack:
            # Raised here, it would be lost again.  A thread of the threading module takes locks that may be held.
            _thread.start_new_thread(place.stop_again, ())

    heed.heeds_stops = True  # type: ignore[attr-defined]
    sys.unraisablehook = heed


def this_place() -> Place:
    """Return the place that the present thread is.

    Examples
    --------
    >>> this_place() is this_place(), this_place().stack
    (True, [])
    """
    place: Place | None = getattr(_places, "place", None)
    if place is None:
        place = _places.place = Place()
    return place


@contextmanager
def main_thread_signals() -> Iterator[None]:
    """Let stops and interrupts of the main thread come as signals within the block.

    A signal also ends ``time.sleep`` and waits for sockets and processes, which an exception set from another thread
    does not.  Ctrl-C, and a kernel's interrupt, wait until the package has put down what it holds.  In other threads,
    and where the program has handlers of its own, nothing changes.
    """
    place = this_place()
    if threading.current_thread() is not threading.main_thread() or place.has_signals or WAKE is None:
        yield
        return
    handlers = signal.getsignal(WAKE), signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        if place.is_pending and not place.is_quiet:
            place.is_pending = False
            raise TaskStopped

    def interrupt(number: int, frame: Any) -> None:
        if place.is_quiet:
            place.is_interrupted = True
        else:
            signal.default_int_handler(number, frame)

    # A program started in the background of a shell ignores interrupts, and goes on doing so.
    is_deaf = handlers[1] is signal.SIG_IGN
    if handlers[0] not in (signal.SIG_DFL, signal.SIG_IGN) or not (
        is_deaf or handlers[1] is signal.default_int_handler
    ):
        yield
        return
    signal.signal(WAKE, stop)
    if not is_deaf:
        signal.signal(signal.SIGINT, interrupt)
    place.has_signals = True
    try:
        yield
    finally:
        place.has_signals = False
        if not is_deaf:
            signal.signal(signal.SIGINT, handlers[1])
        signal.signal(WAKE, handlers[0])
