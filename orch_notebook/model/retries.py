"""What repeating a run would do with each of its tasks, as far as its record tells.

In: the run's graph and task runs, what its tasks have left, and what a person wants to run again.  Out: a
:class:`Fate` for each task.  Whether something a task depends on has changed since, only the next attempt can tell;
what has then runs, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orch_notebook.model.graph import Graph
from orch_notebook.model.runs import TaskRun, short_id
from orch_notebook.model.stands import ORDER_ONLY
from orch_notebook.model.states import StateType

__all__ = ["Fate", "foresee"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one task when its run is repeated.

    Parameters
    ----------
    task : str
        The task.
    runs : bool
        Whether its code runs; else what it left is loaded.
    reason : str
        Why.
    """

    task: str
    runs: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"task": self.task, "runs": self.runs, "reason": self.reason}


def foresee(
    graph: Graph,
    tasks: Sequence[TaskRun],
    kept: Mapping[str, str],
    lost: Mapping[str, str],
    again: Collection[str] = (),
) -> list[Fate]:
    """Return what becomes of each task of a run that is repeated.

    Parameters
    ----------
    graph : Graph
        How the tasks hang together.
    tasks : sequence of TaskRun
        How they ended.
    kept : mapping
        For tasks whose result is kept, the id of the run in which they completed.
    lost : mapping
        For tasks that completed and whose result is not kept, why not.
    again : collection of str
        Tasks that are to run in any case, and with them what comes from them.

    Examples
    --------
    >>> from orch_notebook.testing import make_graph
    >>> from orch_notebook.model.states import State
    >>> graph = make_graph("load >> clean >> fit")
    >>> ended = [State(StateType.COMPLETED), State(StateType.COMPLETED), State(StateType.FAILED)]
    >>> tasks = [TaskRun("r", task, state, 1) for task, state in zip(graph.tasks, ended, strict=True)]
    >>> for fate in foresee(graph, tasks, {"load": "run-1"}, {"clean": "it holds a lock"}):
    ...     print(fate.task, "runs:" if fate.runs else "is loaded:", fate.reason)
    load is loaded: it completed in run run-1
    clean runs: its result is not kept: it holds a lock
    fit runs: it failed
    """
    ended = {task.name: task for task in tasks}
    following: dict[str, set[str]] = {task.name: set() for task in graph.tasks}
    for edge in graph.edges:
        if edge.rule not in ORDER_ONLY:
            following[edge.before].add(edge.after)
    because: dict[str, str] = dict.fromkeys(again, "it was asked for")
    todo = list(again)
    while todo:
        before = todo.pop()
        for task in following.get(before, ()):
            if task not in because:
                because[task] = f"it comes from {before!r}"
                todo.append(task)
    names = dict.fromkeys([*(task.name for task in graph.tasks), *ended])
    return [_fate(name, ended.get(name), because, kept, lost) for name in names]


def _fate(
    name: str,
    task: TaskRun | None,
    because: Mapping[str, str],
    kept: Mapping[str, str],
    lost: Mapping[str, str],
) -> Fate:
    if name in because:
        return Fate(name, True, because[name])
    if name in kept:
        return Fate(name, False, f"it completed in run {short_id(kept[name])}")
    if name in lost:
        return Fate(name, True, f"its result is not kept: {lost[name].rstrip('.')}")
    if task is None or not task.attempt:
        return Fate(name, True, "it has not run yet")
    words = {
        StateType.FAILED: "it failed",
        StateType.CRASHED: "it crashed",
        StateType.CANCELLED: "it was cancelled",
        StateType.COMPLETED: "its result is not kept",
    }
    return Fate(name, True, words.get(task.state.type, "it has not ended"))
