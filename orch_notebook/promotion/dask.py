"""A launcher that has runs executed on the machines of a Dask cluster.

In: the cluster's address.  Out: a :data:`~orch_notebook.promotion.launching.Launcher`.  Each run is one Dask task that
starts a process of its own there.  The machines must reach the store (so it is PostgreSQL) and see the same files under
the same paths; which of them executes a run, and what else it does meanwhile, is Dask's to decide.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.promotion.away import perform_here
from orch_notebook.promotion.launching import Launch
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease

__all__ = ["DaskLauncher"]

#: Seconds to wait for the scheduler.
PATIENCE = 10.0


class DaskLauncher:
    """Launches runs on a Dask cluster.

    Parameters
    ----------
    settings : Settings
        The store and the home, which the machines of the cluster share.
    address : str or Cluster
        The scheduler's: ``tcp://host:8786``.

    Raises
    ------
    UsageError
        Dask is not installed, or the scheduler does not answer.
    """

    def __init__(self, settings: Settings, address: str | Any) -> None:
        self._distributed = _distributed()
        try:
            self._client = self._distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"The Dask scheduler {address} does not answer: {error}. Is the address right?") from None
        self._environment = {name: value for name, value in settings.environment.items() if value}

    def __call__(self, lease: Lease, told: Callable[[], None]) -> Launch:
        """Have the cluster execute a claimed run."""
        name = f"orch-{lease.run_id}-{lease.token}"
        stop = self._distributed.Event(f"{name}-stop", client=self._client)
        claim = (lease.run_id, lease.owner, lease.token)
        # A run that is lost is repeated by its own rule; Dask must not do it a second time.
        future = self._client.submit(
            _perform, self._environment, *claim, f"{name}-stop", key=name, pure=False, retries=0
        )
        found = Launch(lease, stop.set)

        def end(done: Any) -> None:
            if done.status == "finished":
                found.said = done.result()
            else:
                error = done.exception() if done.status == "error" else done.status
                found.said = f"was lost by Dask ({error})"
                stop.set()  # ends a process whose task Dask has given up
            found.ended.set()
            told()

        future.add_done_callback(end)
        return found

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()


def _perform(environment: dict[str, str], run_id: str, owner: str, token: int, stop: str) -> str:
    """Execute a run where Dask has put it."""
    is_stopped = _distributed().Event(stop).is_set
    return perform_here({**os.environ, **environment}, run_id, owner, token, is_stopped)


def _distributed() -> Any:
    # The one place here where Dask is loaded: only a worker that is told to use a cluster needs it.
    try:
        import distributed
    except ImportError:
        raise UsageError("Dask is not installed: pip install 'orch_notebook[dask]'.") from None
    return distributed
