"""Which runner a flow's submitted tasks go to: what ``@flow(task_runner=…)`` takes."""

from __future__ import annotations

from dataclasses import dataclass

from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.settings import Settings

__all__ = ["ConcurrentTaskRunner", "SequentialTaskRunner", "ThreadPoolTaskRunner"]


@dataclass(frozen=True, slots=True)
class ThreadPoolTaskRunner:
    """Threads of this process.

    Parameters
    ----------
    max_workers : int, optional
        Tasks at work at once; by default what ``ORCH_THREADS`` says.
    """

    max_workers: int | None = None

    def make(self, settings: Settings) -> Runner:
        """Return the runner for one flow run."""
        return ThreadRunner(self.max_workers or settings.threads)


#: As it was called in earlier versions of Prefect.
ConcurrentTaskRunner = ThreadPoolTaskRunner


def SequentialTaskRunner() -> ThreadPoolTaskRunner:
    """Return a runner with one thread: submitted tasks run one after the other."""
    return ThreadPoolTaskRunner(max_workers=1)
