"""Runs side by side: what differs between two of them.  In: runs with their tasks.  Out: lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.views.looks import LOOKS
from orch_notebook.model.views.words import clip, duration, plain

__all__ = ["Compared", "compare_runs"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing in two runs; an empty side means that it is not there."""

    kind: str
    name: str
    left: str
    right: str
    is_same: bool


def compare_runs(
    left: FlowRun,
    right: FlowRun,
    artifacts: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> list[Compared]:
    """Return what two runs were given, how they and their tasks ended and how long they took, and what they published.

    Parameters
    ----------
    left, right : FlowRun
        The runs, with their tasks.
    artifacts : tuple of mapping
        For each run the text of its artifacts, by name.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from orch_notebook.model.states import State, StateType
    >>> noon, done = datetime(2026, 1, 1, tzinfo=UTC), State(StateType.COMPLETED)
    >>> runs = [FlowRun("1", "nightly", done, noon, parameters={"n": n}) for n in (200, 300)]
    >>> [(line.name, line.left, line.right) for line in compare_runs(*runs) if not line.is_same]
    [('n', '200', '300')]
    """
    given = [{name: plain(repr(value)) for name, value in run.parameters.items()} for run in (left, right)]
    tasks = [{task.name: _words(task) for task in run.tasks} for run in (left, right)]
    ends = [{"state": LOOKS[run.state.name].word, "took": _took(run)} for run in (left, right)]
    return [
        *_lines("run", *ends),
        *_lines("parameter", *given),
        *_lines("task", *tasks),
        *_lines("artifact", *artifacts),
    ]


def _words(task: TaskRun) -> str:
    ended = task.seconds(task.ended_at) if task.ended_at else None
    return " ".join(part for part in (LOOKS[task.state.name].word, duration(ended)) if part)


def _took(run: FlowRun) -> str:
    return duration(run.seconds(run.ended_at)) if run.ended_at else ""


def _lines(kind: str, left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Compared]:
    names: Iterable[str] = dict.fromkeys([*left, *right])
    for name in names:
        sides = clip(left.get(name, ""), 200), clip(right.get(name, ""), 200)
        yield Compared(kind, plain(name), *sides, left.get(name) == right.get(name))
