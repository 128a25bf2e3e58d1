"""How long something takes, said as ``%%time`` says it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["length", "timed"]


@contextmanager
def timed() -> Iterator[None]:
    """Print how long what stands below takes, also when it fails.

    The processor time is that of the thread: others are at work on other tasks.
    """
    wall, busy = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        busy, wall = time.thread_time() - busy, time.perf_counter() - wall
        print(f"CPU times: total: {length(busy)}\nWall time: {length(wall)}")


def length(seconds: float) -> str:
    """Return a length of time in three figures.

    Examples
    --------
    >>> length(0.0000031), length(0.25), length(2.5), length(75)
    ('3.1 μs', '250 ms', '2.5 s', '1min 15s')
    """
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return (f"{hours}h " if hours else "") + f"{minutes}min {rest}s"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("μs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
