"""Rows to values and values to rows: the one place that knows how facts are laid out in tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orch_notebook.model.assets import Materialization, read_made
from orch_notebook.model.chains import After
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.events import (
    Event,
    LogWritten,
    RunCreated,
    RunStateChanged,
    TaskStateChanged,
    event_from_json,
)
from orch_notebook.model.graph import Graph
from orch_notebook.model.notices import Notice
from orch_notebook.model.policies import CatchUp
from orch_notebook.model.retention import Retention
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import FINAL, State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.redaction import redactor
from orch_notebook.runtime.store import Lease, LogLine, WorkerRow

__all__ = [
    "Batch",
    "deployment_from_row",
    "deployment_parameters",
    "dumps",
    "event_from_row",
    "facts",
    "instant",
    "known_instant",
    "lease_from_row",
    "log_from_row",
    "naming",
    "past_task_run",
    "plan_from_text",
    "run_from_row",
    "run_parameters",
    "schedule_from_row",
    "seconds",
    "storable",
    "task_run_from_row",
    "task_runs",
    "version_from_row",
    "version_text",
    "worker_from_row",
]

Row = Mapping[str, Any]


def seconds(instant: datetime | None) -> float | None:
    """Return an instant as the store keeps it."""
    return None if instant is None else instant.timestamp()


def instant(value: float | None) -> datetime | None:
    """Return what :func:`seconds` wrote as an aware instant."""
    return None if value is None else datetime.fromtimestamp(value, UTC)


def known_instant(value: float) -> datetime:
    """Return an instant that is always there."""
    return datetime.fromtimestamp(value, UTC)


def dumps(value: Any) -> str:
    """Write JSON; what JSON does not know is written as its text rather than lost."""
    return json.dumps(value, default=str, separators=(",", ":"))


def storable(text: str) -> str:
    """Return text as UTF-8 can hold it: half characters, as in names of files in another encoding, are spelled out.

    Examples
    --------
    >>> storable("caf\\udce9 ☕")
    'caf\\\\udce9 ☕'
    """
    text = redactor.redact(text)
    if "\0" in text:  # PostgreSQL knows no such character
        text = text.replace("\0", "\\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def facts(value: Any) -> str:
    """Write what a run tells as JSON, without the values of secrets."""
    return redactor.redact(dumps(value))


def run_parameters(
    run: FlowRun, schedule_id: str | None, plan: Plan | None, owner: str | None, lease_expires_at: datetime | None
) -> dict[str, Any]:
    """Return the parameters of ``create_run``."""
    return {
        "run_id": run.run_id,
        "flow": run.flow,
        "deployment": run.deployment,
        "schedule_id": schedule_id,
        "parent_run_id": run.parent_run_id,
        "retry_of": run.retry_of,
        "upstream_run_id": run.upstream_run_id,
        "state_type": run.state.type.value,
        "state_name": run.state.name,
        "state_message": run.state.message,
        "attempt": run.attempt,
        "parameters": dumps(dict(run.parameters)),
        "plan": None if plan is None else dumps(plan.to_json()),
        "due_at": seconds(run.due_at),
        "created_at": seconds(run.created_at),
        "ended_at": seconds(run.ended_at),
        "notebook": run.notebook,
        "executed_notebook": run.executed_notebook,
        "path": run.path,
        "worker": run.worker,
        "owner": owner,
        "lease_token": 1 if owner else 0,
        "lease_expires_at": seconds(lease_expires_at),
        "queue": "default" if plan is None else plan.queue,
        "priority": 0 if plan is None else plan.priority,
        "concurrency": None if plan is None else plan.concurrency,
        "limited_as": run.backfill or run.deployment,
        "backfill": run.backfill,
        **naming(run),
    }


def naming(run: FlowRun) -> dict[str, str]:
    """Return what a run is called, and what is known of its flow, as parameters."""
    return {"name": storable(run.name), "tags": dumps(run.tags), "about": dumps(dict(run.about))}


def plan_from_text(text: str) -> Plan:
    """Return how a worker executes a run."""
    return Plan.from_json(json.loads(text))


def run_from_row(
    row: Row, created: str | None = None, tasks: Iterable[Row] | None = None, added: Iterable[str] = ()
) -> FlowRun:
    """Return a run; with its graph and tasks where the data of its first event and the rows of its tasks are given.

    `added` is the data of the events of tasks that appeared later, in their order.
    """
    graph = Graph.from_json(json.loads(created)["graph"]) if created else Graph()
    later = [json.loads(data) for data in added]
    graph = graph.extended((Task.from_json(each["task"]), each["upstream"]) for each in later)
    run_id = row["run_id"]
    return FlowRun(
        run_id=run_id,
        flow=row["flow"],
        state=State(StateType(row["state_type"]), row["state_name"], row["state_message"]),
        created_at=known_instant(row["created_at"]),
        name=row["name"],
        tags=tuple(json.loads(row["tags"])),
        about=json.loads(row["about"]),
        attempt=row["attempt"],
        deployment=row["deployment"],
        backfill=row["backfill"],
        parent_run_id=row["parent_run_id"],
        retry_of=row["retry_of"],
        upstream_run_id=row["upstream_run_id"],
        due_at=instant(row["due_at"]),
        started_at=instant(row["started_at"]),
        ended_at=instant(row["ended_at"]),
        parameters=json.loads(row["parameters"]),
        worker=row["worker"],
        notebook=row["notebook"],
        executed_notebook=row["executed_notebook"],
        path=row["path"],
        graph=graph,
        tasks=tuple(task_runs(run_id, graph, tasks)) if tasks is not None else (),
    )


def task_runs(run_id: str, graph: Graph, rows: Iterable[Row]) -> list[TaskRun]:
    """Return every task run in the order of the graph, then those of which only the row is known."""
    by_task = {row["task"]: row for row in rows}
    found = []
    for task in graph.tasks:
        row = by_task.pop(task.name, None)
        found.append(TaskRun(run_id, task) if row is None else task_run_from_row(task, row))
    found += [task_run_from_row(Task(row["task"]), row) for row in by_task.values()]
    return found


def past_task_run(row: Row) -> TaskRun:
    """Return where a task stood in an earlier run; of its definition only the name is known."""
    state = State(StateType(row["state_type"]), row["state_name"], row["state_message"])
    began, ended = instant(row["started_at"]), instant(row["ended_at"])
    return TaskRun(row["run_id"], Task(row["task"]), state, row["attempt"], began, ended)


def task_run_from_row(task: Task, row: Row) -> TaskRun:
    """Return one task run."""
    return TaskRun(
        run_id=row["run_id"],
        task=task,
        state=State(StateType(row["state_type"]), row["state_name"], row["state_message"]),
        attempt=row["attempt"],
        started_at=instant(row["started_at"]),
        ended_at=instant(row["ended_at"]),
        details=json.loads(row["details"]) if row["details"] else {},
    )


class Batch:
    """The rows that a group of events of one run becomes."""

    __slots__ = ("created", "events", "logs", "made", "run_states", "tasks")

    def __init__(self, run_id: str, events: Sequence[tuple[int, Event]]) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.logs: list[tuple[Any, ...]] = []
        self.run_states: list[RunStateChanged] = []
        self.created: RunCreated | None = None
        #: Assets that were made, with the number of the event that says so.
        self.made: list[tuple[int, Materialization]] = []
        # Per task only the latest state goes into task_runs: a fast task costs one upsert, not one per state.
        self.tasks: dict[str, list[Any]] = {}
        for seq, event in events:
            at = event.at.timestamp()
            if isinstance(event, TaskStateChanged):
                self._add_task_state(run_id, seq, at, event)
            elif isinstance(event, LogWritten):
                self.logs.append((run_id, seq, at, event.task, event.attempt, event.level, storable(event.text)))
            elif isinstance(event, RunStateChanged):
                state = event.state
                message = storable(state.message)
                self.events.append(
                    (run_id, seq, at, "RunStateChanged", None, None, state.type.value, state.name, message, None)
                )
                self.run_states.append(event)
            else:
                data = facts(event.to_json())
                self.events.append((run_id, seq, at, type(event).__name__, None, None, None, None, None, data))
                if isinstance(event, RunCreated):
                    self.created = event
                else:
                    # What it is stands in the event; here only that there is one.
                    self.tasks[event.task.name] = [
                        run_id, event.task.name, "added", 0, "PENDING", "Pending", "", None, None, None,
                    ]  # fmt: skip

    def _add_task_state(self, run_id: str, seq: int, at: float, event: TaskStateChanged) -> None:
        state = event.state
        kind, task, message = state.type, event.task, storable(state.message)
        value = kind._value_  # the plain string; the public property costs ten times as much
        details = facts(dict(event.details)) if event.details else None
        self.events.append(
            (run_id, seq, at, "TaskStateChanged", task, event.attempt, value, state.name, message, details)
        )
        row = self.tasks.get(task)
        if row is None:
            row = self.tasks[task] = [
                run_id, task, None, event.attempt, value, state.name, message, None, None, None,
            ]  # fmt: skip
        else:
            row[3:7] = event.attempt, value, state.name, message
        if kind is StateType.RUNNING:
            row[7] = at
        row[8] = at if kind in FINAL else None
        row[9] = details
        if event.details and "assets" in event.details:
            said = read_made(run_id, task, event.attempt, event.at, kind, event.details)
            self.made += [(seq, made) for made in said]


def event_from_row(row: Row) -> Event:
    """Return a recorded event."""
    kind, data = row["kind"], row["data"]
    at = known_instant(row["at"])
    if kind == "TaskStateChanged":
        state = State(StateType(row["state_type"]), row["state_name"], row["message"])
        return TaskStateChanged(at, row["task"], row["attempt"], state, json.loads(data) if data else None)
    if kind == "RunStateChanged":
        return RunStateChanged(at, State(StateType(row["state_type"]), row["state_name"], row["message"]))
    return event_from_json(kind, row["at"], json.loads(data))


def log_from_row(row: Row) -> LogLine:
    """Return a stored line."""
    return LogLine(row["seq"], known_instant(row["at"]), row["task"], row["attempt"], row["level"], row["text"])


def lease_from_row(row: Row) -> Lease:
    """Return a lease that is held."""
    return Lease(row["run_id"], row["owner"], row["lease_token"], known_instant(row["lease_expires_at"] or 0.0))


def deployment_parameters(deployment: Deployment) -> dict[str, Any]:
    """Return the parameters of ``upsert_deployment``."""
    return {
        "name": deployment.name,
        "flow": deployment.flow,
        "plan": dumps(deployment.plan.to_json()),
        "parameters": dumps(dict(deployment.parameters)),
        "schema": dumps([dict(parameter) for parameter in deployment.schema]),
        "catch_up": deployment.catch_up.text,
        "starts_after": dumps([rule.to_json() for rule in deployment.starts_after]),
        "notices": dumps([notice.to_json() for notice in deployment.notices]),
        "keep": deployment.keep.text,
        "now": seconds(deployment.updated_at),
    }


def deployment_from_row(row: Row, schedules: Iterable[ScheduleRow]) -> Deployment:
    """Return a deployment."""
    return Deployment(
        name=row["name"],
        version=row["version"],
        flow=row["flow"],
        plan=plan_from_text(row["plan"]),
        parameters=json.loads(row["parameters"]),
        schema=tuple(json.loads(row["schema"])),
        created_at=known_instant(row["created_at"]),
        updated_at=known_instant(row["updated_at"]),
        schedules=tuple(schedules),
        is_paused=bool(row["is_paused"]),
        pause_reason=row["pause_reason"],
        catch_up=CatchUp.parse(row["catch_up"]),
        starts_after=tuple(After.from_json(rule) for rule in json.loads(row["starts_after"])),
        notices=tuple(Notice.from_json(notice) for notice in json.loads(row["notices"])),
        keep=Retention.parse(row["keep"]),
    )


def version_text(deployment: Deployment) -> str:
    """Return what is kept of a version: all that was promoted."""
    schedules = [{"rule": dict(row.rule), "parameters": dict(row.parameters)} for row in deployment.schedules]
    kept = {**deployment_parameters(deployment), "schedules": schedules}
    return dumps(kept)


def version_from_row(row: Row) -> Deployment:
    """Return a deployment as one of its versions had it."""
    kept, at = json.loads(row["data"]), row["created_at"]
    schedules = [
        ScheduleRow("", row["name"], schedule["rule"], known_instant(at), None, schedule["parameters"])
        for schedule in kept["schedules"]
    ]
    # A version is promoted once and never rests.
    stood = {"version": row["version"], "created_at": at, "updated_at": at, "is_paused": 0, "pause_reason": ""}
    # Versions of earlier releases lack what there was not yet.
    return deployment_from_row({"starts_after": "[]", "notices": "[]", "keep": "", **kept, **stood}, schedules)


def schedule_from_row(row: Row) -> ScheduleRow:
    """Return a schedule."""
    rule = json.loads(row["rule"])
    return ScheduleRow(
        row["schedule_id"],
        row["deployment"],
        rule,
        known_instant(row["seen_until"]),
        instant(row["next_at"]),
        json.loads(row["parameters"]),
        bool(row["is_paused"]),
    )


def worker_from_row(row: Row) -> WorkerRow:
    """Return a worker."""
    return WorkerRow(
        row["owner"], row["name"], row["slots"], known_instant(row["started_at"]), known_instant(row["heartbeat_at"])
    )
