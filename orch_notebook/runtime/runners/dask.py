"""Performs the bodies of tasks on a cluster of Dask.

In: calls, as every runner takes them, and a scheduler of Dask.  Out: bodies performed on its workers, in a process of
the worker each.  Dask decides which worker does what and brings values there and back; what follows a failure, a death
or a timeout is decided here, as for every other runner.

Loaded when the first task asks for Dask.
"""

from __future__ import annotations

import contextvars
import multiprocessing.context
import os
import pickle
import queue
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any
from uuid import uuid4

import dask
import distributed
from loky.backend.context import LokyContext
from loky.backend.process import LokyProcess

from orch_notebook.errors import ProcessDied, UsageError
from orch_notebook.model.lines import first_line
from orch_notebook.runtime.calls import Call, TaskStopped
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.child import replay
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pickling import to_bytes
from orch_notebook.runtime.runners import daskwork
from orch_notebook.runtime.runners.journeys import Failure
from orch_notebook.runtime.runners.places import Job, carrier
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = ["DaskCluster", "DaskRunner"]

#: Seconds between two looks whether the workers live that perform our tasks.
WATCH = 1.0

#: Seconds to wait for a scheduler to answer.
PATIENCE = 30

#: Parcels from this size on are brought to the workers by themselves and not with the task.
LARGE = 1_000_000

#: Calls performed at once where nobody knows how wide a cluster is or will be.
USUAL_WIDTH = 16


class DaskCluster:
    """A scheduler of Dask and the connection to it, used by one run after another.

    Parameters
    ----------
    address : str, optional
        Where it listens; by default a cluster of processes is started on this machine.
    cluster : object, optional
        A cluster of the user's; it stays open.
    cluster_class : callable, optional
        Makes the cluster that is started.
    cluster_kwargs : mapping, optional
        What that is given.
    adapt_kwargs : mapping, optional
        ``minimum`` and ``maximum`` of workers, between which the cluster is left to grow and shrink.
    client_kwargs : mapping, optional
        For the connection (``security`` …).

    Raises
    ------
    UsageError
        There is no such scheduler.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cluster: Any = None,
        cluster_class: Any = None,
        cluster_kwargs: Mapping[str, Any] | None = None,
        adapt_kwargs: Mapping[str, Any] | None = None,
        client_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._own: Any = None
        self.client: Any
        if address is None and cluster is None:
            cluster = self._own = _start(cluster_class, dict(cluster_kwargs or {}))
        if adapt_kwargs:
            cluster.adapt(**adapt_kwargs)
        options = {"timeout": PATIENCE, **(client_kwargs or {}), "set_as_default": False}
        try:
            connect: Any = distributed.Client
            self.client = connect(address or cluster, **options)
        except OSError as error:
            raise UsageError(f"No scheduler of Dask answers at {address}: {first_line(error)}") from None
        self._most = int((adapt_kwargs or {}).get("maximum", 0))

    @property
    def width(self) -> int:
        """Calls that it can perform at once."""
        threads = list(self.client.nthreads().values())
        each = max(threads, default=1)
        return max(sum(threads), self._most * each) or USUAL_WIDTH

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return str(self.client.status) in ("closed", "closing")

    def close(self) -> None:
        """Close the connection, and the cluster if it was started here."""
        with suppress(Exception):
            self.client.close(timeout=5)
        if self._own is not None:
            with suppress(Exception):
                self._own.close(timeout=5)


def _start(make: Any, options: dict[str, Any]) -> Any:
    if make is None:
        make = distributed.LocalCluster
        options = {"dashboard_address": ":0", **options}  # any free port: several may live on a machine
        if dask.config.get("distributed.worker.multiprocessing-method", "spawn") == "spawn":
            # Its workers are started, also later ones, without importing the main module again, as our processes are.
            dask.config.set({"distributed.worker.multiprocessing-method": _use_loky()})
    return make(**options)


class _Process(LokyProcess):  # type: ignore[misc]
    """A process of loky's, which Dask wants to be able to kill."""

    def kill(self) -> None:
        """End it at once."""
        if hasattr(signal, "SIGKILL"):
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.terminate()


class _Context(LokyContext):  # type: ignore[misc]
    """loky's way to start processes."""

    _name = "orch-loky"
    Process = _Process


def _use_loky() -> str:
    """Make loky's way to start processes known to multiprocessing, and return the name it has there."""
    multiprocessing.context._concrete_contexts.setdefault(_Context._name, _Context())  # type: ignore[attr-defined]
    return _Context._name


