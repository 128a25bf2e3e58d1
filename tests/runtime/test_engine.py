"""The engine: whatever a task does, the run ends, every task is final, and the store says so."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from orch_notebook.errors import LeaseLost, OrchError, StoreError, StoreUnavailable
from orch_notebook.model.events import RunCreated
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.runtime.calls import TaskStopped
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.testing import START, RecordedEvents, StepRunner, make_graph, open_run, perform_flow

PATIENCE = 20.0


class Run:
    """One run over a real store, with everything a test may want to look at."""

    def __init__(self, store, graph, perform, runner=None, **options):
        self.store = store
        self.recorded = RecordedEvents()
        self.runner = runner or StepRunner()
        clock = self.runner.clock if isinstance(self.runner, StepRunner) else SystemClock()
        self.ledger = Ledger(store, clock=clock)
        self.ledger.subscribe(self.recorded)
        now = clock.now()
        _, self.lease = open_run(store, graph, now=now)
        self.engine = Engine(RunMachine(graph), perform, self.runner, self.ledger, self.lease, clock, **options)
        self.engine.journal.record(RunCreated(now, "demo", graph))

    def run(self):
        """Run to the end in a thread of its own, so that a hang is a failed test."""
        outcome = []

        def perform():
            try:
                outcome.append(self.engine.run())
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=perform, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "The run hangs."
        if isinstance(outcome[0], BaseException):
            raise outcome[0]
        return outcome[0].name

    @property
    def stored(self):
        return self.store.run(self.lease.run_id)

    def states(self):
        return {task.name: task.state.name for task in self.stored.tasks}


def do_nothing(task, attempt):
    return None


def test_a_run_is_stored_before_it_returns(store) -> None:
    """Final state and all tasks are in the store, and the lease is given back."""
    run = Run(store, make_graph("a >> b, c >> d"), do_nothing)
    assert run.run() == "Completed"
    assert run.stored.state.name == "Completed" and set(run.states().values()) == {"Completed"}
    assert store.owned_runs() == []


def test_retries_wait_as_long_as_they_should() -> None:
    """Delays and jitter come from the policy; a night of retries takes no time here."""
    graph = make_graph("a", Task("a", retry=RetryPolicy(3, (60, 3600))))
    attempts = []

    def perform(task, attempt):
        attempts.append(attempt)
        if attempt < 4:
            raise ConnectionError("try later")

    recorded = perform_flow(graph, perform)
    assert attempts == [1, 2, 3, 4]
    assert recorded.states_of("a") == ["Running", *["Failed", "AwaitingRetry", "Retrying"] * 3, "Completed"]
    assert recorded.events[-1].at - START == timedelta(seconds=60 + 3600 + 3600)


def test_jitter_changes_a_delay_by_what_is_drawn(store) -> None:
    """The last quarter of a jitter of 1 makes a delay half as long again."""
    graph = make_graph("a", Task("a", retry=RetryPolicy(1, (10,), jitter=1.0)))
    run = Run(store, graph, lambda task, attempt: 1 / (attempt - 1) and None, draw=lambda: 0.75)
    assert run.run() == "Completed"
    assert run.stored.ended_at - START == timedelta(seconds=15)


def test_what_a_task_gives_is_kept_with_its_completion(store) -> None:
    """A cached task says where its result came from."""
    run = Run(store, make_graph("a"), lambda task, attempt: {"cached_from": "earlier/a", "note": "same"})
    run.run()
    [task] = run.stored.tasks
    assert (task.state.name, task.details["cached_from"]) == ("Cached", "earlier/a")


RAISED = {
    "an error": (ValueError("no rows"), "ValueError: no rows"),
    "sys.exit": (SystemExit(3), "The task called sys.exit(3)."),
    "sys.exit without a code": (SystemExit(), "The task called sys.exit()."),
    "an interrupt of its own": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "a generator's exit": (GeneratorExit(), "GeneratorExit"),
    "a stop of its own": (TaskStopped(), "orch_notebook.runtime.calls.TaskStopped"),
    "an error of many lines": (ValueError("one\ntwo"), "ValueError: one"),
    "an error with what no file can hold": (ValueError("caf\udce9"), None),
    "an error group": (ExceptionGroup("several", [ValueError("x")]), "ExceptionGroup: several (1 sub-exception)"),
}


class Unspeakable(Exception):
    """An error that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISED["an error that cannot be printed"] = (Unspeakable(), None)


