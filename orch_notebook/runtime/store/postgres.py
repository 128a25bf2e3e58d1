"""The store on a PostgreSQL server, for when several machines share it.

psycopg binds parameters on the client, so that the statements need no types for what may be NULL.  A transaction that
need not survive a power cut commits without waiting for the server's disk.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from orch_notebook.errors import StoreAway, StoreError, StoreUnavailable, UsageError
from orch_notebook.model.lines import first_line
from orch_notebook.runtime.store import Store
from orch_notebook.runtime.store.sql import SqlStore, migrations, queries

__all__ = ["PostgresStore"]

#: What SQLite says in another way, in the files of migrations.
TRANSLATIONS = (
    (r"\bINTEGER PRIMARY KEY\b", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    (r"\bREAL\b", "DOUBLE PRECISION"),
    (r"\)\s*WITHOUT ROWID", ")"),
)
#: The number under which transactions that count before they write wait for each other.
CLAIMS = 7_031_944


def _psycopg() -> Any:
    # The one place where psycopg is imported: an extra that SQLite's users do not need.
    try:
        import psycopg
    except ImportError:
        raise UsageError(
            "A PostgreSQL store needs psycopg, which is not installed: pip install 'orch_notebook[postgres]'."
        ) from None
    return psycopg


def _adapt(text: str) -> str:
    """Write the statements as psycopg reads them."""
    return text.replace("%", "%%").replace("?", "%s")


def _ask_again(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Return a verb that asks once more where the server went away before it had done anything.

    A server that is started again breaks every connection; the second asking waits for a new one.
    """

    @wraps(verb)
    def ask(self: PostgresStore, *arguments: Any, **named: Any) -> Any:
        try:
            return verb(self, *arguments, **named)
        except StoreAway as away:
            if not away.details.get("is_undone"):
                raise
        return verb(self, *arguments, **named)

    return ask


