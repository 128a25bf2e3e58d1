"""What the name of a runner means in this process, and the processes that its runs share.

In: a name (``%%task --runner processes``).  Out: a runner for one flow run.  Pools are started when a run first needs
them, stay warm from one run to the next, and end with whoever holds this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from orch_notebook.runtime.runners import Runner
from orch_notebook.runtime.runners.pooling import ProcessPool
from orch_notebook.runtime.runners.processes import ProcessRunner
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.settings import Settings

__all__ = ["Pools"]


class Pools:
    """The places outside of this process's threads where bodies are performed.

    Parameters
    ----------
    settings : Settings
        How wide they are.
    opened : callable, optional
        Called when one has been started, which at the end of the program ends before what was started earlier.
    """

    def __init__(self, settings: Settings, opened: Callable[[], object] = lambda: None) -> None:
        self._settings = settings
        self._opened = opened
        self._lock = threading.Lock()
        self._processes: ProcessPool | None = None

    @property
    def processes(self) -> ProcessPool:
        """The processes that perform bodies."""
        with self._lock:
            if self._processes is None:
                self._processes = ProcessPool(self._settings.processes)
                self._opened()
            return self._processes

    def runner(self, name: str) -> Runner:
        """Return a runner of this name for one flow run."""
        if name == "processes":
            return ProcessRunner(self.processes)
        return ThreadRunner(self._settings.threads)

    def close(self) -> None:
        """End everything; what is still being performed there is lost."""
        with self._lock:
            processes, self._processes = self._processes, None
        if processes is not None:
            processes.close()
