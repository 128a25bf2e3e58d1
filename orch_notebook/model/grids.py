"""Grids of parameters: what a backfill runs over, and which of it was run before.

In: words such as ``day=2026-01-01..2026-01-31``.  Out: one set of values for each run, in order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import islice, product
from typing import Any

from orch_notebook.errors import ParameterError, UsageError
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType

__all__ = ["REPROCESS", "choose_points", "points_of", "read_axis", "read_grid"]

#: Values of one axis and points of a grid beyond which a slip of the pen is more likely than a wish.
LIMIT = 100_000
RANGE = re.compile(r"(?P<first>[^.].*?)\.\.(?P<last>[^/]+)(?:/(?P<step>.+))?")
DAYS = {"d": 1, "day": 1, "days": 1, "w": 7, "week": 7, "weeks": 7}
#: Which points run that were run before: none, those whose latest run did not complete, or all.
REPROCESS = ("none", "failed", "all")


def read_axis(text: str) -> list[str]:
    """Return the values that an axis spells, as a command line would give each.

    Parameters
    ----------
    text : str
        ``2026-01-01..2026-01-31`` (both ends), ``2026-01-01..2026-12-31/1w``, ``1..10``, ``0..100/10``, ``a,b,c``, or
        a single value.  A range may run downwards.

    Raises
    ------
    ParameterError
        A range does not parse, or is without end.

    Examples
    --------
    >>> read_axis("2026-02-27..2026-03-01")
    ['2026-02-27', '2026-02-28', '2026-03-01']
    >>> read_axis("0..10/5"), read_axis("3..1"), read_axis("north,south")
    (['0', '5', '10'], ['3', '2', '1'], ['north', 'south'])
    """
    found = RANGE.fullmatch(text.strip())
    if found is None:
        return [part.strip() for part in text.split(",")]
    first, last, step = (part.strip() if part else part for part in found.group("first", "last", "step"))
    if re.fullmatch(r"-?\d+", first) and re.fullmatch(r"-?\d+", last):
        return [str(number) for number in _numbers(int(first), int(last), _step(step, text))]
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        raise ParameterError(
            f"{text!r} is no range: both ends are days (2026-01-01..2026-01-31) or whole numbers (1..10)."
        ) from None
    distances = _numbers(0, (end - begin).days, _days(step, text))
    return [(begin + timedelta(days=distance)).isoformat() for distance in distances]


def _numbers(first: int, last: int, step: int) -> range:
    found = range(first, last + 1, step) if last >= first else range(first, last - 1, -step)
    if len(found) > LIMIT:
        raise ParameterError(f"{first}..{last} has {len(found)} values; {LIMIT} are the most a grid may have.")
    return found


def _step(step: str | None, text: str) -> int:
    if step is None:
        return 1
    if not step.isdecimal() or int(step) < 1:
        raise ParameterError(f"The step of {text!r} must be a whole number from 1, not {step!r}.")
    return int(step)


def _days(step: str | None, text: str) -> int:
    match = re.fullmatch(r"(\d*)\s*([a-z]*)", (step or "1d").lower())
    count = int(match[1] or 1) * DAYS.get(match[2] or "d", 0) if match else 0
    if count < 1:
        raise ParameterError(f"The step of {text!r} is a number of days or weeks, such as 7d or 1w, not {step!r}.")
    return count


def read_grid(words: Iterable[str]) -> dict[str, list[str]]:
    """Return the axes that ``name=…`` words spell.

    Raises
    ------
    ParameterError
        A word is not of that form, or a name comes twice.

    Examples
    --------
    >>> read_grid(["day=2026-01-01..2026-01-02", "region=north,south"])
    {'day': ['2026-01-01', '2026-01-02'], 'region': ['north', 'south']}
    """
    axes: dict[str, list[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise ParameterError(f"An axis is given as name=values, not {word!r}.", parameters=[name])
        if name in axes:
            raise ParameterError(f"{name!r} is given twice; write its values as {name}=a,b,c.", parameters=[name])
        axes[name] = read_axis(text)
    return axes


def points_of(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of an axis's values with those of the others; the last axis changes fastest.

    Raises
    ------
    UsageError
        There are too many.

    Examples
    --------
    >>> points_of({"a": [1, 2], "b": ["x"]})
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    found = list(islice(product(*axes.values()), LIMIT + 1))
    if len(found) > LIMIT:
        raise UsageError(f"This grid has more than {LIMIT} points. Backfill it in parts.")
    return [dict(zip(axes, point, strict=True)) for point in found]


def choose_points(
    points: Sequence[Mapping[str, Any]], earlier: Iterable[FlowRun], reprocess: str
) -> tuple[list[Mapping[str, Any]], list[tuple[Mapping[str, Any], FlowRun]]]:
    """Return the points to run, and those that need not run, each with the run that stands for it.

    Parameters
    ----------
    points : sequence of mapping
        Complete parameters of each run.
    earlier : iterable of FlowRun
        The deployment's runs so far, newest first.
    reprocess : str
        Which points run again that were run before: ``none``, ``failed`` or ``all``.

    Raises
    ------
    UsageError
        There is no such way.
    """
    if reprocess not in REPROCESS:
        raise UsageError(f"--reprocess may be {', '.join(REPROCESS)}, not {reprocess!r}.")
    latest: dict[str, FlowRun] = {}
    for run in earlier:
        if run.state.name != "Missed":
            latest.setdefault(_key(run.parameters), run)
    chosen: list[Mapping[str, Any]] = []
    left: list[tuple[Mapping[str, Any], FlowRun]] = []
    for point in points:
        known = latest.get(_key(point))
        if known is None or reprocess == "all" or (reprocess == "failed" and _is_bad(known)):
            chosen.append(point)
        else:
            left.append((point, known))
    return chosen, left


def _is_bad(run: FlowRun) -> bool:
    bad: Collection[StateType] = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
    return run.state.type in bad


def _key(parameters: Mapping[str, Any]) -> str:
    return repr(sorted(parameters.items()))
