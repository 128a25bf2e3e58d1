"""The part of the Dask runner that is done on a worker of Dask.

In: a job as bytes.  Out: what came of it.  The worker hands it to a process of its own, as the process runner does, so
that a stop really ends it, and reports what it puts out as events of Dask, which come in order and before the outcome.

A job begins when whoever sent it has let it in.  Dask performs a task again whose worker is gone, or whose result is;
that second time is refused, so that it is the task's retry rule that decides.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import pickle
import threading
from collections.abc import Sequence
from typing import Any

from distributed import get_worker

from orch_notebook.errors import ProcessDied
from orch_notebook.runtime.calls import TaskStopped
from orch_notebook.runtime.child import SentCapture
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.runners.journeys import Failure, Journeys
from orch_notebook.runtime.runners.pooling import ProcessPool

__all__ = ["admit", "perform", "stop"]

#: Seconds a job waits to be let in; then whoever sent it is taken to be gone.
ADMISSION = 60.0

#: Seconds between two looks whether Dask still wants what is being performed here.
WATCH = 0.5


class _Worker:
    """What this process of Dask's performs."""

    def __init__(self) -> None:
        # A worker of Dask counts as a daemon, and multiprocessing lets those start no processes.
        multiprocessing.current_process().daemon = False
        self._pool = ProcessPool(1)  # as many at once as Dask gives it threads for: the pool itself sets no bound
        # Else multiprocessing would wait for them at the end of the worker, and its nanny lose patience.
        multiprocessing.util.Finalize(None, self._pool.close, exitpriority=100)
        self.journeys = Journeys(self._pool)
        self.doors: dict[str, threading.Event] = {}
        self.refused: set[str] = set()
        self._wanted: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None

    def watch(self, token: str, worker: Any, key: Any) -> None:
        """See to it that a job ends which Dask no longer wants: it was cancelled, or whoever sent it is gone."""
        with self._lock:
            self._wanted[token] = (worker, key)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look, name="orch-watch", daemon=True)
                self._watcher.start()

    def forget(self, token: str) -> None:
        """Take note that a job has ended."""
        with self._lock:
            self._wanted.pop(token, None)
            self.doors.pop(token, None)
            self.refused.discard(token)

    def _look(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(WATCH)
            with self._lock:
                if not self._wanted:
                    self._watcher = None
                    return
                wanted = dict(self._wanted)
            for token, (worker, key) in wanted.items():
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    self.stop(token)

    def stop(self, token: str) -> None:
        """Stop a job, or refuse it if it has not been let in."""
        if not self.journeys.stop(token):
            with self._lock:
                door = self.doors.get(token)
                if door is not None:
                    self.refused.add(token)
            if door is not None:
                door.set()


_here: _Worker | None = None
_making = threading.Lock()


def _worker() -> _Worker:
    global _here
    with _making:
        if _here is None:
            _here = _Worker()
        return _here


def perform(token: str, topic: str, what: str, job: bytes, data: bytes, buffers: Sequence[Any]) -> tuple[Any, ...]:
    """Perform a job in a process of this worker; return how it ended and what came of it."""
    here, worker = _worker(), get_worker()
    door = here.doors[token] = threading.Event()

    def tell(*message: Any) -> None:
        worker.log_event(topic, pickle.dumps((token, *message), protocol=5))

    try:
        here.watch(token, worker, worker.get_current_task())
        tell("begun", worker.address)
        if not door.wait(ADMISSION) or token in here.refused:
            return ("refused",)
        capture = SentCapture(lambda acts: tell("acts", acts))
        try:
            came = here.journeys.carry(token, what, job, Parcel(data, [bytearray(part) for part in buffers]), capture)
        finally:
            capture.finish()
    except TaskStopped:
        return ("stopped",)
    except ProcessDied as died:
        return "died", str(died), died.details
    finally:
        here.forget(token)
    if isinstance(came, Failure):
        return "failed", *came
    parcel, states = came
    return "done", parcel.data, [bytes(part) for part in parcel.buffers], states


def admit(token: str) -> None:
    """Let a job begin that waits on this worker."""
    door = _worker().doors.get(token)
    if door is not None:
        door.set()


def stop(token: str) -> None:
    """Stop a job on this worker, or refuse it."""
    _worker().stop(token)
