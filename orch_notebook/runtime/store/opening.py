"""Which store: the one place that knows every kind."""

from __future__ import annotations

from orch_notebook.errors import UsageError
from orch_notebook.runtime.clock import Clock, SharedClock, SystemClock
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.postgres import PostgresStore
from orch_notebook.runtime.store.sql import SqlStore
from orch_notebook.runtime.store.sqlite import SqliteStore

__all__ = ["clock_of", "open_store"]


def open_store(settings: Settings) -> SqlStore:
    """Open the store that the settings name: a PostgreSQL database, else the SQLite file under the home.

    Raises
    ------
    StoreUnavailable
        It cannot be opened; the message says what to do.
    UsageError
        The address names no kind of store that there is.
    """
    url = settings.database_url
    if url is None:
        return SqliteStore(settings.database)
    if url.startswith(("postgresql://", "postgres://")):
        return PostgresStore(url)
    kind = url.partition(":")[0]
    raise UsageError(
        f"ORCH_DATABASE_URL names a {kind!r} database. It may be postgresql://user@host/database; without it the store "
        "is a SQLite file under ORCH_HOME."
    )


def clock_of(store: Store, base: Clock | None = None) -> Clock:
    """Return the clock by which leases and due times in a store are reckoned: the store's own, if machines share it."""
    return SharedClock(store.now, base) if isinstance(store, PostgresStore) else base or SystemClock()
