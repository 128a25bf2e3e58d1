"""A worker inside the Jupyter server, for one person on one machine: ``c.ServerWorker.slots = 2`` is all it takes.

In: the server's configuration.  Out: a thread that does what ``orch worker`` does, as long as the server runs.  When
the server ends, what it executes is handed back and begins again with the next worker.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from typing import Any

from traitlets import Int, List, Unicode
from traitlets.config import Configurable

from orch_notebook.errors import OrchError
from orch_notebook.orchestrator import Orchestrator
from orch_notebook.promotion.worker import Worker

__all__ = ["ServerWorker", "load"]

logger = logging.getLogger("orch_notebook.worker")

#: Seconds that the server's end waits for runs to be handed back.
PATIENCE = 15.0


class ServerWorker(Configurable):  # type: ignore[misc]
    """The worker in a Jupyter server.

    Examples
    --------
    In ``jupyter_server_config.py``, or on the command line as ``jupyter lab --ServerWorker.slots=2``::

        c.ServerWorker.slots = 2
    """

    slots = Int(0, min=0, help="Runs executed at once by the server; 0 leaves them to 'orch worker'.").tag(config=True)
    queues = List(Unicode(), help="Queues it serves; all by default.").tag(config=True)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._orchestrator: Orchestrator | None = None
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to work, in a thread.

        Raises
        ------
        OrchError
            The store cannot be used.
        """
        self._orchestrator = orchestrator = Orchestrator()
        self._worker = Worker(
            orchestrator.store,
            orchestrator.settings,
            slots=self.slots,
            queues=self.queues or None,
            name=f"{socket.gethostname()}-jupyter-{os.getpid()}",
            clock=orchestrator.clock,
            grace=0.0,
        )
        self._thread = threading.Thread(target=self._worker.run, name="orch-worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand back what is being executed, and end."""
        if self._worker is None or self._thread is None or self._orchestrator is None:
            return
        self._worker.drain()
        self._thread.join(PATIENCE)
        self._worker = None
        self._orchestrator.close()


def load(app: Any) -> ServerWorker:
    """Start a worker in a Jupyter server, if its configuration asks for one.

    Parameters
    ----------
    app : ServerApp
        The server.
    """
    worker = ServerWorker(parent=app)
    if worker.slots:
        try:
            worker.start()
        except OrchError as error:  # a server without a worker is better than none
            app.log.error("orch_notebook: no worker in this server. %s", error)
        else:
            atexit.register(worker.stop)
            app.log.info("orch_notebook: a worker with %d slots runs in this server.", worker.slots)
    return worker


def _load_jupyter_server_extension(app: Any) -> None:
    load(app)
