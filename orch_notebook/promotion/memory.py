"""How much memory a process and all it started take.

In: a process, perhaps this one.  Out: its bytes, or a word as soon as they are more than it may take.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orch_notebook.model.sizes import size_words

__all__ = ["LOOK_EVERY", "guard_memory", "memory_of"]


#: Seconds between two looks; one costs 0.3 ms for a process alone.
LOOK_EVERY = 0.25
#: Seconds that code may take to stop which is asked to.
STUBBORN = 5.0


def memory_of(pid: int) -> int:
    """Return the resident bytes of a process and of everything that descends from it; 0 when it has ended.

    Pages that several of them share are counted for each: a pool of forked processes counts for more than it takes.
    """
    psutil = _psutil()
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total


@contextmanager
def guard_memory(limit: int | None, exceeded: Callable[[str], None]) -> Iterator[None]:
    """Call `exceeded` with words, once, if this process and what it started take more than `limit` bytes meanwhile.

    It is to end what goes on; if that has not helped some seconds later, the process ends.
    """
    if limit is None:
        yield
        return
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_EVERY):
            taken = memory_of(os.getpid())
            if taken > limit:
                exceeded(f"It took {size_words(taken)} of memory, and may take {size_words(limit)}.")
                if not is_over.wait(STUBBORN):
                    os._exit(71)
                return

    thread = threading.Thread(target=look, name="orch-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _psutil() -> Any:
    # It comes with ipykernel, and is loaded only where a run has a limit.
    import psutil

    return psutil
