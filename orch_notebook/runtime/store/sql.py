"""The verbs of a store that speaks SQL: the same for every database, over two ways to get a connection.

In: values.  Out: values.  How rows are laid out is in `rows`, the statements are in `queries.sql`; what differs between
databases (connections, transactions, errors, migrations) is in the module of each.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from orch_notebook.errors import HistoryConflict, LeaseLost
from orch_notebook.model.deployments import Plan
from orch_notebook.model.events import Event
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.runtime.crashpoints import part_of, reach
from orch_notebook.runtime.store import Lease, LogLine, WorkerRow, rows
from orch_notebook.runtime.store.assets import AssetRecords
from orch_notebook.runtime.store.following import Following
from orch_notebook.runtime.store.promoted import Promoted
from orch_notebook.runtime.store.retiring import Retiring
from orch_notebook.runtime.store.shelves import Shelves

__all__ = ["SqlStore", "migrations", "queries"]

HERE = Path(__file__).parent


@cache
def queries(driver: str, adapt: Callable[[str], str] = str) -> Any:
    """Return the statements for a driver, their text adapted to its database."""
    # Loaded when the first store opens: it is the one import here that is not free (25 ms).
    import aiosql

    text = adapt((HERE / "queries.sql").read_text("utf-8"))
    return aiosql.from_str(text, driver, mandatory_parameters=False)


@cache
def migrations() -> list[tuple[int, str]]:
    """Return the numbered steps that make the tables, oldest first."""
    found = [(int(path.name[:4]), path.read_text("utf-8")) for path in (HERE / "migrations").glob("[0-9]*.sql")]
    return sorted(found)


class SqlStore(Promoted, Shelves, AssetRecords, Following, Retiring):
    """Facts in a database; see :class:`Store` for what each verb promises."""

    #: The schema that was found when the store was opened, 0 if it was made then.
    migrated_from: int = 0
    #: What the driver raises where a key is taken.
    _conflict: type[Exception]

    is_shared: bool

    @abstractmethod
    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Let what this thread asks wait no longer than so, where others might take over what is waited for."""

    @abstractmethod
    def now(self) -> datetime:
        """Return the time as the store has it."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what ``orch doctor`` shows: kind, place, version, size."""

    def counts(self) -> dict[str, int]:
        """Return how many rows of each kind there are."""
        with self._read() as connection:
            return {row["kind"]: row["count"] for row in self._queries.select_counts(connection)}

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""

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
            return bool(self._queries.create_run(connection, **parameters))

    def create_runs(self, runs: Sequence[tuple[FlowRun, Plan]]) -> None:
        """Insert many runs, all or none."""
        with self._write(durable=True) as connection:
            for run, plan in runs:
                self._queries.create_run(connection, **rows.run_parameters(run, None, plan, None, None))

    def run(self, run_id: str) -> FlowRun | None:
        """Return a run with its tasks."""
        with self._read() as connection:
            row = self._queries.select_run(connection, run_id=run_id)
            if row is None:
                return None
            created = self._queries.select_graph(connection, run_id=run_id)
            tasks = list(self._queries.select_task_runs(connection, run_id=run_id))
            added: list[str] = []
            if any(task["spec"] for task in tasks):
                added = [found["data"] for found in self._queries.select_added(connection, run_id=run_id)]
            return rows.run_from_row(row, created, tasks, added)

    def plan(self, run_id: str) -> Plan | None:
        """Return how a worker executes a run."""
        row = self._one(lambda c: self._queries.select_run(c, run_id=run_id))
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
        path: str | None = None,
        backfill: str | None = None,
        limit: int = 100,
    ) -> list[FlowRun]:
        """Return runs, newest first, without their tasks."""
        found = self._all(
            "select_runs",
            deployment=deployment,
            state=state,
            parent_run_id=parent_run_id,
            flow=flow,
            path=path,
            backfill=backfill,
            limit=limit,
        )
        return [rows.run_from_row(row) for row in found]

    def task_history(self, flow: str, limit: int = 20, path: str | None = None) -> list[TaskRun]:
        """Return the task runs of a flow's newest runs, without what they left and what they were defined as."""
        found = self._all("select_task_history", flow=flow, limit=limit, path=path)
        return [rows.past_task_run(row) for row in found]

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
        queries, run_id = self._queries, lease.run_id
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
            except self._conflict:
                raise HistoryConflict(f"Another process wrote the history of run {run_id}.", run_id=run_id) from None
            reach(f"record.inside.{part_of(events)}")
            if batch.tasks:
                queries.upsert_task_runs(connection, batch.tasks.values())
            if batch.made:
                self._record_made(connection, batch.made)
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

    def has_stored(self, lease: Lease, seq: int) -> bool:
        """Return whether a history reaches up to a number under a lease; for who was not told whether it was stored."""
        with self._read() as connection:
            row = self._queries.select_run(connection, run_id=lease.run_id)
            last = self._queries.select_last_seq(connection, run_id=lease.run_id)
            return row is not None and row["lease_token"] == lease.token and int(last or 0) >= seq

    def last_seq(self, run_id: str) -> int:
        """Return the number of the last recorded event or line, 0 if there is none."""
        return int(self._one(lambda c: self._queries.select_last_seq(c, run_id=run_id)) or 0)

    def set_executed_notebook(self, lease: Lease, path: str) -> None:
        """Note where the executed notebook is."""
        with self._write() as connection:
            self._queries.update_executed_notebook(connection, run_id=lease.run_id, token=lease.token, path=path)

    def name_run(self, lease: Lease, run: FlowRun) -> None:
        """Note what a run is called, its tags, and what is known of its flow, which whoever made it did not know."""
        with self._write() as connection:
            self._queries.update_run_name(connection, run_id=lease.run_id, token=lease.token, **rows.naming(run))

    # leases

    def claim_run(
        self, run_id: str, owner: str, worker: str, expires_at: datetime, *, is_limited: bool = True
    ) -> Lease | None:
        """Take a waiting run; None when somebody else was quicker, or as many of its deployment go on as may."""
        with self._write() as connection:
            if is_limited:
                # Two that claim runs of one deployment at once would both count the other's as waiting.
                self._alone(connection)
            claimed = self._queries.claim_run(
                connection,
                run_id=run_id,
                owner=owner,
                worker=worker,
                expires_at=expires_at.timestamp(),
                is_limited=int(is_limited),
            )
            if not claimed:
                return None
            reach("claim.inside")
            token = self._queries.select_run(connection, run_id=run_id)["lease_token"]
            return Lease(run_id, owner, token, expires_at)

    def owned_runs(self) -> list[Lease]:
        """Return every lease that is held."""
        return [rows.lease_from_row(row) for row in self._all("select_owned_runs")]

    def take_over(self, lease: Lease, owner: str, expires_at: datetime) -> Lease | None:
        """Replace a lease whose holder is gone; None when somebody else was quicker."""
        with self._write() as connection:
            taken = self._queries.take_over_run(
                connection, run_id=lease.run_id, token=lease.token, owner=owner, expires_at=expires_at.timestamp()
            )
            return Lease(lease.run_id, owner, lease.token + 1, expires_at) if taken else None

    def renew(self, lease: Lease, expires_at: datetime) -> bool:
        """Prolong a lease; False when it is lost."""
        with self._write() as connection:
            return bool(
                self._queries.renew_lease(
                    connection, run_id=lease.run_id, token=lease.token, expires_at=expires_at.timestamp()
                )
            )

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        with self._write() as connection:
            self._queries.release_run(connection, run_id=lease.run_id, token=lease.token)

    # due runs

    def due_runs(self, now: datetime, limit: int, queues: Sequence[str] | None = None) -> list[str]:
        """Return the ids of waiting runs that are due and may begin: higher priorities first, then in due order."""
        wanted = None if queues is None else f"|{'|'.join(queues)}|"
        found = self._all("select_due_runs", now=now.timestamp(), limit=limit, queues=wanted)
        return [row["run_id"] for row in found]

    def blocked_runs(self, now: datetime) -> list[str]:
        """Return the ids of runs that are due while as many of their deployment go on as may, and name them so."""
        found = self._all("select_blocked_runs", now=now.timestamp())
        # Every worker looks every second; only what is newly blocked is worth a write.
        if unnamed := [row["run_id"] for row in found if row["state_name"] != "AwaitingConcurrencySlot"]:
            with self._write() as connection:
                for run_id in unnamed:
                    self._queries.mark_blocked(connection, run_id=run_id)
        return [row["run_id"] for row in found]

    def next_due_at(self, queues: Sequence[str] | None = None) -> datetime | None:
        """Return when the earliest waiting run is due."""
        wanted = None if queues is None else f"|{'|'.join(queues)}|"
        return rows.instant(self._one(lambda c: self._queries.select_next_due_at(c, queues=wanted)))

    def mark_late(self, before: datetime) -> int:
        """Name Late every waiting run due before this instant."""
        with self._write() as connection:
            return int(self._queries.mark_late(connection, before=before.timestamp()))

    # requests

    def request(self, run_id: str, kind: str, now: datetime) -> None:
        """File what a person asks of a run."""
        with self._write(durable=True) as connection:
            self._queries.insert_request(connection, run_id=run_id, kind=kind, now=now.timestamp())

    def has_request(self, run_id: str, kind: str) -> bool:
        """Return whether this has been asked of a run already, taken or not."""
        return bool(self._one(lambda c: self._queries.count_requests(c, run_id=run_id, kind=kind)))

    def take_requests(self, run_id: str, now: datetime) -> list[str]:
        """Return the open requests of a run, once."""
        # Looked at first without the write lock: an engine asks several times a second and mostly finds nothing.
        if not self._one(lambda c: self._queries.count_open_requests(c, run_id=run_id)):
            return []
        with self._write() as connection:
            taken = list(self._queries.take_requests(connection, run_id=run_id, now=now.timestamp()))
        return [row["kind"] for row in sorted(taken, key=lambda row: int(row["request_id"]))]

    # workers

    def beat(self, owner: str, name: str, slots: int, now: datetime) -> None:
        """Show that a worker lives."""
        with self._write() as connection:
            self._queries.upsert_worker(connection, owner=owner, name=name, slots=slots, now=now.timestamp())

    def remove_worker(self, owner: str) -> None:
        """Forget a worker that has ended."""
        with self._write() as connection:
            self._queries.delete_worker(connection, owner=owner)

    def workers(self) -> list[WorkerRow]:
        """Return the workers that have not said good-bye."""
        return [rows.worker_from_row(row) for row in self._all("select_workers")]
