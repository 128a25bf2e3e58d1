"""Which runner a flow's submitted tasks go to: what ``@flow(task_runner=…)`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from orch_notebook.runtime.home import Home
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.processes import ProcessRunner
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = [
    "ConcurrentTaskRunner",
    "DaskTaskRunner",
    "ProcessPoolTaskRunner",
    "SequentialTaskRunner",
    "ThreadPoolTaskRunner",
]


@dataclass(frozen=True, slots=True)
class ThreadPoolTaskRunner:
    """Threads of this process.

    Parameters
    ----------
    max_workers : int, optional
        Tasks at work at once; by default what ``ORCH_THREADS`` says.
    """

    max_workers: int | None = None

    def make(self, home: Home) -> Runner:
        """Return the runner for one flow run."""
        return ThreadRunner(self.max_workers or home.settings.threads)


@dataclass(frozen=True, slots=True)
class ProcessPoolTaskRunner:
    """Processes, for work in pure Python that should use several processors, and for timeouts that must be certain.

    Parameters
    ----------
    max_workers : int, optional
        Tasks at work at once; by default what ``ORCH_PROCESSES`` says, or one for each processor.

    Notes
    -----
    The processes stay warm from one flow run to the next.  Functions, arguments and results travel by cloudpickle.
    """

    max_workers: int | None = None

    def make(self, home: Home) -> Runner:
        """Return the runner for one flow run."""
        return ProcessRunner(home.pools.processes, self.max_workers)


@dataclass(frozen=True, slots=True)
class DaskTaskRunner:
    """Workers of Dask, on this machine or on others.

    Parameters
    ----------
    cluster : object, optional
        A cluster of yours; it stays open.
    address : str, optional
        Where a scheduler listens; by default what ``ORCH_DASK`` says, or workers are started on this machine.
    cluster_class : callable, optional
        Makes the cluster that is started, if not ``distributed.LocalCluster``.
    cluster_kwargs : mapping, optional
        What that is given (``{"n_workers": 4, "threads_per_worker": 1}``).
    adapt_kwargs : mapping, optional
        ``minimum`` and ``maximum`` of workers, between which the cluster grows and shrinks.
    client_kwargs : mapping, optional
        For the connection (``{"security": …}``).

    Notes
    -----
    A cluster that is started here stays for the next flow run, and ends with the process.  Its workers need this
    package, and the modules that the tasks use.
    """

    cluster: Any = None
    address: str | None = None
    cluster_class: Any = None
    cluster_kwargs: Mapping[str, Any] | None = None
    adapt_kwargs: Mapping[str, Any] | None = None
    client_kwargs: Mapping[str, Any] | None = None

    def make(self, home: Home) -> Runner:
        """Return the runner for one flow run."""
        options = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "address"}
        given = {name: value for name, value in options.items() if value is not None}
        return home.pools.dask(self.address or (None if given else home.settings.dask), **given)


#: As it was called in earlier versions of Prefect.
ConcurrentTaskRunner = ThreadPoolTaskRunner


def SequentialTaskRunner() -> ThreadPoolTaskRunner:
    """Return a runner with one thread: submitted tasks run one after the other."""
    return ThreadPoolTaskRunner(max_workers=1)
