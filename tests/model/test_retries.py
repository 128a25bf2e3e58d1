"""What repeating a run would do with each of its tasks, as its record tells."""

import pytest

from orch_notebook.model.retries import foresee
from orch_notebook.model.runs import TaskRun
from orch_notebook.model.states import State, StateType
from orch_notebook.testing import make_graph

STATES = {
    "ok": State(StateType.COMPLETED),
    "failed": State(StateType.FAILED),
    "crashed": State(StateType.CRASHED),
    "stopped": State(StateType.CANCELLED),
    "waits": State(StateType.PENDING),
}

#: The graph; how its tasks ended (attempt 0 where it never began); what is kept and lost; what is to run again; and
#: for each task the reason why it runs, or nothing if it is loaded.
CASES = {
    "what failed runs, and what never ran": (
        "a >> b >> c", "ok failed stopped0", "a", {}, [], ["", "it failed", "it has not run yet"],
    ),
    "what crashed, and what was cancelled": (
        "a >> b >> c", "ok crashed stopped", "a", {}, [], ["", "it crashed", "it was cancelled"],
    ),
    "what could not be kept": (
        "a >> b >> c", "ok ok failed", "b", {"a": "it holds a lock."}, [],
        ["its result is not kept: it holds a lock", "", "it failed"],
    ),
    "what nobody kept": ("a >> b", "ok failed", "", {}, [], ["its result is not kept", "it failed"]),
    "what was asked for, and what comes from it": (
        "a >> b >> c; a >> d", "ok ok ok ok", "abcd", {}, ["b"], ["", "it was asked for", "it comes from 'b'", ""],
    ),
    "what only keeps its place runs not again": ("a >> b; a ~> c", "ok ok ok", "abc", {}, ["a"],
        ["it was asked for", "it comes from 'a'", ""],
    ),
    "an end that was never recorded": ("a", "waits", "", {}, [], ["it has not ended"]),
}  # fmt: skip


@pytest.mark.parametrize("graph, ended, kept, lost, again, expected", CASES.values(), ids=CASES)
def test_each_task_is_loaded_or_runs_for_a_reason(graph, ended, kept, lost, again, expected):
    """Kept results are loaded; all else runs, and says why."""
    made = make_graph(graph)
    tasks = [
        TaskRun("r", task, STATES[state.rstrip("0")], 0 if state.endswith("0") else 1)
        for task, state in zip(made.tasks, ended.split(), strict=True)
    ]
    fates = foresee(made, tasks, dict.fromkeys(kept, "run-1"), lost, again)
    assert [fate.task for fate in fates] == [task.name for task in made.tasks]
    assert [fate.reason if fate.runs else "" for fate in fates] == expected
    assert {fate.reason for fate in fates if not fate.runs} <= {"it completed in run run-1"}
