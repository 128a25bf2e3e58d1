"""Which process owns a run, and whether it is still alive.

An owner is written ``host:pid:start``.  The start of the process keeps a recycled process id from looking alive.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["is_alive", "is_dead", "this_owner"]


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return ""
    # The command name stands in parentheses and may hold anything; field 22 is counted from behind it.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


@cache
def _host() -> str:
    return socket.gethostname().replace(":", "-")


def this_owner() -> str:
    """Return the owner string of this process."""
    return f"{_host()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the owner surely has ended; False when it lives or cannot be seen from here.

    Examples
    --------
    >>> is_dead(this_owner())
    False
    >>> is_dead("elsewhere:1:1")
    False
    """
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if host != _host() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    now_started = _started(int(pid))
    return bool(started) and now_started != started and Path("/proc").is_dir()


def is_alive(owner: str) -> bool:
    """Whether the owner surely lives: it runs on this machine.

    Examples
    --------
    >>> is_alive(this_owner())
    True
    >>> is_alive("elsewhere:1:1")
    False
    """
    return owner.partition(":")[0] == _host() and not is_dead(owner)
