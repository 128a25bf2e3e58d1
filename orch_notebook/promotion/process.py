"""The process that executes one claimed run; :mod:`orch_notebook.promotion.start` starts it.

It is told the run, its owner, the token of the claim, and where to write its log, by a line on its standard input.

A worker starts it in a process group of its own and keeps its standard input open: when the worker dies the input
ends, and this process ends its kernel and itself.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from datetime import timedelta

from orch_notebook.errors import StoreError
from orch_notebook.model.states import StateType
from orch_notebook.promotion.execution import Stop
from orch_notebook.promotion.kernels import Kernel
from orch_notebook.promotion.performing import perform_run
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.store.opening import clock_of, open_store

__all__ = ["main"]

logger = logging.getLogger("orch_notebook")

WORKER_GONE = "its worker is gone"


def _end_with_worker(stop: Stop) -> None:
    """Wait for the end of standard input, which is the end of the worker; then end the kernel, and this process."""
    # Read past Python's buffer: a thread that waits in there holds its lock, for which the interpreter, when it ends,
    # waits a second and then aborts.
    while os.read(0, 4096):
        pass
    # Another worker ends the run and repeats it within seconds: nothing of this execution may still be at work then.
    stop.request(WORKER_GONE, grace=0.0)
    time.sleep(8.0)  # whatever still hangs then ends with the process
    os._exit(70)


def _told() -> list[str]:
    """Wait to be told which run to execute; nothing if whoever started this process has no use for it."""
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 4096)):
            return []
        line += more
    *arguments, log_path = map(str, json.loads(line))
    log = os.open(log_path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    return arguments


def main(kernel: Kernel | None) -> int:
    """Execute the run that a worker claimed; return 0 when it completed, 1 when it did not, 75 when it was lost.

    Parameters
    ----------
    kernel : Kernel, optional
        One that has been started for it already.
    """
    try:
        return _perform_told(kernel)
    finally:
        if kernel is not None:
            kernel.close()


def _perform_told(kernel: Kernel | None) -> int:
    if not (arguments := _told()):
        if kernel is not None:
            kernel.kill()
        return 0
    run_id, owner, token = arguments
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings, stop = Settings.from_environment(), Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.request("the worker was stopped"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_worker, args=(stop,), daemon=True).start()
    store = open_store(settings)
    clock = clock_of(store)
    lease = Lease(run_id, owner, int(token), clock.now() + timedelta(seconds=settings.lease))
    try:
        state = perform_run(store, settings, lease, clock=clock, stop=stop, ahead=kernel)
        return 0 if state.type is StateType.COMPLETED else 1
    except StoreError as error:
        logger.error("Run %s is given up: %s", run_id, error)
        return 75
    finally:
        store.close()
