"""Schedules: which moments they yield, also where the clock changes, and what their errors say."""

import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch_notebook.errors import ScheduleError
from orch_notebook.model.durations import interval_words, parse_interval
from orch_notebook.model.schedules import (
    Cron,
    Interval,
    Once,
    Recurrence,
    preview,
    schedule_from_json,
)
from orch_notebook.model.zones import find_zone, parse_instant

START = datetime(2026, 1, 1, tzinfo=UTC)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(moments, zone):
    return [moment.astimezone(find_zone(zone)).strftime("%m-%d %H:%M %z") for moment in moments]


# zone, a day on which the clock changes, expression, local due times of that day
CLOCK_CHANGES = [
    # Spring: the hour from 02:00 is skipped.
    ("Europe/Madrid", "2026-03-29", "30 2 * * *", ["03-29 03:00 +0200"]),
    ("Europe/Madrid", "2026-03-29", "0,30 2 * * *", ["03-29 03:00 +0200"]),
    ("Europe/Madrid", "2026-03-29", "0 2,3 * * *", ["03-29 03:00 +0200"]),
    ("Europe/Madrid", "2026-03-29", "30 * * * *", None),
    ("America/New_York", "2026-03-08", "30 2 * * *", ["03-08 03:00 -0400"]),
    ("America/New_York", "2026-03-08", "0 6 * * *", ["03-08 06:00 -0400"]),
    ("America/New_York", "2026-03-08", "*/30 2 * * *", []),
    ("Australia/Sydney", "2026-10-04", "15 2 * * *", ["10-04 03:00 +1100"]),
    # Autumn: an hour comes twice.
    ("Europe/Madrid", "2026-10-25", "30 2 * * *", ["10-25 02:30 +0200"]),
    ("Europe/Madrid", "2026-10-25", "30 3 * * *", ["10-25 03:30 +0100"]),
    ("America/New_York", "2026-11-01", "30 1 * * *", ["11-01 01:30 -0400"]),
    (
        "America/New_York",
        "2026-11-01",
        "*/30 1 * * *",
        ["11-01 01:00 -0400", "11-01 01:30 -0400", "11-01 01:00 -0500", "11-01 01:30 -0500"],
    ),
    ("Australia/Sydney", "2026-04-05", "15 2 * * *", ["04-05 02:15 +1100"]),
    ("Australia/Sydney", "2026-04-05", "0 4 * * *", ["04-05 04:00 +1000"]),
    # Midnight itself is skipped.
    ("Africa/Cairo", "2026-04-24", "0 0 * * *", ["04-24 01:00 +0300"]),
    ("Africa/Cairo", "2026-04-24", "*/30 0 * * *", []),
    # The clock moves by half an hour only.
    ("Australia/Lord_Howe", "2026-04-05", "15 2 * * *", ["04-05 02:15 +1030"]),
    (
        "Australia/Lord_Howe",
        "2026-04-05",
        "*/20 1 * * *",
        ["04-05 01:00 +1100", "04-05 01:20 +1100", "04-05 01:40 +1100", "04-05 01:40 +1030"],
    ),
    (
        "Australia/Lord_Howe",
        "2026-04-05",
        "*/15 2 * * *",
        ["04-05 02:00 +1030", "04-05 02:15 +1030", "04-05 02:30 +1030", "04-05 02:45 +1030"],
    ),
    ("Australia/Lord_Howe", "2026-10-04", "*/15 2 * * *", ["10-04 02:30 +1100", "10-04 02:45 +1100"]),
    # No change at all.
    ("UTC", "2026-03-29", "30 2 * * *", ["03-29 02:30 +0000"]),
    ("Asia/Kolkata", "2026-03-29", "30 2 * * *", ["03-29 02:30 +0530"]),
]


@pytest.mark.parametrize(("zone", "day", "expression", "expected"), CLOCK_CHANGES)
def test_cron_where_the_clock_changes(zone, day, expression, expected):
    """A fixed time in the gap runs at its end, one that comes twice runs once, wildcards follow the wall clock."""
    midnight = parse_instant(f"{day}T12:00", zone) - timedelta(hours=12)
    since = midnight - timedelta(hours=3)
    due = [
        text
        for text in local(Cron(expression, zone).due(since, since + timedelta(hours=30)), zone)
        if text.startswith(day[5:])
    ]
    if expected is None:
        assert len(due) == 23  # one a hour of a day of 23
    else:
        assert due == expected


