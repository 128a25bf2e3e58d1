"""What tells one run from another: what they were given, how their tasks fared, what they recorded, what they executed.

In: two runs, and what is kept of each beside its states.  Out: a :class:`Comparison`, pairs of values by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orch_notebook.model.runs import FlowRun, TaskRun, seconds_between

__all__ = ["MISSING", "Comparison", "Side", "TaskPair", "compare_runs"]


class _Missing:
    """What stands where one of two runs has nothing."""

    def __repr__(self) -> str:
        return "–"


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Side:
    """One of two runs.

    Parameters
    ----------
    run : FlowRun
        With its tasks.
    values : mapping
        What it recorded.
    artifacts : mapping
        What it published, by key.
    """

    run: FlowRun
    values: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskPair:
    """How one task fared in two runs: state names and seconds, None where a run has no such task or it never ran."""

    name: str
    states: tuple[str | None, str | None]
    durations: tuple[float | None, float | None]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"name": self.name, "states": list(self.states), "durations": list(self.durations)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What tells one run from another.

    Parameters
    ----------
    runs : tuple of FlowRun
        The two.
    parameters, values, artifacts : mapping
        By name what the first and the second have; those of parameters and artifacts that differ, and all values.
    tasks : tuple of TaskPair
        In the order of the second run, then those that only the first has.
    source : tuple of str
        The cells that differ, as unified diffs.
    """

    runs: tuple[FlowRun, FlowRun]
    parameters: Mapping[str, tuple[Any, Any]]
    values: Mapping[str, tuple[Any, Any]]
    artifacts: Mapping[str, tuple[Any, Any]]
    tasks: tuple[TaskPair, ...]
    source: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what ``orch compare --json`` prints; null where one of the runs has nothing."""
        return {
            "runs": [run.to_json() for run in self.runs],
            **{
                part: {name: [None if each is MISSING else each for each in pair] for name, pair in pairs.items()}
                for part, pairs in (
                    ("parameters", self.parameters),
                    ("values", self.values),
                    ("artifacts", self.artifacts),
                )
            },
            "tasks": [pair.to_json() for pair in self.tasks],
            "source": list(self.source),
        }


def compare_runs(before: Side, after: Side, source: Sequence[str] = ()) -> Comparison:
    """Return what tells one run from another.

    Parameters
    ----------
    before, after : Side
        The two.
    source : sequence of str
        How what they executed differs, in lines.
    """
    return Comparison(
        runs=(before.run, after.run),
        parameters=_differing(_pairs(before.run.parameters, after.run.parameters)),
        values=_pairs(before.values, after.values),
        artifacts=_differing(_pairs(before.artifacts, after.artifacts)),
        tasks=tuple(_tasks(before.run.tasks, after.run.tasks)),
        source=tuple(source),
    )


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*new, *old])
    return {name: (old.get(name, MISSING), new.get(name, MISSING)) for name in names}


def _differing(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    return {name: (old, new) for name, (old, new) in pairs.items() if old is MISSING or new is MISSING or old != new}


def _tasks(before: Sequence[TaskRun], after: Sequence[TaskRun]) -> list[TaskPair]:
    # Where a notebook ran its flow more than once, the last performance of a task counts.
    old, new = {task.name: task for task in before}, {task.name: task for task in after}
    return [
        TaskPair(
            name, (_state(old.get(name)), _state(new.get(name))), (_seconds(old.get(name)), _seconds(new.get(name)))
        )
        for name in dict.fromkeys([*new, *old])
    ]


def _state(task: TaskRun | None) -> str | None:
    return None if task is None else task.state.name


def _seconds(task: TaskRun | None) -> float | None:
    return None if task is None else seconds_between(task.started_at, task.ended_at)
