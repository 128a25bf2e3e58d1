"""Waiting for what another process brings about: there is nothing to be told by, so it is looked for again and again.

What this process does itself is waited for by events, never by looking.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["is_gone", "until"]

Found = TypeVar("Found")


def until(claim: Callable[[], Found], what: str = "", seconds: float = 60.0) -> Found:
    """Ask `claim` again and again until it gives something true, and return that.

    Raises
    ------
    TimeoutError
        It stayed untrue for so many seconds.
    """
    give_up_at = time.monotonic() + seconds
    while not (found := claim()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"Waited {seconds:g} s in vain for {what or claim.__name__}.")
        time.sleep(0.02)  # between two looks at another process, never instead of one
    return found


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] == "Z"
    except OSError:  # not there, or gone while it was looked at
        return True
