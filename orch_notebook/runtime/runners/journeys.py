"""A job's way to a warm process and back.

In: a job as bytes, and the parcel it works on.  Out: what it puts out while it runs, and what came of it.  One that is
stopped is told so; two seconds later its process is killed, with everything it has started.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from itertools import count
from typing import Any, NamedTuple

from orch_notebook.errors import ProcessDied, TaskError
from orch_notebook.runtime.calls import TaskStopped, describe_as
from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.child import replay
from orch_notebook.runtime.parcels import Parcel
from orch_notebook.runtime.pickling import from_bytes
from orch_notebook.runtime.runners.pooling import Process, ProcessPool

__all__ = ["Failure", "Journeys"]

#: Seconds a body has to clean up after it was told to stop; then its process is killed.
GRACE = 2.0


class _Trip:
    """A job on its way, by which it can be stopped."""

    __slots__ = ("has_begun", "is_second", "is_stopped", "number", "process")

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: Process | None = None
        self.is_stopped = False
        self.has_begun = False
        self.is_second = False


class Failure(NamedTuple):
    """What a job raised: the error as bytes if it can travel, how it was described, whether it was shown."""

    data: bytes | None
    described: Mapping[str, Any]
    is_shown: bool

    def as_error(self) -> BaseException:
        """Return the error, or where it could not travel one that says the same."""
        error: BaseException = (
            TaskError(str(self.described.get("error", ""))) if self.data is None else from_bytes(self.data)
        )
        describe_as(error, self.described, is_shown=self.is_shown)
        return error


class Journeys:
    """The jobs that are being performed in the processes of a pool.

    Parameters
    ----------
    pool : ProcessPool
        The processes.
    """

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool
        self._trips: dict[str, _Trip] = {}
        self._numbers = count(1)

    def stop(self, key: str) -> bool:
        """Stop a job, for certain; False if there is none under this key."""
        trip = self._trips.get(key)
        if trip is None:
            return False
        if not trip.is_stopped:
            # Who carries looks whether it is stopped after it has a process, so one of us sees the other.
            trip.is_stopped = True
            if trip.process is not None:
                self._tell_to_stop(trip.process, trip)
        return True

    def _tell_to_stop(self, process: Process, trip: _Trip) -> None:
        process.is_spent = True
        killer = threading.Timer(GRACE, process.kill)
        killer.daemon = True
        killer.start()
        process.send_if_free(("stop", trip.number))

    def carry(self, key: str, what: str, job: bytes, parcel: Parcel, capture: Capture) -> tuple[Parcel, Any] | Failure:
        """Have a job performed and hand on what it puts out while it runs.

        Parameters
        ----------
        key : str
            By which it can be stopped.
        what : str
            How an error calls it.
        job : bytes
            The job.
        parcel : Parcel
            What it works on.
        capture : Capture
            Takes what it puts out.

        Returns
        -------
        tuple or Failure
            Its parcel and what else came; or what it raised.

        Raises
        ------
        TaskStopped
            It was stopped.
        ProcessDied
            Its process has ended.
        """
        trip = self._trips[key] = _Trip(next(self._numbers))
        try:
            while True:
                process = trip.process = self._pool.take()
                is_whole = False
                try:
                    came = self._travel(process, trip, job, parcel, capture)
                    is_whole = True
                    return came
                except (EOFError, OSError):
                    if trip.is_stopped:
                        raise TaskStopped from None
                    if trip.has_begun or trip.is_second:
                        raise _death(what, process.end()) from None
                    trip.is_second = True  # it had been idle, and ended before it could begin
                finally:
                    # Whoever is interrupted here leaves a process behind that still works for nobody.
                    process.is_spent = process.is_spent or not is_whole
                    self._pool.give(process)
        finally:
            self._trips.pop(key, None)

    def _travel(
        self, process: Process, trip: _Trip, job: bytes, parcel: Parcel, capture: Capture
    ) -> tuple[Parcel, Any] | Failure:
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
                return Failure(*content)


def _death(what: str, code: int | None) -> ProcessDied:
    how = f"ended with exit code {code}" if code is None or code >= 0 else f"was killed by {_signal_name(-code)}"
    said = f"The process of {what} {how}."
    if code == -9:
        said += " The system does that when memory runs out."
    elif code is not None and code < 0:
        said += " A library written in C may have failed."
    return ProcessDied(said, exitcode=code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
