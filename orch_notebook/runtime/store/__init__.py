"""Where facts rest.

The store keeps runs, their events, task runs, logs, requests, deployments and workers.  It decides nothing; what must
be decided between several processes (who gets a run, who may write its history) it settles by one statement each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from orch_notebook.model.assets import KnownAsset, Materialization
from orch_notebook.model.backfills import BackfillProgress
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.events import Event
from orch_notebook.model.notices import Message
from orch_notebook.model.runs import FlowRun, TaskRun

__all__ = ["Lease", "LogLine", "Store", "WorkerRow"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one run's history: who holds it, its fencing token, and when it ends unless renewed."""

    run_id: str
    owner: str
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """One stored line of output."""

    seq: int
    at: datetime
    task: str
    attempt: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as it last showed life."""

    owner: str
    name: str
    slots: int
    started_at: datetime
    heartbeat_at: datetime


class Store(Protocol):
    """What every store can do; each method is one short transaction."""

    #: Whether others may reach it, and take runs over, while this process cannot.
    is_shared: bool

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Let what this thread asks wait no longer than so, where others might take over what is waited for."""
        ...

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
        ...

    def create_runs(self, runs: Sequence[tuple[FlowRun, Plan]]) -> None:
        """Insert many runs, all or none."""
        ...

    def run(self, run_id: str) -> FlowRun | None:
        """Return a run with its tasks."""
        ...

    def plan(self, run_id: str) -> Plan | None:
        """Return how a worker executes a run."""
        ...

    def run_ids_like(self, part: str) -> list[str]:
        """Return up to two ids that begin or end with `part`."""
        ...

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
        """Return runs, newest first, without their tasks.

        Of a flow in a file (`path`) also those of which it is not known where their flow stands.
        """
        ...

    def task_history(self, flow: str, limit: int = 20, path: str | None = None) -> list[TaskRun]:
        """Return the task runs of a flow's newest runs, without what they left and what they were defined as."""
        ...

    def events(self, run_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """Return the recorded events of a run with their numbers, logs left out."""
        ...

    def logs(self, run_id: str, task: str | None = None, *, after: int = 0, limit: int = 10_000) -> list[LogLine]:
        """Return the newest lines of a run or of one of its tasks, oldest first."""
        ...

    # a run's history
    def append(
        self, lease: Lease, events: Sequence[tuple[int, Event]], expires_at: datetime, *, release: bool = False
    ) -> None:
        """Add to a run's history and renew its lease, or give it back in the same breath.

        When this returns, the end of a run is on disk; what comes before it survives the death of the process.

        Raises
        ------
        LeaseLost
            Somebody else owns the run now.
        HistoryConflict
            A number is taken.
        """
        ...

    def has_stored(self, lease: Lease, seq: int) -> bool:
        """Return whether a run's history reaches up to a number and nobody has taken the run over since the lease."""
        ...

    def last_seq(self, run_id: str) -> int:
        """Return the number of the last recorded event or line, 0 if there is none."""
        ...

    def set_executed_notebook(self, lease: Lease, path: str) -> None:
        """Note where the executed notebook is."""
        ...

    # leases
    def claim_run(
        self, run_id: str, owner: str, worker: str, expires_at: datetime, *, is_limited: bool = True
    ) -> Lease | None:
        """Take a waiting run; None when somebody else was quicker, or as many of its deployment go on as may.

        `is_limited` is false where the run is taken only to end it.
        """
        ...

    def owned_runs(self) -> list[Lease]:
        """Return every lease that is held."""
        ...

    def take_over(self, lease: Lease, owner: str, expires_at: datetime) -> Lease | None:
        """Replace a lease whose holder is gone; None when somebody else was quicker."""
        ...

    def renew(self, lease: Lease, expires_at: datetime) -> bool:
        """Prolong a lease; False when it is lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        ...

    # due runs
    def due_runs(self, now: datetime, limit: int, queues: Sequence[str] | None = None) -> list[str]:
        """Return the ids of waiting runs that are due and may begin: higher priorities first, then in due order."""
        ...

    def blocked_runs(self, now: datetime) -> list[str]:
        """Return the ids of runs that are due while as many of their deployment go on as may, and name them so."""
        ...

    def next_due_at(self, queues: Sequence[str] | None = None) -> datetime | None:
        """Return when the earliest waiting run is due."""
        ...

    def mark_late(self, before: datetime) -> int:
        """Name Late every waiting run due before this instant."""
        ...

    # requests
    def request(self, run_id: str, kind: str, now: datetime) -> None:
        """File what a person asks of a run."""
        ...

    def has_request(self, run_id: str, kind: str) -> bool:
        """Return whether this has been asked of a run already, taken or not."""
        ...

    def secrets(self) -> dict[str, str]:
        """Return every encrypted value by name."""

    def expired_pauses(self, now: datetime) -> list[str]:
        """Return the ids of suspended runs that nobody has answered in time."""

    def wake_run(self, run_id: str, now: datetime) -> bool:
        """Have a suspended run go on: it is due now; False if it is not suspended."""

    def take_requests(self, run_id: str, now: datetime) -> list[str]:
        """Return the open requests of a run, once."""
        ...

    # deployments
    def save_deployment(self, deployment: Deployment) -> Deployment:
        """Insert or replace a deployment and its schedules; return it with its new version."""
        ...

    def deployment(self, name: str) -> Deployment | None:
        """Return a deployment."""
        ...

    def deployments(self) -> list[Deployment]:
        """Return all deployments by name."""
        ...

    def versions(self, name: str) -> list[Deployment]:
        """Return every version of a deployment as it was promoted, oldest first."""
        ...

    def remove_deployment(self, name: str) -> bool:
        """Take a deployment away with its schedules and versions; False if there is none of that name."""
        ...

    def pause_deployment(self, name: str, is_paused: bool, now: datetime, reason: str = "") -> bool:
        """Let the schedules of a deployment rest, or wake them; False if there is none of that name."""
        ...

    def schedules(self) -> list[ScheduleRow]:
        """Return every schedule."""
        ...

    def schedules_due(self, now: datetime) -> list[ScheduleRow]:
        """Return the schedules that are awake and have a due time up to now that has no row yet."""
        ...

    def next_schedule_at(self, now: datetime) -> datetime | None:
        """Return the first due time after now of the schedules that are awake."""
        ...

    def advance_schedule(
        self,
        schedule: ScheduleRow,
        until: datetime,
        next_at: datetime | None,
        runs: Sequence[tuple[FlowRun, Plan | None]],
    ) -> bool:
        """Insert the runs of the due times up to `until`, all or none; False when another worker was quicker."""
        ...

    def rules(self) -> list[Deployment]:
        """Return the deployments that start after others or tell somebody something, without their schedules."""
        ...

    # what follows the end of a run
    def runs_to_follow(self, limit: int = 200) -> list[tuple[FlowRun, bool]]:
        """Return runs of deployments that have ended and had no consequences yet, each with whether it is repeated."""
        ...

    def follow(
        self, consequences: Sequence[tuple[str, Sequence[Message], Sequence[tuple[FlowRun, Plan | None]]]]
    ) -> int:
        """Keep what follows the end of runs, once; return how many no other worker had dealt with."""
        ...

    def outcome_before(self, run: FlowRun) -> FlowRun | None:
        """Return the last run of the same deployment before this one that completed, or failed for good."""
        ...

    def runs_going_on(self) -> list[FlowRun]:
        """Return the runs of deployments that have begun and not ended."""
        ...

    def runs_late(self) -> list[FlowRun]:
        """Return the runs of deployments that are named Late."""
        ...

    def has_begun(self, deployment: str, begin: datetime, end: datetime) -> bool:
        """Return whether a run of a deployment began in this time; backfills do not count."""
        ...

    def file_messages(self, messages: Sequence[Message]) -> None:
        """Keep messages that are not there yet."""
        ...

    def has_message(self, key: str) -> bool:
        """Return whether there is a message of this key, sent or not."""
        ...

    def messages_due(self, now: datetime, limit: int = 20) -> list[Message]:
        """Return messages that somebody should send now."""
        ...

    def next_message_at(self) -> datetime | None:
        """Return when the first of the waiting messages is due."""
        ...

    def claim_message(self, message: Message, until: datetime) -> bool:
        """Take a message to send it, which is due again if nothing is heard; False if somebody was quicker."""
        ...

    def settle_message(
        self,
        message: Message,
        state: str,
        *,
        due_at: datetime | None = None,
        sent_at: datetime | None = None,
        error: str = "",
    ) -> None:
        """Say what became of a message that was claimed as it is given here."""
        ...

    def messages(self, deployment: str | None = None, limit: int = 100) -> list[Message]:
        """Return the newest messages, waiting, sent and given up."""
        ...

    def backfills(self, backfill: str | None = None) -> list[BackfillProgress]:
        """Return how far every backfill is, or one of them, newest first."""
        ...

    def backfills_like(self, part: str) -> list[str]:
        """Return up to two ids of backfills that begin or end with `part`."""
        ...

    def record_value(self, run_id: str, name: str, value: Any, now: datetime, task: str | None = None) -> None:
        """Keep a value that a run recorded, in place of an earlier one of that name."""
        ...

    def recorded(self, run_id: str | None = None, *, backfill: str | None = None) -> Mapping[str, Mapping[str, Any]]:
        """Return the values that a run, or each of a backfill's, recorded: by run, then by name."""
        ...

    # assets
    def assets(self) -> list[KnownAsset]:
        """Return every asset that a run has made, tried to make, or made others from, by key."""
        ...

    def materializations(self, asset: str | None = None, limit: int = 100) -> list[Materialization]:
        """Return the times that an asset, or any, was made or not, the newest first."""
        ...

    # workers
    def beat(self, owner: str, name: str, slots: int, now: datetime) -> None:
        """Show that a worker lives."""
        ...

    def remove_worker(self, owner: str) -> None:
        """Forget a worker that has ended."""
        ...

    def workers(self) -> list[WorkerRow]:
        """Return the workers that have not said good-bye."""
        ...

    def now(self) -> datetime:
        """Return the time as the store has it, which all who share it can go by."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what ``orch doctor`` shows: kind, place, version, size."""
        ...

    # forgetting
    def whole_runs(self) -> list[tuple[FlowRun, bool]]:
        """Return every run that is no part of another, newest first, each with whether it may be forgotten."""
        ...

    def run_ids(self) -> set[str]:
        """Return the id of every run."""
        ...

    def run_bytes(self, run_id: str) -> int:
        """Return about how many bytes are kept of a run and of those that are parts of it."""
        ...

    def forget_run(self, run_id: str) -> bool:
        """Remove a run that has ended, its parts, and all that was written about them; False if it goes on."""
        ...

    def snapshots_used(self, without: set[str]) -> set[str]:
        """Return the paths of what deployments, their versions and runs execute; runs in `without` do not count."""
        ...

    def compact(self) -> None:
        """Give the space of what was removed back to the disk, where the database does not do so by itself."""
        ...

    @property
    def migrated_from(self) -> int:
        """The schema that was found when the store was opened, 0 if it was made then."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return how many rows of each kind there are."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
