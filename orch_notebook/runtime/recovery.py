"""Ends the runs whose owner is gone.

An owner that dies leaves its run RUNNING in the store.  Whoever looks next (a worker, every second; any other process
when it opens the store) takes the lease over, which shuts the old owner out for good, looks where each task stood,
and records that what was being performed has crashed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from orch_notebook.errors import HistoryConflict, LeaseLost
from orch_notebook.model.events import Event, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.runtime.owners import is_alive, is_dead
from orch_notebook.runtime.store import Lease, Store

__all__ = ["PATIENCE", "end_if_lost", "end_lost_run", "recover"]

#: Seconds that an owner which lives on this machine is given to renew a lease that was found expired.
PATIENCE = 4.0

CRASHED_TASK = State(StateType.CRASHED, "Lost", "The process that performed it is gone.")
PERHAPS_RAN = State(StateType.CRASHED, "Lost", "It was about to run when the process died; it may have begun.")
NEVER_RAN = State(StateType.CANCELLED, "Cancelled", "The run crashed before it could start.")


def recover(
    store: Store,
    owner: str,
    now: datetime,
    *,
    performing: Collection[str] | None = None,
    stalled: dict[str, tuple[datetime, datetime]] | None = None,
    stood_still: bool = False,
    ended: Callable[[FlowRun], object] = lambda run: None,
) -> list[str]:
    """End every run whose lease has run out or whose owner is known to be dead.

    Parameters
    ----------
    store : Store
        Where to look.
    owner : str
        Who takes them over.
    now : datetime
        The present instant.
    performing : collection of str, optional
        The runs that `owner` itself performs; by default all that it holds.  What it took over and could not end,
        because the store failed in between, is in nobody's hands and is ended at a later look.
    stalled : dict, optional
        What earlier looks saw of owners that live on this machine and do not renew: by run, when the lease ended and
        when that was first seen.  A machine that was asleep finds every lease expired when it wakes, and whoever is
        quickest must not end the others' runs; so such an owner is given `PATIENCE` seconds from the first look, and
        who looks only once leaves it alone.
    stood_still : bool
        Whoever looks was kept from it for a while: the store was away, or the machine asleep.  Others may have been,
        too, so all owners get that time to renew, wherever they live.
    ended : callable
        Told of each run, as it ended, while the lease is still held: the place to arrange for its retry.

    Returns
    -------
    list of str
        The runs that were ended here.
    """
    found = []
    owned = {lease.run_id: lease for lease in store.owned_runs()}
    lost = {}
    for lease in owned.values():
        if lease.owner == owner and (performing is None or lease.run_id in performing):
            continue
        if lease.expires_at > now and not is_dead(lease.owner):
            continue
        is_patient = lease.owner != owner and (stood_still or is_alive(lease.owner)) and not is_dead(lease.owner)
        if is_patient and not _has_stalled(lease, now, stalled):
            continue
        lost[lease.run_id] = "The process that executed it died." if is_dead(lease.owner) else "Its heartbeat stopped."
    waiting = list(lost)
    while waiting:
        lease = owned[waiting.pop(0)]
        mine = store.take_over(lease, owner, now + timedelta(seconds=30))
        if mine is None:
            continue
        why = lost[lease.run_id]
        run = store.run(lease.run_id)
        # What a notebook started goes with it: a kernel that nobody guards any more is refused like who started it.
        for child in store.runs(parent_run_id=lease.run_id, limit=1000):
            if child.run_id in owned and child.run_id not in lost:
                lost[child.run_id] = f"The run that started it was taken from its owner. {why}"
                waiting.append(child.run_id)
        if run is not None:
            if end_lost_run(store, mine, State(StateType.CRASHED, "Crashed", why), now):
                found.append(lease.run_id)
            # Also told of a run that had ended well or badly when its owner died before giving it back.
            ended(store.run(lease.run_id) or run)
        store.release(mine)
    return found


def end_if_lost(store: Store, run_id: str, owner: str, now: datetime) -> bool:
    """End one run if the process that performed it is known to be dead; whether it was.

    Runs of deployments are left to their workers, which also arrange for their repetition.
    """
    for lease in store.owned_runs():
        if lease.run_id != run_id or not is_dead(lease.owner) or store.plan(run_id) is not None:
            continue
        mine = store.take_over(lease, owner, now + timedelta(seconds=30))
        if mine is not None:
            state = State(StateType.CRASHED, "Crashed", "The process that executed it died.")
            is_ended = end_lost_run(store, mine, state, now)
            store.release(mine)
            return is_ended
    return False


def _has_stalled(lease: Lease, now: datetime, stalled: dict[str, tuple[datetime, datetime]] | None) -> bool:
    """Whether the lease of a living owner has been seen expired, and the same, for long enough."""
    if stalled is None:
        return False
    ended_at, seen_at = stalled.get(lease.run_id, (None, now))
    if ended_at != lease.expires_at:
        stalled[lease.run_id] = lease.expires_at, now
        return False
    return (now - seen_at).total_seconds() >= PATIENCE


def end_lost_run(store: Store, lease: Lease, state: State, now: datetime, *, is_sure: bool = False) -> bool:
    """Record the end of a run that nobody performs any more; False if it had ended already, or was suspended.

    Parameters
    ----------
    is_sure : bool
        All that happened is stored; else what was ready to run may have begun.

    Raises
    ------
    StoreUnavailable
        It could not be recorded; the lease must be kept, so that somebody looks again.
    """
    run = store.run(lease.run_id)
    if run is None or run.state.is_final or run.state.name == "Suspended":
        return False
    events: list[Event] = []
    # The rows of the tasks are stored together with their events, so they are what a replay would give.
    needs = _needs(store, run)
    done = {task.name for task in run.tasks if task.state.type is StateType.COMPLETED}
    for task in run.tasks:
        if task.state.type in (StateType.RUNNING, StateType.CANCELLING):
            events.append(TaskStateChanged(now, task.name, task.attempt, CRASHED_TASK))
        elif not task.state.is_final:
            # The last facts before a death are the ones that may not have been stored.
            was_ready = not is_sure and task.state.type is StateType.PENDING and done.issuperset(needs[task.name])
            fate = PERHAPS_RAN if was_ready else NEVER_RAN
            events.append(TaskStateChanged(now, task.name, task.attempt, fate))
    events.append(RunStateChanged(now, state))
    seq = store.last_seq(lease.run_id)
    try:
        store.append(lease, list(enumerate(events, seq + 1)), now + timedelta(seconds=30))
    except (HistoryConflict, LeaseLost):
        return False  # somebody was quicker; they end it
    return True


def _needs(store: Store, run: FlowRun) -> dict[str, tuple[str, ...]]:
    """Return what each task of a run waits for, also those that appeared while it ran."""
    needs = dict(run.graph.predecessors)
    if len(run.tasks) > len(needs):
        added = [event for _, event in store.events(run.run_id) if isinstance(event, TaskAdded)]
        needs |= {event.task.name: event.upstream for event in added}
    return needs
