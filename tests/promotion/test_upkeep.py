"""The record of scheduled runs stays true whoever dies, and when."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from orch_notebook.errors import StoreUnavailable, UsageError
from orch_notebook.model.events import RunCreated, RunStateChanged, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.upkeep import cancel, name_late, repeat, settle, sweep, with_children
from orch_notebook.runtime.clock import new_run_id
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.store.sqlite import SqliteStore

RUNNING, COMPLETED, FAILED = State(StateType.RUNNING), State(StateType.COMPLETED), State(StateType.FAILED)
ME = this_owner()


@pytest.fixture(scope="module")
def dead():
    """The owner string of a process that has ended."""
    code = "from orch_notebook.runtime.owners import this_owner; print(this_owner())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def begin(store, settings, clock, book):
    """Makes a run of a deployment, claims it for an owner, and records what has happened to it so far."""

    def begin(owner, *states, retries=0, retry_delay=0.0, store=store, graph=None):
        promote(store, settings, clock.now(), book, "nightly", terms=Terms(retries=retries, retry_delay=retry_delay))
        run = trigger(store, clock.now(), "nightly", {})
        lease = store.claim_run(run.run_id, owner, "w", clock.now() + timedelta(seconds=9))
        record(store, clock, lease, *states, graph=graph)
        return lease

    return begin


def record(store, clock, lease, *states, graph=None):
    """Record a run's creation and its states; a pair is the state of a task."""
    now = clock.now()
    events = [RunCreated(now, "report", graph or Graph())] if states else []
    for state in states:
        events.append(
            TaskStateChanged(now, state[0], 1, state[1]) if isinstance(state, tuple) else RunStateChanged(now, state)
        )
    if events:
        store.append(lease, list(enumerate(events, 1)), lease.expires_at)


def states(store):
    """Return (attempt, state name) of every run, by attempt."""
    return sorted((run.attempt, run.state.name) for run in store.runs())


# repeat

ENDINGS = [
    (COMPLETED, 1, 2, None),
    (State(StateType.CANCELLED), 1, 2, None),
    (FAILED, 1, 0, None),
    (FAILED, 1, 2, 2),
    (State(StateType.FAILED, "TimedOut"), 2, 2, 3),
    (State(StateType.CRASHED), 2, 2, 3),
    (State(StateType.CRASHED), 3, 2, None),
]


@pytest.mark.parametrize(("state", "attempt", "retries", "expected"), ENDINGS)
def test_what_failed_or_crashed_is_repeated_as_often_as_asked(store, clock, begin, state, attempt, retries, expected):
    """The repetition is a run of its own, one attempt further, due after the delay; nothing else is repeated."""
    run = store.run(begin(ME, retries=retries, retry_delay=30.0).run_id)
    ended = replace(run, state=state, attempt=attempt)
    again = repeat(store, ended, store.plan(run.run_id), clock.now())
    assert (again and again.attempt) == expected
    if again:
        assert (again.retry_of, again.deployment, again.parameters) == (run.run_id, "nightly", run.parameters)
        assert (again.state.name, again.due_at) == ("AwaitingRetry", clock.now() + timedelta(seconds=30))
        assert store.plan(again.run_id) == store.plan(run.run_id)


def test_a_run_is_repeated_once_whoever_asks(store, clock, begin):
    """Several who find the same run crashed make one repetition between them."""
    lease = begin(ME, retries=5)
    run = replace(store.run(lease.run_id), state=FAILED)
    made = [repeat(store, run, store.plan(run.run_id), clock.now()) for _ in range(3)]
    assert [again is not None for again in made] == [True, False, False]
    assert len(store.runs()) == 2


# settle


def test_an_execution_that_recorded_its_end_is_given_back(store, clock, begin):
    """What the process recorded stands, the lease is free, and a failure is repeated."""
    lease = begin(ME, RUNNING, FAILED, retries=1)
    ended = settle(store, lease, "ended with code 1", clock.now())
    assert ended.state == FAILED
    assert store.owned_runs() == []
    assert states(store) == [(1, "Failed"), (2, "AwaitingRetry")]


