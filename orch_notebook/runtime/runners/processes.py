"""Performs the bodies of tasks in processes of their own.

In: calls, as every runner takes them.  Out: bodies performed in a warm process each, which is ended for certain when a
task must stop.
"""

from __future__ import annotations

import contextvars
from typing import Any

from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pickling import to_bytes
from orch_notebook.runtime.runners.journeys import Failure, Journeys
from orch_notebook.runtime.runners.places import Job, carrier
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = ["ProcessRunner"]


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

    name = "processes"

    def __init__(self, pool: ProcessPool, workers: int | None = None) -> None:
        self._journeys = Journeys(pool)
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
        return self._journeys.stop(call.task) or self._threads.stop(call)

    def close(self) -> None:
        """Let every thread end once its call has ended; the processes stay warm."""
        self._threads.close()

    # In the thread of the call

    def carry(self, task: str, job: Job, parcel: Parcel, capture: Capture) -> tuple[Parcel, Any]:
        """Have a job performed in a process; see :class:`~orch_notebook.runtime.runners.places.Carrier`."""
        came = self._journeys.carry(task, f"task {task!r}", to_bytes(job), parcel, capture)
        if isinstance(came, Failure):
            raise came.as_error()
        return came
