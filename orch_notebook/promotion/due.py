"""Due times: how each becomes exactly one row, and how schedules rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orch_notebook.errors import ScheduleError
from orch_notebook.model.deployments import Deployment, Plan, ScheduleRow
from orch_notebook.model.policies import CatchUp
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.schedules import schedule_from_json
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.recovery import end_lost_run
from orch_notebook.runtime.store import Store

__all__ = ["close_schedules", "end_waiting", "materialise", "run_of"]

#: Due times materialised from one schedule at one look, so that years of backlog do not fill the memory.
LIMIT = 10_000


def materialise(store: Store, now: datetime, late: float) -> datetime | None:
    """Turn every due time up to `now` into exactly one row, and return when the next one comes.

    Of the due times that were already late when they were first seen (nothing looked for so long), the deployment's
    catch-up policy says which become runs; the others become rows named Missed, each with its reason.

    Parameters
    ----------
    store : Store
        Where schedules and runs are.
    now : datetime
        The present instant.
    late : float
        Seconds past its due time after which a run is late.
    """
    for row in store.schedules_due(now):
        with suppress(ScheduleError):  # a zone that this machine does not know; another one may
            schedule = schedule_from_json(row.rule)
            # By no more than `LIMIT` at a time: the newest of them all are known once the last batch is read.
            while due := schedule.due(row.seen_until, now, limit=LIMIT):
                following = schedule.next(due[-1])
                is_last = following is None or following > now
                if not _make_rows(store, row, due, following, now, late, is_last=is_last):
                    break  # another worker was quicker
                if is_last:
                    break
                row = replace(row, seen_until=due[-1])
            else:
                store.advance_schedule(row, now, schedule.next(now), ())
    return store.next_schedule_at(now)


def close_schedules(store: Store, name: str, now: datetime, late: float, what: str) -> None:
    """Give each due time so far of a deployment's schedules its row, before it is `what`: promoted anew, paused."""
    why = f"The deployment was {what} before a worker saw this due time."
    deployment = store.deployment(name)
    if deployment is None or deployment.is_paused:
        return
    for row in deployment.schedules:
        with suppress(ScheduleError):
            schedule = schedule_from_json(row.rule)
            while due := schedule.due(row.seen_until, now, limit=LIMIT):
                _make_rows(store, row, due, schedule.next(due[-1]), now, late, why=why)
                row = replace(row, seen_until=due[-1])


def _make_rows(
    store: Store,
    row: ScheduleRow,
    due: Sequence[datetime],
    following: datetime | None,
    now: datetime,
    late: float,
    *,
    is_last: bool = False,
    why: str | None = None,
) -> bool:
    """Give due times their rows; with a reason `why`, all that are late are missed for it."""
    deployment = store.deployment(row.deployment)
    if deployment is None:
        return False
    policy = deployment.catch_up
    if why is not None:
        policy = CatchUp(newest=0)
    elif not is_last and policy.newest is not None:
        policy = replace(policy, newest=0)  # newer ones follow in the next batch
    missed = set(policy.missed(due, now, late))
    parameters = {**deployment.parameters, **row.parameters}
    runs: list[tuple[FlowRun, Plan | None]] = []
    for due_at in due:
        run = run_of(deployment, parameters, now, due_at=due_at)
        if due_at in missed:
            runs.append((_missed(run, now, why or deployment.catch_up.reason), None))
        else:
            runs.append((run, deployment.plan))
    reach("due.reckoned")
    is_mine = store.advance_schedule(row, due[-1], following, runs)
    reach("due.made")
    return is_mine


def _missed(run: FlowRun, now: datetime, why: str) -> FlowRun:
    return replace(run, state=State(StateType.CANCELLED, "Missed", why), ended_at=now)


def run_of(deployment: Deployment, parameters: Mapping[str, Any], now: datetime, *, due_at: datetime) -> FlowRun:
    """Return the run of a deployment for a due time, as it waits for a worker."""
    return FlowRun(
        run_id=new_run_id(now),
        flow=deployment.flow,
        state=State(StateType.SCHEDULED),
        created_at=now,
        tags=deployment.plan.tags,
        deployment=deployment.name,
        due_at=due_at,
        parameters=dict(parameters),
        notebook=None if deployment.plan.entrypoint else deployment.plan.notebook,
        path=str(Path(deployment.plan.notebook).resolve()),
    )


def end_waiting(store: Store, run: FlowRun, owner: str, now: datetime, state: State) -> bool:
    """End a run that nobody has begun; False when somebody was quicker."""
    lease = store.claim_run(run.run_id, owner, "", now + timedelta(seconds=30), is_limited=False)
    if lease is None:
        return False
    end_lost_run(store, lease, state, now)
    store.release(lease)
    return True
