"""Cron expressions.

cronsim decides what an expression means, with Debian's rules where the clock changes: a fixed time that falls into the
gap runs when the gap ends, one that comes twice runs the first time, and a wildcard follows the wall clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from cronsim import CronSim, CronSimError

from orch_notebook.errors import ScheduleError
from orch_notebook.model.schedules.rule import Rule
from orch_notebook.model.zones import find_zone, next_change

__all__ = ["Cron"]

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
    "day-of-week": "0-7 (0 and 7 are Sunday) or SUN-SAT, 5L (the last Friday) or MON#2 (the second Monday)",
}

FORMS = "also *, lists (1,15), ranges (2-5) and steps (*/15)"


@dataclass(frozen=True, slots=True)
class Cron(Rule):
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
        minute, hour = _plain(self.expression).split()[:2]
        ticks = _fixed_ticks if not minute.startswith("*") and not hour.startswith("*") else _wall_ticks
        try:
            yield from ticks(_plain(self.expression), zone, moment)
        except OverflowError:  # the calendar ends with the year 9999
            return

    def words(self) -> str:
        """Return the schedule as a person reads it."""
        return f"cron {self.expression} ({self.timezone})"

    def explained(self) -> str:
        """Return the schedule in plain language.

        Examples
        --------
        >>> Cron("0 6 * * 1-5", "Europe/Madrid").explained()
        'At 06:00 on Monday through Friday (Europe/Madrid)'
        """
        return f"{CronSim(self.expression, datetime(2026, 1, 1)).explain()} ({self.timezone})"

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`schedule_from_json` reads."""
        return {"kind": "cron", "expression": self.expression, "timezone": self.timezone}


def _fixed_ticks(expression: str, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
    """Yield the due times of an expression that names its hours and minutes: cronsim sees to the clock's changes."""
    last = moment
    for tick in CronSim(expression, moment.astimezone(zone)):
        instant = tick.astimezone(UTC)
        # In the hour that comes twice cronsim may answer with the earlier of the two, which has passed.
        if instant > last:
            last = instant
            yield instant


def _wall_ticks(expression: str, zone: tzinfo, moment: datetime) -> Iterator[datetime]:
    """Yield every instant at which the wall clock matches.

    Between two changes of the clock the wall clock runs evenly, and cronsim is only asked there: stepping over a
    change by whole hours, as it would, loses half an hour where the clock moves by half an hour (Lord Howe).
    """
    last, offset = moment, _offset(moment, zone)
    ticks = CronSim(expression, (moment + offset).replace(tzinfo=None))
    while (tick := next(ticks, None)) is not None:
        instant = tick.replace(tzinfo=UTC) - offset
        if _offset(instant, zone) == offset:
            last = instant
            yield instant
            continue
        last = next_change(zone, last, instant)
        offset = _offset(last, zone)
        ticks = CronSim(expression, (last + offset).replace(tzinfo=None) - timedelta(seconds=1))


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


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
