"""What the last expressions of a run's tasks gave, for those tasks that ask: ``_``, ``__``, ``___`` and ``Out[3]``.

In: the value that each task shows.  Out: the history as a task would find it where all above it had run one by one.
Nothing is kept where no task asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orch_notebook.model.cells import Wiring

__all__ = ["History"]

LATEST = ("_", "__", "___")
ASKING = frozenset((*LATEST, "Out", "_oh"))
_NOTHING = object()


class History:
    """The history of one run.

    Parameters
    ----------
    wiring : Wiring
        Whose tasks ask; those that do are barriers.
    order : mapping
        The place of each task.

    Examples
    --------
    >>> from orch_notebook.model.cells import Cell, wire
    >>> history = History(wire([Cell("a", "6 * 7"), Cell("b", "print(_)")]), {"a": 0, "b": 1})
    >>> history.note("a", 42)
    >>> names = {}
    >>> with history.told("b", names):
    ...     print(names["_"])
    42
    >>> names
    {}
    """

    def __init__(self, wiring: Wiring, order: Mapping[str, int]) -> None:
        self._order = order
        self._asking = {task for task in order if wiring.effects[task].reads & ASKING and wiring.effects[task].opaque}
        self._last = max((order[task] for task in self._asking), default=-1)
        self._values: dict[int, Any] = {}

    def note(self, task: str, value: Any) -> None:
        """Keep what a task shows, where a task below it may ask."""
        if value is not None and self._order[task] < self._last:
            self._values[self._order[task]] = value

    @contextmanager
    def told(self, task: str, names: dict[str, Any]) -> Iterator[None]:
        """Let a task that asks find the history among its names for as long as it runs."""
        if task not in self._asking:
            yield
            return
        place = self._order[task]
        above = [self._values[each] for each in sorted(self._values) if each < place]
        found = names.get("Out")
        if isinstance(found, dict):
            for each in [each for each in self._values if each < place]:
                found.setdefault(each + 1, self._values[each])
        before = {name: names.get(name, _NOTHING) for name in LATEST}
        names.update(zip(LATEST, reversed(above), strict=False))
        try:
            yield
        finally:
            for name, value in before.items():
                if value is _NOTHING:
                    names.pop(name, None)
                else:
                    names[name] = value
