"""What is to be done at which instant.

In: acts, each with the instant at which it falls due.  Out: those that are due, the earliest first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

__all__ = ["Timers"]


class Timers:
    """Acts that wait for their instants; whoever uses it holds a lock.

    Examples
    --------
    >>> from datetime import timedelta, UTC
    >>> now, timers = datetime(2026, 1, 1, tzinfo=UTC), Timers()
    >>> timers.add(now + timedelta(seconds=5), lambda: "retry"), timers.add(now, lambda: "look")
    (True, True)
    >>> timers.take(now)(), timers.take(now), timers.next_at - now
    ('look', None, datetime.timedelta(seconds=5))
    """

    def __init__(self) -> None:
        self._acts: list[tuple[datetime, int, Callable[[], object]]] = []
        self._count = 0

    def add(self, due_at: datetime, act: Callable[[], object]) -> bool:
        """Add an act; whether it is the first that falls due now."""
        self._count += 1  # those of one instant fall due in the order in which they were added
        heapq.heappush(self._acts, (due_at, self._count, act))
        return self._acts[0][0] == due_at

    @property
    def next_at(self) -> datetime | None:
        """When the first falls due."""
        return self._acts[0][0] if self._acts else None

    def take(self, now: datetime) -> Callable[[], object] | None:
        """Take out the first act if it is due."""
        return heapq.heappop(self._acts)[2] if self._acts and self._acts[0][0] <= now else None
