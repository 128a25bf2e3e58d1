"""What tasks hold while they are performed: exclusive things, and parts of what there is a limited amount of.

In: tasks that would start, and tasks that have ended.  Out: whether there is room for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from orch_notebook.model.tasks import ONE, Task

__all__ = ["Holdings"]


class Holdings:
    """What the tasks of one run hold.

    Parameters
    ----------
    capacity : mapping
        How much there is of each resource; of one that is not named there is one.
    runner : str
        The runner of tasks that name none.  What tasks on Dask need is counted by Dask.

    Examples
    --------
    >>> holdings = Holdings({"gpu": 2}, "threads")
    >>> task = Task("fit", resources=(("gpu", 2.0),))
    >>> holdings.take(task)
    >>> holdings.has_room(task)
    False
    >>> holdings.give_back(task)
    >>> holdings.has_room(task)
    True
    """

    def __init__(self, capacity: Mapping[str, float], runner: str) -> None:
        self._capacity = capacity
        self._runner = runner
        #: By thing: at which version it is held, if it has any, and by how many.
        self._held: dict[str, tuple[str, int]] = {}
        self._used: defaultdict[str, float] = defaultdict(float)

    def has_room(self, task: Task) -> bool:
        """Whether everything that a task needs is free."""
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            if name in self._held and (not version or self._held[name][0] != version):
                return False
        return all(self._used[name] + amount <= self._capacity.get(name, ONE) for name, amount in self._counted(task))

    def _counted(self, task: Task) -> tuple[tuple[str, float], ...]:
        """Return the resources of a task that are counted here."""
        return () if (task.runner or self._runner) == "dask" else task.resources

    def take(self, task: Task) -> None:
        """Hold what a task needs."""
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            self._held[name] = version, self._held.get(name, ("", 0))[1] + 1
        for name, amount in self._counted(task):
            self._used[name] += amount

    def give_back(self, task: Task) -> None:
        """Hold it no more."""
        for thing in task.exclusive:
            name, _, version = thing.partition("@")
            count = self._held[name][1] - 1
            if count:
                self._held[name] = version, count
            else:
                del self._held[name]
        for name, amount in self._counted(task):
            self._used[name] -= amount

    def clear(self) -> None:
        """Hold nothing."""
        self._held.clear()
        self._used.clear()
