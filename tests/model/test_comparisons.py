"""What tells one run from another, as one table."""

from datetime import UTC, datetime, timedelta

import pytest

from orch_notebook.model.comparisons import MISSING, Side, compare_runs
from orch_notebook.model.runs import FlowRun, TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def run(name, tasks=(), **fields):
    """Return a run whose tasks are given as (name, state, seconds)."""
    made = tuple(
        TaskRun(name, Task(task), State(state), 1, NOON, None if seconds is None else NOON + timedelta(0, seconds))
        for task, state, seconds in tasks
    )
    return FlowRun(name, "demo", State(StateType.COMPLETED), NOON, tasks=made, **fields)


C, F = StateType.COMPLETED, StateType.FAILED
#: Two sides (parameters, values, artifacts, tasks), and what differs: of each part what the comparison has.
CASES = {
    "nothing": (
        ({"n": 1}, {}, {}, [("a", C, 1)]), ({"n": 1}, {}, {}, [("a", C, 1)]), {}, {}, {},
        [("a", "Completed", 1, "Completed", 1)],
    ),
    "a parameter": (({"n": 1, "m": 2}, {}, {}, []), ({"n": 3, "m": 2}, {}, {}, []), {"n": (1, 3)}, {}, {}, []),
    "a parameter that is new": (({}, {}, {}, []), ({"n": 3}, {}, {}, []), {"n": (MISSING, 3)}, {}, {}, []),
    "all values, artifacts that differ": (
        ({}, {"f1": 0.5, "k": 1}, {"t": [1], "u": 1}, []), ({}, {"f1": 0.7, "k": 1}, {"t": [2], "u": 1}, []),
        {}, {"f1": (0.5, 0.7), "k": (1, 1)}, {"t": ([1], [2])}, [],
    ),
    "tasks that only one has, and that fared otherwise": (
        ({}, {}, {}, [("a", C, 1), ("old", C, 2)]), ({}, {}, {}, [("new", C, 4), ("a", F, None)]), {}, {}, {},
        [
            ("new", None, None, "Completed", 4),
            ("a", "Completed", 1, "Failed", None),
            ("old", "Completed", 2, None, None),
        ],
    ),
    "a task that ran twice": (
        ({}, {}, {}, [("a", F, 1), ("a", C, 2)]), ({}, {}, {}, [("a", C, 3)]), {}, {}, {},
        [("a", "Completed", 2, "Completed", 3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("before, after, parameters, values, artifacts, tasks", CASES.values(), ids=CASES)
def test_pairs_stand_beside_each_other(before, after, parameters, values, artifacts, tasks):
    """Of parameters and artifacts what differs, of values and tasks all; what one lacks says so."""
    sides = [
        Side(run(name, given[3], parameters=given[0]), given[1], given[2])
        for name, given in zip("ab", (before, after), strict=True)
    ]
    found = compare_runs(*sides, ["cell 1"])
    assert (found.parameters, found.values, found.artifacts) == (parameters, values, artifacts)
    assert [
        (task.name, task.states[0], task.durations[0], task.states[1], task.durations[1]) for task in found.tasks
    ] == tasks
    told = found.to_json()
    assert (told["source"], [each["run_id"] for each in told["runs"]]) == (["cell 1"], ["a", "b"])
    assert told["parameters"] == {
        name: [None if each is MISSING else each for each in pair] for name, pair in parameters.items()
    }
