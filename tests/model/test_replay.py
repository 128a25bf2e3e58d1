"""A machine rebuilt from history goes on where the history breaks off."""

from __future__ import annotations

import pytest

from orch_notebook.errors import ImpossibleEvent
from orch_notebook.model.events import RunCreated, TaskAdded
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.states import StateType
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.testing import START, completed, crashed, failed, make_graph, run_became, started, task_became
from tests.model.test_machine import brief

ONCE = RetryPolicy(retries=1, delays=(5,))
NEVER_RAN = {"name": "UpstreamFailed", "culprit": "a"}

# wiring, tasks that are more than a name, history, what begin() says
HISTORIES = {
    "nothing happened yet": ("a >> b", [], [], ["start a 1"]),
    "the start of the first was lost": ("a >> b", [], [run_became("RUNNING")], ["start a 1"]),
    "the start of the second was lost": ("a >> b", [], [started("a"), completed("a")], ["start b 1"]),
    "a crashed attempt is retried": ("a", [Task("a", retry=ONCE)], [started("a"), crashed("a")], ["await a 2 in 5"]),
    "a crashed attempt without retries ends the run": ("a", [], [started("a"), crashed("a")], ["over Crashed"]),
    "a wait for a retry begins anew": (
        "a", [Task("a", retry=ONCE)], [started("a"), failed("a"), task_became("a", "SCHEDULED")], ["await a 2 in 5"],
    ),
    "a failure whose retry was not arranged is retried": (
        "a", [Task("a", retry=ONCE)], [started("a"), failed("a")], ["await a 2 in 5"],
    ),
    "an end that was not recorded is commanded again": (
        "a >> b", [], [started("a"), failed("a")], ["end b UpstreamFailed"],
    ),
    "so it is if another predecessor still waits": (
        "a, c >> b", [], [started("a"), failed("a")], ["start c 1", "end b UpstreamFailed"],
    ),
    "the end of the run is commanded again": ("a", [], [started("a"), completed("a")], ["over Completed"]),
    "a cancel goes on": (
        "a >> b >> c", [], [started("a"), completed("a"), run_became("CANCELLING")],
        ["end b Cancelled", "end c Cancelled"],
    ),
    "a failure during a cancel is not retried": (
        "a", [Task("a", retry=ONCE)], [started("a"), run_became("CANCELLING"), crashed("a")], ["over Cancelled"],
    ),
    "a cancel after a failure does not retry it": (
        "a", [Task("a", retry=ONCE)], [started("a"), failed("a"), run_became("CANCELLING")], ["over Cancelled"],
    ),
    "a run that is over stays over": ("a", [], [started("a"), completed("a"), run_became("COMPLETED")], []),
    "an exclusive thing is free again": (
        "a >> b, c", [Task("b", exclusive=("x",)), Task("c", exclusive=("x",))],
        [started("a"), completed("a"), started("b"), crashed("b")], ["start c 1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("wiring, tasks, history, expected", HISTORIES.values(), ids=HISTORIES)
def test_begin_takes_up_where_history_breaks_off(wiring, tasks, history, expected) -> None:
    """Commands that nobody lived to carry out are said again, each once."""
    machine = RunMachine.replay(
        [RunCreated(START, "demo", make_graph(wiring, *tasks)), run_became("RUNNING"), *history]
    )
    assert brief(machine.begin()) == expected


def test_what_was_being_performed_is_told_apart() -> None:
    """Its attempts are unfinished, and begin() does not start them a second time."""
    created = RunCreated(START, "demo", make_graph("a; b", Task("b", exclusive=("x",)), Task("c", exclusive=("x",))))
    machine = RunMachine.replay([created, run_became("RUNNING"), started("b")])
    assert machine.unfinished() == ["b"]
    assert brief(machine.begin()) == ["start a 1"]
    assert brief(machine.take(completed("b"))) == ["start c 1"]


def test_added_tasks_are_part_of_history() -> None:
    """Tasks that appeared while the run ran are there again."""
    history = [RunCreated(START, "demo"), TaskAdded(START, Task("new")), TaskAdded(START, Task("next"), ("new",))]
    machine = RunMachine.replay(history, is_open=True)
    assert brief(machine.begin()) == ["start new 1"]


@pytest.mark.parametrize("history", [[], [run_became("RUNNING")]], ids=["empty", "without a beginning"])
def test_history_begins_with_the_creation(history) -> None:
    """Without the graph there is nothing to replay."""
    with pytest.raises(ImpossibleEvent, match="begins with RunCreated"):
        RunMachine.replay(history)


def resumed(wiring, *history):
    """Return a machine whose run had ended and was taken up again."""
    return RunMachine.replay([RunCreated(START, "demo", make_graph(wiring)), run_became("RUNNING"), *history])


def test_a_resumed_run_goes_on_with_what_failed() -> None:
    """What was done stays done; what failed, and what never ran because of it, comes again."""
    machine = resumed(
        "a >> b >> c",
        started("a"), completed("a"), started("b"), failed("b"),
        task_became("c", "CANCELLED", 0, name="UpstreamFailed", culprit="b"), run_became("FAILED"),
        run_became("SCHEDULED"), task_became("b", "PENDING"), task_became("c", "PENDING", 0), run_became("RUNNING"),
    )  # fmt: skip
    assert brief(machine.begin()) == ["start b 2"]
    assert brief(machine.take(started("b", 2))) == []
    assert brief(machine.take(completed("b", 2))) == ["start c 1"]
    machine.take(started("c"))
    assert brief(machine.take(completed("c"))) == ["over Completed"]
    assert machine.state_of("a") is StateType.COMPLETED


def test_resuming_one_of_two_failures_does_not_start_what_needs_both() -> None:
    """A task stays ended while one of those it needs still stands failed."""
    machine = resumed(
        "a, b >> c",
        started("a"), started("b"), failed("a"), failed("b"), task_became("c", "CANCELLED", 0, **NEVER_RAN),
        run_became("FAILED"), run_became("SCHEDULED"), task_became("c", "PENDING", 0), task_became("a", "PENDING"),
        run_became("RUNNING"),
    )  # fmt: skip
    assert brief(machine.begin()) == ["start a 2", "end c UpstreamFailed"]
