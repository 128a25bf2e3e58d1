"""Time, brought in by the door."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orch_notebook.errors import StoreError

__all__ = ["Clock", "ManualClock", "SharedClock", "SystemClock", "new_run_id"]


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


class SharedClock:
    """The clock of a store that several machines share, whose own clocks may differ by hours and be set at any time.

    Parameters
    ----------
    ask : callable
        Returns the store's time.
    base : Clock, optional
        The machine's own clock; between two askings only the time that passes on it counts.
    steady : callable
        Seconds from anywhere that nobody can set.
    every : float
        Seconds between two askings; one follows at once when the machine's clock has been set.

    Examples
    --------
    >>> here, there = ManualClock(), ManualClock(datetime(2026, 1, 1, 1, tzinfo=UTC))
    >>> SharedClock(there.now, here, steady=lambda: 0.0).now().hour
    1
    """

    def __init__(
        self,
        ask: Callable[[], datetime],
        base: Clock | None = None,
        *,
        steady: Callable[[], float] = time.monotonic,
        every: float = 30.0,
    ) -> None:
        self._ask = ask
        self._base = base or SystemClock()
        self._steady = steady
        self._every = every
        self._lock = threading.Lock()
        self._offset = timedelta(0)
        self._mark()
        self._asked_at: float | None = None

    def _mark(self) -> None:
        self._base_mark, self._steady_mark = self._base.now(), self._steady()

    def now(self) -> datetime:
        """Return the present instant as the store has it."""
        with self._lock:
            base, steady = self._base.now(), self._steady()
            was_set = base - self._base_mark - timedelta(seconds=steady - self._steady_mark)
            is_set = abs(was_set.total_seconds()) > 0.5
            if is_set:  # somebody set the machine's clock, or it slept; the store will say which
                self._offset -= was_set
            self._mark()
            if is_set or self._asked_at is None or steady - self._asked_at >= self._every:
                self._asked_at = steady
                self._measure()
            return self._base.now() + self._offset

    def _measure(self) -> None:
        before = self._base.now()
        try:
            theirs = self._ask()
        except StoreError:  # what was known holds on
            return
        # The store read its clock about half way between question and answer.
        self._offset = theirs - (before + (self._base.now() - before) / 2)

    def wait(self, wake: threading.Event, timeout: float | None) -> bool:
        """Wait until `wake` is set or `timeout` seconds have passed; return whether it is set."""
        return self._base.wait(wake, timeout)


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
