"""Tasks wired together: who waits for whom, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

from orch_notebook.errors import CycleError, UnknownTask
from orch_notebook.model.tasks import Task

__all__ = ["Edge", "Graph", "unknown_task"]


@dataclass(frozen=True, slots=True)
class Edge:
    """`after` waits for `before`; `rule` says why and `name` over what.

    The rules are ``read-after-write``, ``write-after-read``, ``alias``, ``hidden-state``, ``file``, ``after`` and
    ``barrier``; only the first carries data.
    """

    before: str
    after: str
    rule: str = "after"
    name: str = ""

    @property
    def thing(self) -> str:
        """The name without its kind (``state:``, ``file:``), which the rule tells.

        Examples
        --------
        >>> Edge("save", "read", "file", "file:a.csv").thing
        'a.csv'
        """
        return self.name.removeprefix("state:").removeprefix("file:")


@dataclass(frozen=True)
class Graph:
    """The tasks of a flow and the edges between them.

    Parameters
    ----------
    tasks : sequence of Task
        In definition order.
    edges : sequence of Edge
        Between tasks of this graph.

    Raises
    ------
    UnknownTask
        An edge names a task that is not there.
    CycleError
        Tasks wait for each other; the message shows the path.

    Examples
    --------
    >>> graph = Graph((Task("load"), Task("clean"), Task("plot")), (Edge("load", "clean"), Edge("clean", "plot")))
    >>> graph.predecessors["plot"]
    ('clean',)
    >>> [task.name for task in graph.select(["clean+"]).tasks]
    ['clean', 'plot']
    """

    tasks: tuple[Task, ...] = ()
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        object.__setattr__(self, "edges", tuple(self.edges))
        known = self.by_name
        if len(known) != len(self.tasks):
            seen: set[str] = set()
            twice = next(task.name for task in self.tasks if task.name in seen or seen.add(task.name))  # type: ignore[func-returns-value]
            raise UnknownTask(f"Two tasks are called {twice!r}; names are unique in a flow.", task=twice)
        for edge in self.edges:
            for end in (edge.before, edge.after):
                if end not in known:
                    other = edge.after if end == edge.before else edge.before
                    raise unknown_task(end, known, f"task {other!r} refers to it")
        if path := self._find_cycle():
            raise CycleError("These tasks wait for each other: " + " → ".join(path) + ".", path=path)

    @cached_property
    def by_name(self) -> Mapping[str, Task]:
        """Tasks by their name."""
        return {task.name: task for task in self.tasks}

    @cached_property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """For every task the tasks it waits for, each once."""
        return self._neighbours("after", "before")

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """For every task the tasks that wait for it, each once."""
        return self._neighbours("before", "after")

    def _neighbours(self, here: str, there: str) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {task.name: {} for task in self.tasks}
        for edge in self.edges:
            found[getattr(edge, here)][getattr(edge, there)] = None
        return {name: tuple(others) for name, others in found.items()}

    def _find_cycle(self) -> list[str]:
        waiting = {name: len(before) for name, before in self.predecessors.items()}
        ready = [name for name, count in waiting.items() if not count]
        while ready:
            name = ready.pop()
            del waiting[name]
            for successor in self.successors[name]:
                waiting[successor] -= 1
                if not waiting[successor]:
                    ready.append(successor)
        if not waiting:
            return []
        # Every task left has a predecessor that is left too, so walking backwards must meet itself.
        trail = [next(iter(waiting))]
        while True:
            step = next(before for before in self.predecessors[trail[-1]] if before in waiting)
            if step in trail:
                return [step, *reversed(trail[trail.index(step) :])]
            trail.append(step)

    def reach(self, name: str, neighbours: Mapping[str, Sequence[str]]) -> set[str]:
        """Return `name` and everything that `neighbours` leads to from it."""
        found, todo = {name}, [name]
        while todo:
            for other in neighbours[todo.pop()]:
                if other not in found:
                    found.add(other)
                    todo.append(other)
        return found

    def select(self, selectors: Iterable[str]) -> Graph:
        """Return the part of the graph that `selectors` name.

        Parameters
        ----------
        selectors : iterable of str
            ``name``, ``name+`` (and what depends on it), ``+name`` (and what it needs) or ``tag:word``.
            None at all selects everything.

        Raises
        ------
        UnknownTask
            A selector matches no task.
        """
        chosen: set[str] = set()
        asked = False
        for selector in selectors:
            asked = True
            if selector.startswith("tag:"):
                tagged = {task.name for task in self.tasks if selector[4:] in task.tags}
                if not tagged:
                    raise UnknownTask(f"No task bears the tag {selector[4:]!r}.", task=selector)
                chosen |= tagged
                continue
            name = selector.strip("+")
            if name not in self.by_name:
                raise unknown_task(name, self.by_name)
            chosen.add(name)
            if selector.startswith("+"):
                chosen |= self.reach(name, self.predecessors)
            if selector.endswith("+"):
                chosen |= self.reach(name, self.successors)
        return self.restrict(chosen) if asked else self

    def restrict(self, names: Iterable[str]) -> Graph:
        """Return the graph of just these tasks and the edges between them, in the same order.

        Two tasks whose order came about by way of others that are left out keep it.

        Examples
        --------
        >>> from orch_notebook.testing import make_graph
        >>> make_graph("draw ~> seed ~> draw_again").restrict(["draw", "draw_again"]).edges
        (Edge(before='draw', after='draw_again', rule='write-after-read', name=''),)
        """
        keep = set(names)
        kept = [edge for edge in self.edges if edge.before in keep and edge.after in keep]
        pairs = {(edge.before, edge.after) for edge in kept}
        # What is left out hands its order on: what comes before it also comes before what follows it.
        before: dict[str, dict[str, None]] = {}
        for name in TopologicalSorter(self.predecessors).static_order() if len(keep) < len(self.tasks) else ():
            found: dict[str, None] = {}
            for other in self.predecessors[name]:
                if other not in keep:
                    found |= before[other]
                elif name not in keep:
                    found[other] = None
            before[name] = found
            if name in keep:
                kept += [Edge(other, name, "write-after-read") for other in found if (other, name) not in pairs]
        return Graph(tuple(task for task in self.tasks if task.name in keep), tuple(kept))

    def extended(self, added: Iterable[tuple[Task, Iterable[str]]]) -> Graph:
        """Return the graph with tasks that appeared later, each with those it waits for; the last of a name counts.

        Examples
        --------
        >>> Graph((Task("load"),)).extended([(Task("clean"), ["load"])]).predecessors["clean"]
        ('load',)
        """
        later = {task.name: (task, tuple(upstream)) for task, upstream in added}
        if not later:
            return self
        edges = [Edge(each, name, "read-after-write") for name, (_, upstream) in later.items() for each in upstream]
        kept = tuple(task for task in self.tasks if task.name not in later)
        return Graph((*kept, *(task for task, _ in later.values())), (*self.edges, *edges))

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, as the store keeps them."""
        return {
            "tasks": [task.to_json() for task in self.tasks],
            "edges": [[edge.before, edge.after, edge.rule, edge.name] for edge in self.edges],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Graph:
        """Read what :meth:`to_json` wrote."""
        return cls(
            tuple(Task.from_json(task) for task in data["tasks"]),
            tuple(Edge(*edge) for edge in data["edges"]),
        )


def unknown_task(name: str, known: Iterable[str], why: str = "") -> UnknownTask:
    """Return the error for a task name that is not there, with the nearest spelling."""
    near = get_close_matches(name, list(known), n=1)
    message = f"There is no task {name!r}" + (f" ({why})" if why else "") + "."
    return UnknownTask(message + (f" Did you mean {near[0]!r}?" if near else ""), task=name)
