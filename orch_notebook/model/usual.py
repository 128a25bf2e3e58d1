"""How long tasks usually take, as their earlier runs tell.  In: task runs.  Out: seconds by the task's name."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from orch_notebook.model.runs import TaskRun

__all__ = ["usual_seconds"]

#: So many of the latest performances count: what a task took long ago says little about its code of today.
LATEST = 7


def usual_seconds(task_runs: Iterable[TaskRun]) -> dict[str, float]:
    """Return the median length of each task's latest performances that completed.

    Parameters
    ----------
    task_runs : iterable of TaskRun
        Of several runs, in any order; results that were cached say nothing.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from orch_notebook.model.states import State, StateType
    >>> from orch_notebook.model.tasks import Task
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> def took(seconds):
    ...     return TaskRun("1", Task("fit"), State(StateType.COMPLETED), 1, noon, noon + timedelta(seconds=seconds))
    >>> usual_seconds([took(2), took(3), took(40)])
    {'fit': 3.0}
    """
    lengths: dict[str, list[tuple[float, float]]] = {}
    for each in task_runs:
        if each.state.name == "Completed" and each.started_at and each.ended_at:
            seconds = (each.ended_at - each.started_at).total_seconds()
            lengths.setdefault(each.name, []).append((each.ended_at.timestamp(), seconds))
    return {name: median(seconds for _, seconds in sorted(found)[-LATEST:]) for name, found in lengths.items()}
