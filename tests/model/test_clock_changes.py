"""Every change of the clocks of 2026 in five zones, against the rule that cron's manual states.

Debian's cron(8), about changes of less than three hours: jobs that run at fixed times and fall into an hour that is
skipped run right after it; in an hour that comes twice they run once, the first time.  Jobs with a wildcard in the
minute or the hour go by the clock on the wall.  The oracle here walks minute by minute, as cron does.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orch_notebook.model.schedules import Cron

#: Changes at night, of half an hour, at midnight, and in a zone that is off by 45 minutes.
ZONES = ("Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Chatham")
EXPRESSIONS = (
    "30 2 * * *",
    "0 2 * * *",
    "15 1,2,3 * * *",
    "59 23 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "45 1-3 * * *",
    "0,20,40 2 * * *",
    "0 3 * * SUN",
    "*/15 * * * *",
    "10 * * * *",
    "*/20 2 * * *",
    "5 */2 * * *",
)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def changes(zone):
    """Return the first instants of 2026 at which a zone's clocks show something else than an hour before."""
    tz, at = ZoneInfo(zone), datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    while at.year == 2026:
        after = at + timedelta(hours=1)
        if at.astimezone(tz).utcoffset() != after.astimezone(tz).utcoffset():
            while at.astimezone(tz).utcoffset() == (at + MINUTE).astimezone(tz).utcoffset():
                at += MINUTE
            found.append(at + MINUTE)
        at = after
    return found


def numbers(field, most):
    """Return what a field of an expression matches; only what is used above is read."""
    found = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", str(most)) if span == "*" else span.partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def oracle(expression, zone, start, end):
    """Return the instants after `start` and up to `end` at which cron runs a job."""
    minute, hour, _, _, day = expression.split()
    minutes, hours = numbers(minute, 59), numbers(hour, 23)
    by_the_wall = minute.startswith("*") or hour.startswith("*")

    def matches(wall):
        return wall.minute in minutes and wall.hour in hours and (day == "*" or wall.isoweekday() == 7)

    tz = ZoneInfo(zone)
    at, found = start, []
    reached = start.astimezone(tz).replace(tzinfo=None)
    while at < end:
        at += MINUTE
        wall = at.astimezone(tz).replace(tzinfo=None)
        if by_the_wall:
            found += [at] if matches(wall) else []
            continue
        due = False
        while reached < wall:  # one minute, or all that were skipped; none while an hour comes again
            reached += MINUTE
            due = due or matches(reached)
        found += [at] if due else []
    return found


CHANGES = [(zone, at) for zone in ZONES for at in changes(zone)]


def test_there_are_two_changes_a_year():
    """The table covers what it says: ten changes, of an hour or of half an hour."""
    assert len(CHANGES) == 10
    assert CHANGES[:2] == [
        ("Europe/Madrid", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Madrid", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(("zone", "at"), CHANGES, ids=lambda value: str(value)[:16].replace("/", "-"))
def test_due_times_around_a_change_are_crons(zone, at):
    """From a day before to a day after, every expression is due when cron would run it, and at no other time."""
    for expression in EXPRESSIONS:
        due = Cron(expression, zone).due(at - DAY, at + DAY)
        assert list(due) == oracle(expression, zone, at - DAY, at + DAY), expression


@pytest.mark.parametrize(
    ("expression", "zone", "day", "due"),
    [
        ("30 2 * * *", "Europe/Madrid", "2026-03-29", ["03:00+02:00"]),
        ("30 2 * * *", "Europe/Madrid", "2026-10-25", ["02:30+02:00"]),
        ("30 2 * * *", "America/New_York", "2026-03-08", ["03:00-04:00"]),
        ("30 1 * * *", "America/New_York", "2026-11-01", ["01:30-04:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", ["02:30+11:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["01:45+11:00"]),
        ("0 0 * * *", "America/Santiago", "2026-09-06", ["01:00-03:00"]),
        ("30 23 * * *", "America/Santiago", "2026-04-04", ["23:30-03:00"]),
        ("0 3 * * *", "Pacific/Chatham", "2026-09-27", ["03:45+13:45"]),
        ("0 3 * * *", "Pacific/Chatham", "2026-04-05", ["03:00+13:45"]),
        ("0 * * * *", "Australia/Lord_Howe", "2026-10-04", None),
    ],
)
def test_the_table_as_people_read_it(expression, zone, day, due):
    """A few rows in plain words: what the clocks on the wall show when the job is due."""
    tz = ZoneInfo(zone)
    start = datetime.fromisoformat(day).replace(tzinfo=tz).astimezone(UTC) - MINUTE
    found = [at.astimezone(tz) for at in Cron(expression, zone).due(start, start + timedelta(hours=27))]
    shown = [at.strftime("%H:%M") + at.isoformat()[-6:] for at in found if at.date().isoformat() == day]
    assert len(shown) == 23 if due is None else shown == due
