"""Two runs beside each other, as people read it.  In: what tells them apart.  Out: lines for the panel's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orch_notebook.model.comparisons import MISSING, Comparison, TaskPair
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.views.looks import LOOKS
from orch_notebook.model.views.words import clip, duration, plain

__all__ = ["Compared", "compared_lines"]

#: Characters of a value that are shown.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing in two runs; an empty side means that it is not there."""

    kind: str
    name: str
    left: str
    right: str
    is_same: bool


def compared_lines(found: Comparison) -> list[Compared]:
    """Return how two runs and their tasks ended, how long they took, and what they were given, recorded and published.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from orch_notebook.model.comparisons import Side, compare_runs
    >>> from orch_notebook.model.states import State, StateType
    >>> noon, done = datetime(2026, 1, 1, tzinfo=UTC), State(StateType.COMPLETED)
    >>> runs = [FlowRun("1", "nightly", done, noon, parameters={"n": n}) for n in (200, 300)]
    >>> [(line.name, line.left, line.right) for line in compared_lines(compare_runs(*map(Side, runs)))]
    [('state', 'Completed', 'Completed'), ('took', '', ''), ('n', '200', '300')]
    """
    before, after = found.runs
    given = {
        name: (before.parameters.get(name, MISSING), after.parameters.get(name, MISSING))
        for name in dict.fromkeys([*before.parameters, *after.parameters])
    }
    return [
        _line("run", "state", (LOOKS[before.state.name].word, LOOKS[after.state.name].word)),
        _line("run", "took", (_took(before), _took(after))),
        *_lines("parameter", given, repr),
        *_lines("value", found.values, repr),
        *(_line("task", pair.name, _tasks(pair)) for pair in found.tasks),
        *_lines("artifact", found.artifacts, str),
    ]


def _took(run: FlowRun) -> str:
    return duration(run.seconds(run.ended_at)) if run.ended_at else ""


def _tasks(pair: TaskPair) -> tuple[str, str]:
    left, right = (
        "" if state is None else f"{LOOKS[state].word} {duration(seconds)}".strip()
        for state, seconds in zip(pair.states, pair.durations, strict=True)
    )
    return left, right


def _lines(kind: str, pairs: Mapping[str, tuple[Any, Any]], words: Callable[[Any], str]) -> list[Compared]:
    texts = {name: ["" if each is MISSING else plain(words(each)) for each in pair] for name, pair in pairs.items()}
    return [_line(kind, name, (left, right)) for name, (left, right) in texts.items()]


def _line(kind: str, name: str, sides: tuple[str, str]) -> Compared:
    return Compared(kind, plain(name), clip(sides[0], LONGEST), clip(sides[1], LONGEST), sides[0] == sides[1])
