"""Where the body of a task is performed: in the thread that performs its call, or in another process.

Every runner performs a call in a thread of this process: there versions are bound, outputs gathered and results
published.  A runner whose bodies belong elsewhere says so by :data:`carrier`, which is set in its threads; whoever is
about to run a body looks there.  So the engine knows nothing of it, and one run may mix runners.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any, Protocol

from orch_notebook.runtime.capture import Capture
from orch_notebook.runtime.parcels import Parcel

__all__ = ["Carrier", "Job", "carrier"]


class Job(Protocol):
    """Work that can be pickled by itself; what it works on travels beside it in a parcel."""

    @property
    def resources(self) -> Mapping[str, float]:
        """What it needs where it is performed (``{"GPU": 1}``)."""
        ...

    def perform(self, parcel: Parcel, capture: Capture) -> Any:
        """Do the work in the other process; what this returns bears `parcel` and `states`."""
        ...


class Carrier(Protocol):
    """Takes jobs elsewhere."""

    def carry(self, task: str, job: Job, parcel: Parcel, capture: Capture) -> tuple[Parcel, Any]:
        """Have a job performed, hand on what it puts out while it runs, and return its parcel and what else came.

        Raises
        ------
        TaskStopped
            It was stopped.
        ProcessDied
            The process it ran in has ended.
        BaseException
            What the job raised.
        """
        ...


#: The carrier of the runner in whose thread this code runs, if its bodies belong elsewhere.
carrier: contextvars.ContextVar[Carrier | None] = contextvars.ContextVar("orch_carrier", default=None)
