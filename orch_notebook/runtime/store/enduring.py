"""Waiting for a store that is away.

In: something to ask of a store.  Out: its answer, later if need be; or the error, when the store was away too long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from orch_notebook.errors import StoreAway

__all__ = ["AGAIN", "GONE", "endure"]

logger = logging.getLogger("orch_notebook")

Found = TypeVar("Found")

#: Seconds between two tries while the store is away.
AGAIN = 0.2

#: Seconds after which a store that only this machine can reach counts as gone: a full disk, a file that stays locked.
GONE = 30.0


def endure(ask: Callable[[], Found], until: Callable[[float], float]) -> Found:
    """Ask something that may be asked again; as long as the store is away, and not beyond a limit.

    Parameters
    ----------
    ask : callable
        What is wanted.
    until : callable
        Given when the store was first found away, in seconds of :func:`time.monotonic`, says when to give up.

    Raises
    ------
    StoreAway
        It was away for too long.
    """
    away_at: float | None = None
    while True:
        asked_at = time.monotonic()
        try:
            found = ask()
        except StoreAway as away:
            if away_at is None:
                away_at = asked_at
                logger.warning("%s This is waited for.", away)
            if time.monotonic() >= until(away_at):
                raise
            time.sleep(AGAIN)
        else:
            if away_at is not None:
                logger.warning("The store is back after %.1f s.", asked_at - away_at)
            return found
