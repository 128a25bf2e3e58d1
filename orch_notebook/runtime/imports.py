"""Imports one at a time, while several tasks run.

Two threads that import modules which need each other would wait for each other for ever; Python avoids that by handing
one of them a module that is not finished (``cannot import name … from partially initialized module``).  Top to bottom
that cannot happen.  So while tasks run, a module is begun only when no other thread is in the midst of one.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["import_one_at_a_time"]

#: Seconds without any import beginning or ending after which one that waits goes on all the same: a module may start a
#: thread that imports, and wait for it.
PATIENCE = 20.0

#: Modules that put another object in their own place when they are loaded: who asks for one meanwhile is left with the
#: first, which has nothing in it.  IPython loads these when it first colours code.
REPLACED = ("pygments.lexers", "pygments.formatters")

#: What every import of a module that is not there yet goes through, in C and in Python alike.
_machinery: Any = importlib._bootstrap
_is_told_of_forks = False


def import_one_at_a_time() -> Callable[[], None]:
    """Let imports of different threads wait for each other; returns the way back."""
    for name in REPLACED:
        if name.partition(".")[0] in sys.modules:
            importlib.import_module(name)
    find_and_load = _machinery._find_and_load
    lock = threading.RLock()
    steps = 0

    def in_turn(name: str, import_: Any) -> Any:
        nonlocal steps
        seen = -1
        is_mine = lock.acquire(blocking=False)
        while not is_mine and seen != steps:
            seen = steps
            is_mine = lock.acquire(timeout=PATIENCE)
        steps += 1
        try:
            return find_and_load(name, import_)
        finally:
            steps += 1
            if is_mine:
                lock.release()

    # Python takes the import system's own frames out of tracebacks, and knows them by this name.
    in_turn.__code__ = in_turn.__code__.replace(co_filename=find_and_load.__code__.co_filename)
    _machinery._find_and_load = in_turn

    def restore() -> None:
        if _machinery._find_and_load is in_turn:
            _machinery._find_and_load = find_and_load

    _tell_forks(find_and_load)
    return restore


def _tell_forks(find_and_load: Any) -> None:
    """Let forked processes import freely: a thread that held the lock does not exist there."""
    global _is_told_of_forks
    if _is_told_of_forks or not hasattr(os, "register_at_fork"):
        return
    _is_told_of_forks = True

    def free() -> None:
        _machinery._find_and_load = find_and_load

    os.register_at_fork(after_in_child=free)
