"""The namespaces of a run: one for each body, and the live one, through which all functions see their globals.

In: the live namespace, and the versions that each task is given.  Out: what a body runs over, and what it has bound.

A function reads its globals when it is called, and reads them where it was made: whatever calls it, in whatever
thread, through however many objects.  So there is one set of globals for the functions of all cells, the live
namespace, and it holds what the running tasks must find there.  What a body binds and reads itself lives in a
dictionary of its own; only the few names that it reaches by way of functions (:func:`late_names`) are put into the
live namespace while it runs, each at the task's version.  Tasks that need different versions of such a name never
overlap: the machine sees to that, for both hold the name at their version.

The other way, globals that ask which task is running, was measured: with a dictionary of our own as ``__globals__``
the 2 ns of a global read become 20, and 200 where versions differ, in every function of the notebook at all times; and
neither ``global`` statements nor functions from before the extension was loaded would ask.  Here such a read costs
what it always does, and any function will do.  The price is paid in order: 0.6 % of the parallelism of 171 public
notebooks.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

__all__ = ["ABSENT", "Body", "Namespaces"]

#: Stands for a name that is not bound.
ABSENT = object()


class Body:
    """What one body runs over.

    Attributes
    ----------
    globals : dict
        The live namespace.
    locals : dict
        What the body binds and reads itself; for a body that runs alone the live namespace, too.
    late : frozenset of str
        The names that it must bind as globals, because functions look for them there.
    """

    __slots__ = ("_given", "_start", "globals", "late", "locals")

    def __init__(
        self,
        globals: dict[str, Any],
        locals: dict[str, Any],
        late: Collection[str],
        given: Collection[str],
        start: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.globals = globals
        self.locals = locals
        self.late = frozenset(late)
        self._given = frozenset(given)
        self._start = start

    def bound(self, names: Collection[str]) -> dict[str, Any]:
        """Return those of these names that are bound, with their values."""
        places = {name: self.globals if name in self.late else self.locals for name in names}
        return {name: place[name] for name, place in places.items() if name in place}

    def all_bound(self) -> dict[str, Any]:
        """Return what the body was given or has bound, whatever its source shows; IPython's own names are not its."""
        changed = {name for name, value in self.locals.items() if self._start.get(name, ABSENT) is not value}
        return self.bound(self._given | {name for name in changed if not name.startswith("_")})

    def undo(self) -> None:
        """Put back what a body that ran alone has bound and unbound."""
        for name in {*self.locals, *self._start} - self.late:
            if not name.startswith("_"):
                _put(self.locals, name, self._start.get(name, ABSENT))


class Namespaces:
    """The namespaces of one run.

    Parameters
    ----------
    live : dict
        The live namespace; what tasks leave is published there.
    late : Mapping
        For every task the names that it reaches by way of functions.
    floor : Mapping
        Names that show only when the run is over, with what stands there until then, if anything: a name that means
        something even where nothing binds it, such as ``list``, is not looked for by the analysis.

    Examples
    --------
    >>> live = {"n": 0, "f": lambda: n}
    >>> spaces = Namespaces(live, {"a": ["n"], "b": []})
    >>> with spaces.body("a", {"n": 5}) as body:
    ...     exec("m = n", body.globals, body.locals)
    ...     spaces.publish(body.bound(["m"]))
    >>> live["m"], live["n"]
    (5, 0)
    """

    def __init__(
        self,
        live: dict[str, Any],
        late: Mapping[str, Collection[str]],
        floor: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._live = live
        self._late = late
        self._lock = threading.Lock()
        #: By late name: the tasks that need it as it is.
        self._users: dict[str, set[str]] = {}
        #: What stands there when they are done, or when the run is.
        self._behind: dict[str, Any] = {}
        self._floor: dict[str, Any] = {}
        for name, value in floor.items():
            self._behind[name] = live.get(name, ABSENT)
            self._floor[name] = value
            _put(live, name, value)

    @contextmanager
    def body(
        self, task: str, given: Mapping[str, Any], *, in_place: bool = False, alone: bool = False
    ) -> Iterator[Body]:
        """Open the namespace of a task's body for as long as it runs; what it does not publish is gone afterwards.

        Parameters
        ----------
        task : str
            Its name.
        given : Mapping
            What it takes in, by name: versions, and what the environment held when the run began.
        in_place : bool
            It runs in the live namespace itself, and its late names are all that it binds.
        alone : bool
            Nothing else runs, and the body may do anything: it runs in the live namespace, too.
        """
        late = self._late[task]
        try:
            self._enter(task, late, given)
            if alone or in_place:
                body = Body(self._live, self._live, late, given, dict(self._live) if alone else {})
            else:
                # Nothing else: what it may bind and has not bound would be taken for its work.
                own = {name: value for name, value in given.items() if name not in late}
                body = Body(self._live, own, late, given)
            try:
                yield body
            except BaseException:
                if alone:
                    body.undo()
                raise
        finally:
            self.leave(task)

    def _enter(self, task: str, late: Collection[str], given: Mapping[str, Any]) -> None:
        with self._lock:
            for name in late:
                users = self._users.setdefault(name, set())
                if not users and name not in self._floor:
                    self._behind[name] = self._live.get(name, ABSENT)
                users.add(task)
                _put(self._live, name, given.get(name, ABSENT))

    def leave(self, task: str) -> None:
        """Take a task's late names back; it does no harm to do so twice, as a stop may have come in between."""
        with self._lock:
            for name in self._late[task]:
                users = self._users.get(name)
                if users and task in users:
                    users.discard(task)
                    if not users:
                        _put(self._live, name, self._floor[name] if name in self._floor else self._behind.pop(name))

    def publish(self, bound: Mapping[str, Any], unbound: Collection[str] = ()) -> None:
        """Show what a task has bound and unbound; what running tasks need as it is shows when they are done."""
        with self._lock:
            later = {name: value for name, value in bound.items() if self._users.get(name) or name in self._floor}
            # In one step each: a task that is stopped right here has published all its names or none.
            self._behind.update(later)
            self._live.update({name: value for name, value in bound.items() if name not in later})
            for name in unbound:
                if self._users.get(name) or name in self._floor:
                    self._behind[name] = ABSENT
                else:
                    self._live.pop(name, None)

    def close(self) -> None:
        """Show what waited for the end of the run; it does no harm to do so twice."""
        with self._lock:
            for name in list(self._floor):
                del self._floor[name]
                if not self._users.get(name):
                    _put(self._live, name, self._behind.pop(name))


def _put(names: dict[str, Any], name: str, value: Any) -> None:
    if value is ABSENT:
        names.pop(name, None)
    else:
        names[name] = value