# expression, how many due in 2026, first and last of them in UTC
YEARS = [
    ("0 6 * * *", 365, "2026-01-01T06:00", "2026-12-31T06:00"),
    ("@daily", 364, "2026-01-02T00:00", "2026-12-31T00:00"),
    ("0 0 29 2 *", 0, None, None),
    ("0 12 L * *", 12, "2026-01-31T12:00", "2026-12-31T12:00"),
    ("0 9 * * MON#1", 12, "2026-01-05T09:00", "2026-12-07T09:00"),
    ("0 0 1,15 * *", 23, "2026-01-15T00:00", "2026-12-15T00:00"),
    ("0 0 13 * FRI", 61, "2026-01-02T00:00", "2026-12-25T00:00"),
    ("15 10 * jan-mar mon-fri", 64, "2026-01-01T10:15", "2026-03-31T10:15"),
]


@pytest.mark.parametrize(("expression", "count", "first", "last"), YEARS)
def test_a_year_of_cron(expression, count, first, last):
    """Every form of field yields its moments; the start of the span is left out and its end is in."""
    due = Cron(expression).due(START, utc("2026-12-31T23:59"))
    assert len(due) == count
    if count:
        assert (due[0], due[-1]) == (utc(first), utc(last))


BAD_CRON = [
    ("61 * * * *", "the minute field '61' may hold 0-59"),
    ("0 24 * * *", "the hour field '24' may hold 0-23"),
    ("0 0 0 * *", "the day-of-month field '0' may hold 1-31"),
    ("0 0 1 13 *", "the month field '13' may hold 1-12 or JAN-DEC"),
    ("0 0 1 * 8", "the day-of-week field '8' may hold 0-7"),
    ("0 0 1 * LUNES", "the day-of-week field 'LUNES'"),
    ("*/0 * * * *", "the minute field '*/0'"),
    ("a b c d e", "the minute field 'a'"),
    ("30-10 * * * *", "the minute field '30-10'"),
    ("0 0 L,5/2 * *", None),
    ("0 0 L-3 * *", "the day-of-month field 'L-3'"),
    ("* * * *", "has 4 fields; it takes five"),
    ("", "has 0 fields"),
    ("5", "has 1 field;"),
    ("0 0 6 * * *", "has 6 fields; it takes five"),
    ("0 0 31 2 *", "never comes true"),
    ("0 0 30 2 *", "never comes true"),
    ("@fortnightly", "is none of @yearly"),
    ("0 6 * * *\n* *", "has 7 fields"),
]


@pytest.mark.parametrize(("expression", "says"), BAD_CRON)
def test_a_bad_cron_names_the_field(expression, says):
    """The error is one line that names the field and what it may hold."""
    if says is None:
        assert Cron(expression).next(START)
        return
    with pytest.raises(ScheduleError) as caught:
        Cron(expression)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_ZONES = [
    ("Europe/Madird", "Did you mean 'Europe/Madrid'?"),
    ("europe/madrid", "Did you mean 'Europe/Madrid'?"),
    ("Madrid", "Did you mean 'Europe/Madrid'?"),
    ("new york", "Did you mean 'America/New_York'?"),
    ("utc", "Did you mean 'UTC'?"),
    ("Europe", "There is no time zone 'Europe'."),
    ("../etc/passwd", "There is no time zone"),
    ("/etc/localtime", "There is no time zone"),
    ("", "Names look like"),
    ("x" * 400, "There is no time zone"),
    ("a\0b", "There is no time zone"),
]


@pytest.mark.parametrize(("name", "says"), BAD_ZONES)
def test_an_unknown_zone_suggests_the_nearest(name, says):
    """Whatever the name, the error says so in one line, with the nearest spelling where there is one."""
    with pytest.raises(ScheduleError) as caught:
        Cron("0 6 * * *", name)
    assert says in str(caught.value)


INTERVALS = [
    ("30s", 30),
    ("90", 90),
    ("1h30m", 5400),
    ("1h 30min", 5400),
    (" 2 D ", 172800),
    ("0.5", 0.5),
    (".5s", 0.5),
    ("250ms", 0.25),
    ("1w", 604800),
    ("0", 0),
    ("1 hour 2 minutes 3 seconds", 3723),
]


@pytest.mark.parametrize(("text", "seconds"), INTERVALS)
def test_lengths_of_time_are_read(text, seconds):
    """Bare numbers count seconds, units add up, blanks and case do not matter."""
    assert parse_interval(text) == seconds