class _Trip:
    """A job on its way, and what is heard of it."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.heard: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.worker = ""
        self.is_stopped = False


class DaskRunner:
    """As many bodies at once as a cluster has threads.

    Parameters
    ----------
    cluster : DaskCluster
        The cluster; it outlives the runner.

    Notes
    -----
    A body that is stopped is told so where it stands, and its process on the worker is killed two seconds later.  A
    worker that is lost makes the attempts it performed crash; Dask does not perform them again by itself.
    """

    name = "dask"

    def __init__(self, cluster: DaskCluster) -> None:
        self._client: Any = cluster.client
        self._topic = f"orch-{uuid4().hex}"
        self._trips: dict[str, _Trip] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._client.subscribe_topic(self._topic, self._hear)
        context = contextvars.copy_context()
        context.run(carrier.set, self)
        self._threads: ThreadRunner = context.run(ThreadRunner, cluster.width)

    def start(self, call: Call) -> None:
        """Perform `call` as soon as there is room."""
        self._threads.start(call)

    def follows(self, call: Call, after: Call) -> bool:
        """Let a thread go straight on."""
        return True

    def stop(self, call: Call) -> bool:
        """Stop the body on its worker, for certain; or in the thread of its call, if it is there."""
        trip = self._trips.get(self._tokens.get(call.task, ""))
        if trip is None:
            return self._threads.stop(call)
        trip.heard.put(("stop",))
        return True

    def close(self) -> None:
        """Let every thread end once its call has ended; the cluster stays."""
        self._threads.close()
        with suppress(Exception):
            self._client.unsubscribe_topic(self._topic)

    # In the thread of the call

    def carry(self, task: str, job: Job, parcel: Parcel, capture: Capture) -> tuple[Parcel, Any]:
        """Have a job performed on a worker; see :class:`~orch_notebook.runtime.runners.places.Carrier`."""
        token = uuid4().hex
        packed, what = to_bytes(job), f"task {task!r}"
        trip = _Trip(token)
        with self._lock:
            self._trips[token], self._tokens[task] = trip, token
        future: Any = None
        try:
            content: Any = (parcel.data, [bytes(buffer) for buffer in parcel.buffers])
            if parcel.size > LARGE:
                content = self._client.scatter(content, hash=False)
            future = self._client.submit(
                _perform,
                token,
                self._topic,
                what,
                packed,
                content,
                key=f"{task}-{token}",
                pure=False,
                retries=0,
                resources=dict(job.resources) or None,
            )
            future.add_done_callback(lambda done: trip.heard.put(("over",)))
            return self._follow(task, trip, future, capture)
        finally:
            with self._lock:
                del self._trips[token]
                if self._tokens.get(task) == token:
                    del self._tokens[task]
            if future is not None:
                future.release()

    def _follow(self, task: str, trip: _Trip, future: Any, capture: Capture) -> tuple[Parcel, Any]:
        while True:
            kind, *content = trip.heard.get()
            if kind == "acts":
                replay(content[0], capture)
            elif kind == "begun" and trip.worker:
                # Dask performs it a second time, because its first worker is gone or took the result along.
                future.cancel()
                raise _lost(task, trip.worker)
            elif kind == "begun":
                trip.worker = content[0]
                self._watch()
                self._say(daskwork.stop if trip.is_stopped else daskwork.admit, trip)
            elif kind == "stop":
                trip.is_stopped = True
                if trip.worker:
                    self._say(daskwork.stop, trip)
                else:
                    future.cancel()
            elif kind == "lost":
                future.cancel()
                if trip.is_stopped:
                    raise TaskStopped
                raise _lost(task, trip.worker)
            else:
                return self._outcome(task, trip, future)

    def _outcome(self, task: str, trip: _Trip, future: Any) -> tuple[Parcel, Any]:
        try:
            kind, *content = future.result()
        except CancelledError:
            if trip.is_stopped:
                raise TaskStopped from None
            raise _lost(task, trip.worker) from None
        except (distributed.KilledWorker, OSError):
            raise _lost(task, trip.worker) from None
        except ImportError as error:
            raise UsageError(
                f"A worker of Dask could not take task {task!r}: {error}. Its workers need orch_notebook too, and the "
                "modules that the task uses.",
                task=task,
                retriable=False,
            ) from None
        if kind == "failed":
            raise Failure(*content).as_error()
        if kind == "died":
            raise ProcessDied(content[0], **content[1])
        if kind == "done":
            data, buffers, states = content
            return Parcel(data, [bytearray(buffer) for buffer in buffers]), states
        if kind == "stopped" and not trip.is_stopped:
            raise ProcessDied(f"Dask cancelled task {task!r}.")
        raise TaskStopped

    def _say(self, what: Any, trip: _Trip) -> None:
        try:
            self._client.run(what, trip.token, workers=[trip.worker], on_error="raise")
        except Exception:  # noqa: BLE001 - whatever became of the worker, it does not answer
            trip.heard.put(("lost",))

    # In other threads

    def _hear(self, event: tuple[Any, bytes]) -> None:
        """Take an event of Dask, in the thread of the connection."""
        token, *message = pickle.loads(event[1])
        trip = self._trips.get(token)
        if trip is not None:
            trip.heard.put(tuple(message))

    def _watch(self) -> None:
        with self._lock:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._look, name="orch-dask-watch", daemon=True)
                self._watcher.start()

    def _look(self) -> None:
        """See whether the workers live, as long as they perform something."""
        pause = threading.Event()
        while True:
            pause.wait(WATCH)
            with self._lock:
                working = [trip for trip in self._trips.values() if trip.worker]
                if not working:
                    self._watcher = None
                    return
            try:
                living = self._client.nthreads()
            except Exception:  # noqa: BLE001 - the scheduler is gone: the futures say so
                living = dict.fromkeys(trip.worker for trip in working)
            for trip in working:
                if trip.worker not in living:
                    trip.heard.put(("lost",))


def _perform(token: str, topic: str, what: str, job: bytes, content: tuple[bytes, list[bytes]]) -> tuple[Any, ...]:
    return daskwork.perform(token, topic, what, job, *content)


def _lost(task: str, worker: str) -> ProcessDied:
    where = f"The worker of Dask that performed it, {worker}, is gone." if worker else "Dask has lost it."
    return ProcessDied(f"Task {task!r} ended without an outcome. {where}")