@pytest.mark.parametrize("so_far", [(), (RUNNING,)])
def test_an_execution_that_died_silently_has_crashed(store, clock, begin, so_far):
    """A process that ends without a word, early or late, leaves a run that says how it ended, and its repetition."""
    lease = begin(ME, *so_far, retries=1)
    ended = settle(store, lease, "ended by signal 9 (SIGKILL)", clock.now())
    assert (ended.state.name, ended.state.message) == (
        "Crashed",
        "The process that executed it ended by signal 9 (SIGKILL).",
    )
    assert (store.owned_runs(), states(store)) == ([], [(1, "Crashed"), (2, "AwaitingRetry")])


def test_settling_twice_changes_nothing(store, clock, begin):
    """A worker that is interrupted between the two settles again without making a second repetition."""
    lease = begin(ME, RUNNING, retries=3)
    settle(store, lease, "died", clock.now())
    history = store.events(lease.run_id)
    settle(store, lease, "died", clock.now())
    assert (store.events(lease.run_id), len(store.runs())) == (history, 2)


# sweep

GRAPH = Graph(
    tuple(map(Task, ("load", "clean", "plot"))), (Edge("load", "clean", "after"), Edge("clean", "plot", "after"))
)


def test_a_dead_owners_run_ends_with_all_its_tasks(store, clock, begin, dead):
    """What ran is Lost, what waited is Cancelled, what was done stays done; the run has crashed and is repeated."""
    lease = begin(dead, RUNNING, ("load", RUNNING), ("load", COMPLETED), ("clean", RUNNING), retries=1, graph=GRAPH)
    assert sweep(store, ME, clock.now()) == [lease.run_id]
    run = store.run(lease.run_id)
    assert [(task.name, task.state.name) for task in run.tasks] == [
        ("load", "Completed"),
        ("clean", "Lost"),
        ("plot", "Cancelled"),
    ]
    assert (run.state.name, run.state.message) == ("Crashed", "The process that executed it died.")
    assert states(store) == [(1, "Crashed"), (2, "AwaitingRetry")]
    assert (store.owned_runs(), sweep(store, ME, clock.now())) == ([], [])


def test_a_silent_owners_run_ends_when_its_lease_does(store, clock, begin):
    """An owner on another machine is judged by its heartbeat alone."""
    begin("elsewhere:1:1", RUNNING)
    clock.advance(9)
    assert len(sweep(store, ME, clock.now())) == 1
    assert store.runs()[0].state.message == "Its heartbeat stopped."


def test_the_living_are_left_alone(store, clock, begin):
    """Neither a lease that has not run out nor one's own is taken."""
    begin("elsewhere:1:1", RUNNING)
    begin(ME, RUNNING)
    clock.advance(8.9)
    assert sweep(store, ME, clock.now()) == []
    clock.advance(1000)
    assert len(sweep(store, ME, clock.now())) == 1
    assert [lease.owner for lease in store.owned_runs()] == [ME]


@pytest.mark.parametrize(("end", "expected"), [(COMPLETED, 1), (FAILED, 2), (State(StateType.CRASHED), 2)])
def test_an_owner_may_die_between_the_end_and_giving_back(store, clock, begin, dead, end, expected):
    """A run whose end is recorded keeps it when its owner dies at once; its repetition is made all the same, once."""
    begin(dead, RUNNING, end, retries=1)
    for _ in range(3):
        assert sweep(store, ME, clock.now()) == []
    assert store.owned_runs() == []
    assert [state for _, state in states(store)] == [end.name, "AwaitingRetry"][:expected]


class Failing(SqliteStore):
    """A store whose history cannot be written as often as `failures` says."""

    failures = 0

    def append(self, *args, **options):
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("The store is locked.")
        super().append(*args, **options)


def test_a_run_that_could_not_be_ended_is_ended_later(settings, clock, begin, dead):
    """A store that fails while a lost run is being ended leaves it to a later look, never to nobody."""
    store = Failing(settings.database)
    lease = begin(dead, RUNNING, retries=1, store=store)
    store.failures = 1
    with pytest.raises(StoreUnavailable):
        sweep(store, ME, clock.now(), performing=())
    assert sweep(store, ME, clock.now(), performing=()) == []  # the lease of the one who looks protects it
    clock.advance(31)
    assert sweep(store, ME, clock.now(), performing=()) == [lease.run_id]
    assert states(store) == [(1, "Crashed"), (2, "AwaitingRetry")]
    store.close()