@pytest.mark.parametrize("error, said", RAISED.values(), ids=RAISED)
def test_whatever_a_task_raises_is_its_failure(store, error, said) -> None:
    """The run ends as failed, what depended on it never runs, the rest does, and the message is one line."""

    def perform(task, attempt):
        if task == "bad":
            raise error

    run = Run(store, make_graph("bad >> after; free"), perform, ThreadRunner(2))
    assert run.run() == "Failed"
    assert run.states() == {"bad": "Failed", "after": "UpstreamFailed", "free": "Completed"}
    message = run.stored.tasks[0].state.message
    assert "\n" not in message and (said is None or message == said)


def test_a_failure_that_says_so_is_not_retried(store) -> None:
    """An error that cannot go away by itself costs one attempt."""

    def perform(task, attempt):
        raise OrchError("no use", retriable=False)

    run = Run(store, make_graph("a", Task("a", retry=RetryPolicy(5))), perform)
    assert run.run() == "Failed" and run.stored.tasks[0].attempt == 1


# Stopping


def spin(task, attempt):
    while True:
        pass


def test_a_timeout_ends_a_busy_loop(store) -> None:
    """Its attempt is TimedOut with the reason, and what depends on it never runs."""
    run = Run(store, make_graph("a >> b", Task("a", timeout=0.05)), spin, ThreadRunner(2))
    assert run.run() == "Failed"
    [a, b] = run.stored.tasks
    assert (a.state.name, b.state.name) == ("TimedOut", "UpstreamFailed")
    assert a.state.message == "It took longer than its timeout of 0.05 s."


def test_a_timeout_is_retried(store) -> None:
    """The second attempt has its own time."""
    graph = make_graph("a", Task("a", timeout=0.05, retry=RetryPolicy(1)))
    run = Run(store, graph, lambda task, attempt: spin(task, attempt) if attempt == 1 else None, ThreadRunner(2))
    assert run.run() == "Completed"
    assert run.recorded.states_of("a") == ["Running", "TimedOut", "AwaitingRetry", "Retrying", "Completed"]


@pytest.mark.parametrize("width", [1, 4])
def test_a_cancel_ends_busy_loops_and_starts_nothing_more(store, width) -> None:
    """What ran, what waited for a thread and what waited for a task: all are cancelled."""
    begun = threading.Event()

    def perform(task, attempt):
        begun.set()
        spin(task, attempt)

    run = Run(store, make_graph("a, b, c >> d >> e >> f"), perform, ThreadRunner(width))
    threading.Thread(target=lambda: begun.wait(PATIENCE) and run.engine.cancel("Enough.")).start()
    assert run.run() == "Cancelled"
    assert run.states() == dict.fromkeys("abcdef", "Cancelled")


def test_a_paused_run_finishes_what_runs_and_goes_on_when_it_is_resumed(store) -> None:
    """Of three tasks on one thread the first runs on; neither the one that waits for a place nor the last starts."""
    came, go, ended = threading.Event(), threading.Event(), []

    def perform(task, attempt):
        if task == "a":
            came.set()
            go.wait(PATIENCE)
        ended.append(task)

    run = Run(store, make_graph("a >> c, b"), perform, ThreadRunner(1))
    watcher = threading.Event()
    run.ledger.subscribe(lambda run_id, batch: run.recorded.states_of("a")[-1:] == ["Completed"] and watcher.set())

    def pause_and_resume():
        came.wait(PATIENCE)
        run.engine.pause()
        go.set()
        watcher.wait(PATIENCE)
        assert (run.stored.state.name, ended) == ("Paused", ["a"])
        run.engine.resume()

    thread = threading.Thread(target=pause_and_resume)
    thread.start()
    assert run.run() == "Completed"
    thread.join(PATIENCE)
    assert sorted(ended[1:]) == ["b", "c"]
    names = [event.state.name for event in run.recorded.events if type(event).__name__ == "RunStateChanged"]
    assert names == ["Running", "Paused", "Running", "Completed"]


