"""What the panel's buttons can do at a moment, and why not where they cannot.

In: where the run stands, what the source can never do.  Out: the ``controls`` of a message.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from orch_notebook.jupyter.widgets.faces import Controls
from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType

__all__ = ["controls_of", "failed_tasks"]

_FAILED = (StateType.FAILED, StateType.CRASHED)


def failed_tasks(run: FlowRun | None, graph: Graph) -> list[str]:
    """Return the tasks of a run that failed or crashed and are still there."""
    if run is None or not run.state.is_final:
        return []
    return [task.name for task in run.tasks if task.state.type in _FAILED and task.name in graph.by_name]


def controls_of(
    run: FlowRun | None,
    graph: Graph,
    *,
    past: bool = False,
    coming: int | None = None,
    again: int | None = None,
    limits: Mapping[str, str] | None = None,
    is_open: bool = False,
) -> Controls:
    """Return what each button can do.

    Parameters
    ----------
    run : FlowRun or None
        The run that is shown.
    graph : Graph
        The tasks.
    past : bool
        It is an earlier run.
    coming, again : int or None
        How many tasks a run of what is stale, and of what failed, would perform.
    limits : mapping, optional
        What can never be done here, by verb, with the reason.
    is_open : bool
        Tasks appear while it runs: it can be run, and repeated, though none are known.

    Examples
    --------
    >>> controls_of(None, Graph())["run"]
    'There are no tasks yet.'
    """
    limits = limits or {}
    state = None if run is None else run.state.type
    is_going = run is not None and not run.state.is_final
    start = "This is an earlier run." if past else "" if graph.tasks or is_open else "There are no tasks yet."
    if is_going:
        start = "A run goes on."
    idle = "Nothing is running."
    cancelling = "The run is being cancelled." if state is StateType.CANCELLING else ""
    elsewhere = "This run is not one of this session." if past else ""
    has_failed = bool(failed_tasks(run, graph)) or (is_open and state in _FAILED)
    return {
        "run": start or limits.get("run", ""),
        "all": start or limits.get("all", ""),
        "part": start or limits.get("part", ""),
        "cancel": cancelling if is_going else idle,
        "pause": (cancelling or elsewhere or limits.get("pause", "")) if is_going else idle,
        "resume": limits.get("resume", "") if state is StateType.PAUSED else "The run is not paused.",
        "retry": start or limits.get("retry", "") or ("" if has_failed else "No task has failed."),
        "coming": None if is_going or past else coming,
        "again": None if is_going or past else again,
    }
