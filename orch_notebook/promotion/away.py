"""Executes one claimed run on the machine it is started on: ``python -m orch_notebook.promotion.away RUN OWNER TOKEN``.

In: the claim, and the settings in the environment (the shared store above all).  Out: the run's record, as from a
worker on the same machine; the exit code is 0 when the run has its record.  Asked to end (SIGTERM), it ends the run.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event

from orch_notebook.promotion.launching import launch_process
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.store.opening import open_store

__all__ = ["main", "perform_here"]


def perform_here(
    environment: Mapping[str, str], run_id: str, owner: str, token: int, is_stopped: Callable[[], bool]
) -> str:
    """Execute a claimed run in a process of this machine, and return how that process ended.

    Parameters
    ----------
    environment : mapping
        Holds the settings by their names.
    is_stopped : callable
        Asked twice a second; once it says so, the run is ended.
    """
    settings = Settings.from_environment(environment)
    ended = Event()
    expires_at = datetime.now(UTC) + timedelta(seconds=settings.lease)
    with closing(open_store(settings)) as store:
        launch = launch_process(settings, store)(Lease(run_id, owner, token, expires_at), ended.set)
    is_told = False
    while not ended.wait(0.5):
        if not is_told and is_stopped():
            is_told = True
            launch.stop()
    return launch.said


def main(arguments: Sequence[str]) -> int:
    """Execute the run that the arguments name."""
    run_id, owner, token = arguments
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    said = perform_here(os.environ, run_id, owner, int(token), asked.is_set)
    sys.stderr.write(f"The process that executed run {run_id} {said}.\n")
    return 0 if said in ("ended with code 0", "ended with code 1") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
