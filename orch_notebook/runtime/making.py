"""A new run in the store, with the right of this process to write its history.

In: a run as it begins.  Out: its lease; or the error of whoever would repeat a run that has been repeated already.
"""

from __future__ import annotations

from datetime import timedelta

from orch_notebook.errors import UsageError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.store import Lease, Store

__all__ = ["make_run", "repeated_already"]


def make_run(store: Store, run: FlowRun, seconds: float, plan: Plan | None = None) -> Lease:
    """Make a run that this process performs, and return the right to write its history.

    Parameters
    ----------
    seconds : float
        How long the lease lasts before it must be renewed.
    plan : Plan, optional
        How a later process would perform it.

    Raises
    ------
    UsageError
        The run that it repeats was repeated already.
    """
    owner, expires_at = this_owner(), run.created_at + timedelta(seconds=seconds)
    if not store.create_run(run, plan=plan, owner=owner, lease_expires_at=expires_at):
        raise repeated_already(store, run)
    return Lease(run.run_id, owner, 1, expires_at)


def repeated_already(store: Store, run: FlowRun) -> UsageError:
    """Return the error for a run that cannot be the next attempt at another, because there is one."""
    first = short_id(run.retry_of or "")
    by = next((each for each in store.runs(limit=100_000) if each.retry_of == run.retry_of), run)
    return UsageError(
        f"Run {first} was repeated by run {short_id(by.run_id)} already, which is {by.state.name}.",
        run_id=run.retry_of,
    )
