"""Deployments: how a notebook comes to run by itself, and how its due times become runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from orch_notebook.errors import NotFound, ParameterError, UsageError
from orch_notebook.functions.arguments import BY_NAME
from orch_notebook.functions.entrypoints import Entrypoint
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.headers import is_task_name
from orch_notebook.model.parameters import Parameter
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import Schedule, schedule_from_json
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.due import close_schedules, end_waiting, run_of
from orch_notebook.promotion.following import check_rules
from orch_notebook.promotion.launching import STARTING
from orch_notebook.promotion.modules import plan_flow
from orch_notebook.promotion.notebooks import check_kernel, kernel_of, parameters_of, read_notebook, snapshot
from orch_notebook.promotion.terms import Given, Terms, Timed, read_given, read_started
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = [
    "compose",
    "find",
    "find_version",
    "pause",
    "promote",
    "remove",
    "roll_back",
    "save",
    "submit",
    "trigger",
]

SCHEDULED = State(StateType.SCHEDULED)


def promote(
    store: Store,
    settings: Settings,
    now: datetime,
    notebook: Path | Entrypoint,
    name: str,
    *,
    schedules: Sequence[Schedule | Timed] = (),
    parameters: Given | None = None,
    terms: Terms | None = None,
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
    notebook : Path or Entrypoint
        The notebook, or the flow of a module; a copy of the file's present content is pinned, its folder becomes the
        working directory.
    name : str
        The deployment's name.
    schedules : sequence of Schedule or Timed
        When it runs by itself, each perhaps with values of its own; none means on request only.
    parameters : mapping or sequence of str
        Values in place of the notebook's own, by name or as ``name=value`` words.
    terms : Terms
        How its runs are made and executed.

    Raises
    ------
    UsageError
        The name is not right.
    NotebookError
        The notebook cannot be read, or its kernel is not installed.
    ParameterError
        A parameter is unknown, missing or ill-typed.
    CycleError
        Deployments would start each other for ever.
    """
    made = compose(settings, now, notebook, name, schedules=schedules, parameters=parameters, terms=terms)
    check_rules(store, [made])
    return save(store, settings, now, made)


def save(store: Store, settings: Settings, now: datetime, deployment: Deployment) -> Deployment:
    """Keep a deployment; due times of its schedules so far that nobody saw get their rows first."""
    close_schedules(store, deployment.name, now, settings.late, "promoted anew")
    return store.save_deployment(deployment)


def compose(
    settings: Settings,
    now: datetime,
    notebook: Path | Entrypoint,
    name: str,
    *,
    schedules: Sequence[Schedule | Timed] = (),
    parameters: Given | None = None,
    terms: Terms | None = None,
) -> Deployment:
    """Return the deployment that :func:`promote` would keep; its notebook is pinned already."""
    if not is_task_name(name):
        raise UsageError(f"A deployment's name may hold letters, digits, '_', '-' and '.', so not {name!r}.")
    terms = terms or Terms()
    if isinstance(notebook, Entrypoint):
        planned = plan_flow(settings, notebook, terms)
        plan, schema, flow = planned.plan, planned.schema, planned.flow.name
        check: Callable[[Mapping[str, Any]], object] = planned.check
    else:
        plan, schema = _plan(settings, notebook, terms)
        flow, check = notebook.stem, dict
    given, starts_after = read_started(schema, parameters or {}, terms.starts_after, taker=plan.taker)
    timed = [each if isinstance(each, Timed) else Timed(each) for each in schedules]
    found = [(each.schedule, _check_timed(schema, each, given, plan.taker)) for each in timed]
    for values in (given, *(own for _, own in found)):
        _refuse_open_secrets(schema, values)
    # What a run before gives is known when there is one.
    for values in (*(() if starts_after else (given,)), *(own for _, own in found)):
        check(values)
    return Deployment(
        name=name,
        version=0,
        flow=flow,
        plan=plan,
        parameters=given,
        schema=tuple(parameter.to_json() for parameter in schema),
        created_at=now,
        updated_at=now,
        schedules=tuple(_row(name, schedule, own, now) for schedule, own in found),
        catch_up=terms.catch_up,
        starts_after=starts_after,
        notices=terms.notify,
        keep=terms.keep,
    )


def remove(store: Store, settings: Settings, now: datetime, owner: str, name: str) -> None:
    """Take a deployment away with its schedules and versions; its runs stay, those that wait are missed.

    Raises
    ------
    NotFound
        There is none of that name.
    """
    find(store, name)
    close_schedules(store, name, now, settings.late, "removed")
    store.remove_deployment(name)
    for run in store.runs(deployment=name, state=StateType.SCHEDULED.value, limit=1_000_000):
        end_waiting(store, run, owner, now, State(StateType.CANCELLED, "Missed", "The deployment was removed."))


