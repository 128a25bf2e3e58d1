"""A flow whose headers are mended one option at a time, as a check finds what they should say.

In: a flow, and what is to be declared.  Out: a copy wired anew with it, or a refusal; and the headers to write.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from orch_notebook.errors import OrchError
from orch_notebook.model.flows import CellFlow
from orch_notebook.model.headers import TaskHeader
from orch_notebook.model.orders import free_pairs

__all__ = ["MendedFlow"]

Pair = tuple[str, str]


class MendedFlow:
    """A copy of a flow that declares more than the original.

    Parameters
    ----------
    flow : CellFlow
        The original; it is not changed.

    Attributes
    ----------
    flow : CellFlow
        The copy as it stands.  It has no timeouts and keeps no results: a check takes longer than a run, and what
        earlier runs kept is no result of this one.
    headers : dict
        The original headers with what was added, by task.
    order : tuple of str
        The tasks as the notebook has them.

    Examples
    --------
    >>> from orch_notebook.model.flows import CellTask
    >>> cells = [CellTask(name, TaskHeader(), "print(1)") for name in "ab"]
    >>> mended = MendedFlow(CellFlow("demo", cells))
    >>> mended.add("b", after=("a",)), mended.flow.graph.predecessors["b"]
    (True, ('a',))
    >>> mended.add("a", after=("b",)), mended.flow.graph.predecessors["a"]
    (False, ())
    """

    def __init__(self, flow: CellFlow) -> None:
        self.order = tuple(task.name for task in flow)
        self.headers: dict[str, TaskHeader] = {task.name: replace(task.header, name=task.name) for task in flow}
        self.flow = flow.copy()
        for task in flow:
            if task.header.timeout is not None or task.header.cache is not None:
                self.flow.define(replace(task, header=replace(task.header, timeout=None, cache=None)))

    def add(self, task: str, **more: tuple[str, ...]) -> bool:
        """Add names to options of a task's header; False, and nothing is changed, if the flow refuses it."""
        header = self.headers[task]
        added: dict[str, Any] = {
            field: tuple(dict.fromkeys((*(getattr(header, field) or ()), *names))) for field, names in more.items()
        }
        cell, twin = self.flow[task], self.flow.copy()
        try:
            twin.define(replace(cell, header=replace(cell.header, **added)))
            assert twin.graph is not None  # wired, so that a circle is found here
        except OrchError:
            return False
        self.flow = twin
        self.headers[task] = replace(header, **added)
        return True

    def add_mutation(self, task: str, name: str, free: Collection[Pair]) -> list[str] | None:
        """Declare that a task changes a name; return the tasks that this puts in order with it.

        Parameters
        ----------
        task, name : str
            Which task changes what.
        free : collection of pairs
            The pairs of tasks that may run in either order.

        Returns
        -------
        list of str or None
            None if it cannot be declared so, or if others take the name in and no order follows.
        """
        before = self.flow, self.headers[task]
        users = self.users(name, task, free)
        if not name.isidentifier() or not self.add(task, mutates=(name,)):
            return None
        tied = set(free) - free_pairs(self.flow.graph)
        others = [each for pair in self.arranged(tied) for each in pair if task in pair and each != task]
        if users and not others:
            self.flow, self.headers[task] = before
            return None
        return others

    def users(self, name: str, task: str, free: Collection[Pair]) -> list[str]:
        """Return the tasks that take in a name and may run before or after a task."""
        bindings = self.flow.wiring.bindings
        return [
            other
            for other in self.order
            if name in bindings[other] and ((task, other) in free or (other, task) in free)
        ]

    def arranged(self, pairs: Collection[Pair]) -> list[Pair]:
        """Return pairs in the order of the notebook."""
        return sorted(pairs, key=lambda pair: tuple(self.order.index(name) for name in pair))

    def pair(self, one: str, other: str) -> Pair:
        """Return two tasks as the notebook has them."""
        return (one, other) if self.order.index(one) < self.order.index(other) else (other, one)
