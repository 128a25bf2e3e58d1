"""Limits on what goes on at once: by name, by the tags of tasks, and by rate.

In: names and a number of slots.  Out: a context that is entered when the slots are free.  A slot is held as long as the
run that took it lives, so one whose process dies holds nothing after its lease has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from orch_notebook.errors import UsageError
from orch_notebook.functions.futures import wait_for_bell
from orch_notebook.functions.loops import loops
from orch_notebook.runtime.context import flow_scope
from orch_notebook.runtime.home import Home, open_home
from orch_notebook.runtime.store.shelves import Limit

__all__ = ["concurrency", "limit_concurrency", "rate_limit", "remove_limit", "slots_of_tags"]

#: Seconds between two looks at a limit that is full.
LOOK_EVERY = 0.1

#: Seconds for which slots are held outside of runs, where no lease of a run speaks for them.
OUTSIDE = 300.0


def limit_concurrency(name: str, slots: int, *, slot_decay_per_second: float | None = None) -> None:
    """Say how many slots of a name there are; ``tag:gpu`` limits the tasks that bear the tag ``gpu``.

    Raises
    ------
    UsageError
        A number makes no sense.
    """
    if slots < 0 or (slot_decay_per_second is not None and slot_decay_per_second < 0):
        raise UsageError("A limit has a number of slots from 0, and gives them back at a rate from 0.")
    open_home().store.set_limit(Limit(name, int(slots), slot_decay_per_second or None))


def remove_limit(name: str) -> bool:
    """Remove a limit; False if there is none of that name."""
    return open_home().store.remove_limit(name)


class _Slots:
    """Slots that are taken for a while; for ``with`` and ``async with``."""

    def __init__(self, names: Sequence[str], occupy: int, timeout: float | None, strict: bool) -> None:
        self._names = names
        self._occupy = occupy
        self._timeout = timeout
        self._strict = strict
        self._held: list[str] = []
        self._home: Home

    def _try(self) -> bool:
        home = self._home
        limits = home.store.limits()
        missing = [name for name in self._names if name not in limits]
        if missing and self._strict:
            raise UsageError(f"There is no limit {missing[0]!r}; limit_concurrency({missing[0]!r}, 2) makes one.")
        for name in self._names:
            if name in limits and limits[name].slots < self._occupy:
                raise UsageError(f"Limit {name!r} has {limits[name].slots} slots, so {self._occupy} are never free.")
        now, scope = home.clock.now(), flow_scope.get()
        taken = home.store.take_slots(
            self._names,
            self._occupy,
            now,
            run_id=scope.run_id if scope else None,
            expires_at=None if scope else now + timedelta(seconds=OUTSIDE),
        )
        if taken is None:
            return False
        self._held = taken
        return True

    def _late(self, began: float) -> TimeoutError | None:
        if self._timeout is None or time.monotonic() - began < self._timeout:
            return None
        return TimeoutError(
            f"No {self._occupy} slots of {', '.join(self._names)} were free within {self._timeout:g} s."
        )

    def __enter__(self) -> None:
        self._home = open_home()
        began = time.monotonic()
        bell = threading.Lock()
        bell.acquire()
        while not self._try():
            if (late := self._late(began)) is not None:
                raise late
            wait_for_bell(bell, LOOK_EVERY)

    async def __aenter__(self) -> None:
        self._home = open_home()
        began = time.monotonic()
        while not self._try():
            if (late := self._late(began)) is not None:
                raise late
            await loops().sleep(LOOK_EVERY)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, []
        if held:
            self._home.store.give_slots(held)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def concurrency(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> _Slots:
    """Hold slots of one or several limits within a block; waits until all of them are free.

    Parameters
    ----------
    names : str or list of str
        The limits.  A name without a limit does not limit, unless `strict`.
    occupy : int
        How many slots of each.
    timeout_seconds : float, optional
        Wait at most so long; then TimeoutError.
    strict : bool
        A name without a limit is an error.
    """
    return _Slots([names] if isinstance(names, str) else list(names), occupy, timeout_seconds, strict)


def rate_limit(
    names: str | Sequence[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until the rate of these limits allows one more; their slots come back by themselves.

    Raises
    ------
    UsageError
        A limit has no rate (``slot_decay_per_second``).
    """
    names = [names] if isinstance(names, str) else list(names)
    limits = open_home().store.limits()
    for name in names:
        if name in limits and limits[name].decay is None:
            raise UsageError(f"Limit {name!r} has no rate; limit_concurrency(…, slot_decay_per_second=…) gives it one.")
    _Slots(names, occupy, timeout_seconds, strict).__enter__()


def slots_of_tags(home: Home, tags: Sequence[str]) -> _Slots | None:
    """Return the slots that a task run with these tags needs; None if no tag of it is limited."""
    limits = home.store.limits()
    names = [f"tag:{tag}" for tag in tags if f"tag:{tag}" in limits]
    return _Slots(names, 1, None, False) if names else None