def _refuse_open_secrets(schema: Sequence[Parameter], given: Mapping[str, Any]) -> None:
    """Refuse the values of secrets among parameters, which would lie open in the store."""
    for parameter in schema:
        name, value = parameter.name, given.get(parameter.name)
        if isinstance(value, str) and "Secret" in parameter.annotation and not value.startswith(BY_NAME):
            raise ParameterError(
                f"Parameter {name!r} is a secret, and would lie open in the store. "
                f"Keep it with 'orch secret set {name}' and give its name: {name}={BY_NAME}{name}",
                parameter=name,
            )


def _check_timed(schema: Sequence[Parameter], timed: Timed, standing: Mapping[str, Any], taker: str) -> dict[str, Any]:
    checked = read_given(schema, timed.parameters, standing=standing, taker=taker)
    return {name: checked[name] for name in timed.parameters}


def _row(deployment: str, schedule: Schedule, parameters: Mapping[str, Any], now: datetime) -> ScheduleRow:
    return ScheduleRow(new_run_id(now), deployment, schedule.to_json(), now, schedule.next(now), parameters)


def _plan(settings: Settings, notebook: Path, terms: Terms) -> tuple[Plan, tuple[Parameter, ...]]:
    path = notebook.expanduser().absolute()
    content = read_notebook(path)
    check_kernel(terms.kernel or kernel_of(content))
    pinned = path if terms.track else snapshot(path, settings.folder("snapshots"))
    return terms.plan(path, pinned), parameters_of(content)


def roll_back(store: Store, settings: Settings, now: datetime, name: str, version: int) -> Deployment:
    """Promote an earlier version of a deployment again; its schedules count from now.

    Raises
    ------
    NotFound
        There is no such deployment, or no such version of it.
    """
    find(store, name)
    old = find_version(store, name, version)
    close_schedules(store, name, now, settings.late, "rolled back")
    rows = tuple(_row(name, schedule_from_json(row.rule), row.parameters, now) for row in old.schedules)
    return store.save_deployment(replace(old, created_at=now, updated_at=now, schedules=rows))


def find_version(store: Store, name: str, version: int) -> Deployment:
    """Return a deployment as one of its versions had it.

    Raises
    ------
    NotFound
        There is no such deployment, or no such version of it.
    """
    find(store, name)
    kept = {old.version: old for old in store.versions(name)}
    if version not in kept:
        there = ", ".join(map(str, kept)) or "none"
        raise NotFound(f"Deployment {name!r} has no version {version}. Kept are: {there}.", name=name)
    return kept[version]


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
    given = read_given(schema, parameters, standing=deployment.parameters, taker=deployment.plan.taker)
    _refuse_open_secrets(schema, given)
    run = run_of(deployment, given, now, due_at=now)
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
    instead: Path | None = None,
) -> FlowRun:
    """Make a run of a notebook that no deployment stands for, claimed by `owner`, who executes it.

    What is executed is the notebook, or another `instead`, in the notebook's folder.

    Raises
    ------
    NotebookError, ParameterError
        As for :func:`promote`.
    """
    plan, schema = _plan(settings, notebook, Terms(timeout=timeout, kernel=kernel))
    if instead is not None:
        plan, schema = replace(plan, snapshot=str(instead)), ()
    given = read_given(schema, parameters)
    run = FlowRun(
        run_id=new_run_id(now),
        flow=notebook.stem,
        state=SCHEDULED,
        created_at=now,
        due_at=now,
        parameters=given,
        notebook=plan.notebook,
        path=str(Path(plan.notebook).resolve()),
    )
    store.create_run(run, plan=plan, owner=owner, lease_expires_at=now + timedelta(seconds=STARTING))
    return run


def pause(store: Store, settings: Settings, now: datetime, name: str, is_paused: bool, reason: str = "") -> Deployment:
    """Let the schedules of a deployment rest, or wake them; what passes meanwhile leaves no rows.

    Raises
    ------
    NotFound
        There is none of that name.
    """
    found = find(store, name)
    if found.is_paused != is_paused:
        if is_paused:
            close_schedules(store, name, now, settings.late, "paused")
        else:
            for row in found.schedules:
                if row.seen_until < now:
                    store.advance_schedule(row, now, schedule_from_json(row.rule).next(now), ())
    if found.is_paused != is_paused or (is_paused and reason != found.pause_reason):
        store.pause_deployment(name, is_paused, now, reason if is_paused else "")
    return find(store, name)
