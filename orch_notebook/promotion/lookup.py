"""Runs as they stand, looked up for people: what has been lost is ended first, what is late is called so.

In: an id, or what the runs have in common.  Out: runs, the tasks of a notebook's own flow runs counted as the
notebook's; and what they wrote.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orch_notebook.errors import NotFound
from orch_notebook.model.graph import unknown_task
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.promotion.following import values_of
from orch_notebook.promotion.upkeep import name_late, sweep, with_children
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import LogLine, Store

__all__ = ["find_run", "list_runs", "logs_of"]


def find_run(store: Store, now: datetime, run_id: str) -> FlowRun:
    """Return one run with its tasks; those of the runs its notebook started count as its own.

    Parameters
    ----------
    run_id : str
        An id, or so much of its beginning or end as is unique.

    Raises
    ------
    NotFound
        There is no such run, or several are called like this.
    """
    found = store.run(run_id) or _by_part(store, run_id)
    sweep(store, this_owner(), now)
    whole = with_children(store, store.run(found.run_id) or found)
    return replace(whole, values=values_of(store, whole))


def _by_part(store: Store, part: str) -> FlowRun:
    ids = store.run_ids_like(part) if part and not set(part.lower()) - set("0123456789abcdef-") else []
    run = store.run(ids[0]) if len(ids) == 1 else None
    if run is None:
        what = f"Several runs begin or end with {part!r}; give more of the id" if ids else f"There is no run {part!r}"
        raise NotFound(f"{what}. 'orch runs' lists the newest.", run_id=part)
    return run


def list_runs(
    store: Store,
    settings: Settings,
    now: datetime,
    *,
    deployment: str | None = None,
    state: str | None = None,
    parent_run_id: str | None = None,
    backfill: str | None = None,
    limit: int = 20,
) -> list[FlowRun]:
    """Return the newest runs, without their tasks.

    Raises
    ------
    NotFound
        There is no such parent.
    """
    if parent_run_id is not None and store.run(parent_run_id) is None:
        parent_run_id = _by_part(store, parent_run_id).run_id
    sweep(store, this_owner(), now)
    name_late(store, settings, now)
    return store.runs(deployment=deployment, state=state, parent_run_id=parent_run_id, backfill=backfill, limit=limit)


def logs_of(store: Store, run: FlowRun, task: str | None = None, *, limit: int = 10_000) -> list[tuple[str, LogLine]]:
    """Return what a run and the runs its notebook started wrote, with the id of the run, in order of time.

    Raises
    ------
    UnknownTask
        It has no such task.
    """
    if task is not None and task not in {each.name for each in run.tasks}:
        raise unknown_task(task, [each.name for each in run.tasks], f"in run {short_id(run.run_id)}")
    ids = [run.run_id, *(child.run_id for child in store.runs(parent_run_id=run.run_id, limit=1000))]
    lines = [(found, line) for found in ids for line in store.logs(found, task, limit=limit)]
    return sorted(lines, key=lambda pair: (pair[1].at, pair[0], pair[1].seq))[-limit:]
