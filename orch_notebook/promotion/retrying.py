"""Repeats a run because somebody asks for it: a new attempt that begins where the last one came to.

In: a run that has ended, and the tasks that are to run once more.  Out: the run that repeats it, or what that one
would do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from orch_notebook.errors import NotebookError, UsageError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.graph import unknown_task
from orch_notebook.model.retries import Fate, foresee
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.states import StateType
from orch_notebook.promotion.launching import STARTING
from orch_notebook.promotion.upkeep import next_attempt, with_children
from orch_notebook.runtime.attempts import open_attempts
from orch_notebook.runtime.making import repeated_already
from orch_notebook.runtime.results import Results
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["foresee_retry", "repeatable", "retry"]


def repeatable(store: Store, run: FlowRun, again: Collection[str] = ()) -> tuple[FlowRun, Plan]:
    """Return the run that can be repeated in place of one, and how it is executed.

    Raises
    ------
    UsageError
        It has not ended, has completed and nothing is to run again, or nothing tells how to execute it.
    NotebookError
        The copy of its notebook is gone.
    """
    plan = store.plan(run.run_id)
    if plan is None and run.parent_run_id is not None:  # what a notebook's own %flow run did is part of its run
        whole = store.run(run.parent_run_id)
        if whole is not None:
            run, plan = whole, store.plan(whole.run_id)
    name = short_id(run.run_id)
    if not run.state.is_final:
        raise UsageError(f"Run {name} is {run.state.name}; only what has ended is repeated.", run_id=run.run_id)
    if run.state.type is StateType.COMPLETED and not again:
        raise UsageError(
            f"Run {name} has completed. Name the task to run again: orch retry {name} --from TASK.", run_id=run.run_id
        )
    if plan is None:
        raise UsageError(
            f"Run {name} was begun in a Jupyter session or by a script, so nothing tells how to execute it. "
            f"In its notebook, '%flow resume' goes on with the last run; in its script, FLOW.retry({run.run_id!r}).",
            run_id=run.run_id,
        )
    if not Path(plan.snapshot).exists():
        raise NotebookError(f"What run {name} executed is gone: {plan.snapshot}.", path=plan.snapshot)
    return run, plan


def check_again(store: Store, run: FlowRun, again: Sequence[str]) -> None:
    """Make sure that a run has the tasks that are to run once more.

    Raises
    ------
    UnknownTask
        It has not.
    """
    known = [task.name for task in with_children(store, run).tasks]
    for task in again:
        if task not in known:
            raise unknown_task(task, known, f"in run {short_id(run.run_id)}")


def retry(store: Store, run: FlowRun, now: datetime, again: Sequence[str] = (), *, owner: str | None = None) -> FlowRun:
    """Make the run that repeats one; claimed by `owner`, who executes it, or else due now for a worker.

    Raises
    ------
    UsageError, NotebookError
        As for :func:`repeatable`; or it was repeated already.
    UnknownTask
        A task that is to run again is not one of its own.
    """
    run, plan = repeatable(store, run, again)
    check_again(store, run, again)
    repeated = next_attempt(run, now, now)
    expires_at = None if owner is None else now + timedelta(seconds=STARTING)
    if not store.create_run(repeated, plan=replace(plan, again=tuple(again)), owner=owner, lease_expires_at=expires_at):
        raise repeated_already(store, repeated)
    return repeated


def foresee_retry(
    store: Store, results: Results, settings: Settings, run: FlowRun, again: Sequence[str] = ()
) -> list[Fate]:
    """Return what repeating a run would do with each of its tasks.

    Raises
    ------
    UsageError, NotebookError, UnknownTask
        As for :func:`retry`.
    """
    run, _ = repeatable(store, run, again)
    check_again(store, run, again)
    attempts = open_attempts(store, results, settings, run.run_id, is_over=True)
    assert attempts is not None
    kept: dict[str, str] = {}
    lost: dict[str, str] = {}
    for key, left in attempts.left.items():
        task = left.made_by.rpartition("/")[2]
        if attempts.has(key):
            kept.setdefault(task, left.run_id)
        else:
            gone = "it was removed when a later run completed" if left.is_kept else "nobody knows why"
            lost.setdefault(task, str(left.details.get("lost") or left.details.get("note") or gone))
    whole = with_children(store, run)
    return foresee(whole.graph, whole.tasks, kept, lost, again)
