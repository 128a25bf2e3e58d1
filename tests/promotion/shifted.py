"""A worker on a machine whose clock is wrong: ``python -m tests.promotion.shifted NAME SECONDS``, ended with its input.

Its runs are performed in this process, by a thread that keeps their leases, until there is a file ``go`` in its home.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import datetime, timedelta

from orch_notebook.model.events import RunCreated, RunStateChanged
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.launching import Launch
from orch_notebook.promotion.worker import Worker
from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import clock_of, open_store


class WrongClock(SystemClock):
    """A machine's clock that is off by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._off


def main(name: str, seconds: float) -> None:
    settings = Settings.from_environment()
    store = open_store(settings)
    clock: Clock = clock_of(store, WrongClock(seconds))
    ledger = Ledger(store, clock=clock, lease_seconds=settings.lease)

    def launch(lease, told):
        journal = ledger.open(lease, lambda error: print(error, flush=True))
        found = Launch(lease, lambda: None)

        def perform():
            journal.record(RunCreated(clock.now(), "report"))
            journal.record(RunStateChanged(clock.now(), State(StateType.RUNNING)))
            while not (settings.home / "go").exists():
                time.sleep(0.02)
            journal.record(RunStateChanged(clock.now(), State(StateType.COMPLETED)))
            ledger.close_journal(journal, release=False)
            found.said = "ended with code 0"
            found.ended.set()
            told()

        threading.Thread(target=perform, daemon=True).start()
        return found

    worker = Worker(store, settings, slots=1, name=name, clock=clock, launcher=launch, owner=f"{name}:1:1")
    threading.Thread(target=lambda: (sys.stdin.read(), worker.drain()), daemon=True).start()
    worker.run()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