def test_settling_is_tried_again_when_the_store_fails(settings, clock, begin):
    """The lease is kept until the end is recorded."""
    store = Failing(settings.database)
    lease = begin(ME, RUNNING, store=store)
    store.failures = 1
    with pytest.raises(StoreUnavailable):
        settle(store, lease, "died", clock.now())
    assert len(store.owned_runs()) == 1
    assert settle(store, lease, "died", clock.now()).state.name == "Crashed"
    store.close()


# cancel


def test_what_waits_is_cancelled_at_once(store, settings, clock, book):
    """A run nobody has begun ends Cancelled, is given back, and is never claimed."""
    promote(store, settings, clock.now(), book, "nightly", terms=Terms(retries=3))
    run = trigger(store, clock.now(), "nightly", {})
    cancel(store, run, ME, clock.now())
    assert store.run(run.run_id).state == State(StateType.CANCELLED, "Cancelled", "Cancelled before it started.")
    assert (store.owned_runs(), store.due_runs(clock.now(), 9), len(store.runs())) == ([], [], 1)


def test_what_runs_is_asked(store, clock, begin):
    """A run that another process performs gets a request, which that process takes once."""
    lease = begin("elsewhere:1:1", RUNNING)
    cancel(store, store.run(lease.run_id), ME, clock.now())
    assert store.run(lease.run_id).state == RUNNING
    assert store.take_requests(lease.run_id, clock.now()) == ["cancel"]
    assert store.take_requests(lease.run_id, clock.now()) == []


def test_what_was_just_claimed_is_asked_too(store, settings, clock, book):
    """A run that is claimed between being looked at and being cancelled is not lost."""
    promote(store, settings, clock.now(), book, "nightly")
    seen = trigger(store, clock.now(), "nightly", {})
    store.claim_run(seen.run_id, "elsewhere:1:1", "w", clock.now() + timedelta(seconds=9))
    cancel(store, seen, ME, clock.now())
    assert store.take_requests(seen.run_id, clock.now()) == ["cancel"]


def test_what_has_ended_cannot_be_cancelled(store, clock, begin):
    """The answer says how it ended."""
    lease = begin(ME, RUNNING, FAILED)
    with pytest.raises(UsageError, match="already ended: Failed"):
        cancel(store, store.run(lease.run_id), ME, clock.now())


# late, children


def test_what_should_have_started_is_late(store, settings, clock, book):
    """A waiting run is Late from 15 s after its due time on; one that awaits its retry keeps saying so."""
    promote(store, settings, clock.now(), book, "nightly", terms=Terms(retries=1))
    run = trigger(store, clock.now(), "nightly", {})
    repeat(store, replace(run, state=FAILED), store.plan(run.run_id), clock.now())
    clock.advance(15)
    assert name_late(store, settings, clock.now()) == 0
    clock.advance(0.1)
    assert name_late(store, settings, clock.now()) == 1
    assert states(store) == [(1, "Late"), (2, "AwaitingRetry")]
    assert len(store.due_runs(clock.now(), 9)) == 2


def test_tasks_of_children_are_shown_with_their_parent(store, clock, begin):
    """A run shows the tasks of the runs its notebook started, oldest first, and their graph."""
    parent = store.run(begin(ME, RUNNING).run_id)
    for names in (("load", "clean"), ("plot",)):
        clock.advance(1)
        child = FlowRun(
            new_run_id(clock.now()), "report", State(StateType.PENDING), clock.now(), parent_run_id=parent.run_id
        )
        store.create_run(child, owner=ME, lease_expires_at=clock.now())
        lease = next(each for each in store.owned_runs() if each.run_id == child.run_id)
        record(store, clock, lease, RUNNING, graph=Graph(tuple(map(Task, names))))
    shown = with_children(store, parent)
    assert [task.name for task in shown.tasks] == ["load", "clean", "plot"]
    assert [task.name for task in shown.graph.tasks] == ["load", "clean"]
