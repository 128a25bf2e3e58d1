"""Random flows through the machine alone: it always ends, obeys the table, and repeats no command."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.model.commands import AwaitRetry, EndRun, EndTask, StartTask, StopTask
from orch_notebook.model.events import RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.states import State, StateType, may_follow
from orch_notebook.model.tasks import Task
from orch_notebook.testing import START, make_graph, run_became, task_became
from tests.strategies import graphs, retries

FINISHES = ("COMPLETED", "FAILED", "FAILED for good", "CRASHED", "CANCELLED")


class World:
    """Plays the engine's part with a hand that Hypothesis guides, and watches over the rules."""

    def __init__(self, machine, history, data):
        self.machine, self.history, self.data = machine, history, data
        self.ready: list[tuple[str, int]] = []
        self.waits: list[tuple[str, int]] = []
        self.running: dict[str, int] = {}
        self.commanded: set[tuple[str, str, int]] = set()
        self.types: dict[str, StateType | None] = {}
        self.tasks = {}

    def happen(self, event):
        """Record an event, check it against the table, and carry out what follows from it."""
        if isinstance(event, TaskStateChanged):
            before = self.types.get(event.task, StateType.PENDING)
            assert may_follow(before, event.state.type), f"{event.task}: {before} to {event.state.type}"
            self.types[event.task] = event.state.type
        self.history.append(event)
        self.obey(self.machine.take(event))

    def obey(self, commands):
        for command in commands:
            match command:
                case StartTask(task, attempt):
                    self.once("start", task, attempt)
                    self.ready.append((task, attempt))
                case AwaitRetry(task, attempt):
                    self.once("await", task, attempt)
                    self.happen(task_became(task, "SCHEDULED", attempt - 1, name="AwaitingRetry"))
                    self.waits.append((task, attempt))
                case EndTask(task, state, culprit):
                    self.once("end", task, 0)
                    attempt = self.machine.attempt_of(task)
                    self.happen(replace(task_became(task, "CANCELLED", attempt, culprit=culprit), state=state))
                case StopTask(task):
                    self.once("stop", task, 0)
                case EndRun(state):
                    self.once("over", "", 0)
                    self.happen(RunStateChanged(START, state))

    def once(self, kind, task, attempt):
        assert (kind, task, attempt) not in self.commanded, f"{kind} {task} {attempt} was commanded twice."
        self.commanded.add((kind, task, attempt))

    def go(self):
        """Let one thing happen; False when nothing can."""
        choices = [("begin", *call) for call in self.ready] + [("end", *call) for call in self.running.items()]
        choices += [("wake", *call) for call in self.waits]
        if not choices or self.machine.is_over:
            return False
        what, task, attempt = self.data.draw(st.sampled_from(choices))
        if what == "begin":
            self.ready.remove((task, attempt))
            if self.machine.state_of(task) in (StateType.PENDING, StateType.SCHEDULED):
                self.running[task] = attempt
                self.check_exclusive()
                self.happen(task_became(task, "RUNNING", attempt))
        elif what == "wake":
            self.waits.remove((task, attempt))
            self.obey(self.machine.start_retry(task, attempt))
        else:
            del self.running[task]
            how = self.data.draw(st.sampled_from(FINISHES))
            details = {"retriable": False} if how == "FAILED for good" else {}
            self.happen(task_became(task, how.split()[0], attempt, **details))
        return True

    def check_exclusive(self):
        used: dict[str, str] = {}
        for task in self.running:
            for thing in self.machine._stands[task].task.exclusive:
                name, _, version = thing.partition("@")
                assert used.setdefault(name, version or task) == (version or task), (
                    f"{list(self.running)} share {name}."
                )

    def check_end(self):
        assert self.machine.is_over, "Nothing can happen any more, and the run has not ended."
        for name, stand in self.machine._stands.items():
            assert stand.type in (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED), name
        assert isinstance(self.history[-1], RunStateChanged)


def begin(graph, data, **options):
    machine = RunMachine(graph, **options)
    world = World(machine, [RunCreated(START, "demo", graph)], data)
    world.happen(run_became("RUNNING"))
    world.obey(machine.begin())
    return world


def settle(world, cancel_after=None):
    steps = 0
    while world.go():
        steps += 1
        if steps == cancel_after and not world.machine.is_over:
            world.happen(run_became("CANCELLING"))
        assert steps < 500


@given(graph=graphs(), data=st.data(), cancel_after=st.none() | st.integers(1, 12))
def test_a_run_always_ends(graph, data, cancel_after) -> None:
    """Whatever fails, in whatever order, cancelled or not: every task is final and the run is over."""
    world = begin(graph, data)
    settle(world, cancel_after)
    world.check_end()


@given(graph=graphs(), data=st.data(), moment=st.integers(0, 25), cancelled=st.booleans())
def test_a_replayed_run_goes_on_and_ends(graph, data, moment, cancelled) -> None:
    """Cut off at any event, with what was performed crashed, a replay begins again and ends as any other."""
    first = begin(graph, data)
    settle(first, 3 if cancelled else None)
    history = first.history[: 1 + moment]
    cut = RunMachine.replay(history)
    history += [task_became(task, "CRASHED", cut.attempt_of(task)) for task in cut.unfinished()]
    machine = RunMachine.replay(history)
    world = World(machine, history, data)
    world.types = {task.name: machine.state_of(task.name) for task in graph.tasks}
    if not machine.is_over and machine.run_type is StateType.PENDING:
        world.happen(run_became("RUNNING"))
    world.obey(machine.begin())
    settle(world)
    world.check_end()


@given(graph=graphs(), data=st.data())
def test_a_replay_stands_where_the_machine_stood(graph, data) -> None:
    """After every event, replaying the history so far gives the same states and attempts."""
    world = begin(graph, data)
    going = True
    while going:
        twin = RunMachine.replay(world.history)
        live = world.machine
        assert twin.run_type is live.run_type
        for task in graph.tasks:
            for look in ("state_of", "attempt_of", "is_settled"):
                assert getattr(twin, look)(task.name) == getattr(live, look)(task.name), (look, task.name)
        going = world.go()


@given(graph=graphs(4), data=st.data(), added=st.lists(retries, max_size=4), cancelled=st.booleans())
def test_a_run_to_which_tasks_are_added_ends_once_it_is_closed(graph, data, added, cancelled) -> None:
    """Tasks may appear at any time, behind any others; the run waits for them and for the last word."""
    world = begin(graph, data, is_open=True)
    names = [task.name for task in graph.tasks]
    for number, retry in enumerate(added):
        world.go()
        if cancelled and number == 1:
            world.happen(run_became("CANCELLING"))
        upstream = data.draw(st.lists(st.sampled_from(names), max_size=2)) if names else []
        exclusive = data.draw(st.sampled_from(((), ("pyplot",))))
        world.happen(TaskAdded(START, Task(f"new{number}", retry=retry, exclusive=exclusive), tuple(upstream)))
        names.append(f"new{number}")
    settle(world)
    assert not world.machine.is_over
    world.obey(world.machine.close())
    world.check_end()


def test_the_watch_itself_notices(monkeypatch) -> None:
    """A machine that never ends its run is found out: the rules above are not empty."""
    monkeypatch.setattr(RunMachine, "_end_if_over", lambda machine: [])
    world = begin(make_graph(""), None)
    try:
        world.check_end()
    except AssertionError as error:
        assert "has not ended" in str(error)
    else:
        raise AssertionError("It was not noticed.")
    assert State(StateType.COMPLETED).is_final
