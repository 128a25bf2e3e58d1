"""Recurrence rules as calendars write them (RFC 5545)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from dateutil.rrule import rrule, rrulestr

from orch_notebook.errors import ScheduleError
from orch_notebook.model.schedules.rule import Rule
from orch_notebook.model.zones import find_zone, wall_clock

__all__ = ["Recurrence"]

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
#: Further ahead than any rule waits: 29 February, across a century that does not leap.
HORIZON = timedelta(days=366 * 9)
HOW = "write it like FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18;BYMINUTE=0 (RFC 5545)"


@dataclass(frozen=True, slots=True)
class Recurrence(Rule):
    """Due whenever a recurrence rule matches the wall clock of a time zone.

    Parameters
    ----------
    rule : str
        As in RFC 5545, ``FREQ=…`` with its parts, without ``DTSTART``.
    start : datetime
        Naive, on the wall clock of `timezone`: what the rule counts from.  Parts that it leaves open (the hour of a
        daily rule, the day of a monthly one) are taken from here.
    timezone : str
        IANA name.

    Raises
    ------
    ScheduleError
        The rule or the zone is wrong.

    Notes
    -----
    A time that the clocks skip comes as much later as the gap is long, one that comes twice the first time (RFC 5545,
    3.3.5).

    Examples
    --------
    >>> payday = Recurrence("FREQ=MONTHLY;BYDAY=-1FR", datetime(2026, 1, 1, 18), "Europe/Madrid")
    >>> payday.next(datetime(2026, 11, 20, tzinfo=UTC)).isoformat()
    '2026-11-27T17:00:00+00:00'
    """

    rule: str
    start: datetime
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        find_zone(self.timezone)
        object.__setattr__(self, "rule", self.rule.strip().upper().removeprefix("RRULE:").strip("; "))
        if self.start.tzinfo is not None:
            object.__setattr__(self, "start", self.start.astimezone(find_zone(self.timezone)).replace(tzinfo=None))
        object.__setattr__(self, "start", self.start.replace(microsecond=0))
        _check(self.rule)
        try:
            first = next(islice(self._read()[0].replace(until=self.start + HORIZON), 1), None)
        except (ValueError, TypeError, OverflowError) as error:
            said = str(error).replace("\n", " ")
            raise ScheduleError(f"Recurrence rule {self.rule!r} does not parse: {said}; {HOW}.") from None
        if first is None and "UNTIL=" not in self.rule:
            raise ScheduleError(f"Recurrence rule {self.rule!r} never comes true.")

    def _read(self) -> tuple[rrule, int | None]:
        """Return the rule on the wall clock, and how often it comes true at most."""
        zone = find_zone(self.timezone)

        def local(found: re.Match[str]) -> str:
            until = datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return until.astimezone(zone).strftime("UNTIL=%Y%m%dT%H%M%S")

        # Everything is reckoned on the wall clock, so an end given in UTC is put there too.
        read = rrulestr(re.sub(r"UNTIL=(\d{8}T\d{6}Z)", local, self.rule), dtstart=self.start)
        assert isinstance(read, rrule)
        counted = re.search(r"COUNT=(\d+)", self.rule)
        return (read.replace(count=None), int(counted[1])) if counted else (read, None)

    def _after(self, moment: datetime) -> Iterator[datetime]:
        zone = find_zone(self.timezone)
        read, count = self._read()
        last = moment
        try:
            wall = max(moment.astimezone(zone).replace(tzinfo=None), self.start)
            if "UNTIL=" not in self.rule:
                # Else dateutil would look for a rule that never comes true until the year 9999.
                read = read.replace(until=wall + HORIZON)
            for tick in islice(read, count):
                instant = wall_clock(tick, zone)
                if instant > last:
                    last = instant
                    yield instant
        except OverflowError:  # the calendar ends with the year 9999
            return

    def words(self) -> str:
        """Return the schedule as a person reads it."""
        return f"rrule {self.rule} from {self.start:%Y-%m-%d %H:%M} ({self.timezone})"

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
        return {"kind": "rrule", "rule": self.rule, "start": self.start.isoformat(), "timezone": self.timezone}


def _check(rule: str) -> None:
    parts = dict(re.findall(r"([A-Z]+)=([^;]*)", rule))
    if "DTSTART" in rule:
        raise ScheduleError(f"Recurrence rule {rule!r} has a DTSTART; give the start by itself.")
    if parts.get("FREQ") in ("MINUTELY", "SECONDLY"):
        raise ScheduleError(f"A recurrence {parts['FREQ'].lower()} is an interval; use one, such as every 10m.")
    if parts.get("FREQ") not in FREQUENCIES:
        raise ScheduleError(f"Recurrence rule {rule!r} needs a FREQ of {', '.join(FREQUENCIES)}; {HOW}.")
    for number in ("INTERVAL", "COUNT"):
        if number in parts and not (parts[number].isdecimal() and int(parts[number]) > 0):
            raise ScheduleError(f"Recurrence rule {rule!r}: {number} must be 1 or more, not {parts[number]!r}.")
