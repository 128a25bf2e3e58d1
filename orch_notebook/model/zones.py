"""Time zones and moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from orch_notebook.errors import ScheduleError

__all__ = ["aware", "find_zone", "next_change", "parse_instant", "wall_clock"]


def find_zone(name: str) -> tzinfo:
    """Return the IANA time zone of this name.

    Raises
    ------
    ScheduleError
        There is none; the message suggests the nearest name.

    Examples
    --------
    >>> find_zone("Europe/Madird")
    Traceback (most recent call last):
    orch_notebook.errors.ScheduleError: There is no time zone 'Europe/Madird'. Did you mean 'Europe/Madrid'?
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    # A folder of the time zone data (``Europe``) raises whatever opening a folder raises on this system.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f"There is no time zone {name!r}. {_near_zone(name)}", timezone=name) from None


def _near_zone(name: str) -> str:
    zones = sorted(available_timezones())
    by_spelling = {zone.lower(): zone for zone in zones}
    for zone in zones:
        # People write the city alone.
        by_spelling.setdefault(zone.lower().rsplit("/", 1)[-1], zone)
    near = get_close_matches(name.strip().lower().replace(" ", "_"), by_spelling, n=1, cutoff=0.7)
    return f"Did you mean {by_spelling[near[0]]!r}?" if near else "Names look like 'Europe/Madrid' or 'UTC'."


def aware(moment: datetime) -> datetime:
    """Return a moment in UTC.

    Raises
    ------
    ScheduleError
        It bears no time zone.
    """
    if moment.tzinfo is None:
        raise ScheduleError(f"{moment.isoformat()} bears no time zone; due times are reckoned from aware instants.")
    return moment.astimezone(UTC)


def parse_instant(text: str, timezone: str = "UTC") -> datetime:
    """Read a moment in ISO 8601 and return it in UTC.

    Parameters
    ----------
    text : str
        ``2026-11-20T06:00``, ``2026-11-20 06:00:30``, ``2026-11-20``; an offset or ``Z`` at its end prevails.
    timezone : str
        Where the wall clock hangs when the text bears no offset; of a time that comes twice, the first is meant.

    Raises
    ------
    ScheduleError
        It is no moment, the zone is unknown, or the clocks skip this time.

    Examples
    --------
    >>> parse_instant("2026-11-20T06:00", "Europe/Madrid").isoformat()
    '2026-11-20T05:00:00+00:00'
    """
    zone = find_zone(timezone)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ScheduleError(f"{text!r} is not a moment: write it like 2026-11-20T06:00 (ISO 8601).") from None
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        instant = moment.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ScheduleError(f"{text!r} lies beyond the calendar.") from None
    if instant.astimezone(zone).replace(tzinfo=None) != moment:
        raise ScheduleError(f"The clocks of {timezone} skip {text!r}; choose a time before or after the gap.")
    return instant


def wall_clock(moment: datetime, zone: tzinfo) -> datetime:
    """Return the moment at which the clocks of a zone show this time (naive), in UTC.

    Of a time that comes twice the first is meant.  A time that the clocks skip is reckoned with the offset that held
    before the gap, as RFC 5545 (3.3.5) has it.

    Examples
    --------
    >>> wall_clock(datetime(2026, 3, 29, 2, 30), find_zone("Europe/Madrid")).isoformat()
    '2026-03-29T01:30:00+00:00'
    """
    return moment.replace(tzinfo=zone, fold=0).astimezone(UTC)


def next_change(zone: tzinfo, since: datetime, until: datetime) -> datetime:
    """Return the first instant after `since`, to the second, at which the clocks of a zone are moved; else `until`.

    Examples
    --------
    >>> year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    >>> next_change(find_zone("Australia/Lord_Howe"), *year).isoformat()
    '2026-04-04T15:00:00+00:00'
    """
    before = since.astimezone(zone).utcoffset()
    low = since
    # Day by day: two changes may lie between the ends, and undo each other.
    while (high := min(low + timedelta(days=1), until)).astimezone(zone).utcoffset() == before:
        if high == until:
            return until
        low = high
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    # Changes fall on whole seconds; `high` lies at most one behind.
    return high.replace(microsecond=0)
