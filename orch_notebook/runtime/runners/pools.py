"""What the name of a runner means in this process, and the processes that its runs share.

In: a name (``%%task --runner processes``).  Out: a runner for one flow run.  Pools are started when a run first needs
them, stay warm from one run to the next, and end with whoever holds this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from orch_notebook.errors import UsageError
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
        self._clusters: dict[str, Any] = {}

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
        if name == "dask":
            return self.dask(self._settings.dask)
        return ThreadRunner(self._settings.threads)

    def dask(self, address: str | None = None, **options: Any) -> Runner:
        """Return a runner on a cluster of Dask for one flow run; see :class:`~…runners.dask.DaskCluster`.

        Raises
        ------
        UsageError
            Dask is not installed, or no scheduler answers.
        """
        try:
            from orch_notebook.runtime.runners.dask import DaskCluster, DaskRunner
        except ImportError as error:
            raise UsageError(f"Dask is not installed ({error}): pip install 'orch-notebook[dask]'.") from None
        key = repr((address, sorted(options.items())))
        with self._lock:
            cluster = self._clusters.get(key)
            if cluster is None or cluster.is_closed:
                cluster = self._clusters[key] = DaskCluster(address, **options)
                self._opened()
        return DaskRunner(cluster)

    def close(self) -> None:
        """End everything; what is still being performed there is lost."""
        with self._lock:
            processes, self._processes = self._processes, None
            clusters, self._clusters = list(self._clusters.values()), {}
        for cluster in clusters:
            cluster.close()
        if processes is not None:
            processes.close()
