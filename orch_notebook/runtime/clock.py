"""Time, brought in by the door."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock", "new_run_id"]


class Clock(Protocol):
    """What everything that needs the time is given."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        ...

    def wait(self, wake: threading.Event, timeout: float | None) -> bool:
        """Wait until `wake` is set or `timeout` seconds have passed; return whether it is set."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present instant, aware UTC."""
        return datetime.now(UTC)

    def wait(self, wake: threading.Event, timeout: float | None) -> bool:
        """Wait until `wake` is set or `timeout` seconds have passed; return whether it is set."""
        return wake.wait(timeout)


class ManualClock:
    """A clock that stands still until it is told to move; waiting moves it to the end of the wait at once.

    Examples
    --------
    >>> clock = ManualClock()
    >>> start = clock.now()
    >>> clock.wait(threading.Event(), 60)
    False
    >>> (clock.now() - start).total_seconds()
    60.0
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the instant it stands at."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward."""
        with self._lock:
            self._now += timedelta(seconds=seconds)

    def wait(self, wake: threading.Event, timeout: float | None) -> bool:
        """Return at once if `wake` is set, else move to the end of the wait; without an end, really wait."""
        if timeout is None:
            return wake.wait()
        if not wake.is_set():
            self.advance(max(0.0, timeout))
            time.sleep(0)  # lets the threads that would set it run
        return wake.is_set()


def new_run_id(now: datetime) -> str:
    """Return a UUIDv7: its first 48 bits are the milliseconds of `now`, so ids sort by creation (RFC 9562 §5.7).

    Examples
    --------
    >>> run_id = new_run_id(datetime(2026, 1, 1, tzinfo=UTC))
    >>> run_id[:13], run_id[14], len(run_id)
    ('019b76da-a800', '7', 36)
    """
    milliseconds = int(now.timestamp() * 1000)
    noise = int.from_bytes(os.urandom(10), "big")
    value = (
        (milliseconds & (2**48 - 1)) << 80 | 0x7 << 76 | (noise >> 68 & 0xFFF) << 64 | 0b10 << 62 | noise & (2**62 - 1)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
