"""Performs the bodies of tasks in processes of their own.

In: calls, as every runner takes them.  Out: bodies performed in a warm process each, which is ended for certain when a
task must stop.  The processes are loky's: started afresh instead of forked, so they do not inherit the locks of a
kernel full of threads, and without importing the main module again, so no notebook and no script need guard against it.
loky's own executor counts as broken as a whole when one process dies, cannot stop one task and has no way for lines to
come back while a task runs; so each place here holds one process and one pipe.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

from orch_notebook.errors import ProcessDied, TaskError
from orch_notebook.runtime.calls import Call, TaskStopped, describe_as
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.child import replay, serve
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pickling import from_bytes, to_bytes
from orch_notebook.runtime.pipes import receive, send
from orch_notebook.runtime.runners.places import Job, carrier
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = ["ProcessPool", "ProcessRunner"]

#: Seconds a body has to clean up after it was told to stop; then its process is killed.
GRACE = 2.0

#: Seconds between two looks whether a process lives whose pipe says nothing.
WATCH = 1.0


def start_method() -> tuple[Any, int, Callable[[Any], object]]:
    """Return loky's way to start processes, how many may run at once, and its way to end one with all it started.

    The number is that of the processors which the machine, the affinity mask and the cgroup leave to us.
    """
    # Loaded first so that its own hook at the end of the program, which waits for processes, comes after ours.
    import multiprocessing.util  # noqa: F401

    from loky.backend import context, utils

    return context.get_context("loky"), int(context.cpu_count()), utils.kill_process_tree


class _Process:
    """One process and the pipe to it."""

    def __init__(self, context: Any, end_tree: Callable[[Any], object], number: int) -> None:
        self._end_tree = end_tree
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), name=f"orch-process-{number}")
        self._process.start()
        theirs.close()
        self.pid: int = self._process.pid
        self._sending = threading.Lock()
        self._ending = threading.Lock()
        self.is_spent = False  # told to stop: whatever state that left it in, no other task meets it

    def send(self, message: tuple[Any, ...], parcel: Parcel | None = None) -> None:
        """Send a message."""
        with self._sending:
            send(self._pipe, message, parcel)

    def send_if_free(self, message: tuple[Any, ...]) -> None:
        """Send a message unless another is on its way, and whatever became of the process."""
        if self._sending.acquire(blocking=False):
            try:
                with suppress(OSError):
                    send(self._pipe, message)
            finally:
                self._sending.release()

    def receive(self) -> tuple[tuple[Any, ...], Parcel | None]:
        """Wait for a message.

        Raises
        ------
        EOFError, OSError
            The process has ended.
        """
        while not self._pipe.poll(WATCH):
            if not self.is_alive:
                raise EOFError
        return receive(self._pipe)

    @property
    def is_alive(self) -> bool:
        with self._ending:
            return bool(self._process.is_alive())

    def end(self) -> int | None:
        """Kill it if it still lives, with what it has started; return how it ended."""
        self.kill()
        with self._ending:
            self._process.join(5.0)
            code: int | None = self._process.exitcode
        self._pipe.close()
        return code

    def kill(self) -> None:
        """Kill it, and what it has started."""
        self.is_spent = True
        # Its number is its own until its end is taken note of, which is_alive does.
        with self._ending, suppress(OSError):
            if self._process._popen.returncode is not None:
                return
            if os.name == "nt":
                self._end_tree(self._process)
            elif os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()  # it has not come so far as to have a group, or to start anything


class ProcessPool:
    """Warm processes, used by one run after another.

    Parameters
    ----------
    size : int, optional
        Bodies performed at once; by default as many as there are processors.

    Notes
    -----
    A process is started when there is work and none is idle.  It ends when the pool closes, when this process ends
    however it does, and after five minutes without work.
    """

    def __init__(self, size: int | None = None) -> None:
        self._context, processors, self._end_tree = start_method()
        self.size = size or processors
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._numbers = count(1)
        self._is_closed = False
        atexit.register(self.close)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that live."""
        with self._lock:
            return sorted(process.pid for process in self._all if process.is_alive)

    def take(self) -> _Process:
        """Return a process that lives and has nothing to do."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                self._forget(process)
        process = _Process(self._context, self._end_tree, next(self._numbers))
        with self._lock:
            self._all.add(process)
        return process

    def give(self, process: _Process) -> None:
        """Take a process back."""
        with self._lock:
            if not (process.is_spent or self._is_closed) and process.is_alive:
                self._idle.append(process)
                return
            self._forget(process)

    def _forget(self, process: _Process) -> None:
        self._all.discard(process)
        process.end()

    def close(self) -> None:
        """End all processes; whatever they still do is lost."""
        atexit.unregister(self.close)
        with self._lock:
            self._is_closed = True
            processes, self._all, self._idle = list(self._all), set(), []
        for process in processes:
            process.kill()
        for process in processes:
            process.end()


class _Trip:
    """A job on its way, by which it can be stopped."""

    __slots__ = ("has_begun", "is_second", "is_stopped", "number", "process")

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: _Process | None = None
        self.is_stopped = False
        self.has_begun = False
        self.is_second = False


class ProcessRunner:
    """Up to `workers` bodies at once, each in a process of a pool.

    Parameters
    ----------
    pool : ProcessPool
        The processes; they outlive the runner.
    workers : int, optional
        Calls performed at once; by default as many as the pool has processes.

    Notes
    -----
    A task that is stopped is told so, by :class:`TaskStopped` where it stands; two seconds later its process is killed
    with everything it has started.  A body that cannot travel runs in the thread of its call, and is stopped as threads
    are.
    """

    def __init__(self, pool: ProcessPool, workers: int | None = None) -> None:
        self._pool = pool
        self._trips: dict[str, _Trip] = {}
        self._numbers = count(1)
        context = contextvars.copy_context()
        context.run(carrier.set, self)
        self._threads: ThreadRunner = context.run(ThreadRunner, workers or pool.size)

    def start(self, call: Call) -> None:
        """Perform `call` as soon as there is room."""
        self._threads.start(call)

    def follows(self, call: Call, after: Call) -> bool:
        """Let a thread go straight on."""
        return True

    def stop(self, call: Call) -> bool:
        """Stop the body in its process, for certain; or in the thread of its call, if it is there."""
        trip = self._trips.get(call.task)
        if trip is None:
            return self._threads.stop(call)
        if not trip.is_stopped:
            # Who carries looks whether it is stopped after it has a process, so one of us sees the other.
            trip.is_stopped = True
            if trip.process is not None:
                self._tell_to_stop(trip.process, trip)
        return True

    def _tell_to_stop(self, process: _Process, trip: _Trip) -> None:
        process.is_spent = True
        killer = threading.Timer(GRACE, process.kill)
        killer.daemon = True
        killer.start()
        process.send_if_free(("stop", trip.number))

    def close(self) -> None:
        """Let every thread end once its call has ended; the processes stay warm."""
        self._threads.close()

    # In the thread of the call

    def carry(self, task: str, job: Job, parcel: Parcel, capture: Capture) -> tuple[Parcel, Any]:
        """Have a job performed in a process; see :class:`~orch_notebook.runtime.runners.places.Carrier`."""
        packed = to_bytes(job)
        trip = self._trips[task] = _Trip(next(self._numbers))
        try:
            while True:
                process = trip.process = self._pool.take()
                try:
                    return self._travel(process, trip, packed, parcel, capture)
                except BaseException as error:
                    # Whoever is interrupted here leaves a process behind that still works for nobody.
                    process.is_spent = process.is_spent or not isinstance(error, _Failed)
                    if trip.is_stopped and isinstance(error, EOFError | OSError):
                        raise TaskStopped from None
                    if isinstance(error, _Failed):
                        raise error.error from None
                    if not isinstance(error, EOFError | OSError):
                        raise
                    if trip.has_begun or trip.is_second:
                        raise _death(task, process.end()) from None
                    trip.is_second = True  # it had been idle, and ended before it could begin
                finally:
                    self._pool.give(process)
        finally:
            self._trips.pop(task, None)

    def _travel(
        self, process: _Process, trip: _Trip, job: bytes, parcel: Parcel, capture: Capture
    ) -> tuple[Parcel, Any]:
        if trip.is_stopped:
            raise TaskStopped
        process.send(("job", trip.number, job), parcel)
        if trip.is_stopped:  # nobody could tell it while the job was being sent
            process.send(("stop", trip.number))
        while True:
            (kind, number, *content), back = process.receive()
            if number != trip.number:
                continue  # a thread of an earlier task had something left to say
            if kind == "begun":
                trip.has_begun = True
            elif kind == "acts":
                replay(content[0], capture)
            elif kind == "done":
                assert back is not None
                return back, content[0]
            else:
                raise _Failed(_error(*content))


class _Failed(Exception):
    """The job raised an error, and its process is as good as before."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _error(data: bytes | None, described: Mapping[str, Any], is_shown: bool) -> BaseException:
    """Return what a job raised, or where it could not travel an error that says the same."""
    error: BaseException = TaskError(str(described.get("error", ""))) if data is None else from_bytes(data)
    describe_as(error, described, is_shown=is_shown)
    return error


def _death(task: str, code: int | None) -> ProcessDied:
    how = f"ended with exit code {code}" if code is None or code >= 0 else f"was killed by {_signal_name(-code)}"
    said = f"The process of task {task!r} {how}."
    if code == -9:
        said += " The system does that when memory runs out."
    elif code is not None and code < 0:
        said += " A library written in C may have failed."
    return ProcessDied(said, task=task, exitcode=code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
