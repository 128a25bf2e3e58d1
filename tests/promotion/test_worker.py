"""The worker, with a launcher that a test plays: who is executed when, and that nothing is lost or done twice."""

import random
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from orch_notebook.errors import StoreAway, StoreUnavailable
from orch_notebook.model.deployments import ScheduleRow
from orch_notebook.model.events import RunCreated, RunStateChanged
from orch_notebook.model.policies import Overlap
from orch_notebook.model.runs import FlowRun, short_id
from orch_notebook.model.schedules import Interval, Once
from orch_notebook.model.states import State, StateType
from orch_notebook.promotion.deployments import promote, trigger
from orch_notebook.promotion.launching import Launch
from orch_notebook.promotion.terms import Terms
from orch_notebook.promotion.upkeep import cancel
from orch_notebook.promotion.worker import LOOK_EVERY, Worker
from orch_notebook.runtime.recovery import recover
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease
from orch_notebook.runtime.store.opening import open_store
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import open_run

RUNNING, COMPLETED, FAILED = State(StateType.RUNNING), State(StateType.COMPLETED), State(StateType.FAILED)


class Stage:
    """A launcher whose runs end when the test says so, or at once with `ending`."""

    def __init__(self, store, clock, ending=None):
        self.store = store
        self.clock = clock
        self.ending = ending
        self.launches = {}
        self.launched = []
        self.stopped = []

    def __call__(self, lease, told):
        launch = Launch(lease, lambda: self.stopped.append(lease.run_id))
        self.launches[lease.run_id] = launch, told
        self.launched.append(lease.run_id)
        if self.ending is not None:
            self.end(lease.run_id, self.ending)
        return launch

    def end(self, run_id, *states, said="ended with code 0"):
        """Record these states, then end as a process does."""
        launch, told = self.launches[run_id]
        if states:
            now = self.clock.now()
            given = self.store.run(run_id).parameters
            events = [
                RunCreated(now, "report", parameters=given),
                *(RunStateChanged(now, state) for state in (RUNNING, *states)),
            ]
            self.store.append(launch.lease, list(enumerate(events, 1)), launch.lease.expires_at)
        launch.said = said
        launch.ended.set()
        told()


@pytest.fixture
def stage(store, clock):
    """A launcher in the test's hands."""
    return Stage(store, clock)


@pytest.fixture
def worker(store, settings, clock, stage):
    """A worker with two slots."""
    return Worker(store, settings, slots=2, name="ann", clock=clock, launcher=stage)


@pytest.fixture
def due(store, settings, clock, book):
    """Promotes the notebook and makes runs of it, each due so many seconds ago."""

    def due(*ages, schedules=(), name="nightly", **terms):
        promote(store, settings, clock.now(), book, name, schedules=schedules, terms=Terms(**terms))
        return [trigger(store, clock.now() - timedelta(seconds=age), name, {}).run_id for age in ages]

    return due


def names(store):
    """Return how many runs bear each state name."""
    return Counter(run.state.name for run in store.runs(limit=1000))


def test_runs_start_in_order_of_due_time_as_slots_allow(worker, stage, due, store):
    """The run that was due first starts first; no more run at once than there are slots."""
    newest, oldest, middle = due(1, 9, 5)
    worker.step()
    worker.step()
    assert stage.launched == [oldest, middle]
    stage.end(oldest, COMPLETED)
    worker.step()
    assert stage.launched == [oldest, middle, newest]
    assert names(store) == {"Completed": 1, "Pending": 2}
    assert {run.worker for run in store.runs(state="pending")} == {"ann"}


def test_what_is_not_due_waits(worker, stage, store, due, clock):
    """Nothing starts before its time; the worker looks again exactly then."""
    due(-0.25)
    assert worker.step() == 0.25
    assert stage.launched == []
    clock.advance(0.25)
    worker.step()
    assert len(stage.launched) == 1


