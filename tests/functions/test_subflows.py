"""Flows inside flows: a run of their own, and a task run of the flow that called them."""

from __future__ import annotations

import pytest

from orch_notebook import flow, task
from orch_notebook.runtime import flow_run
from tests.functions.conftest import in_time


@task
def double(x):
    return 2 * x


@flow
def inner(n: int):
    return double(n), flow_run.parent_flow_run_id


def test_a_subflow_is_a_run_and_a_task_run(stored) -> None:
    """The parent's task run knows the child's run, and the child knows its parent."""

    @flow
    def outer():
        return inner("3"), double(1)

    (value, parent), _ = in_time(outer)
    outside, inside = stored.runs()
    assert value == 6 and parent == outside.run_id == inside.parent_run_id
    assert [(run.flow, run.state.name) for run in (outside, inside)] == [("outer", "Completed"), ("inner", "Completed")]
    assert [task.name for task in outside.tasks] == ["inner", "double"]
    assert outside.tasks[0].details["child_run_id"] == inside.run_id
    assert [task.name for task in inside.tasks] == ["double"]


def test_a_subflow_that_fails_fails_its_task_run(stored) -> None:
    """The exception reaches the parent, which may catch it."""
    broken = flow(name="broken")(lambda: 1 / 0)

    @flow
    def outer():
        with pytest.raises(ZeroDivisionError):
            broken()
        return broken(return_state=True).is_failed()

    assert in_time(outer) is True
    assert stored.states("outer") == {"broken": "Failed", "broken-2": "Failed"}
    assert stored.run("outer").state.name == "Completed"


def test_a_subflow_that_is_not_caught_fails_its_parent(stored) -> None:
    """As any exception."""
    broken = flow(name="broken")(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        in_time(flow(name="outer")(lambda: broken()))
    assert [run.state.name for run in stored.runs()] == ["Failed", "Failed"]


def test_a_future_is_a_parameter_of_a_subflow(stored) -> None:
    """It is waited for, and its result validated."""

    @flow
    def outer():
        return inner(double.submit(2))[0]

    assert in_time(outer) == 8


def test_a_task_may_call_a_flow(stored) -> None:
    """The flow's run belongs to the run of the task."""
    calls = task(lambda: inner(1)[0], name="calls")
    assert in_time(flow(name="outer")(lambda: calls.submit().result())) == 2
    assert stored.states("outer") == {"calls": "Completed", "inner": "Completed"}


def test_flows_may_call_themselves(stored) -> None:
    """Each depth is a run."""

    @flow
    def countdown(n: int):
        return [n, *countdown(n - 1)] if n else []

    assert in_time(countdown, 5) == [5, 4, 3, 2, 1] and len(stored.runs()) == 6


def test_a_subflow_has_retries_of_its_own(stored) -> None:
    """Its body runs again, its parent's does not."""
    counts = {"inner": 0, "outer": 0}

    @flow(retries=1)
    def flaky():
        counts["inner"] += 1
        return 1 / (counts["inner"] - 1)

    @flow
    def outer():
        counts["outer"] += 1
        return flaky()

    assert in_time(outer) == 1.0 and counts == {"inner": 2, "outer": 1}
