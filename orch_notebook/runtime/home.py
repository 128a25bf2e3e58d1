"""What the runs of this process stand on: the store, the ledger and the results of one ``ORCH_HOME``.

Opened when it is first needed and shared by everything in the process that records: two flows that run at once write
through one ledger, so their facts share their commits.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path

from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.ledger import Ledger, Subscriber
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.runners.pools import Pools
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import clock_of, open_store
from orch_notebook.runtime.store.sql import SqlStore

__all__ = ["Home", "close_homes", "finish_runs", "open_home"]


class Home:
    """The store, ledger and results of one ``ORCH_HOME``.

    Parameters
    ----------
    settings : Settings
        Where it lies.
    clock : Clock, optional
        By default the machine's, or that of a store which machines share.
    opened : callable, optional
        Called with this when the store has been opened.
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, opened: Callable[[Home], object] = lambda home: None
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._is_clock_given = clock is not None
        self._tell_opened = opened
        self._lock = threading.RLock()
        self._store: SqlStore | None = None
        self._ledger: Ledger | None = None
        self._results: Results | None = None
        self._subscribers: list[Subscriber] = []
        #: Where tasks are performed that do not run in threads of this process.
        self.pools = Pools(settings, _close_homes_first)
        #: What waits for each run that goes on; called before everything is closed.
        self.closing: dict[str, Callable[[], object]] = {}

    @property
    def store(self) -> SqlStore:
        """The store."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    store = open_store(self.settings)
                    if not self._is_clock_given:  # machines that share a store go by its clock
                        self.clock = clock_of(store)
                    self._store = store
                    self._tell_opened(self)
        return self._store

    @property
    def ledger(self) -> Ledger:
        """The door to the store."""
        if self._ledger is None:
            with self._lock:
                if self._ledger is None:
                    store = self.store  # by whose clock leases are reckoned
                    ledger = Ledger(store, clock=self.clock, lease_seconds=self.settings.lease)
                    for subscriber in self._subscribers:
                        ledger.subscribe(subscriber)
                    self._ledger = ledger
        return self._ledger

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` told of every batch that the ledger stores; to be said before the ledger is opened."""
        self._subscribers.append(subscriber)

    @property
    def results(self) -> Results:
        """Where results are kept."""
        if self._results is None:
            self._results = Results(self.settings.folder("results"))
        return self._results

    def close(self) -> None:
        """Wait for what still runs, store what is left and close the store."""
        for finish in tuple(self.closing.values()):
            finish()
        with self._lock:
            ledger, store, self._ledger, self._store = self._ledger, self._store, None, None
        self.pools.close()
        if ledger is not None:
            ledger.close()
        if store is not None:
            store.close()


_homes: dict[tuple[int, Path], Home] = {}
_opening = threading.Lock()


def open_home(settings: Settings | None = None) -> Home:
    """Return the home of these settings (by default of the environment's), opened once in a process."""
    settings = settings or Settings.from_environment()
    key = os.getpid(), settings.home  # a forked child has none of its parent's threads
    home = _homes.get(key)
    if home is None:
        with _opening:
            home = _homes.get(key)
            if home is None:
                if not _homes:
                    atexit.register(close_homes)
                home = _homes[key] = Home(settings)
    return home


def _close_homes_first() -> None:
    """Have homes closed before the pools that were started since: what still runs in these is waited for."""
    atexit.unregister(close_homes)
    atexit.register(close_homes)


def finish_runs() -> None:
    """Wait until every run that this process performs has ended and is stored; a flow among them is cancelled."""
    with _opening:
        mine = [home for key, home in _homes.items() if key[0] == os.getpid()]
    for home in mine:
        for finish in tuple(home.closing.values()):
            finish()


def close_homes() -> None:
    """Close every home that this process has opened; the next call opens them anew."""
    with _opening:
        mine = [key for key in _homes if key[0] == os.getpid()]
        homes = [_homes.pop(key) for key in mine]
    for home in homes:
        home.close()
