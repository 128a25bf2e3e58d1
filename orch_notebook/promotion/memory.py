"""How much memory a kernel and all it started take, looked at from outside."""

from __future__ import annotations

from typing import Any

__all__ = ["memory_of"]


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


def _psutil() -> Any:
    # It comes with ipykernel, and is loaded only where a run has a limit.
    import psutil

    return psutil
