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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from orch_notebook.errors import HistoryConflict, LeaseLost, StoreError, StoreUnavailable
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.events import Event
from orch_notebook.model.runs import FlowRun
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.store import Lease, LogLine, WorkerRow, rows

__all__ = ["SqliteStore"]

HERE = Path(__file__).parent


@cache
def _queries() -> Any:
    # Loaded when the first store opens: it is the one import here that is not free (25 ms).
    import aiosql

    return aiosql.from_path(HERE / "queries.sql", "sqlite3", mandatory_parameters=False)


@cache
def _migrations() -> list[tuple[int, str]]:
    found = [(int(path.name[:4]), path.read_text("utf-8")) for path in (HERE / "migrations").glob("[0-9]*.sql")]
    return sorted(found)


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


class SqliteStore:
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
        The file is locked, read-only, damaged, on a full disk, or written by a newer version.
    """

    def __init__(self, path: Path, *, patience: float = 10.0) -> None:
        self.path = Path(path)
        self._patience = patience
        self._idle: deque[sqlite3.Connection] = deque()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_closed = False
        try:
            with self._plainly():
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
        if self._pid != os.getpid():  # a forked child must not touch its parent's connections
            self._idle, self._opened, self._pid = deque(), [], os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if self._is_closed:
                connection.close()
            else:
                self._idle.append(connection)

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
        with self._plainly(), self._connection() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Turn what SQLite says into what a person can act on."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._plain(error) from None
        except OSError as error:
            raise StoreUnavailable(f"The store {self.path} cannot be opened: {error.strerror or error}.") from None

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
        return StoreUnavailable(f"The store {self.path} {why}.")

    def _migrate(self) -> None:
        steps = _migrations()
        newest = steps[-1][0]
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()["user_version"]
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

    def _one(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        with self._read() as connection:
            return read(connection)

    # runs

    def create_run(
        self,
        run: FlowRun,
        *,
        schedule_id: str | None = None,
        plan: Plan | None = None,
        owner: str | None = None,
        lease_expires_at: datetime | None = None,
    ) -> bool:
        """Insert a run; False when its due time or its retry already has one."""
        with self._write() as connection:
            parameters = rows.run_parameters(run, schedule_id, plan, owner, lease_expires_at)
            return bool(_queries().create_run(connection, **parameters))

    def run(self, run_id: str) -> FlowRun | None:
        """Return a run with its tasks."""
        with self._read() as connection:
            row = _queries().select_run(connection, run_id=run_id)
            if row is None:
                return None
            created = _queries().select_graph(connection, run_id=run_id)
            tasks = list(_queries().select_task_runs(connection, run_id=run_id))
            if any(task["spec"] for task in tasks):
                added = [found["data"] for found in _queries().select_added(connection, run_id=run_id)]
                tasks = rows.in_order_of_appearance(tasks, added)
            return rows.run_from_row(row, created, tasks)

    def plan(self, run_id: str) -> Plan | None:
        """Return how a worker executes a run."""
        row = self._one(lambda c: _queries().select_run(c, run_id=run_id))
        return rows.plan_from_text(row["plan"]) if row and row["plan"] else None

    def run_ids_like(self, part: str) -> list[str]:
        """Return up to two ids that begin or end with `part`."""
        return [row["run_id"] for row in self._all("select_run_ids_like", part=part.lower())]

    def runs(
        self,
        *,
        deployment: str | None = None,
        state: str | None = None,
        parent_run_id: str | None = None,
        flow: str | None = None,
        limit: int = 100,
    ) -> list[FlowRun]:
        """Return runs, newest first, without their tasks."""
        found = self._all(
            "select_runs", deployment=deployment, state=state, parent_run_id=parent_run_id, flow=flow, limit=limit
        )
        return [rows.run_from_row(row) for row in found]

    def _all(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        with self._read() as connection:
            return list(getattr(_queries(), query)(connection, **parameters))

    def events(self, run_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """Return the recorded events of a run with their numbers, logs left out."""
        found = self._all("select_events", run_id=run_id, after=after)
        return [(row["seq"], rows.event_from_row(row)) for row in found]

    def logs(self, run_id: str, task: str | None = None, *, after: int = 0, limit: int = 10_000) -> list[LogLine]:
        """Return the newest lines of a run or of one of its tasks, oldest first."""
        found = self._all("select_logs", run_id=run_id, task=task, after=after, limit=limit)
        return [rows.log_from_row(row) for row in found]

    # a run's history

    def append(
        self, lease: Lease, events: Sequence[tuple[int, Event]], expires_at: datetime, *, release: bool = False
    ) -> None:
        """Add to a run's history and renew its lease, or give it back; see :meth:`Store.append`."""
        queries, run_id = _queries(), lease.run_id
        batch = rows.Batch(run_id, events)  # made before the transaction, which stays short
        is_end = release or any(event.state.is_final for event in batch.run_states)
        with self._write(durable=is_end) as connection:
            if not queries.renew_lease(connection, run_id=run_id, token=lease.token, expires_at=expires_at.timestamp()):
                raise LeaseLost(f"Run {run_id} is owned by another process now.", run_id=run_id)
            try:
                if batch.events:
                    queries.insert_events(connection, batch.events)
                if batch.logs:
                    queries.insert_logs(connection, batch.logs)
            except sqlite3.IntegrityError:
                raise HistoryConflict(f"Another process wrote the history of run {run_id}.", run_id=run_id) from None
            if batch.tasks:
                queries.upsert_task_runs(connection, batch.tasks.values())
            if batch.created is not None:
                parameters = rows.dumps(dict(batch.created.parameters))
                queries.update_run_parameters(connection, run_id=run_id, parameters=parameters)
            for event in batch.run_states:
                queries.update_run_state(
                    connection,
                    run_id=run_id,
                    state_type=event.state.type.value,
                    state_name=event.state.name,
                    state_message=rows.storable(event.state.message),
                    at=event.at.timestamp(),
                )
            if release:
                queries.release_run(connection, run_id=run_id, token=lease.token)

    def last_seq(self, run_id: str) -> int:
        """Return the number of the last recorded event or line, 0 if there is none."""
        return int(self._one(lambda c: _queries().select_last_seq(c, run_id=run_id)) or 0)

    def set_executed_notebook(self, lease: Lease, path: str) -> None:
        """Note where the executed notebook is."""
        with self._write() as connection:
            _queries().update_executed_notebook(connection, run_id=lease.run_id, token=lease.token, path=path)

    # leases

    def claim_run(
        self, run_id: str, owner: str, worker: str, expires_at: datetime, *, is_limited: bool = True
    ) -> Lease | None:
        """Take a waiting run; None when somebody else was quicker, or as many of its deployment go on as may."""
        with self._write() as connection:
            claimed = _queries().claim_run(
                connection,
                run_id=run_id,
                owner=owner,
                worker=worker,
                expires_at=expires_at.timestamp(),
                is_limited=int(is_limited),
            )
            if not claimed:
                return None
            token = _queries().select_run(connection, run_id=run_id)["lease_token"]
            return Lease(run_id, owner, token, expires_at)

    def owned_runs(self) -> list[Lease]:
        """Return every lease that is held."""
        return [rows.lease_from_row(row) for row in self._all("select_owned_runs")]

    def take_over(self, lease: Lease, owner: str, expires_at: datetime) -> Lease | None:
        """Replace a lease whose holder is gone; None when somebody else was quicker."""
        with self._write() as connection:
            taken = _queries().take_over_run(
                connection, run_id=lease.run_id, token=lease.token, owner=owner, expires_at=expires_at.timestamp()
            )
            return Lease(lease.run_id, owner, lease.token + 1, expires_at) if taken else None

    def renew(self, lease: Lease, expires_at: datetime) -> bool:
        """Prolong a lease; False when it is lost."""
        with self._write() as connection:
            return bool(
                _queries().renew_lease(
                    connection, run_id=lease.run_id, token=lease.token, expires_at=expires_at.timestamp()
                )
            )

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        with self._write() as connection:
            _queries().release_run(connection, run_id=lease.run_id, token=lease.token)

    # due runs

    def due_runs(self, now: datetime, limit: int, queues: Sequence[str] | None = None) -> list[str]:
        """Return the ids of waiting runs that are due and may begin: higher priorities first, then in due order."""
        wanted = None if queues is None else rows.dumps(list(queues))
        found = self._all("select_due_runs", now=now.timestamp(), limit=limit, queues=wanted)
        return [row["run_id"] for row in found]

    def blocked_runs(self, now: datetime) -> list[str]:
        """Return the ids of runs that are due while as many of their deployment go on as may, and name them so."""
        found = [row["run_id"] for row in self._all("select_blocked_runs", now=now.timestamp())]
        if found:
            with self._write() as connection:
                for run_id in found:
                    _queries().mark_blocked(connection, run_id=run_id)
        return found

    def next_due_at(self, queues: Sequence[str] | None = None) -> datetime | None:
        """Return when the earliest waiting run is due."""
        wanted = None if queues is None else rows.dumps(list(queues))
        return rows.instant(self._one(lambda c: _queries().select_next_due_at(c, queues=wanted)))

    def mark_late(self, before: datetime) -> int:
        """Name Late every waiting run due before this instant."""
        with self._write() as connection:
            return int(_queries().mark_late(connection, before=before.timestamp()))

    # requests

    def request(self, run_id: str, kind: str, now: datetime) -> None:
        """File what a person asks of a run."""
        with self._write(durable=True) as connection:
            _queries().insert_request(connection, run_id=run_id, kind=kind, now=now.timestamp())

    def has_request(self, run_id: str, kind: str) -> bool:
        """Return whether this has been asked of a run already, taken or not."""
        return bool(self._one(lambda c: _queries().count_requests(c, run_id=run_id, kind=kind)))

    def take_requests(self, run_id: str, now: datetime) -> list[str]:
        """Return the open requests of a run, once."""
        # Looked at first without the write lock: an engine asks several times a second and mostly finds nothing.
        if not self._all("select_requests", run_id=run_id):
            return []
        with self._write() as connection:
            found = [row["kind"] for row in _queries().select_requests(connection, run_id=run_id)]
            _queries().take_requests(connection, run_id=run_id, now=now.timestamp())
            return found

    # deployments

    def save_deployment(self, deployment: Deployment) -> Deployment:
        """Insert or replace a deployment and its schedules; return it with its new version."""
        with self._write(durable=True) as connection:
            _queries().upsert_deployment(connection, **rows.deployment_parameters(deployment))
            _queries().delete_schedules(connection, deployment=deployment.name)
            for schedule in deployment.schedules:
                _queries().insert_schedule(
                    connection,
                    schedule_id=schedule.schedule_id or new_run_id(deployment.updated_at),
                    deployment=deployment.name,
                    rule=rows.dumps(dict(schedule.rule)),
                    seen_until=schedule.seen_until.timestamp(),
                    next_at=rows.seconds(schedule.next_at),
                    parameters=rows.dumps(dict(schedule.parameters)),
                )
            _queries().insert_version(
                connection,
                name=deployment.name,
                data=rows.version_text(deployment),
                now=deployment.updated_at.timestamp(),
            )
        saved = self.deployment(deployment.name)
        assert saved is not None
        return saved

    def deployment(self, name: str) -> Deployment | None:
        """Return a deployment."""
        with self._read() as connection:
            row = _queries().select_deployment(connection, name=name)
            if row is None:
                return None
            schedules = _queries().select_schedules(connection, deployment=name)
            return rows.deployment_from_row(row, [rows.schedule_from_row(found) for found in schedules])

    def deployments(self) -> list[Deployment]:
        """Return all deployments by name."""
        by_name: dict[str, list[ScheduleRow]] = {}
        for schedule in self.schedules():
            by_name.setdefault(schedule.deployment, []).append(schedule)
        return [rows.deployment_from_row(row, by_name.get(row["name"], ())) for row in self._all("select_deployments")]

    def versions(self, name: str) -> list[Deployment]:
        """Return every version of a deployment, oldest first."""
        return [rows.version_from_row(row) for row in self._all("select_versions", name=name)]

    def pause_deployment(self, name: str, is_paused: bool, now: datetime, reason: str = "") -> bool:
        """Let the schedules of a deployment rest, or wake them; False if there is none of that name."""
        with self._write(durable=True) as connection:
            paused = _queries().pause_deployment(
                connection, name=name, is_paused=int(is_paused), reason=reason, now=now.timestamp()
            )
            return bool(paused)

    def schedules(self) -> list[ScheduleRow]:
        """Return every schedule."""
        return [rows.schedule_from_row(row) for row in self._all("select_schedules", deployment=None)]

    def schedules_due(self, now: datetime) -> list[ScheduleRow]:
        """Return the schedules that are awake and have a due time up to now that has no row yet."""
        return [rows.schedule_from_row(row) for row in self._all("select_schedules_due", now=now.timestamp())]

    def next_schedule_at(self, now: datetime) -> datetime | None:
        """Return the first due time after now of the schedules that are awake."""
        return rows.instant(self._one(lambda c: _queries().select_next_schedule_at(c, now=now.timestamp())))

    def advance_schedule(
        self,
        schedule: ScheduleRow,
        until: datetime,
        next_at: datetime | None,
        runs: Sequence[tuple[FlowRun, Plan | None]],
    ) -> bool:
        """Insert the runs of the due times up to `until`, all or none; False when another worker was quicker."""
        with self._write() as connection:
            moved = _queries().advance_schedule(
                connection,
                schedule_id=schedule.schedule_id,
                since=schedule.seen_until.timestamp(),
                until=until.timestamp(),
                next_at=rows.seconds(next_at),
            )
            if not moved:
                return False
            for run, plan in runs:
                parameters = rows.run_parameters(run, schedule.schedule_id, plan, None, None)
                _queries().create_run(connection, **parameters)
            return True

    # workers

    def beat(self, owner: str, name: str, slots: int, now: datetime) -> None:
        """Show that a worker lives."""
        with self._write() as connection:
            _queries().upsert_worker(connection, owner=owner, name=name, slots=slots, now=now.timestamp())

    def remove_worker(self, owner: str) -> None:
        """Forget a worker that has ended."""
        with self._write() as connection:
            _queries().delete_worker(connection, owner=owner)

    def workers(self) -> list[WorkerRow]:
        """Return the workers that have not said good-bye."""
        return [rows.worker_from_row(row) for row in self._all("select_workers")]

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

    def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        with self._lock:
            for connection in self._opened:
                try:
                    connection.close()
                except sqlite3.ProgrammingError:  # in use by another thread at this moment; it closes on return
                    pass
            self._opened.clear()
            self._idle.clear()
