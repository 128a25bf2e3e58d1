"""Random flows through machine, engine, ledger, threads and a real store: they end, and the store tells the truth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch_notebook.errors import OrchError, StoreError, StoreUnavailable
from orch_notebook.model.events import Event, RunCreated, RunStateChanged, TaskAdded, TaskStateChanged
from orch_notebook.model.graph import Graph
from orch_notebook.model.live import LiveRun
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import StateType, may_follow
from orch_notebook.model.tasks import RetryPolicy, Task
from orch_notebook.runtime.clock import SystemClock
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.recovery import recover
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.testing import START, RecordedEvents, open_run, temporary_store
from tests.model.test_machine_properties import begin, settle
from tests.strategies import graphs, retries

PATIENCE = 20.0
FATES = ("completes", "fails", "fails for good", "exits", "interrupts", "times out", "is cached")


@pytest.fixture(scope="module")
def shared() -> Iterator:
    """One store for all examples: each has a run of its own in it."""
    with temporary_store() as store:
        yield store


class Mortal:
    """A store that a process loses its hold of after so many events, as by `kill -9`."""

    def __init__(self, store, events: int) -> None:
        self._store, self._left = store, events

    def __getattr__(self, name):
        if self._left <= 0:
            raise StoreUnavailable("This process is dead.")
        return getattr(self._store, name)

    def append(self, lease, events, expires_at, *, release=False) -> None:
        batch = events[: max(0, self._left)]
        self._left -= len(events)
        if batch:
            self._store.append(lease, batch, expires_at, release=release and len(batch) == len(events))
        if self._left <= 0:
            raise StoreUnavailable("This process is dead.")


def quick(graph: Graph) -> Graph:
    """Return the graph with delays and timeouts of milliseconds, for the real clock."""
    tasks = [
        replace(task, retry=RetryPolicy(task.retry.retries, (0.001,), task.retry.jitter), timeout=0.005)
        for task in graph.tasks
    ]
    return Graph(tuple(tasks), graph.edges)


@given(
    graph=graphs(6).map(quick),
    fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=12),
    cancel_at=st.none() | st.integers(0, 5),
    crash_at=st.none() | st.integers(1, 25),
    width=st.integers(1, 4),
)
def test_every_run_ends_and_the_store_tells_what_happened(shared, graph, fates, cancel_at, crash_at, width) -> None:
    """Failures, retries, timeouts, a cancel, a crash: all final, by the table, and rows, replay and live view agree."""
    performed: list[str] = []

    def perform(task, attempt):
        performed.append(task)
        if len(performed) - 1 == cancel_at:
            engine.cancel()
        match fates[(graph.tasks.index(graph.by_name[task]) + 5 * attempt) % len(fates)]:
            case "fails":
                raise ValueError(f"{task} failed")
            case "fails for good":
                raise OrchError("no use", retriable=False)
            case "exits":
                raise SystemExit(1)
            case "interrupts":
                raise KeyboardInterrupt
            case "times out":
                while True:
                    pass
            case "is cached":
                return {"cached_from": "earlier"}
        return None

    clock, recorded = SystemClock(), RecordedEvents()
    run, lease = open_run(shared, graph, now=clock.now(), owner="mortal:1:1")
    ledger = Ledger(shared if crash_at is None else Mortal(shared, crash_at), clock=clock, interval=0.001)
    ledger.subscribe(recorded)
    live = LiveRun(run)
    ledger.subscribe(lambda run_id, batch: live.take(event for _, event in batch))
    engine = Engine(RunMachine(graph), perform, ThreadRunner(width), ledger, lease, clock)
    engine.journal.record(RunCreated(run.created_at, run.flow, graph))
    outcome: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: outcome.append(attempt_run(engine)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "The run hangs."
    ledger.close()

    history = shared.events(run.run_id)
    check_agreement(shared.run(run.run_id), run, history)
    if outcome[0] is None:
        assert recorded.numbered == [(run.run_id, seq, event) for seq, event in history]
        assert live.run.tasks == shared.run(run.run_id).tasks
    else:
        assert crash_at is not None and isinstance(outcome[0], StoreError)
        recover(shared, "other:2:2", clock.now() + timedelta(hours=1))
    check_end(shared, run)


def attempt_run(engine: Engine) -> BaseException | None:
    try:
        engine.run()
    except BaseException as error:
        return error
    return None


def check_agreement(stored: FlowRun, run: FlowRun, history: list[tuple[int, Event]]) -> None:
    """The rows, the folded view and a replayed machine say the same."""
    folded = LiveRun(run)
    folded.take(event for _, event in history)
    assert stored.tasks == folded.run.tasks
    for field in ("state", "started_at", "ended_at", "parameters", "graph"):
        assert getattr(stored, field) == getattr(folded.run, field), field
    if history:
        machine = RunMachine.replay(event for _, event in history)
        assert machine.run_type is stored.state.type
        for task in stored.tasks:
            assert (machine.state_of(task.name), machine.attempt_of(task.name)) == (task.state.type, task.attempt)


def check_end(store, run: FlowRun) -> None:
    """The run and every task of it are final, by the table, and nobody holds it."""
    history = store.events(run.run_id)
    assert [seq for seq, _ in history] == list(range(1, len(history) + 1))
    before: dict[str, StateType] = {"": run.state.type}
    for _, event in history:
        if isinstance(event, TaskStateChanged | RunStateChanged):
            name = event.task if isinstance(event, TaskStateChanged) else ""
            assert may_follow(before.get(name, StateType.PENDING), event.state.type), (name, event)
            before[name] = event.state.type
    stored = store.run(run.run_id)
    assert stored.state.is_final and all(task.state.is_final for task in stored.tasks)
    check_agreement(stored, run, history)
    assert run.run_id not in [lease.run_id for lease in store.owned_runs()]


@given(graph=graphs(5), data=st.data(), cuts=st.lists(st.integers(1, 8), max_size=8), added=st.integers(0, 3))
def test_rows_are_the_fold_of_the_events_however_they_are_grouped(shared, graph, data, cuts, added) -> None:
    """Wherever a transaction ends, the rows of the run and its tasks are what the events so far give."""
    world = begin(graph, data, is_open=True)
    for number in range(added):
        world.go()
        world.happen(TaskAdded(START, Task(f"z{9 - number}", retry=data.draw(retries)), ()))
    settle(world)
    world.obey(world.machine.close())
    run, lease = open_run(shared, graph)
    numbered = list(enumerate(world.history, 1))
    while numbered:
        size = cuts.pop() if cuts else len(numbered)
        shared.append(lease, numbered[:size], lease.expires_at)
        del numbered[:size]
        check_agreement(shared.run(run.run_id), run, shared.events(run.run_id))
    shared.release(lease)