BAD_INTERVALS = [
    ("", "empty"),
    ("abc", "is not a length of time"),
    ("30x", "has the unit 'x'"),
    ("-5", "is not a length of time"),
    ("5m30", "is not a length of time"),
    ("nan", "is not a length of time"),
    ("inf", "is not a length of time"),
    ("1e9", "has the unit 'e'"),
    ("1,5h", "is not a length of time"),
    ("1µs", "is not a length of time"),
    ("99999999999", "longer than a century"),
    ("9" * 400 + "d", "longer than a century"),
]


@pytest.mark.parametrize(("text", "says"), BAD_INTERVALS)
def test_a_bad_length_of_time_says_how_to_write_one(text, says):
    """The error quotes what came and shows a form that works."""
    with pytest.raises(ScheduleError, match=says):
        parse_interval(text)


@given(st.floats(min_value=0.001, max_value=10**8).map(lambda seconds: round(seconds, 3)))
def test_the_words_of_an_interval_read_back(seconds):
    """What we print for a length of time can be typed back in."""
    assert parse_interval(interval_words(seconds)) == pytest.approx(seconds, rel=1e-5)


INSTANTS = [
    ("2026-11-20T06:00", "UTC", "2026-11-20T06:00"),
    ("2026-11-20T06:00", "Europe/Madrid", "2026-11-20T05:00"),
    ("2026-11-20 06:00:30", "Europe/Madrid", "2026-11-20T05:00:30"),
    ("2026-11-20", "America/New_York", "2026-11-20T05:00"),
    ("2026-11-20T06:00Z", "Europe/Madrid", "2026-11-20T06:00"),
    ("2026-11-20T06:00+05:30", "Europe/Madrid", "2026-11-20T00:30"),
    ("2026-10-25T02:30", "Europe/Madrid", "2026-10-25T00:30"),
]


@pytest.mark.parametrize(("text", "zone", "expected"), INSTANTS)
def test_instants_are_read(text, zone, expected):
    """A wall time is taken in the zone unless it bears an offset; of one that comes twice the first is meant."""
    assert parse_instant(text, zone) == utc(expected)


BAD_INSTANTS = [
    ("tomorrow", "UTC", "is not a moment"),
    ("", "UTC", "is not a moment"),
    ("2026-13-01", "UTC", "is not a moment"),
    ("2026-03-29T02:30", "Europe/Madrid", "The clocks of Europe/Madrid skip"),
    ("0001-01-01T00:00", "Asia/Tokyo", "beyond the calendar"),
    ("9999-12-31T23:59-10:00", "UTC", "beyond the calendar"),
    ("2026-11-20T06:00", "Mars/Olympus", "There is no time zone"),
]


@pytest.mark.parametrize(("text", "zone", "says"), BAD_INSTANTS)
def test_a_bad_instant_says_why(text, zone, says):
    """What is no moment, or one the clocks skip, is refused in one line."""
    with pytest.raises(ScheduleError, match=says):
        parse_instant(text, zone)


def test_an_interval_counts_from_its_anchor():
    """The anchor is the first due time, steps do not drift, and none lies before it."""
    tenth = Interval(0.1, START)
    assert tenth.due(START - timedelta(days=1), START) == [START]
    assert tenth.next(START + timedelta(days=300)) == START + timedelta(days=300, milliseconds=100)


@pytest.mark.parametrize("seconds", [0, -1, 1e-9, float("nan"), float("inf"), 1e20])
def test_an_interval_must_have_a_length(seconds):
    """An interval that would never move, or leaves the calendar, is refused."""
    with pytest.raises(ScheduleError):
        Interval(seconds, START)


# rule, start on the wall clock, zone, first due times of the year 2026
RECURRENCES = [
    ("FREQ=DAILY", "2026-01-01T06:00", "UTC", ["01-01 06:00 +0000", "01-02 06:00 +0000"]),
    ("FREQ=MONTHLY;BYDAY=-1FR", "2026-01-01T18:00", "Europe/Madrid", ["01-30 18:00 +0100", "02-27 18:00 +0100"]),
    ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2025-12-29T09:30", "UTC", ["01-12 09:30 +0000", "01-26 09:30 +0000"]),
    ("FREQ=DAILY;COUNT=3", "2025-12-31T00:00", "UTC", ["01-01 00:00 +0000", "01-02 00:00 +0000"]),
    (
        "FREQ=DAILY;UNTIL=20260102T050000Z",
        "2026-01-01T06:00",
        "Europe/Madrid",
        ["01-01 06:00 +0100", "01-02 06:00 +0100"],
    ),
    (
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=29",
        "2020-01-01T02:30",
        "Europe/Madrid",
        ["03-29 03:30 +0200", "03-29 02:30 +0200"],
    ),
    (
        "FREQ=YEARLY;BYMONTH=10;BYMONTHDAY=25",
        "2020-01-01T02:30",
        "Europe/Madrid",
        ["10-25 02:30 +0200", "10-25 02:30 +0200"],
    ),
    ("FREQ=HOURLY;BYHOUR=9,17", "2026-01-01T00:15", "UTC", ["01-01 09:15 +0000", "01-01 17:15 +0000"]),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2024-01-01T00:00", "UTC", ["02-29 00:00 +0000", "02-29 00:00 +0000"]),
]


