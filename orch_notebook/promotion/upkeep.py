"""What keeps the record of scheduled runs true: lost runs end, failed ones are repeated, late ones say so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from orch_notebook.errors import UsageError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.policies import Overlap
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.due import end_waiting
from orch_notebook.promotion.launching import end_processes
from orch_notebook.promotion.mending import mend_notebook
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.recovery import end_lost_run, recover
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store

__all__ = ["cancel", "make_way", "name_late", "next_attempt", "repeat", "settle", "sweep", "with_children"]


def sweep(
    store: Store,
    owner: str,
    now: datetime,
    performing: Collection[str] | None = None,
    stalled: dict[str, tuple[datetime, datetime]] | None = None,
    *,
    stood_still: bool = False,
) -> list[str]:
    """End every run whose owner is gone, and arrange for the retries of those that have any left.

    Parameters
    ----------
    performing : collection of str, optional
        The runs that `owner` performs; by default all that it holds.
    stalled : dict, optional
        What earlier looks saw, for who looks again and again; see :func:`recover`, as for the next.
    stood_still : bool
        Whoever looks was kept from it for a while.
    """

    def again(run: FlowRun) -> None:
        # Whoever held it may be stopped and not dead, and its kernel at work all the same.
        end_processes(run.run_id)
        repeat(store, run, store.plan(run.run_id), now)
        whole = run if run.parent_run_id is None else store.run(run.parent_run_id)
        if whole is not None:
            mend_notebook(store, whole, now)

    _end_suspended(store, owner, now)
    return recover(store, owner, now, performing=performing, stalled=stalled, stood_still=stood_still, ended=again)


def _end_suspended(store: Store, owner: str, now: datetime) -> None:
    """End the suspended runs that nobody has resumed in time."""
    late = State(StateType.FAILED, "TimedOut", "Nobody resumed the run in time.")
    for run_id in store.expired_pauses(now):
        run = store.run(run_id)
        if run is not None and store.wake_run(run_id, now):
            end_waiting(store, run, owner, now, late)


def repeat(
    store: Store, run: FlowRun, plan: Plan | None, now: datetime, *, is_returned: bool = False
) -> FlowRun | None:
    """Make the run that repeats one which failed or crashed; None when it did neither or has no retries left.

    A run that ended stays ended: its repetition is a run of its own (``retry_of``), one attempt further.  One that its
    worker has returned is repeated at once, as the same attempt.
    """
    is_returned = is_returned and run.state.type is StateType.CRASHED
    if plan is None or run.state.type not in (StateType.FAILED, StateType.CRASHED):
        return None
    if run.attempt > plan.retries and not is_returned:
        return None
    due_at = now if is_returned else now + timedelta(seconds=plan.retry_delay)
    again = next_attempt(run, now, due_at)
    if is_returned:
        again = replace(again, attempt=run.attempt)
    else:
        plan = replace(plan, again=())
    return again if store.create_run(again, plan=plan) else None


def next_attempt(run: FlowRun, now: datetime, due_at: datetime) -> FlowRun:
    """Return the run that repeats one, one attempt further."""
    return FlowRun(
        run_id=new_run_id(now),
        flow=run.flow,
        state=State(StateType.SCHEDULED, "AwaitingRetry", f"Repeats run {short_id(run.run_id)}."),
        created_at=now,
        tags=run.tags,
        attempt=run.attempt + 1,
        deployment=run.deployment,
        backfill=run.backfill,
        retry_of=run.run_id,
        due_at=due_at,
        parameters=run.parameters,
        notebook=run.notebook,
        path=run.path,
    )


def settle(store: Store, lease: Lease, said: str, now: datetime, *, is_returned: bool = False) -> FlowRun | None:
    """Make sure that the run of an execution that has ended is ended too, repeated if need be, and given back.

    Parameters
    ----------
    said : str
        How the process that executed it ended.
    is_returned : bool
        It was ended because its worker goes, so it begins again whatever its retry rule says.

    Returns
    -------
    FlowRun or None
        The run as it ended; None when somebody else has taken it over, and nothing was written.
    """
    reach("release.begun")
    if not store.renew(lease, now + timedelta(seconds=30)):
        # Its last act may have been to write the notebook as it knew it; whoever took it over had made it true.
        if (found := store.run(lease.run_id)) is not None:
            mend_notebook(store, found, now)
        return None
    died = State(StateType.CRASHED, "Crashed", f"The process that executed it {said or 'ended'}.")
    is_lost = end_lost_run(store, lease, died, now)
    reach("release.ended")
    run = store.run(lease.run_id)
    if run is not None:
        repeat(store, run, store.plan(run.run_id), now, is_returned=is_returned)
        if is_lost:
            mend_notebook(store, run, now)
    reach("release.repeated")
    store.release(lease)
    reach("release.done")
    return run


def name_late(store: Store, settings: Settings, now: datetime) -> int:
    """Name Late what should have started and has not; return how many there were."""
    return store.mark_late(now - timedelta(seconds=settings.late))


def make_way(store: Store, owner: str, now: datetime) -> None:
    """Follow the overlap policy of every run that is due while as many of its deployment go on as may.

    It waits in the queue, or is missed, or the runs that go on are asked to end.
    """
    for run_id in store.blocked_runs(now):
        run, plan = store.run(run_id), store.plan(run_id)
        if run is None or plan is None or run.deployment is None or plan.overlap is Overlap.QUEUE:
            continue
        going = [each for each in store.runs(deployment=run.deployment, limit=1000) if _stands_in_the_way(each, run)]
        if plan.overlap is Overlap.SKIP:
            names = ", ".join(short_id(each.run_id) for each in going)
            end_waiting(store, run, owner, now, State(StateType.CANCELLED, "Missed", f"Run {names} still went on."))
        else:
            for each in going:
                if each.state.type is not StateType.CANCELLING and not store.has_request(each.run_id, "cancel"):
                    store.request(each.run_id, "cancel", now)


def _stands_in_the_way(other: FlowRun, run: FlowRun) -> bool:
    goes_on = not other.state.is_final and other.state.type is not StateType.SCHEDULED
    return goes_on and other.backfill == run.backfill


def cancel(store: Store, run: FlowRun, owner: str, now: datetime) -> None:
    """Cancel a run that another process performs, or that still waits.

    Raises
    ------
    UsageError
        It has ended already.
    """
    if run.state.is_final:
        raise UsageError(f"Run {short_id(run.run_id)} has already ended: {run.state.name}.", run_id=run.run_id)
    is_suspended = run.state.name == "Suspended" and store.wake_run(run.run_id, now)
    if run.state.type is StateType.SCHEDULED or is_suspended:
        said = "Cancelled while it was suspended." if is_suspended else "Cancelled before it started."
        state = State(StateType.CANCELLED, "Cancelled", said)
        if end_waiting(store, run, owner, now, state):
            return
    store.request(run.run_id, "cancel", now)


def with_children(store: Store, run: FlowRun) -> FlowRun:
    """Return a run with the tasks of the runs that its notebook started, oldest first, added to its own."""
    if run.notebook is None:  # the runs that a flow of functions started are task runs of it already
        return run
    children = store.runs(parent_run_id=run.run_id, limit=1000)
    if not children:
        return run
    tasks = list(run.tasks)
    graph = run.graph
    for child in reversed(children):
        found = store.run(child.run_id)
        if found is not None:
            tasks.extend(found.tasks)
            graph = found.graph if not graph.tasks else graph
    return replace(run, tasks=tuple(tasks), graph=graph)
