"""Deployments: how a notebook comes to run by itself, and how its due times become runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from orch_notebook.errors import NotFound, ScheduleError, UsageError
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.durations import parse_interval
from orch_notebook.model.headers import is_task_name
from orch_notebook.model.parameters import Parameter, check_parameters, parse_assignments
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import Cron, Interval, Once, Schedule, schedule_from_json
from orch_notebook.model.states import State, StateType
from orch_notebook.model.zones import parse_instant
from orch_notebook.promotion.notebooks import check_kernel, kernel_of, parameters_of, read_notebook, snapshot
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = [
    "STARTING",
    "Given",
    "find",
    "materialise",
    "pause",
    "promote",
    "read_given",
    "read_schedules",
    "submit",
    "trigger",
]

#: Parameters by name, or as the words of a command line.
Given = Mapping[str, Any] | Sequence[str]

SCHEDULED = State(StateType.SCHEDULED)
#: Why a due time was missed that passed while nothing looked.
OVERTAKEN = "No worker looked at its due time; a later one was caught up with instead."
#: Due times materialised from one schedule at one look, so that years of backlog do not fill the memory.
LIMIT = 10_000
#: Seconds that the process of a claimed run may take to begin; many that start at once share the processors.
STARTING = 60.0


def read_given(
    schema: Sequence[Parameter], given: Given, *, standing: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return parameters as they are passed on, checked by name and type.

    Parameters
    ----------
    schema : sequence of Parameter
        What the notebook takes.
    given : mapping or sequence of str
        By name, or as ``name=value`` words of a command line.
    standing : mapping, optional
        What holds where nothing is given.

    Raises
    ------
    ParameterError
        One is unknown, missing or ill-typed.
    """
    values = dict(given) if isinstance(given, Mapping) else parse_assignments(given, schema)
    return check_parameters(schema, {**(standing or {}), **values})


def read_schedules(
    now: datetime, crons: Sequence[str], intervals: Sequence[str], instants: Sequence[str], timezone: str | None
) -> list[Schedule]:
    """Return the schedules that the options ``--cron``, ``--every``, ``--at`` and ``--tz`` describe.

    Parameters
    ----------
    now : datetime
        Intervals count from here.

    Raises
    ------
    ScheduleError
        One of them does not parse; the message says which part.
    """
    if timezone is not None and not crons and not instants:
        raise ScheduleError("A time zone goes with a cron expression or a moment; give --cron or --at too.")
    zone = timezone or "UTC"
    found: list[Schedule] = [Cron(expression, zone) for expression in crons]
    found += [Interval(parse_interval(length), now) for length in intervals]
    found += [Once(parse_instant(text, zone)) for text in instants]
    for schedule in found:
        if schedule.next(now) is None:
            raise ScheduleError(f"This schedule has no due time ahead: {schedule.words()}.")
    return found


def promote(
    store: Store,
    settings: Settings,
    now: datetime,
    notebook: Path,
    name: str,
    *,
    schedules: Sequence[Schedule] = (),
    parameters: Given | None = None,
    retries: int = 0,
    retry_delay: float = 0.0,
    timeout: float | None = None,
    kernel: str | None = None,
) -> Deployment:
    """Make a notebook runnable by itself, or promote it anew under the same name.

    Parameters
    ----------
    store : Store
        Where the deployment is kept.
    settings : Settings
        Where the pinned copy goes.
    now : datetime
        Schedules count from here.
    notebook : Path
        The notebook; a copy of its present content is pinned, its folder becomes the working directory.
    name : str
        The deployment's name.
    schedules : sequence of Schedule
        When it runs by itself; none means on request only.
    parameters : mapping or sequence of str
        Values in place of the notebook's own, by name or as ``name=value`` words.
    retries : int
        How often a run that failed or crashed is repeated.
    retry_delay : float
        Seconds before each repetition.
    timeout : float or None
        Seconds a run may take.
    kernel : str or None
        Name of the kernel; None takes the notebook's own.

    Raises
    ------
    UsageError
        The name or a number is not right.
    NotebookError
        The notebook cannot be read, or its kernel is not installed.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    """
    if not is_task_name(name):
        raise UsageError(f"A deployment's name may hold letters, digits, '_', '-' and '.', so not {name!r}.")
    plan, schema = _plan(settings, notebook, retries, retry_delay, timeout, kernel)
    given = read_given(schema, parameters or {})
    _close(store, name, now, settings.late, "The deployment was promoted anew before a worker saw this due time.")
    rows = tuple(ScheduleRow(new_run_id(now), name, schedule.to_json(), now) for schedule in schedules)
    deployment = Deployment(
        name=name,
        version=0,
        flow=notebook.stem,
        plan=plan,
        parameters=given,
        schema=tuple(parameter.to_json() for parameter in schema),
        created_at=now,
        updated_at=now,
        schedules=rows,
    )
    return store.save_deployment(deployment)


def _plan(
    settings: Settings, notebook: Path, retries: int, retry_delay: float, timeout: float | None, kernel: str | None
) -> tuple[Plan, tuple[Parameter, ...]]:
    if retries < 0 or retry_delay < 0 or (timeout is not None and timeout <= 0):
        raise UsageError("Retries and their delay must not be negative, and a timeout must be more than 0 seconds.")
    path = notebook.expanduser().absolute()
    content = read_notebook(path)
    check_kernel(kernel or kernel_of(content))
    pinned = snapshot(path, settings.folder("snapshots"))
    plan = Plan(str(path), str(pinned), str(path.parent), kernel, retries, retry_delay, timeout)
    return plan, parameters_of(content)


