"""Where values came from: which task run has returned the very object that another is given now.

In: values as they are handed out, and arguments as they are passed on.  Out: names of task runs, for the diagram and
for keys of kept results.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from orch_notebook.functions.arguments import PLAIN

__all__ = ["Origins"]

#: Values that cannot be referred to weakly, kept so that their ids can be trusted.
REMEMBERED = 1000


class Origins:
    """The task runs of one flow run by the values that they returned.

    Parameters
    ----------
    follows : callable, optional
        Whether ``follows(value, name)`` a text or a number is followed that a task run returned.  By default none is:
        the same one may come from anywhere.

    Examples
    --------
    >>> origins, table = Origins(), [1, 2]
    >>> origins.remember(table, "load")
    >>> origins.of(table), origins.of([1, 2])
    ('load', None)
    """

    def __init__(self, follows: Callable[[Any, str], bool] = lambda value, name: False) -> None:
        self._follows = follows
        self._names: dict[int, tuple[Callable[[], Any], str]] = {}
        self._held: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, value: Any, name: str, *, is_held: bool = True) -> None:
        """Take note that a value was handed out as a task run's result, so that who is given it is drawn behind it.

        Where it may not be held, only what can be referred to weakly is followed.
        """
        if type(value) in PLAIN and not self._follows(value, name):
            return
        try:
            self._names[id(value)] = weakref.ref(value, _Forget(self._names, id(value))), name
        except TypeError:  # lists, dicts, texts: only while they are held here can their ids be trusted
            if not is_held:
                return
            with self._lock:
                self._held[id(value)] = value
                self._names[id(value)] = (lambda: value), name
                if len(self._held) > REMEMBERED:
                    old, _ = self._held.popitem(last=False)
                    self._names.pop(old, None)

    def of(self, value: Any) -> str | None:
        """Return the name of the task run that returned this very object, if one did."""
        origin = self._names.get(id(value))
        return origin[1] if origin is not None and origin[0]() is value else None

    def of_all(self, values: Iterable[Any]) -> list[str]:
        """Return the names of the task runs that returned any of these objects."""
        return [origin for value in values if (origin := self.of(value)) is not None] if self._names else []


class _Forget:
    """Takes a value that is gone out of the table of origins."""

    __slots__ = ("_key", "_origins")

    def __init__(self, origins: dict[int, tuple[Callable[[], Any], str]], key: int) -> None:
        self._origins = origins
        self._key = key

    def __call__(self, gone: Any) -> None:
        self._origins.pop(self._key, None)
