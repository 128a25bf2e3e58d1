"""Lengths of time as people write them: ``30s``, ``1h30m``, ``2.5d``, ``90``.  In: text or seconds.  Out: the other."""

from __future__ import annotations

import re

from orch_notebook.errors import ScheduleError

__all__ = ["interval_words", "parse_interval"]

#: Seconds of each unit, by every way it may be written; the first spelling of each is the one we print.
UNITS = {
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "min": 60.0,
    "m": 60.0,
    "mins": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 0.001,
    "w": 604800.0,
    "week": 604800.0,
    "weeks": 604800.0,
}

PRINTED = ("d", "h", "min", "s")

#: A century: anything longer is a slip of the keyboard, and far longer ones overflow ``timedelta``.
LONGEST = 100 * 365.25 * 86400

NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
PART = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*", re.ASCII)


def parse_interval(text: str) -> float:
    """Read a length of time and return its seconds.

    Parameters
    ----------
    text : str
        A bare number counts seconds; otherwise numbers with units: w, d, h, m or min, s, ms.

    Raises
    ------
    ScheduleError
        It is no length of time, is negative, or is longer than a century.

    Examples
    --------
    >>> parse_interval("30s"), parse_interval("1h30m"), parse_interval("90"), parse_interval("2.5 min")
    (30.0, 5400.0, 90.0, 150.0)
    """
    lowered = text.strip().lower()
    if NUMBER.fullmatch(lowered):
        seconds = float(lowered)
    else:
        seconds, end = 0.0, 0
        while end < len(lowered):
            part = PART.match(lowered, end)
            if part is None:
                raise ScheduleError(
                    f"{text!r} is not a length of time: write seconds (90) or numbers with units (30s, 5m, 1h30m, 2d)."
                )
            if part[2] not in UNITS:
                raise ScheduleError(
                    f"{text!r} has the unit {part[2]!r}, which is none of w, d, h, m, s, ms (as in 1h30m)."
                )
            seconds += float(part[1]) * UNITS[part[2]]
            end = part.end()
        if not lowered:
            raise ScheduleError("An empty text is not a length of time: write seconds (90) or a form such as 1h30m.")
    if seconds > LONGEST:
        raise ScheduleError(f"{text!r} is longer than a century.")
    return seconds


def interval_words(seconds: float) -> str:
    """Write seconds as a person would say them.

    Examples
    --------
    >>> interval_words(30), interval_words(5400), interval_words(0.25), interval_words(86400)
    ('30 s', '1 h 30 min', '0.25 s', '1 d')
    """
    words = []
    rest = seconds
    for unit in PRINTED[:-1]:
        count = int(rest // UNITS[unit])
        if count:
            words.append(f"{count} {unit}")
            rest -= count * UNITS[unit]
    rest = round(rest, 6)
    if rest or not words:
        words.append(f"{rest:g} s")
    return " ".join(words)
