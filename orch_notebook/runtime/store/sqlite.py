"""The store in one SQLite file.

Write-ahead logging lets readers and the one writer of the moment work side by side.  Every write is one short
``BEGIN IMMEDIATE`` transaction, so several processes on one machine can share the file.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orch_notebook.errors import StoreAway, StoreError, StoreUnavailable
from orch_notebook.runtime.filesystems import network_kind
from orch_notebook.runtime.store.sql import SqlStore, migrations, queries

__all__ = ["SqliteStore"]

#: What may be over in a while.
PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


class SqliteStore(SqlStore):
    """Facts in one SQLite file, shared by the processes of one machine.

    Parameters
    ----------
    path : Path
        The file; made with mode 0600 in a folder of mode 0700 if it is not there.
    patience : float
        Seconds to wait for another process that is writing.

    Raises
    ------
    StoreUnavailable
        The file is locked, read-only, damaged, on a full disk or a network, or written by a newer version.
    """

    _conflict = sqlite3.IntegrityError
    #: While one process cannot write here, no other can: whoever holds a lease still holds it afterwards.
    is_shared = False

    def __init__(self, path: Path, *, patience: float = 10.0) -> None:
        self.path = Path(path)
        self._patience = patience
        self._idle: deque[sqlite3.Connection] = deque()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._turn = threading.RLock()
        self._pid = os.getpid()
        self._is_closed = False
        self._queries = queries("sqlite3")
        try:
            with self._plainly():
                if kind := network_kind(self.path.parent):
                    raise StoreUnavailable(
                        f"The store {self.path} would lie on a network file system ({kind}), where SQLite's locks do "
                        "not hold and its file gets damaged. Set ORCH_HOME to a folder on a local disk; where several "
                        "machines share a store, set ORCH_DATABASE_URL to a PostgreSQL database."
                    )
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not self.path.exists():
                    os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self._migrate()
        except BaseException:
            self.close()  # nobody gets a store to close
            raise

    # connections

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        with self._lock:
            self._opened.append(connection)
        connection.row_factory = _as_dict
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        if self._is_closed:
            raise StoreUnavailable(f"The store {self.path} has been closed.")
        self._know_process()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)
            if self._is_closed:
                self._close_idle()

    def _know_process(self) -> None:
        if self._pid != os.getpid():  # a forked child must not touch its parent's connections, nor wait for its threads
            self._idle, self._opened, self._turn, self._pid = deque(), [], threading.RLock(), os.getpid()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._plainly(), self._connection() as connection:
            yield connection

    @contextmanager
    def _write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Write in one transaction.

        Every commit survives the death of this process.  A durable one also survives a power cut, and with it every
        commit before it: it waits for the disk (0.4 ms, or 3–13 ms when the disk is busy), so only what somebody was
        told is kept for good asks for it: a run's end, a promotion, a request.
        """
        self._know_process()
        # Threads take turns before they ask SQLite, whose waiting is not fair: of 200 that asked, 50 in each of four
        # processes, some got no turn in ten seconds.
        with self._plainly(), self._turn, self._connection() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _alone(self, connection: Any) -> None:
        # Whoever writes is alone.
        pass

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Turn what SQLite says into what a person can act on."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._plain(error) from None
        except OSError as error:
            why = f"cannot be opened: {error.strerror or error}. Set ORCH_HOME to a folder that can be written to"
            raise StoreUnavailable(f"The store {self.path} {why}.") from None

    def _plain(self, error: sqlite3.DatabaseError) -> StoreError:
        code = getattr(error, "sqlite_errorname", "") or ""
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            why = f"is locked: another process has been writing for {self._patience:g} s. Try again in a moment"
        elif code.startswith("SQLITE_READONLY"):
            why = "is read-only. Check the permissions of the file and its folder, or set ORCH_HOME elsewhere"
        elif code.startswith("SQLITE_FULL"):
            why = "cannot grow: the disk is full. What was stored is safe; free some space and try again"
        elif code.startswith("SQLITE_IOERR"):
            why = f"cannot be read or written ({code}). Check the disk and its free space; what was stored is safe"
        elif code.startswith("SQLITE_CANTOPEN"):
            why = "cannot be opened. Check the permissions of its folder, or set ORCH_HOME elsewhere"
        elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            why = "is not a store, or is damaged. Move it away to begin a new one, or set ORCH_HOME elsewhere"
        else:
            why = f"refused: {error}"
        kind = StoreAway if code.startswith(PASSING) else StoreUnavailable
        return kind(f"The store {self.path} {why}.")

    def _migrate(self) -> None:
        steps = migrations()
        newest = steps[-1][0]
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
            self.migrated_from = version
            if version > newest:
                raise StoreUnavailable(
                    f"The store {self.path} was written by a newer version of orch_notebook (schema {version}, this "
                    f"one knows {newest}). Upgrade orch_notebook, or set ORCH_HOME elsewhere."
                )
            if version == newest:
                return
            self._begin_wal(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
                for number, script in steps:
                    if number > version:
                        for statement in re.sub(r"--[^\n]*", "", script).split(";"):
                            if statement.strip():
                                connection.execute(statement)
                        connection.execute(f"PRAGMA user_version = {number}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _begin_wal(self, connection: sqlite3.Connection) -> None:
        # Switching the journal mode does not wait for others (it answers "locked" at once), so the waiting is ours.
        give_up_at = time.monotonic() + self._patience
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                is_busy = (error.sqlite_errorname or "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
                if not is_busy or time.monotonic() > give_up_at:
                    raise
                time.sleep(0.01)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Let what this thread asks wait as long as ever: nobody else gets what it waits for."""
        return nullcontext()

    def now(self) -> datetime:
        """Return the time; whoever shares the file lives on this machine."""
        return datetime.now(UTC)

    def describe(self) -> Mapping[str, Any]:
        """Return what ``orch doctor`` shows: kind, place, version, size."""
        version = self._one(lambda c: c.execute("PRAGMA user_version").fetchone()["user_version"])
        check = self._one(lambda c: c.execute("PRAGMA quick_check").fetchone()["quick_check"])
        return {
            "kind": "SQLite",
            "place": str(self.path),
            "schema": version,
            "bytes": self.path.stat().st_size,
            "check": check,
        }

    def compact(self) -> None:
        """Give the space of what was removed back to the disk."""
        with self._plainly(), self._connection() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        # One that another thread uses at this moment closes on return: closed under it, it would crash the process.
        self._close_idle()

    def _close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