def find(store: Store, name: str) -> Deployment:
    """Return a deployment.

    Raises
    ------
    NotFound
        There is none of that name; the message has the nearest spelling.
    """
    deployment = store.deployment(name)
    if deployment is None:
        names = [other.name for other in store.deployments()]
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " 'orch deployments' lists them."
        raise NotFound(f"There is no deployment {name!r}.{hint}", name=name)
    return deployment


def trigger(store: Store, now: datetime, name: str, parameters: Given) -> FlowRun:
    """Make a run of a deployment that is due now.

    Raises
    ------
    NotFound
        There is none of that name.
    ParameterError
        A parameter is unknown or ill-typed.
    """
    deployment = find(store, name)
    schema = tuple(Parameter.from_json(parameter) for parameter in deployment.schema)
    given = read_given(schema, parameters, standing=deployment.parameters)
    run = _run_of(deployment, given, now, due_at=now)
    store.create_run(run, plan=deployment.plan)
    return run


def submit(
    store: Store,
    settings: Settings,
    now: datetime,
    notebook: Path,
    parameters: Given,
    owner: str,
    *,
    timeout: float | None = None,
    kernel: str | None = None,
) -> FlowRun:
    """Make a run of a notebook that no deployment stands for, claimed by `owner`, who executes it.

    Raises
    ------
    NotebookError, ParameterError
        As for :func:`promote`.
    """
    plan, schema = _plan(settings, notebook, 0, 0.0, timeout, kernel)
    given = read_given(schema, parameters)
    run = FlowRun(
        run_id=new_run_id(now),
        flow=notebook.stem,
        state=SCHEDULED,
        created_at=now,
        due_at=now,
        parameters=given,
        notebook=plan.notebook,
    )
    store.create_run(run, plan=plan, owner=owner, lease_expires_at=now + timedelta(seconds=STARTING))
    return run


def _run_of(deployment: Deployment, parameters: Mapping[str, Any], now: datetime, *, due_at: datetime) -> FlowRun:
    return FlowRun(
        run_id=new_run_id(now),
        flow=deployment.flow,
        state=SCHEDULED,
        created_at=now,
        deployment=deployment.name,
        due_at=due_at,
        parameters=dict(parameters),
        notebook=deployment.plan.notebook,
    )


def materialise(store: Store, now: datetime, late: float) -> datetime | None:
    """Turn every due time up to `now` into exactly one row, and return when the next one comes.

    Due times that were already late when they were first seen (nothing looked for so long) are caught up with by
    their newest alone; the others become rows named Missed, each with its reason.

    Parameters
    ----------
    store : Store
        Where schedules and runs are.
    now : datetime
        The present instant.
    late : float
        Seconds past its due time after which a run is late.
    """
    upcoming: list[datetime] = []
    for row in store.schedules():
        if row.is_paused:
            continue
        try:
            schedule = schedule_from_json(row.rule)
            due = schedule.due(row.seen_until, now, limit=LIMIT)
            following = schedule.next(due[-1] if len(due) == LIMIT else now)
        except ScheduleError:
            continue  # a zone that this machine does not know; another one may
        if due:
            is_last = following is None or following > now
            _make_rows(store, row, due, now, late, OVERTAKEN, catch_up=is_last)
        if following is not None:
            upcoming.append(following)
    return min(upcoming, default=None)


def pause(store: Store, settings: Settings, now: datetime, name: str, is_paused: bool) -> Deployment:
    """Let the schedules of a deployment rest, or wake them; what passes meanwhile leaves no rows.

    Raises
    ------
    NotFound
        There is none of that name.
    """
    if find(store, name).is_paused != is_paused:
        if is_paused:
            _close(store, name, now, settings.late, "The deployment was paused before a worker saw this due time.")
        else:
            for row in store.schedules():
                if row.deployment == name and row.seen_until < now:
                    store.advance_schedule(row, now, ())
        store.pause_deployment(name, is_paused, now)
    return find(store, name)


def _close(store: Store, name: str, now: datetime, late: float, why: str) -> None:
    """Give each due time so far of a deployment's schedules its row, before those schedules are replaced or rest."""
    for row in store.schedules():
        if row.deployment == name and not row.is_paused:
            with suppress(ScheduleError):
                while due := schedule_from_json(row.rule).due(row.seen_until, now, limit=LIMIT):
                    _make_rows(store, row, due, now, late, why, catch_up=False)
                    row = replace(row, seen_until=due[-1])


def _make_rows(
    store: Store, row: ScheduleRow, due: Sequence[datetime], now: datetime, late: float, why: str, *, catch_up: bool
) -> None:
    deployment = store.deployment(row.deployment)
    if deployment is None:
        return
    stale = [due_at for due_at in due if (now - due_at).total_seconds() > late]
    missed = set(stale[:-1] if catch_up and len(stale) == len(due) else stale)
    runs: list[tuple[FlowRun, Plan | None]] = []
    for due_at in due:
        run = _run_of(deployment, deployment.parameters, now, due_at=due_at)
        if due_at in missed:
            runs.append((_missed(run, now, why), None))
        else:
            runs.append((run, deployment.plan))
    store.advance_schedule(row, due[-1], runs)


def _missed(run: FlowRun, now: datetime, why: str) -> FlowRun:
    return replace(run, state=State(StateType.CANCELLED, "Missed", why), ended_at=now)