def test_a_drained_worker_claims_nothing_more(worker, stage, due, store):
    """What runs ends, what waits is left for others, and the worker is gone from the list."""
    third = due(3, 2, 1)[-1]
    worker.step()
    assert [row.name for row in store.workers()] == ["ann"]
    worker.drain()
    for run_id in list(stage.launched):
        stage.end(run_id, COMPLETED)
    worker.run()
    assert third not in stage.launched
    assert names(store) == {"Completed": 2, "Scheduled": 1}
    assert (store.workers(), stage.stopped) == ([], [])


def test_a_stopped_worker_ends_what_runs(worker, stage, due):
    """Every launch is told to stop; the worker goes when they have."""
    due(1)
    worker.step()
    worker.stop()
    assert stage.stopped == stage.launched
    stage.end(stage.launched[0], State(StateType.CRASHED))
    worker.run()


def test_until_idle_waits_for_retries_but_not_for_schedules(worker, stage, due, store, clock):
    """The worker ends when nothing runs and nothing waits: after all repetitions, before the next due time."""
    stage.ending = FAILED
    due(0, retries=2, retry_delay=300.0, schedules=[Interval(86400.0, clock.now())])
    start = clock.now()
    worker.run(until_idle=True)
    assert names(store) == {"Failed": 3}
    assert sorted(run.attempt for run in store.runs()) == [1, 2, 3]
    assert timedelta(seconds=600) <= clock.now() - start < timedelta(seconds=700)


def test_a_launch_that_dies_without_a_word_has_crashed(worker, stage, due, store):
    """The run ends CRASHED, says how, is given back, and its repetition starts."""
    (run_id,) = due(0, retries=1)
    worker.step()
    stage.end(run_id, said="ended by signal 9 (SIGKILL)")
    worker.step()
    assert "SIGKILL" in store.run(run_id).state.message
    assert len(stage.launched) == 2
    assert store.run(stage.launched[1]).retry_of == run_id


