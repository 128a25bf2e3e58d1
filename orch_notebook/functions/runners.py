"""Which runner a flow's submitted tasks go to: what ``@flow(task_runner=…)`` takes."""

from __future__ import annotations

from dataclasses import dataclass

from orch_notebook.runtime.home import Home
from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.processes import ProcessRunner
from orch_notebook.runtime.runners.threads import ThreadRunner

__all__ = ["ConcurrentTaskRunner", "ProcessPoolTaskRunner", "SequentialTaskRunner", "ThreadPoolTaskRunner"]


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


#: As it was called in earlier versions of Prefect.
ConcurrentTaskRunner = ThreadPoolTaskRunner


def SequentialTaskRunner() -> ThreadPoolTaskRunner:
    """Return a runner with one thread: submitted tasks run one after the other."""
    return ThreadPoolTaskRunner(max_workers=1)