@pytest.mark.parametrize(("rule", "start", "zone", "expected"), RECURRENCES)
def test_recurrences_follow_the_calendar(rule, start, zone, expected):
    """Rules count from their start on the wall clock; what the clocks skip comes later by the length of the gap."""
    recurrence = Recurrence(rule, datetime.fromisoformat(start), zone)
    since = parse_instant("2026-01-01", zone) - timedelta(seconds=1)
    first = recurrence.next(since)
    assert local([first, recurrence.next(first) or first], zone) == expected


BAD_RECURRENCES = [
    ("", "needs a FREQ of YEARLY"),
    ("FREQ=OFTEN", "needs a FREQ of YEARLY"),
    ("FREQ=MINUTELY", "is an interval"),
    ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be 1 or more"),
    ("FREQ=DAILY;COUNT=-1", "COUNT must be 1 or more"),
    ("FREQ=DAILY;BYDAY=XX", "does not parse"),
    ("FREQ=DAILY;COLOUR=RED", "does not parse"),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes true"),
    ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=3", "never comes true"),
    ("DTSTART:20260101T000000\nRRULE:FREQ=DAILY", "has a DTSTART"),
]


@pytest.mark.parametrize(("rule", "says"), BAD_RECURRENCES)
def test_a_bad_recurrence_says_what_is_wrong(rule, says):
    """What cannot be a recurrence is refused at once, in one line."""
    with pytest.raises(ScheduleError, match=says) as caught:
        Recurrence(rule, datetime(2026, 1, 1))
    assert "\n" not in str(caught.value)


def test_moments_need_a_time_zone():
    """A naive moment is refused instead of being taken for local time."""
    naive = datetime(2026, 1, 1)
    with pytest.raises(ScheduleError, match="bears no time zone"):
        Interval(1, naive)
    with pytest.raises(ScheduleError, match="bears no time zone"):
        Once(naive)
    with pytest.raises(ScheduleError, match="bears no time zone"):
        Cron("@hourly").due(naive, START)


def test_the_end_of_the_calendar_ends_a_schedule():
    """Near the year 9999 schedules run out instead of failing."""
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    assert Interval(3600, START).next(end) is None
    assert Cron("@hourly").next(end) is None
    assert Once(START).next(end) is None


def test_the_limit_holds_however_long_the_span():
    """A schedule asked about a century answers with the first moments only."""
    assert len(Interval(1, START).due(START, START + timedelta(days=36500), limit=7)) == 7
    assert len(Cron("* * * * *").due(START, START + timedelta(days=36500), limit=7)) == 7


SCHEDULES = [
    (Cron("0  6 * * *", "Europe/Madrid"), "cron 0 6 * * * (Europe/Madrid)"),
    (Interval(30, START), "every 30 s"),
    (Interval(5400, START), "every 1 h 30 min"),
    (
        Recurrence("rrule:freq=weekly;byday=mo", datetime(2026, 1, 1, 6), "Europe/Madrid"),
        "rrule FREQ=WEEKLY;BYDAY=MO from 2026-01-01 06:00 (Europe/Madrid)",
    ),
    (Once(utc("2026-11-20T06:00")), "once at 2026-11-20 06:00 UTC"),
]