def test_a_launch_that_cannot_be_made_has_crashed(store, settings, clock, due):
    """No memory or no room for a process is one run's end, not the worker's."""

    def launch(lease, told):
        raise OSError(12, "Cannot allocate memory")

    due(2, 1)
    Worker(store, settings, clock=clock, launcher=launch).run(until_idle=True)
    assert names(store) == {"Crashed": 2}
    assert "could not be started (Cannot allocate memory)" in store.runs()[0].state.message
    assert store.owned_runs() == []


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_locked_store_does_not_end_the_worker(settings, clock, due, caplog, store):
    """While another process holds the store nothing happens and a line says so; then the work goes on."""
    due(0)
    impatient = SqliteStore(settings.database, patience=0.01)
    stage = Stage(impatient, clock, COMPLETED)
    worker = Worker(impatient, settings, clock=clock, launcher=stage)
    other = sqlite3.connect(settings.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert worker.step() == LOOK_EVERY
    assert "is locked" in caplog.text
    other.execute("COMMIT")
    other.close()
    worker.run(until_idle=True)
    assert names(store) == {"Completed": 1}
    impatient.close()


def make_moody(store, rng):
    """Let a store fail at one call in seven, by chance."""
    connect = store._connection

    def moody():
        if rng.random() < 1 / 7:
            raise StoreUnavailable("The store is locked.")
        return connect()

    store._connection = moody


@pytest.mark.parametrize("verb", ["claim_run", "plan"], ids=["before it is told", "before it is launched"])
def test_a_run_that_was_claimed_when_the_store_went_away_is_executed(settings, clock, due, store, verb, monkeypatch):
    """The claim was stored, then nobody answered: the worker finds that the run is its own, and loses no due time."""
    [run_id] = due(1)
    opened = open_store(settings)
    stage = Stage(opened, clock, COMPLETED)
    ask, times = getattr(opened, verb), iter([True])

    def ask_once(*arguments, **options):
        found = ask(*arguments, **options)
        if next(times, False):
            raise StoreAway("The store does not answer.")
        return found

    def launcher(lease, told):
        opened.plan(lease.run_id)
        return stage(lease, told)

    monkeypatch.setattr(opened, verb, ask_once)
    worker = Worker(opened, settings, clock=clock, launcher=launcher)
    worker.step()
    assert stage.launched == []
    clock.advance(60)  # the lease has run out by the time at which the store is back
    worker.run(until_idle=True)
    assert stage.launched == [run_id] and names(store) == {"Completed": 1} and store.owned_runs() == []
    opened.close()


def test_a_worker_that_was_kept_from_looking_ends_nobodys_run_at_once(settings, clock, store, monkeypatch):
    """All owners get some seconds to renew when the store is back; those who do not have lost their runs."""
    run, lease = open_run(store, now=clock.now(), owner="elsewhere:1:1")
    steady = [0.0]
    monkeypatch.setattr("orch_notebook.promotion.worker.monotonic", lambda: steady[0])
    worker = Worker(store, settings, clock=clock)

    def look(seconds):
        steady[0] += seconds
        clock.advance(seconds)
        worker.step()
        return store.run(run.run_id).state.type is StateType.CRASHED

    assert not look(0) and not look(60)  # nothing was looked at for a minute
    assert store.renew(lease, clock.now() + timedelta(seconds=1))
    assert not any(look(1) for _ in range(4))
    assert any(look(1) for _ in range(4))


@pytest.mark.parametrize("seed", range(4))
def test_a_moody_store_loses_nothing(settings, clock, due, store, seed):
    """Whatever call fails, every run is executed once, and none is left with an owner."""
    due(*range(12))
    moody = open_store(settings)
    make_moody(moody, random.Random(seed))
    stage = Stage(store, clock, COMPLETED)
    Worker(moody, settings, slots=4, clock=clock, launcher=stage).run(until_idle=True)
    assert names(store) == {"Completed": 12}
    assert store.owned_runs() == []
    assert max(Counter(stage.launched).values()) == 1
    moody.close()


def test_a_waiting_run_is_named_late(store, settings, clock, due, stage):
    """With every slot taken, what should have started says so."""
    due(9, 8, 7)
    worker = Worker(store, settings, slots=1, clock=clock, launcher=stage)
    worker.step()
    clock.advance(15)
    store.renew(stage.launches[stage.launched[0]][0].lease, clock.now() + timedelta(seconds=60))
    worker.step()
    assert names(store) == {"Pending": 1, "Late": 2}


def look(worker, meet):
    """Look at the store in the same moment as the others."""
    meet.wait()
    worker.step()


@pytest.mark.parametrize("seed", range(3))
def test_two_workers_share_sixty_due_times(settings, store, clock, book, seed):
    """However the two look, together or apart, early or late: sixty rows, each executed once."""
    rng = random.Random(seed)
    start = clock.now()
    promote(store, settings, start, book, "nightly", schedules=[Interval(1.0, start)])
    stores = [open_store(settings) for _ in range(2)]
    stages = [Stage(each, clock, COMPLETED) for each in stores]
    owners = ("one:1:1", "two:1:1")
    workers = [
        Worker(each, settings, slots=2, clock=clock, launcher=stage, owner=owner)
        for each, stage, owner in zip(stores, stages, owners, strict=True)
    ]
    end = start + timedelta(seconds=60)
    with ThreadPoolExecutor(2) as pool:
        while clock.now() < end:
            clock.advance(min(rng.choice((0.05, 0.4, 1.0, 2.5, 7.0)), (end - clock.now()).total_seconds()))
            looking = rng.choice((workers, workers, workers[:1], workers[1:]))
            list(pool.map(look, looking, [threading.Barrier(len(looking))] * len(looking)))
        store.pause_deployment("nightly", True, clock.now())
        while store.next_due_at() is not None or store.owned_runs():
            list(pool.map(Worker.step, workers))
    runs = store.runs(limit=1000)
    assert sorted(run.due_at for run in runs) == [start + timedelta(seconds=place) for place in range(1, 61)]
    assert {run.state.name for run in runs} == {"Completed"}
    assert sorted(stages[0].launched + stages[1].launched) == sorted(run.run_id for run in runs)
    for each in stores:
        each.close()


# priorities, queues, limits


def test_higher_priorities_go_first(store, settings, clock, stage, due):
    """Of what is due, higher priorities begin first, whatever their due times; within one, the earliest."""
    low = due(9, 8)
    high = due(2, 1, name="urgent", priority=5)
    worker = Worker(store, settings, slots=3, clock=clock, launcher=stage)
    worker.step()
    assert stage.launched == [*high, low[0]]


def test_a_worker_serves_its_queues_alone(store, settings, clock, stage, due):
    """A worker with queues takes from them only, waits for nothing else, and is idle when they are empty."""
    (plain,) = due(5)
    (big,) = due(5, name="train", queue="gpu")
    gpu = Worker(store, settings, clock=clock, launcher=stage, queues=["gpu"])
    stage.ending = COMPLETED
    gpu.run(until_idle=True)
    assert stage.launched == [big]
    anything = Worker(store, settings, clock=clock, launcher=stage)
    anything.run(until_idle=True)
    assert stage.launched == [big, plain]


def test_a_limit_holds_over_all_workers(store, settings, clock, due):
    """No more runs of a deployment go on than it allows, on however many workers; the others wait and say so."""
    due(5, 4, 3, concurrency=2)
    (other,) = due(1, name="other")
    stages = [Stage(store, clock), Stage(store, clock)]
    workers = [
        Worker(store, settings, slots=9, clock=clock, launcher=stage, owner=f"here:{place}:1")
        for place, stage in enumerate(stages, 1)
    ]
    for worker in workers * 2:
        worker.step()
    launched = [run_id for stage in stages for run_id in stage.launched]
    assert len(launched) == 3 and other in launched
    assert names(store) == {"Pending": 3, "AwaitingConcurrencySlot": 1}


def test_a_queued_run_begins_when_the_one_before_has_ended(worker, stage, due, store):
    """With 'queue', due runs of a deployment follow each other in the order of their due times."""
    first, second = due(5, 4, overlap=Overlap.QUEUE)
    worker.step()
    worker.step()
    assert stage.launched == [first]
    stage.end(first, COMPLETED)
    worker.step()
    worker.step()
    assert stage.launched == [first, second]


def test_a_skipped_run_is_missed_and_says_why(worker, stage, due, store):
    """With 'skip', what is due while a run goes on is Missed, and names that run."""
    first, second = due(5, 4, overlap=Overlap.SKIP)
    worker.step()
    worker.step()
    missed = store.run(second)
    assert (missed.state.name, missed.state.message) == ("Missed", f"Run {short_id(first)} still went on.")
    stage.end(first, COMPLETED)
    worker.step()
    assert stage.launched == [first]


def test_a_run_can_cancel_the_one_before(worker, stage, due, store, clock):
    """With 'cancel', what goes on is asked to end, once, and the due run begins when it has."""
    first, second = due(5, 4, overlap=Overlap.CANCEL)
    for _ in range(3):
        worker.step()
    assert store.take_requests(first, clock.now()) == ["cancel"]
    worker.step()
    assert store.take_requests(first, clock.now()) == []
    stage.end(first, State(StateType.CANCELLED))
    worker.step()
    worker.step()
    assert stage.launched == [first, second]


def test_a_limited_run_can_be_cancelled_while_it_waits(worker, stage, due, store, clock):
    """A run that waits for room is cancelled like any other that waits."""
    _, second = due(5, 4, concurrency=1)
    worker.step()
    worker.step()
    cancel(store, store.run(second), "here:9:9", clock.now())
    assert store.run(second).state.name == "Cancelled"


def test_a_worker_that_stood_still_gives_up_what_was_taken_over(worker, stage, due, store, clock, caplog):
    """It ends the execution, says so, writes nothing of that run, and arranges for no second repetition."""
    (run_id,) = due(0, retries=3)
    worker.step()
    (lease,) = store.owned_runs()
    clock.advance(60)
    mine = store.take_over(lease, "elsewhere:1:1", clock.now() + timedelta(seconds=30))
    worker.step()
    assert stage.stopped == [run_id]
    assert f"Run {run_id} was taken over while this worker stood still" in caplog.text
    before = store.run(run_id)
    stage.end(run_id, said="ended by signal 9 (SIGKILL)")
    worker.step()
    assert (store.run(run_id), store.owned_runs()) == (before, [mine])
    assert len(store.runs()) == 1
    assert "belongs to another worker now" in caplog.text


def test_a_lease_is_kept_until_the_process_begins(worker, stage, due, store, clock):
    """A process that takes its time to begin loses nothing; one that never begins is given up after a minute."""
    (run_id,) = due(0)
    for _ in range(30):
        worker.step()
        clock.advance(3)
    (lease,) = store.owned_runs()
    assert lease.run_id == run_id
    assert clock.now() - timedelta(seconds=33) < lease.expires_at < clock.now()


def test_what_a_notebook_started_is_taken_over_with_it(store, clock, due):
    """A kernel that nobody guards any more loses its flow's lease, too, however alive it is."""
    (run_id,) = due(0)
    later = clock.now() + timedelta(hours=1)
    store.claim_run(run_id, "elsewhere:1:1", "", clock.now() - timedelta(seconds=1))
    child = FlowRun("child", "flow", RUNNING, clock.now(), parent_run_id=run_id)
    store.create_run(child, owner="elsewhere:2:1", lease_expires_at=later)
    assert set(recover(store, "here:1:1", clock.now())) == {run_id, "child"}
    assert {run.state.name for run in store.runs()} == {"Crashed"}
    assert not store.renew(Lease("child", "elsewhere:2:1", 1, later), later)


def test_what_does_not_finish_in_time_is_handed_back(settings, store, clock, due):
    """After the grace it is ended and begins again elsewhere, as the same attempt, although it has no retries."""
    stage = Stage(store, clock)
    worker = Worker(store, settings, slots=2, clock=clock, launcher=stage, grace=30.0)
    quick, slow = due(2, 1)
    worker.step()
    worker.drain()
    stage.end(quick, COMPLETED)
    for _ in range(2):
        worker.step()
        assert stage.stopped == []
        clock.advance(15)
    worker.step()
    worker.step()
    assert stage.stopped == [slow]
    stage.end(slow, State(StateType.CRASHED, "Crashed", "the worker was stopped"))
    worker.run()
    assert names(store) == {"Completed": 1, "Crashed": 1, "AwaitingRetry": 1}
    (again,) = store.runs(state="scheduled")
    assert (again.retry_of, again.attempt, again.due_at) == (slow, 1, clock.now())
    assert worker.tally.ended == {"Completed": 1, "Crashed": 1}


def test_many_deployments_due_in_one_minute_start_in_due_order(tmp_path, clock, book):
    """One worker with four slots begins them in the order of their due times, as they were due, and none twice."""
    count, settings = 200, Settings(tmp_path)
    with closing(open_store(settings)) as store:
        first = promote(store, settings, clock.now(), book, "d0", schedules=[], terms=Terms())
        start = clock.now()
        order = random.Random(3).sample(range(count), count)
        for place in order:
            moment = start + timedelta(seconds=1 + place * 60 / count)
            rule = Once(moment).to_json()
            row = ScheduleRow(f"s{place}", f"d{place}", rule, start, moment)
            store.save_deployment(replace(first, name=f"d{place}", schedules=(row,)))
        stage = Stage(store, clock, COMPLETED)
        worker = Worker(store, settings, slots=4, clock=clock, launcher=stage)
        while len(stage.launched) < count:
            clock.advance(worker.step())
        assert [store.run(run_id).deployment for run_id in stage.launched] == [f"d{place}" for place in range(count)]
        assert names(store) == {"Completed": count}
