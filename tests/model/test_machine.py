"""The machine, event by event: what it commands, and what it refuses."""

from __future__ import annotations

import pytest

from orch_notebook.errors import ImpossibleEvent
from orch_notebook.model.commands import AwaitRetry, EndRun, EndTask, StartTask, StopTask
from orch_notebook.model.events import LogWritten, RunCreated, TaskAdded
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.testing import (
    START,
    cancelled,
    completed,
    crashed,
    failed,
    make_graph,
    run_became,
    started,
    task_became,
)


def brief(commands):
    """Write commands as short text, so that a table can hold them."""
    return [_brief(command) for command in commands]


def _brief(command):
    match command:
        case StartTask(task, attempt):
            return f"start {task} {attempt}"
        case AwaitRetry(task, attempt, delay):
            return f"await {task} {attempt} in {delay:g}"
        case EndTask(task, state):
            return f"end {task} {state.name}"
        case StopTask(task):
            return f"stop {task}"
        case EndRun(state):
            return f"over {state.name}"


def play(machine, *events):
    """Feed events and return what each of them led to."""
    return [brief(machine.take(event)) for event in events]


def running(graph, **options):
    machine = RunMachine(graph, **options)
    machine.begin()
    machine.take(run_became("RUNNING"))
    return machine


TWICE = RetryPolicy(retries=2, delays=(1, 10))

SKIPPED = task_became("a", "COMPLETED", 0, name="Skipped")

# wiring, tasks that are more than a name, events, what the last of them leads to
STEPS = {
    "a chain goes on": ("a >> b", [], [started("a"), completed("a")], ["start b 1"]),
    "a fan-out starts all": (
        "a >> b, c, d", [], [started("a"), completed("a")], ["start b 1", "start c 1", "start d 1"],
    ),
    "a join waits for the last": ("a, b >> c", [], [started("a"), started("b"), completed("a")], []),
    "a join starts with the last": (
        "a, b >> c", [], [started("a"), started("b"), completed("a"), completed("b")], ["start c 1"],
    ),
    "the last task ends the run": ("a", [], [started("a"), completed("a")], ["over Completed"]),
    "a cached task counts as done": (
        "a >> b", [], [started("a"), task_became("a", "COMPLETED", name="Cached")], ["start b 1"],
    ),
    "a skipped task skips what needs it": ("a >> b", [], [SKIPPED], ["end b Skipped"]),
    "a skipped task keeps nobody waiting": ("a ~> b", [], [SKIPPED], ["start b 1"]),
    "a failure ends what needs it": ("a >> b; c", [], [started("a"), failed("a")], ["end b UpstreamFailed"]),
    "a failure is tried again after its delay": (
        "a", [Task("a", retry=TWICE)], [started("a"), failed("a")], ["await a 2 in 1"],
    ),
    "the second retry waits longer": (
        "a", [Task("a", retry=TWICE)],
        [started("a"), failed("a"), task_became("a", "SCHEDULED"), started("a", 2), failed("a", 2)],
        ["await a 3 in 10"],
    ),
    "after the last retry the run fails": (
        "a", [Task("a", retry=TWICE)], [started("a", 3), failed("a", 3)], ["over Failed"],
    ),
    "a failure that cannot go away is not retried": (
        "a", [Task("a", retry=TWICE)], [started("a"), failed("a", retriable=False)], ["over Failed"],
    ),
    "a crash is retried": ("a", [Task("a", retry=TWICE)], [started("a"), crashed("a")], ["await a 2 in 1"]),
    "a crash ends the run as crashed": ("a", [], [started("a"), crashed("a")], ["over Crashed"]),
    "a failure outweighs a crash": (
        "a; b", [], [started("a"), started("b"), crashed("a"), failed("b")], ["over Failed"],
    ),
    "order alone does not spread failure": ("a ~> b", [], [started("a"), failed("a")], ["start b 1"]),
    "order and need together spread it": ("a ~> b; a >> b", [], [started("a"), failed("a")], ["end b UpstreamFailed"]),
    "order alone still waits": ("a ~> c; b >> c", [], [started("a"), started("b"), completed("b")], []),
    "what only one of two needs is ended at once": (
        "a >> c; b ~> c", [], [started("a"), started("b"), failed("a")], ["end c UpstreamFailed"],
    ),
    "a line of output changes nothing": ("a", [], [LogWritten(START, "a", 1, 20, "hello")], []),
}  # fmt: skip


