"""A flow explained: what each task takes in and gives, from where, and why each waits for which.

In: a flow of cells.  Out: values that every face shows (`orch graph`, ``%flow graph --why``) and that go out as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orch_notebook.errors import UsageError
from orch_notebook.model.flows import CellFlow, shown
from orch_notebook.model.graph import Edge, Graph

__all__ = ["Explanation", "TaskExplanation", "explain"]


@dataclass(frozen=True, slots=True)
class TaskExplanation:
    """One task, as the analysis understands it.

    Parameters
    ----------
    name : str
        The task's name.
    cell_index : int or None
        Its cell's position in the notebook, counted from 0 over all cells, where it is known.
    reads, writes, mutates, deletes : tuple of str
        Names it takes in, binds, changes in place and unbinds; modules and functions among them.
    bindings : mapping
        For every name it reads the task whose version it gets; ``None`` means the environment.
    uses, changes : tuple of str
        Hidden state and files it reads and changes, such as ``state:numpy.random`` and ``file:sales.csv``.
    exclusive : tuple of str
        What it does not share with tasks at the same time, such as ``pyplot``, or ``scale@load``: functions that it
        calls look for ``scale``, and another task may not need another version meanwhile.  It makes no edge.
    opaque : str
        Why its source cannot be followed, or empty.
    undefined : tuple of str
        Names it reads that nothing above it defines.
    problems : tuple of str
        Sentences on what is wrong with it: what a run would refuse, overrides that do not fit its source.
    """

    name: str
    cell_index: int | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    mutates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    bindings: Mapping[str, str | None] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    opaque: str = ""
    undefined: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dicts."""
        return {
            "name": self.name,
            "cell_index": self.cell_index,
            "reads": list(self.reads),
            "writes": list(self.writes),
            "mutates": list(self.mutates),
            "deletes": list(self.deletes),
            "opaque": self.opaque or None,
            "bindings": dict(self.bindings),
            "uses": list(self.uses),
            "changes": list(self.changes),
            "exclusive": list(self.exclusive),
            "undefined": list(self.undefined),
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """The tasks of a flow in definition order, and the edges between them."""

    tasks: tuple[TaskExplanation, ...]
    edges: tuple[Edge, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dicts; an edge's name comes without the kind of thing, which its rule tells."""
        return {
            "tasks": [task.to_json() for task in self.tasks],
            "edges": [
                {"from": edge.before, "to": edge.after, "rule": edge.rule, "name": edge.thing} for edge in self.edges
            ],
        }


def explain(flow: CellFlow, graph: Graph | None = None) -> Explanation:
    """Explain a flow, or a part of it.

    Parameters
    ----------
    flow : CellFlow
        As it is defined now.
    graph : Graph, optional
        The part of its graph to explain; by default all.

    Raises
    ------
    CycleError
        Tasks wait for each other.

    Examples
    --------
    >>> from orch_notebook.model.flows import CellTask
    >>> from orch_notebook.model.headers import TaskHeader
    >>> flow = CellFlow("demo", [CellTask("load", TaskHeader(), "x = [n]"), CellTask("add", TaskHeader(), "x += [1]")])
    >>> flow.know({"n"})
    >>> for task in explain(flow).tasks:
    ...     print(task.name, dict(task.bindings), task.writes, task.mutates)
    load {'n': None} ('x',) ()
    add {'x': 'load'} ('x',) ('x',)
    """
    graph = graph or flow.graph
    wiring = flow.wiring
    tasks = []
    for task in graph.tasks:
        effects = wiring.effects[task.name]
        undefined = shown(wiring.undefined.get(task.name, ()))
        bindings = {**dict.fromkeys(undefined), **wiring.bindings[task.name]}
        reads = shown(bindings)
        tasks.append(
            TaskExplanation(
                name=task.name,
                cell_index=task.cell_index,
                reads=reads,
                writes=shown(effects.writes),
                mutates=shown(effects.mutates),
                deletes=shown(effects.deletes),
                bindings={name: bindings[name] for name in reads},
                uses=tuple(sorted(effects.state_reads)),
                changes=tuple(sorted(effects.state_changes)),
                exclusive=task.exclusive,
                opaque=effects.opaque,
                undefined=undefined,
                problems=(*_refusals(flow, task.name), *wiring.notes.get(task.name, ())),
            )
        )
    return Explanation(tuple(tasks), graph.edges)


def _refusals(flow: CellFlow, task: str) -> Iterable[str]:
    try:
        flow.check(task)
    except UsageError as error:
        yield str(error)
