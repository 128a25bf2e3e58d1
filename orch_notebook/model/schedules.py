"""When something should run by itself: rules that yield moments.

In: two moments.  Out: the due times between them.  A schedule holds no clock: whoever asks says what time it is, so a
year of due times is a table in a test.  cronsim decides what a cron expression means, with Debian's rules where the
clock changes: a fixed time that falls into the gap runs when the gap ends, one that comes twice runs the first time,
and a wildcard follows the wall clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from orch_notebook.errors import ScheduleError
from orch_notebook.model.durations import interval_words, parse_interval

__all__ = ["Cron", "Interval", "Once", "Schedule", "find_zone", "parse_instant", "parse_interval", "schedule_from_json"]

LIMIT = 1000

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

#: Every field of a cron expression, as cronsim names it, with what it may hold.
FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (last day) or LW (last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 (0 and 7 are Sunday) or SUN-SAT",
}

FORMS = "also *, lists (1,15), ranges (2-5) and steps (*/15)"


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


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ScheduleError(f"{moment.isoformat()} bears no time zone; due times are reckoned from aware instants.")
    return moment.astimezone(UTC)


class _Rule(ABC):
    """What every schedule answers, given the moments after an instant in order."""

    __slots__ = ()

    @abstractmethod
    def _after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments after this one, in order."""

    def due(self, since: datetime, until: datetime, limit: int = LIMIT) -> list[datetime]:
        """Return the moments t with ``since < t <= until``, in order, aware UTC, the first `limit` of them."""
        end = _aware(until)
        found: list[datetime] = []
        for moment in islice(self._after(_aware(since)), limit):
            if moment > end:
                break
            found.append(moment)
        return found

    def next(self, after: datetime) -> datetime | None:
        """Return the first moment after `after`, aware UTC, or ``None`` when there is no more."""
        return next(self._after(_aware(after)), None)


@dataclass(frozen=True, slots=True)
class Cron(_Rule):
    """Due whenever a cron expression matches the wall clock of a time zone.

    Parameters
    ----------
    expression : str
        Five fields: minute, hour, day of month, month, day of week; or ``@hourly``, ``@daily``, ``@weekly``,
        ``@monthly``, ``@yearly``.
    timezone : str
        IANA name.

    Raises
    ------
    ScheduleError
        A field or the zone is wrong; the message says which and what it may hold.

    Examples
    --------
    >>> cron = Cron("0 6 * * *", "Europe/Madrid")
    >>> cron.next(datetime(2026, 7, 1, tzinfo=UTC)).isoformat()
    '2026-07-01T04:00:00+00:00'
    >>> Cron("0 25 * * *")
    Traceback (most recent call last):
    orch_notebook.errors.ScheduleError: Cron '0 25 * * *': the hour field '25' may hold 0-23; also *, lists (1,15), \
ranges (2-5) and steps (*/15).
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        find_zone(self.timezone)
        _check_cron(self.expression)

    def _after(self, moment: datetime) -> Iterator[datetime]:
        zone = find_zone(self.timezone)
        last = moment
        try:
            ticks = CronSim(_plain(self.expression), moment.astimezone(zone))
            for tick in ticks:
                instant = tick.astimezone(UTC)
                # In the hour that comes twice cronsim may answer with the earlier of the two, which has passed.
                if instant > last and _is_true(ticks, tick, instant.astimezone(zone)):
                    last = instant
                    yield instant
        except OverflowError:  # the calendar ends with the year 9999
            return

    def words(self) -> str:
        """Return the schedule as a person reads it."""
        return f"cron {self.expression} ({self.timezone})"

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
        return {"kind": "cron", "expression": self.expression, "timezone": self.timezone}


def _is_true(ticks: CronSim, tick: datetime, real: datetime) -> bool:
    # Where midnight itself is skipped (Cairo), cronsim starts the day at the midnight that never was, and a wildcard
    # may match there; the wall clock then shows an hour later, which counts only if it matches too.
    if ticks.fixup_tz is not None or tick.replace(tzinfo=None) == real.replace(tzinfo=None):
        return True
    return real.hour in ticks.hours and real.minute in ticks.minutes and ticks.match_day(real.date())


def _plain(expression: str) -> str:
    return NICKNAMES.get(expression.lower(), expression)


def _check_cron(expression: str) -> None:
    if expression.startswith("@") and expression.lower() not in NICKNAMES:
        raise ScheduleError(f"Cron {expression!r} is none of {', '.join(NICKNAMES)}.", expression=expression)
    fields = _plain(expression).split()
    if len(fields) != len(FIELDS):
        raise ScheduleError(
            f"Cron {expression!r} has {len(fields)} field{'s' * (len(fields) != 1)}; it takes five: minute hour "
            "day-of-month month day-of-week, as in '0 6 * * *'.",
            expression=expression,
        )
    start = datetime(2000, 1, 1, tzinfo=UTC)
    for position, (name, holds) in enumerate(FIELDS.items()):
        alone = ["*"] * len(FIELDS)
        alone[position] = fields[position]
        try:
            CronSim(" ".join(alone), start)
        # cronsim trips over some malformed steps on 'L' with errors of its own inside.
        except (CronSimError, AssertionError, ValueError, TypeError, IndexError):
            raise ScheduleError(
                f"Cron {expression!r}: the {name} field {fields[position]!r} may hold {holds}; {FORMS}.",
                expression=expression,
                field=name,
            ) from None
    try:
        next(CronSim(_plain(expression), start))
    except (CronSimError, StopIteration):
        raise ScheduleError(
            f"Cron {expression!r} never comes true: no such month has a day {fields[2]} that fits.",
            expression=expression,
            field="day-of-month",
        ) from None


@dataclass(frozen=True, slots=True)
class Interval(_Rule):
    """Due every so many seconds from an anchor on, the anchor being the first.

    Parameters
    ----------
    seconds : float
        Length of a step, as elapsed time: a change of the clock does not move it.
    anchor : datetime
        Aware; the first due time, from which all others are counted.

    Examples
    --------
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
        object.__setattr__(self, "anchor", _aware(self.anchor))

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
class Once(_Rule):
    """Due at one moment and never again.

    Examples
    --------
    >>> Once(datetime(2026, 11, 20, 6, tzinfo=UTC)).words()
    'once at 2026-11-20 06:00 UTC'
    """

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", _aware(self.at))

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


Schedule = Cron | Interval | Once


def schedule_from_json(data: Mapping[str, Any]) -> Schedule:
    """Read what a schedule's ``to_json`` wrote.

    Examples
    --------
    >>> schedule_from_json({"kind": "cron", "expression": "0 6 * * *", "timezone": "UTC"})
    Cron(expression='0 6 * * *', timezone='UTC')
    """
    match data.get("kind"):
        case "cron":
            return Cron(data["expression"], data["timezone"])
        case "interval":
            return Interval(data["seconds"], datetime.fromisoformat(data["anchor"]))
        case "once":
            return Once(datetime.fromisoformat(data["at"]))
        case other:
            raise ScheduleError(f"There is no schedule of kind {other!r}; there are cron, interval and once.")


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
