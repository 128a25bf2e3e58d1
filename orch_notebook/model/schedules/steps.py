"""Schedules that need no calendar: every so many seconds, and once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orch_notebook.errors import ScheduleError
from orch_notebook.model.durations import interval_words
from orch_notebook.model.schedules.rule import Rule
from orch_notebook.model.zones import aware

__all__ = ["Interval", "Once"]


@dataclass(frozen=True, slots=True)
class Interval(Rule):
    """Due every so many seconds from an anchor on, the anchor being the first.

    Parameters
    ----------
    seconds : float
        Length of a step, as elapsed time: a change of the clock does not move it.
    anchor : datetime
        Aware; the first due time, from which all others are counted.

    Examples
    --------
    >>> from datetime import UTC
    >>> Interval(90, datetime(2026, 1, 1, tzinfo=UTC)).next(datetime(2026, 1, 1, 0, 1, tzinfo=UTC)).isoformat()
    '2026-01-01T00:01:30+00:00'
    """

    seconds: float
    anchor: datetime

    def __post_init__(self) -> None:
        try:
            step = timedelta(seconds=self.seconds)
        except (OverflowError, ValueError):
            raise ScheduleError(f"An interval of {self.seconds} seconds is beyond the calendar.") from None
        if step <= timedelta(0):
            raise ScheduleError(f"An interval must be longer than nothing, not {self.seconds:g} seconds.")
        object.__setattr__(self, "anchor", aware(self.anchor))

    def _after(self, moment: datetime) -> Iterator[datetime]:
        step = timedelta(seconds=self.seconds)
        # Whole numbers of microseconds throughout: adding floats drifts by a millisecond within days.
        count = max(0, (moment - self.anchor) // step + 1)
        try:
            while True:
                yield self.anchor + count * step
                count += 1
        except OverflowError:
            return

    def words(self) -> str:
        """Return the schedule as a person reads it."""
        return f"every {interval_words(self.seconds)}"

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
        return {"kind": "interval", "seconds": self.seconds, "anchor": self.anchor.isoformat()}


@dataclass(frozen=True, slots=True)
class Once(Rule):
    """Due at one moment and never again.

    Examples
    --------
    >>> from datetime import UTC
    >>> Once(datetime(2026, 11, 20, 6, tzinfo=UTC)).words()
    'once at 2026-11-20 06:00 UTC'
    """

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", aware(self.at))

    def _after(self, moment: datetime) -> Iterator[datetime]:
        if self.at > moment:
            yield self.at

    def words(self) -> str:
        """Return the schedule as a person reads it."""
        precise = self.at.second or self.at.microsecond
        return f"once at {self.at.strftime('%Y-%m-%d %H:%M:%S' if precise else '%Y-%m-%d %H:%M')} UTC"

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
        return {"kind": "once", "at": self.at.isoformat()}