@pytest.mark.parametrize(("schedule", "words"), SCHEDULES)
def test_schedules_read_plainly_and_travel(schedule, words):
    """Every schedule says what it is, and survives JSON and pickling."""
    assert schedule.words() == words
    assert schedule_from_json(schedule.to_json()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_an_unknown_kind_of_schedule_is_named():
    """What a newer version stored is refused by name."""
    with pytest.raises(ScheduleError, match="kind 'lunar'"):
        schedule_from_json({"kind": "lunar"})


ZONES = [
    "Australia/Lord_Howe",
    "UTC",
    "Europe/Madrid",
    "America/New_York",
    "Australia/Sydney",
    "Africa/Cairo",
    "America/Santiago",
    "Asia/Kolkata",
]
EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "*/20 * * * FRI",
    "30 * * * *",
    "0 0 * * *",
    "30 2 * * *",
    "0,30 1,2,3 * * *",
    "*/10 0-3 * * *",
    "59 23 L * *",
    "0 6 * * MON",
]
# Days around clock changes of these zones, where mistakes live.
EVES = [
    utc(day)
    for day in (
        "2026-03-28",
        "2026-10-24",
        "2026-03-07",
        "2026-10-31",
        "2026-04-04",
        "2026-10-03",
        "2026-04-23",
        "2026-10-29",
        "2026-09-05",
    )
]
moments = st.builds(
    lambda eve, seconds: eve + timedelta(seconds=seconds), st.sampled_from(EVES), st.integers(0, 3 * 86400)
)
schedules = st.one_of(
    st.builds(Cron, st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES)),
    st.builds(Interval, st.floats(60, 90000), moments),
    st.builds(Once, moments),
)


@settings(deadline=None, max_examples=300)
@given(schedules, moments, st.integers(0, 2 * 86400), st.integers(0, 2 * 86400))
def test_due_times_do_not_depend_on_how_often_one_asks(schedule, start, first, second):
    """due(a, b) + due(b, c) == due(a, c), strictly increasing, and `next` is the first of them."""
    middle = start + timedelta(seconds=first)
    end = middle + timedelta(seconds=second)
    whole = schedule.due(start, end, limit=100_000)
    assert schedule.due(start, middle, limit=100_000) + schedule.due(middle, end, limit=100_000) == whole
    assert all(earlier < later for earlier, later in pairwise(whole))
    assert all(start < moment <= end for moment in whole)
    following = schedule.next(start)
    assert (whole[0] if whole else None) == (following if following and following <= end else None)


PREVIEWS = [
    ("30 2 * * *", "Europe/Madrid", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:30"], ["skip comes at its end", ""]),
    ("0 6 * * *", "Europe/Madrid", "2026-03-28T12:00", ["03-29 06:00", "03-30 06:00"], ["forward by 1 h", ""]),
    ("0 6 * * *", "Europe/Madrid", "2026-10-24T12:00", ["10-25 06:00", "10-26 06:00"], ["go back by 1 h", ""]),
    ("30 2 * * *", "Europe/Madrid", "2026-10-24T12:00", ["10-25 02:30", "10-26 02:30"], ["comes twice", "back by 1 h"]),
    ("0 6 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", ["04-05 06:00"], ["go back by 30 min"]),
    ("0 6 * * *", "UTC", "2026-03-28T12:00", ["03-29 06:00"], [""]),
]


@pytest.mark.parametrize(("expression", "zone", "after", "times", "notes"), PREVIEWS)
def test_a_preview_marks_what_the_clocks_do(expression, zone, after, times, notes):
    """The next due times stand on the wall clock, each with what a change of the clock does to it."""
    found = preview([Cron(expression, zone)], parse_instant(after, zone), find_zone(zone), len(times))
    assert [f"{due.local:%m-%d %H:%M}" for due in found] == times
    for due, note in zip(found, notes, strict=True):
        assert note in due.note and bool(note) == bool(due.note)


def test_a_preview_of_several_schedules_shows_each_moment_once():
    """Two schedules that fall together make one line."""
    found = preview([Interval(60, START), Cron("*/2 * * * *")], START, UTC, 4)
    assert [due.at.minute for due in found] == [1, 2, 3, 4]


def test_every_minute_at_which_the_wall_clock_matches_is_due():
    """Where minutes or hours are wildcards, a year's due times are just the minutes whose wall clock matches."""
    for zone in ZONES:
        for expression, matches in [
            ("*/15 * * * *", lambda wall: wall.minute % 15 == 0),
            ("*/7 1-2 * * *", lambda wall: wall.minute % 7 == 0 and wall.hour in (1, 2)),
            ("10 */2 * * *", lambda wall: wall.minute == 10 and wall.hour % 2 == 0),
        ]:
            for eve in EVES:
                minutes = [eve + timedelta(minutes=minute) for minute in range(1, 60 * 72)]
                expected = [minute for minute in minutes if matches(minute.astimezone(find_zone(zone)))]
                assert Cron(expression, zone).due(eve, minutes[-1]) == expected, (zone, expression, eve)