def test_a_request_filed_by_others_cancels(store) -> None:
    """The engine asks for requests and heeds them, though nothing else happens."""
    graph = make_graph("a >> b", Task("a", retry=RetryPolicy(1, (3600,))))
    asked = iter([[], ["cancel"]])
    run = Run(store, graph, lambda task, attempt: 1 / 0, ask=lambda: next(asked, []))
    assert run.run() == "Cancelled"
    assert run.states() == {"a": "Cancelled", "b": "Cancelled"}


def test_a_store_that_cannot_be_asked_delays_nothing(store) -> None:
    """While requests cannot be read, retries fall due all the same."""
    graph = make_graph("a", Task("a", retry=RetryPolicy(1, (10,))))

    def ask():
        raise StoreUnavailable("The store is locked.")

    run = Run(store, graph, lambda task, attempt: 1 / (attempt - 1) and None, ask=ask)
    assert run.run() == "Completed"


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_a_cancel_comes_at_any_time(store, moment) -> None:
    """Before the run begins, from inside a task, and when it is over."""

    def perform(task, attempt):
        if moment == "while":
            run.engine.cancel()

    run = Run(store, make_graph("a >> b >> c"), perform)
    if moment == "before":
        run.engine.cancel()
    assert run.run() == ("Completed" if moment == "after" else "Cancelled")
    run.engine.cancel()
    assert run.stored.state.is_final and all(task.state.is_final for task in run.stored.tasks)


def test_a_task_may_cancel_its_own_run(store) -> None:
    """It is stopped there and then, and everything behind it and beside it is ended too."""
    gate, after = threading.Barrier(2), []

    def perform(task, attempt):
        gate.wait(PATIENCE)
        if task == "a":
            run.engine.cancel()
            after.append(task)
        spin(task, attempt)

    run = Run(store, make_graph("a, b >> c >> d"), perform, ThreadRunner(2))
    assert run.run() == "Cancelled"
    assert run.states() == dict.fromkeys("abcd", "Cancelled") and not after


# When the run cannot go on


def test_who_loses_the_lease_stops_and_says_so(store) -> None:
    """The tasks are stopped, and the history belongs to the other owner alone."""
    begun = threading.Event()

    def perform(task, attempt):
        begun.set()
        spin(task, attempt)

    run = Run(store, make_graph("a"), perform, ThreadRunner(1))
    run.ledger.lease_seconds = 0.03

    def take():
        begun.wait(PATIENCE)
        store.take_over(run.lease, "there:2:2", run.lease.expires_at)

    threading.Thread(target=take).start()
    with pytest.raises(LeaseLost):
        run.run()
    assert [lease.owner for lease in store.owned_runs()] == ["there:2:2"]
    assert run.stored.state.name in ("Pending", "Running")


def test_an_engine_that_breaks_leaves_no_run_behind(store) -> None:
    """Whatever goes wrong inside, the run is not left Running, and nobody holds it."""

    class Broken(StepRunner):
        def start(self, call):
            raise RuntimeError("can't start new thread")

    run = Run(store, make_graph("a >> b"), do_nothing, Broken())
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run.run()
    assert run.stored.state.name == "Crashed"
    assert run.stored.state.message == "The run could not go on: can't start new thread"
    assert set(run.states().values()) == {"Cancelled"} and store.owned_runs() == []


def test_a_run_that_could_not_be_stored_is_ended_when_the_store_is_back(store) -> None:
    """A store that was full for a moment ends the run as crashed, truthfully."""
    run = Run(store, make_graph("a >> b"), do_nothing)
    append, refusals = store.append, iter([StoreUnavailable("The store cannot grow: the disk is full.")])

    def full(*arguments, **options):
        for error in refusals:
            raise error
        append(*arguments, **options)

    store.append = full
    with pytest.raises(StoreError, match="disk is full"):
        run.run()
    assert run.stored.state.name == "Crashed" and store.owned_runs() == []