class PostgresStore(SqlStore):
    """Facts in one schema of a PostgreSQL database, shared by the processes of many machines.

    Parameters
    ----------
    url : str
        As libpq reads it: ``postgresql://user:password@host/database``.
    patience : float
        Seconds to wait for a server that does not answer, or is starting again.

    Raises
    ------
    StoreUnavailable
        The server does not answer or refuses, or the tables were made by a newer version.
    UsageError
        psycopg is not installed.
    """

    #: Other machines may reach it while this one cannot.
    is_shared = True

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        self._psycopg = _psycopg()
        self._conflict = self._psycopg.errors.UniqueViolation
        # Also what a connection says that was closed under whoever used it.
        self._passing = (self._psycopg.OperationalError, self._psycopg.InterfaceError)
        self._queries = queries("psycopg", _adapt)
        self._url = url
        self._patience = patience
        self._hurry = threading.local()
        self._idle: deque[Any] = deque()
        self._opened: set[Any] = set()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_closed = False
        #: Where it is, as people may read it: the password is left out.
        self.place = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", re.sub(r"password=\S+", "password=***", url))
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    # connections

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let this thread wait no longer than so for a server that is away, whatever the patience of others."""
        self._hurry.seconds = seconds
        try:
            yield
        finally:
            del self._hurry.seconds

    def _connect(self) -> Any:
        patience = min(self._patience, getattr(self._hurry, "seconds", self._patience))
        give_up_at = time.monotonic() + patience
        while True:
            try:
                connection = self._psycopg.connect(
                    self._url,
                    autocommit=True,
                    row_factory=self._psycopg.rows.dict_row,
                    cursor_factory=self._psycopg.ClientCursor,
                    connect_timeout=max(2, int(patience)),
                    # A server that a broken network keeps from answering counts as away, and is not waited for.
                    tcp_user_timeout=int(1000 * self._patience),
                    keepalives_idle=max(1, int(self._patience / 2)),
                    keepalives_interval=1,
                    application_name="orch_notebook",
                )
            except self._psycopg.OperationalError:
                # A server that starts again refuses for a moment.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.1)
            else:
                with self._lock:
                    self._opened.add(connection)
                return connection

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        if self._is_closed:
            raise StoreUnavailable(f"The store {self.place} has been closed.")
        if self._pid != os.getpid():  # a forked child must not touch its parent's connections
            self._idle, self._opened, self._pid = deque(), set(), os.getpid()
        connection = self._take()
        try:
            yield connection
        finally:
            if self._is_closed or connection.closed or connection.broken:
                self._discard(connection)
            else:
                self._idle.append(connection)

    def _take(self) -> Any:
        """Return a connection that answers: those of a server that has started again since do not."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            try:
                connection.execute("SELECT 1") if self._is_stale(connection) else None
            except self._psycopg.OperationalError:
                self._discard(connection)
            else:
                return connection

    def _is_stale(self, connection: Any) -> bool:
        # What the server has sent unasked, its good-bye, makes the socket readable.
        import select

        return bool(select.select([connection.fileno()], [], [], 0)[0])

    def _discard(self, connection: Any) -> None:
        with self._lock:
            self._opened.discard(connection)
        with suppress(Exception):
            connection.close()

    @contextmanager
    def _read(self) -> Iterator[Any]:
        try:
            with self._connection() as connection:
                yield connection
        except self._psycopg.Error as error:
            raise self._plain(error, is_undone=True) from None

    @contextmanager
    def _write(self, *, durable: bool = False) -> Iterator[Any]:
        is_ready = False
        try:
            with self._connection() as connection, connection.transaction():
                if not durable:
                    connection.execute("SET LOCAL synchronous_commit TO OFF")
                yield connection
                is_ready = True  # what follows is the commit
        except self._conflict:
            raise
        except self._psycopg.Error as error:
            raise self._plain(error, is_undone=not is_ready) from None

    def _alone(self, connection: Any) -> None:
        connection.execute(f"SELECT pg_advisory_xact_lock({CLAIMS})")

    def _plain(self, error: Any, *, is_undone: bool) -> StoreError:
        """Turn what the server says into what a person can act on."""
        said = first_line(error, 1000).replace(self._url, self.place)
        errors = self._psycopg.errors
        if isinstance(error, errors.InsufficientPrivilege):
            why = f"does not let this user work: {said}"
        elif isinstance(error, errors.DiskFull):
            why = "cannot grow: the server's disk is full. What was stored is safe; free some space and try again"
        elif isinstance(error, self._passing):
            why = f"does not answer: {said}. Check the server and ORCH_DATABASE_URL"
        else:
            why = f"refused: {said}"
        if isinstance(error, self._passing):
            return StoreAway(f"The store {self.place} {why}.", is_undone=is_undone)
        return StoreUnavailable(f"The store {self.place} {why}.")

    def _migrate(self) -> None:
        newest = migrations()[-1][0]
        with self._write(durable=True) as connection:
            # Two that begin at once would both make the tables.
            self._alone(connection)
            # A schema that the address names (``options=-csearch_path=…``) is made if it is not there.
            schema = connection.execute("SELECT current_setting('search_path') AS path").fetchone()["path"]
            if re.fullmatch(r"\w+", schema):
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            connection.execute("CREATE TABLE IF NOT EXISTS orch_schema (version INTEGER NOT NULL)")
            row = connection.execute("SELECT max(version) AS version FROM orch_schema").fetchone()
            version = self.migrated_from = int(row["version"] or 0)
            if version > newest:
                raise StoreUnavailable(
                    f"The store {self.place} was written by a newer version of orch_notebook (schema {version}, this "
                    f"one knows {newest}). Upgrade orch_notebook, or set ORCH_DATABASE_URL elsewhere."
                )
            for number, script in migrations():
                if number > version:
                    script = re.sub(r"--[^\n]*", "", script)
                    for pattern, words in TRANSLATIONS:
                        script = re.sub(pattern, words, script)
                    connection.execute(script)
                    connection.execute("INSERT INTO orch_schema (version) VALUES (%s)", (number,))

    def now(self) -> datetime:
        """Return the server's time."""
        with self._read() as connection:
            found: datetime = connection.execute("SELECT clock_timestamp() AS now").fetchone()["now"]
        return found.astimezone(UTC)

    def describe(self) -> Mapping[str, Any]:
        """Return what ``orch doctor`` shows: kind, place, version, size."""
        with self._read() as connection:
            schema = connection.execute("SELECT max(version) AS version FROM orch_schema").fetchone()["version"]
            size = connection.execute("SELECT pg_database_size(current_database()) AS size").fetchone()["size"]
            server = connection.info.parameter_status("server_version")
        return {"kind": f"PostgreSQL {server}", "place": self.place, "schema": schema, "bytes": size, "check": "ok"}

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        with self._lock:
            opened, self._opened = list(self._opened), set()
        self._idle.clear()
        for connection in opened:
            with suppress(Exception):
                connection.close()


for _name, _verb in vars(Store).items():
    if not _name.startswith("_") and callable(_verb):
        setattr(PostgresStore, _name, _ask_again(getattr(PostgresStore, _name)))
