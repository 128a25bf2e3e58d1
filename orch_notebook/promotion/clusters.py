"""Where a worker has its runs executed: on its own machine, on a Dask cluster, or as Kubernetes Jobs."""

from __future__ import annotations

from pathlib import Path

from orch_notebook.errors import UsageError
from orch_notebook.promotion.dask import DaskLauncher
from orch_notebook.promotion.kubernetes import launch_on_kubernetes
from orch_notebook.promotion.launching import Launcher
from orch_notebook.runtime.settings import Settings

__all__ = ["find_launcher"]


def find_launcher(text: str, settings: Settings, worker: str) -> Launcher | None:
    """Return the launcher that ``orch worker --launcher`` names; None for processes of this machine.

    Parameters
    ----------
    text : str
        ``local``, ``dask:ADDRESS`` or ``kubernetes:MANIFEST``.
    settings : Settings
        The store, which the machines of a cluster must reach.
    worker : str
        The worker's name.

    Raises
    ------
    UsageError
        It names no launcher, or a cluster is to share a store that lies in a file of this machine.
    """
    kind, _, rest = text.partition(":")
    if text == "local":
        return None
    if kind not in ("dask", "kubernetes") or not rest:
        raise UsageError(f"There is no launcher {text!r}. Write local, dask:ADDRESS or kubernetes:MANIFEST.")
    if settings.database_url is None:
        raise UsageError(
            f"A store in a file cannot be shared with the machines of a cluster ({text}). Set ORCH_DATABASE_URL to a "
            "PostgreSQL database that they reach."
        )
    if kind == "dask":
        return DaskLauncher(settings, rest)
    return launch_on_kubernetes(settings, Path(rest), worker)