STOP = run_became("CANCELLING")
A_DONE = [started("a"), completed("a")]
A_FAILED = [started("a"), failed("a")]
B_DONE = [started("b"), completed("b")]
B_FAILED = [started("b"), failed("b")]
B_SKIPPED = [task_became("b", "COMPLETED", 0, name="Skipped")]

# the rule of c, which waits for a and b; events, what the last of them leads to
WHENS = {
    "all_done waits for all": ("all_done", A_FAILED, []),
    "all_done starts after failures": ("all_done", [*A_FAILED, *B_FAILED], ["start c 1"]),
    "all_done starts after successes": ("all_done", [*A_DONE, *B_DONE], ["start c 1"]),
    "all_done is cancelled with its run": (
        "all_done", [started("a"), STOP], ["stop a", "end b Cancelled", "end c Cancelled"],
    ),
    "one_success does not wait for the others": ("one_success", A_DONE, ["start c 1"]),
    "one_success starts once": ("one_success", [*A_DONE, *B_DONE], []),
    "one_success outlives a failure": ("one_success", [*A_FAILED, *B_DONE], ["start c 1"]),
    "one_success gives up after the last failure": ("one_success", [*A_FAILED, *B_FAILED], ["end c UpstreamFailed"]),
    "one_success does not count what was skipped": ("one_success", [*B_SKIPPED, *A_FAILED], ["end c UpstreamFailed"]),
    "one_failed does not wait for the others": ("one_failed", A_FAILED, ["start c 1"]),
    "one_failed starts after a crash": ("one_failed", [started("a"), crashed("a")], ["start c 1"]),
    "one_failed waits after a success": ("one_failed", A_DONE, []),
    "one_failed is skipped when none has": ("one_failed", [*A_DONE, *B_DONE], ["end c Skipped"]),
    "none_failed waits for all": ("none_failed", A_DONE, []),
    "none_failed ends with a failure": ("none_failed", [*A_DONE, *B_FAILED], ["end c UpstreamFailed"]),
    "none_failed takes what was skipped for good": ("none_failed", [*A_DONE, *B_SKIPPED], ["start c 1"]),
    "always starts after failures": ("always", [*A_FAILED, *B_FAILED], ["start c 1"]),
    "always stays when its run is cancelled": ("always", [started("a"), STOP], ["stop a", "end b Cancelled"]),
    "always starts while its run is cancelled": (
        "always", [started("a"), STOP, cancelled("b"), cancelled("a", 1)], ["start c 1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("when, events, expected", WHENS.values(), ids=WHENS)
def test_a_rule_says_when_a_task_starts(when, events, expected) -> None:
    """What must have become of the tasks it waits for is the task's to say."""
    graph = make_graph("a, b >> c", Task("c", when=when))
    assert play(running(graph), *events)[-1] == expected


LATE = {name: row for name, row in WHENS.items() if row[1][-1] is not STOP and name != "one_success starts once"}


@pytest.mark.parametrize("when, events, expected", LATE.values(), ids=LATE)
def test_a_rule_holds_for_a_task_that_appears_later(when, events, expected) -> None:
    """A task added when all this has happened does what it would have done had it waited."""
    machine = running(make_graph("a; b"), is_open=True)
    play(machine, *events)
    assert brief(machine.take(TaskAdded(START, Task("c", when=when), ("a", "b")))) == expected


def test_a_task_that_failed_may_be_added_again() -> None:
    """When the flow's body runs once more it counts on, has its retries again, and the failure is forgotten."""
    machine = running(make_graph("a", Task("a", retry=RetryPolicy(1))), is_open=True)
    play(machine, started("a"), failed("a"), task_became("a", "SCHEDULED"), started("a", 2), failed("a", 2))
    assert play(machine, TaskAdded(START, Task("a", retry=RetryPolicy(1)))) == [["start a 3"]]
    assert play(machine, started("a", 3), failed("a", 3))[-1] == ["await a 4 in 0"]
    assert play(machine, task_became("a", "SCHEDULED", 3), started("a", 4), completed("a", 4))[-1] == []
    assert brief(machine.close()) == ["over Completed"]


def test_a_flow_says_how_its_run_ends() -> None:
    """The outcome given at the close holds, whatever became of the tasks; a cancel outweighs it."""
    for cancel, expected in ((False, "over Completed"), (True, "over Cancelled")):
        machine = running(make_graph("a"), is_open=True)
        play(machine, started("a"), failed("a"), *([run_became("CANCELLING")] if cancel else []))
        assert brief(machine.close(State(StateType.COMPLETED))) == [expected]


@pytest.mark.parametrize("wiring, tasks, events, expected", STEPS.values(), ids=STEPS)
def test_each_event_leads_to_its_commands(wiring, tasks, events, expected) -> None:
    """What the machine commands follows from the event and its neighbours alone."""
    assert play(running(make_graph(wiring, *tasks)), *events)[-1] == expected


def test_it_begins_with_what_waits_for_nothing() -> None:
    """At the start every task without predecessors is started, in definition order; a bare flow ends at once."""
    assert brief(RunMachine(make_graph("a >> b; c")).begin()) == ["start a 1", "start c 1"]
    assert brief(RunMachine(make_graph("")).begin()) == ["over Completed"]


def test_an_upstream_failure_names_the_task_at_fault() -> None:
    """However long the chain, its end says which task failed first, and so does the run."""
    machine = running(make_graph("load >> clean >> fit >> plot"))
    play(machine, started("load"))
    commands = machine.take(failed("load"))
    for _ in range(3):
        [end] = commands
        assert end.culprit == "load" and end.state.message == "'load' failed, and this needs it."
        commands = machine.take(task_became(end.task, "CANCELLED", 0, name=end.state.name, culprit=end.culprit))
    assert commands[0].state.message == "1 of 4 tasks failed: 'load'."


def test_the_end_of_a_run_names_who_failed_and_no_other() -> None:
    """A crashed task is not called failed, and at most three are named."""
    machine = running(make_graph("a; b; c; d; e"))
    play(machine, *map(started, "abcde"), crashed("b"), *map(failed, "acd"))
    assert machine.take(failed("e"))[0].state.message == "4 of 5 tasks failed: 'a', 'c', 'd' …."


def test_two_failures_end_a_task_once() -> None:
    """A task that needs two failed ones is ended for the first, whatever comes before that is recorded."""
    machine = running(make_graph("a, b >> c"))
    assert play(machine, started("a"), started("b"), failed("a"), failed("b"))[2:] == [["end c UpstreamFailed"], []]


# Cancelling


@pytest.mark.parametrize("steps", range(7))
def test_a_run_can_be_cancelled_at_every_point(steps: int) -> None:
    """Wherever it stands: what runs is stopped, what waits is ended once, and the run ends as cancelled."""
    machine = RunMachine(make_graph("a >> b >> c, d >> e", Task("a", retry=TWICE), Task("d", exclusive=("plot",))))
    machine.begin()
    history = [
        run_became("RUNNING"), started("a"), failed("a"), task_became("a", "SCHEDULED"),
        started("a", 2), completed("a", 2),
    ]  # fmt: skip
    play(machine, *history[:steps])
    assert end_by_cancel(machine) == "Cancelled"
    assert all(machine.is_settled(name) for name in "abcde")


def end_by_cancel(machine):
    """Cancel a run, carry out what it commands as the engine would, and return the name of its final state."""
    todo = list(machine.take(run_became("CANCELLING")))
    while todo:
        match todo.pop(0):
            case EndTask(task, state):
                todo += machine.take(task_became(task, state.type, machine.attempt_of(task), name=state.name))
            case StopTask(task):
                todo += machine.take(cancelled(task, machine.attempt_of(task)))
            case EndRun(state):
                machine.take(run_became(state.type, state.name))
                assert not todo
                return state.name
            case other:
                raise AssertionError(f"A cancelled run must not {other}.")
    raise AssertionError("The run did not end.")


def test_tasks_that_wait_for_an_exclusive_thing_are_cancelled_once() -> None:
    """A task that was started but not begun gives its thing back when it is cancelled; nobody takes it any more."""
    tasks = [Task(name, exclusive=("plot",)) for name in "abc"]
    machine = running(make_graph("", *tasks))
    assert end_by_cancel(machine) == "Cancelled"


def test_a_task_that_was_done_before_it_heard_stays_completed() -> None:
    """Cancelling stops what runs, but takes back nothing."""
    machine = running(make_graph("a >> b"))
    assert play(machine, started("a"), run_became("CANCELLING"))[1] == ["stop a", "end b Cancelled"]
    assert play(machine, cancelled("b"), completed("a")) == [[], ["over Cancelled"]]
    assert machine.state_of("a") is StateType.COMPLETED


def test_a_failure_while_cancelling_is_not_retried() -> None:
    """After a cancel nothing starts again."""
    machine = running(make_graph("a", Task("a", retry=TWICE)))
    assert play(machine, started("a"), run_became("CANCELLING"), failed("a"))[1:] == [["stop a"], ["over Cancelled"]]


def test_a_retry_that_falls_due_after_a_cancel_is_not_wanted() -> None:
    """The engine's timer may still fire; it then gets nothing to do."""
    machine = running(make_graph("a", Task("a", retry=TWICE)))
    play(machine, started("a"), failed("a"), task_became("a", "SCHEDULED"))
    assert brief(machine.take(run_became("CANCELLING"))) == ["end a Cancelled"]
    assert machine.start_retry("a", 2) == []


# Things only one may use


def test_tasks_that_share_a_thing_never_overlap() -> None:
    """The next one starts when the thing is given back, and a retry waits without holding it."""
    one, two = Task("one", exclusive=("plot",), retry=TWICE), Task("two", exclusive=("plot",))
    machine = RunMachine(make_graph("free", one, two))
    assert brief(machine.begin()) == ["start free 1", "start one 1"]
    machine.take(run_became("RUNNING"))
    assert play(machine, started("one"), failed("one")) == [[], ["start two 1", "await one 2 in 1"]]
    assert play(machine, task_became("one", "SCHEDULED"), started("two")) == [[], []]
    assert machine.start_retry("one", 2) == []
    assert play(machine, completed("two")) == [["start one 2"]]


def test_a_task_waits_until_all_its_things_are_free() -> None:
    """It takes all of them or none, so two tasks can never hold each other up."""
    tasks = [Task("a", exclusive=("x",)), Task("b", exclusive=("y",)), Task("both", exclusive=("x", "y"))]
    machine = running(make_graph("", *tasks))
    assert play(machine, started("a"), started("b"), completed("a"), completed("b"))[2:] == [[], ["start both 1"]]


def test_tasks_share_a_thing_at_one_version() -> None:
    """Those that use the same version overlap; another version waits for all of them, and so does the thing as such."""
    versions = {"one": "n@a", "two": "n@a", "other": "n@b", "whole": "n"}
    machine = RunMachine(make_graph("", *[Task(name, exclusive=(thing,)) for name, thing in versions.items()]))
    assert brief(machine.begin()) == ["start one 1", "start two 1"]
    machine.take(run_became("RUNNING"))
    assert play(machine, started("one"), started("two"), completed("one")) == [[], [], []]
    assert play(machine, completed("two"), started("other"), completed("other")) == [
        ["start other 1"], [], ["start whole 1"],
    ]  # fmt: skip


# Tasks that appear while the flow runs


def test_a_task_may_be_added_while_the_run_is_open() -> None:
    """It starts once what it waits for is done, and the run ends only after it is closed."""
    machine = running(make_graph("a"), is_open=True)
    assert play(machine, started("a"), TaskAdded(START, Task("b"), ("a",)), completed("a")) == [[], [], ["start b 1"]]
    assert play(machine, TaskAdded(START, Task("c"))) == [["start c 1"]]
    assert play(machine, started("b"), completed("b"), started("c"), completed("c"))[-1] == []
    assert brief(machine.close()) == ["over Completed"]


ADDED = {
    "after a failed task it is ended": ([started("a"), failed("a")], "a", ["end new UpstreamFailed"]),
    "after a done task it starts": ([started("a"), completed("a")], "a", ["start new 1"]),
    "after one that never ran it names the first culprit": (
        [started("a"), failed("a"), task_became("b", "CANCELLED", 0, name="UpstreamFailed", culprit="a")],
        "b",
        ["end new UpstreamFailed"],
    ),
    "while cancelling it is ended": ([started("a"), run_became("CANCELLING")], "", ["end new Cancelled"]),
}


@pytest.mark.parametrize("events, upstream, expected", ADDED.values(), ids=ADDED)
def test_an_added_task_finds_things_as_they_are(events, upstream, expected) -> None:
    """What it waits for may have ended already."""
    machine = running(make_graph("a >> b"), is_open=True)
    play(machine, *events)
    assert brief(machine.take(TaskAdded(START, Task("new"), tuple(upstream)))) == expected


# What cannot be

REFUSED = {
    "a task that is not there": ([started("nobody")], "no task 'nobody'"),
    "a second completion": ([started("a"), completed("a"), completed("a")], "from COMPLETED to COMPLETED"),
    "a start after the end": ([started("a"), completed("a"), started("a")], "from COMPLETED to RUNNING"),
    "a second creation": ([RunCreated(START, "demo")], "created once"),
    "a task that was there before": ([TaskAdded(START, Task("a"))], "'a' cannot be added"),
    "a task that waits for nobody known": ([TaskAdded(START, Task("z"), ("y",))], "waits for 'y'"),
    "a run that starts after its end": ([run_became("COMPLETED"), run_became("RUNNING")], "from COMPLETED to RUNNING"),
    "a task of a run that is over": ([run_became("FAILED"), started("a")], "two engines"),
}


@pytest.mark.parametrize("events, message", REFUSED.values(), ids=REFUSED)
def test_what_cannot_follow_is_refused(events, message) -> None:
    """An event that breaks the table tells of a second owner, and is not swallowed."""
    machine = running(make_graph("a; b"))
    play(machine, *events[:-1])
    with pytest.raises(ImpossibleEvent, match=message):
        machine.take(events[-1])


# how much there is, what each of three tasks needs, which start at once, which when the first has ended
NEEDS = {
    "one of it, unless more is named": ({}, [("GPU", 1)] * 3, "a", "b"),
    "as many as there is of it": ({"GPU": 2}, [("GPU", 1)] * 3, "ab", "c"),
    "parts of one": ({}, [("GPU", 0.5)] * 3, "ab", "c"),
    "what fits goes on": ({"memory": 8}, [("memory", 8), ("memory", 8), ("GPU", 1)], "ac", "b"),
}


@pytest.mark.parametrize("capacity, needs, first, then", NEEDS.values(), ids=NEEDS)
def test_no_more_tasks_run_than_there_is_of_what_they_need(capacity, needs, first, then) -> None:
    """The others wait until one gives back; a failure gives back too, also while it awaits its retry."""
    tasks = [Task(name, TWICE, resources=(need,)) for name, need in zip("abc", needs, strict=True)]
    for end in (completed("a"), failed("a")):
        machine = RunMachine(make_graph("", *tasks), capacity=capacity)
        assert brief(machine.begin()) == [f"start {name} 1" for name in first]
        machine.take(run_became("RUNNING"))
        for name in first:
            machine.take(started(name))
        assert [f"start {name} 1" for name in then] == [each for each in brief(machine.take(end)) if "start" in each]


def test_what_tasks_on_dask_need_is_counted_there() -> None:
    """Dask knows what its workers have."""
    tasks = [Task(name, resources=(("GPU", 1),)) for name in "ab"]
    assert brief(RunMachine(make_graph("", *tasks), runner="dask").begin()) == ["start a 1", "start b 1"]
    tasks = [Task(name, resources=(("GPU", 1),), runner="dask") for name in "ab"]
    assert brief(RunMachine(make_graph("", *tasks)).begin()) == ["start a 1", "start b 1"]


def test_a_held_run_starts_nothing_and_does_not_end() -> None:
    """What runs comes to its end; then everything that could have started does, retries and ends too."""
    machine = running(make_graph("a >> b, c", Task("c", retry=TWICE)))
    machine.take(started("a"))
    machine.take(started("c"))
    machine.take(run_became("PAUSED"))
    machine.hold()
    assert play(machine, completed("a"), failed("c")) == [[], ["await c 2 in 1"]]
    machine.take(task_became("c", "SCHEDULED", 1, name="AwaitingRetry"))
    assert machine.start_retry("c", 2) == []
    machine.take(run_became("RUNNING"))
    assert brief(machine.let_go()) == ["start b 1", "start c 2"]
    machine.hold()
    assert play(machine, started("b"), started("c", 2), completed("b"), completed("c", 2))[-1] == []
    assert brief(machine.let_go()) == ["over Completed"]


def test_a_start_that_nobody_has_begun_is_taken_back() -> None:
    """A task that waits for a place when its run is held starts after the hold, with what it must have alone."""
    machine = running(make_graph("a, b", Task("a", exclusive=("pyplot",)), Task("b", exclusive=("pyplot",))))
    machine.hold()
    machine.withdraw("a")
    assert brief(machine.let_go()) == ["start b 1"]
    assert play(machine, started("b"), completed("b"))[-1] == ["start a 1"]


def test_a_held_run_can_be_cancelled() -> None:
    """What waits ends as cancelled, and the run with it."""
    machine = running(make_graph("a >> b"))
    machine.take(started("a"))
    machine.hold()
    machine.take(completed("a"))
    assert brief(machine.take(run_became("CANCELLING"))) == ["end b Cancelled"]
    assert brief(machine.take(cancelled("b"))) == ["over Cancelled"]
