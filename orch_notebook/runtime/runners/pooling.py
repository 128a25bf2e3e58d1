"""Warm processes that perform jobs.

In: how many.  Out: processes that have nothing to do, started when there are none.  They are loky's: started afresh
instead of forked, so they do not inherit the locks of a kernel full of threads, and without importing the main module
again, so no notebook and no script need guard against it.  loky's own executor counts as broken as a whole when one
process dies, cannot stop one task and has no way for lines to come back while a task runs; so each place here holds one
process and one pipe.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from orch_notebook.runtime.child import serve
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pipes import receive, send

__all__ = ["Process", "ProcessPool"]

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


class Process:
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
        """Whether it has not ended."""
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
                os.kill(self.pid, signal.SIGKILL)  # it has not come so far as to have a group, or to start anything


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
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._numbers = count(1)
        self._is_closed = False
        atexit.register(self.close)

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that live."""
        with self._lock:
            return sorted(process.pid for process in self._all if process.is_alive)

    def take(self) -> Process:
        """Return a process that lives and has nothing to do."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                self._forget(process)
        process = Process(self._context, self._end_tree, next(self._numbers))
        with self._lock:
            self._all.add(process)
        return process

    def give(self, process: Process) -> None:
        """Take a process back."""
        with self._lock:
            if not (process.is_spent or self._is_closed) and process.is_alive:
                self._idle.append(process)
                return
            self._forget(process)

    def _forget(self, process: Process) -> None:
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
