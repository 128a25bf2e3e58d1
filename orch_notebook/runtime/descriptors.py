"""What is written past Python's streams: by C code and by other programs, to the descriptors of stdout and stderr.

A Jupyter kernel reads those descriptors in threads of its own and writes what comes to its streams; nothing says whose
it was.  It belongs to the task that runs, where just one does: a cell that starts a program is a barrier, so it runs
alone.  While several run, it stays with the cell that runs the flow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["begin", "deliver", "end", "is_read", "owner"]

#: What ends a task's output on a descriptor: one byte, which no read can part and no terminal shows.  A kernel copies
#: what it reads to where it was started, so it is not the null byte, which makes a log a binary file.
MARK = "\x1f"
#: Seconds that a reader which does not answer is waited for.
PATIENCE = 0.5

_lock = threading.Lock()
#: The captures of the tasks that run, and those of them that ran beside others.
_running: list[Any] = []
_mixed: set[int] = set()
_arrivals: dict[int, threading.Event] = {}


def begin(capture: Any) -> None:
    """Take note that a task runs."""
    with _lock:
        _running.append(capture)
        if len(_running) > 1:
            _mixed.update(map(id, _running))


def end(capture: Any, *streams: Any) -> None:
    """Take note that a task has ended; what it wrote to the descriptors of these streams has come when this returns."""
    if owner() is capture and id(capture) not in _mixed:
        for stream in streams:
            _settle(stream)
    with _lock:
        _running[:] = [other for other in _running if other is not capture]
        _mixed.discard(id(capture))


def owner() -> Any:
    """Return the capture of the only task that runs; None where several do, or none."""
    running = list(_running)
    return running[0] if len(running) == 1 else None


def _settle(stream: Any) -> None:
    reader = getattr(stream, "watch_fd_thread", None)
    if reader is None or not reader.is_alive() or not getattr(stream, "_should_watch", False):
        return
    arrival = _arrivals[id(stream)] = threading.Event()
    try:
        with suppress(OSError):
            os.write(stream._original_stdstream_fd, MARK.encode())
            arrival.wait(PATIENCE)
    finally:
        _arrivals.pop(id(stream), None)


def is_read(stream: Any) -> bool:
    """Whether this is the thread in which a kernel reads a stream's descriptor."""
    return getattr(stream, "watch_fd_thread", None) is threading.current_thread()


def deliver(stream: Any, text: str, name: str, usual: Callable[[str], int]) -> int:
    """Give what was read from a descriptor to the task whose it is, or to where it goes as usual."""
    whose, arrival = owner(), _arrivals.get(id(stream))
    plain = text if arrival is None else text.replace(MARK, "")
    if plain:
        usual(plain) if whose is None else whose.write(name, plain)
    if arrival is not None and plain != text:
        arrival.set()
    return len(text)
