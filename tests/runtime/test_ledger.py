"""The ledger: stored first, then told; in order; and nobody is told a success that is not on disk."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from contextlib import closing, nullcontext

import pytest

from orch_notebook.errors import HistoryConflict, LeaseLost, StoreAway, StoreError, StoreUnavailable
from orch_notebook.model.events import LogWritten
from orch_notebook.runtime.calls import Call
from orch_notebook.runtime.ledger import BATCH, Ledger
from orch_notebook.runtime.runners.threads import ThreadRunner
from orch_notebook.runtime.store.sqlite import SqliteStore
from orch_notebook.testing import START, ManualClock, RecordedEvents, completed, open_run, run_became, started

PATIENCE = 20.0


def line(text="hello"):
    return LogWritten(START, "load", 1, 20, text)


@pytest.fixture
def run(store):
    """A run of this process, and its lease."""
    return open_run(store)


def test_what_is_flushed_is_stored_in_the_order_of_the_calls(store, ledger, run) -> None:
    """After a flush the store holds every event, numbered without gaps."""
    _, lease = run
    journal = ledger.open(lease, lambda error: None)
    events = [run_became("RUNNING"), *(make(name) for name in "abc" for make in (started, completed))]
    for event in events:
        journal.record(event)
    ledger.flush()
    assert store.events(lease.run_id) == list(enumerate(events, 1))


def test_a_flush_stores_everything_however_much_it_is(store, ledger, run) -> None:
    """More than several transactions take at once: all of it is there, and the last event too."""
    _, lease = run
    journal = ledger.open(lease, lambda error: None)
    many = BATCH * 5 + 1
    event = line("x")
    for _ in range(many):
        journal.record(event)
    journal.record(run_became("RUNNING"))
    ledger.close_journal(journal)
    assert store.last_seq(lease.run_id) == many + 1
    assert store.run(lease.run_id).state.name == "Running"


def test_nobody_is_told_what_is_not_yet_stored(store, ledger, run) -> None:
    """A subscriber that looks finds in the store what it is told."""
    _, lease = run
    found = []
    ledger.subscribe(lambda run_id, batch: found.append(batch == store.events(run_id)[-len(batch) :]))
    journal = ledger.open(lease, lambda error: None)
    for event in (run_became("RUNNING"), started("load"), completed("load")):
        journal.record(event)
        ledger.flush()
    assert found and all(found)


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), KeyboardInterrupt()])
def test_a_subscriber_that_fails_is_told_nothing_more(store, ledger, run, caplog, error) -> None:
    """It is dropped with a line in the log; the others, and the run, go on."""
    _, lease = run
    calls, recorded = [], RecordedEvents()

    def fail(run_id, batch):
        calls.append(batch)
        raise error

    ledger.subscribe(fail)
    ledger.subscribe(recorded)
    journal = ledger.open(lease, lambda error: None)
    for event in (started("load"), completed("load")):
        journal.record(event)
        ledger.flush()
    assert len(calls) == 1 and recorded.states_of("load") == ["Running", "Completed"]
    assert "told nothing more" in caplog.text


def test_a_subscriber_may_leave(store, ledger, run) -> None:
    """Once it has left it is told nothing; leaving twice is no error."""
    recorded = RecordedEvents()
    leave = ledger.subscribe(recorded)
    journal = ledger.open(run[1], lambda error: None)
    journal.record(started("load"))
    ledger.flush()
    leave()
    leave()
    journal.record(completed("load"))
    ledger.flush()
    assert recorded.states_of("load") == ["Running"]


def test_runs_are_stored_side_by_side(store, ledger) -> None:
    """Several journals, written by several threads, each keep their own order."""
    leases = [open_run(store)[1] for _ in range(4)]
    journals = [ledger.open(lease, lambda error: None) for lease in leases]

    def write(journal):
        for number in range(500):
            journal.record(line(str(number)))

    threads = [threading.Thread(target=write, args=(journal,)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush()
    for lease in leases:
        assert [found.text for found in store.logs(lease.run_id)] == [str(number) for number in range(500)]


# Leases


def test_a_quiet_run_keeps_its_lease(store, run) -> None:
    """When a third of its length has passed, the lease is renewed though nothing happened."""
    _, lease = run
    clock = ManualClock()
    ledger = Ledger(store, clock=clock, lease_seconds=9)
    ledger.open(lease, lambda error: None)
    ledger.flush()
    clock.advance(5)
    ledger.flush()
    [held] = store.owned_runs()
    assert (held.expires_at - START).total_seconds() == 14
    ledger.close()


@pytest.mark.parametrize("is_quiet", [True, False], ids=["while quiet", "while writing"])
def test_who_lost_the_lease_writes_nothing_more(store, run, is_quiet) -> None:
    """The owner is told once, and not one event of it enters the history."""
    _, lease = run
    clock, lost, recorded = ManualClock(), [], RecordedEvents()
    ledger = Ledger(store, clock=clock)
    ledger.subscribe(recorded)
    journal = ledger.open(lease, lost.append)
    ledger.flush()
    store.take_over(lease, "there:2:2", lease.expires_at)
    for _ in range(3):
        clock.advance(5)
        if not is_quiet:
            journal.record(started("load"))
        ledger.flush()
    assert [type(error) for error in lost] == [LeaseLost] and isinstance(journal.error, LeaseLost)
    assert store.events(lease.run_id) == [] and recorded.events == []
    ledger.close_journal(journal)
    assert [held.owner for held in store.owned_runs()] == ["there:2:2"]
    ledger.close()


def test_a_number_that_is_taken_ends_the_journal(store, ledger, run) -> None:
    """Two writers of one history are told apart at the first event."""
    _, lease = run
    lost = []
    store.append(lease, [(1, started("load"))], lease.expires_at)
    ledger.open(lease, lost.append).record(completed("load"))
    ledger.flush()
    assert [type(error) for error in lost] == [HistoryConflict]


class Refusing:
    """A store that refuses to append, in the way it is told."""

    is_shared = False

    def __init__(self, error):
        self.error = error

    def append(self, lease, events, expires_at, *, release=False):
        raise self.error

    def within(self, seconds):
        return nullcontext()

    def has_stored(self, lease, seq):
        return False

    def renew(self, lease, expires_at):
        return True

    def release(self, lease):
        raise AssertionError("What could not be written is not given back as if it were.")


@pytest.mark.parametrize(
    "error, kind", [(StoreUnavailable("The disk is full."), StoreUnavailable), (ZeroDivisionError(), StoreError)]
)
def test_a_store_that_refuses_ends_the_journal_and_not_the_writer(run, error, kind) -> None:
    """The run hears of it; another run of the process goes on."""
    refusing, lost = Refusing(error), []
    ledger = Ledger(refusing)
    journal = ledger.open(run[1], lost.append)
    journal.record(started("load"))
    ledger.close_journal(journal)
    assert [type(found) for found in lost] == [kind]
    refusing.append = lambda lease, events, expires_at, release=False: None
    recorded = RecordedEvents()
    ledger.subscribe(recorded)
    ledger.open(run[1], lost.append).record(started("load"))
    ledger.flush()
    assert recorded.states_of("load") == ["Running"]
    ledger.close()


class Leaving:
    """A store that goes away a number of times: before it does what it is asked, or after it has done it."""

    def __init__(self, store, times, *, is_done=False, is_shared=False):
        self._store, self.times, self._is_done, self.is_shared = store, times, is_done, is_shared

    def __getattr__(self, name):
        verb = getattr(self._store, name)

        def ask(*arguments, **options):
            if name in ("append", "renew", "has_stored") and self.times:
                self.times -= 1
                if self._is_done and name == "append":
                    verb(*arguments, **options)
                raise StoreAway("The store does not answer.")
            return verb(*arguments, **options)

        return ask


@pytest.mark.parametrize("is_done", [False, True], ids=["undone", "done but not said"])
def test_a_store_that_comes_back_in_time_has_everything_once(store, run, is_done) -> None:
    """Whoever writes waits for it, and does not take what was stored, though nobody said so, for a conflict."""
    _, lease = run
    lost, recorded = [], RecordedEvents()
    ledger = Ledger(Leaving(store, 2, is_done=is_done))
    ledger.subscribe(recorded)
    journal = ledger.open(lease, lost.append)
    events = [run_became("RUNNING"), started("load"), completed("load"), run_became("COMPLETED")]
    for event in events[:2]:
        journal.record(event)
    ledger.flush()
    for event in events[2:]:
        journal.record(event)
    ledger.close_journal(journal)
    assert lost == [] and journal.error is None
    assert [event for _, event in store.events(lease.run_id)] == events
    assert recorded.states_of("load") == ["Running", "Completed"] and store.owned_runs() == []
    ledger.close()


def test_the_last_word_is_not_said_twice(store, run) -> None:
    """The end of a run and the release of its lease were stored, then the store went away."""
    _, lease = run
    ledger, lost = Ledger(Leaving(store, 1, is_done=True)), []
    journal = ledger.open(lease, lost.append)
    journal.record(run_became("RUNNING"))
    journal.record(run_became("COMPLETED"))
    ledger.close_journal(journal)
    assert lost == [] and journal.is_released and store.owned_runs() == []
    assert store.last_seq(lease.run_id) == 2
    ledger.close()


def test_who_lost_the_run_while_the_store_was_away_is_refused(store, run) -> None:
    """Another machine took it over: not one event enters the history, though somebody else wrote one of that number."""
    _, lease = run
    away, lost = Leaving(store, 1), []
    ledger = Ledger(away)
    mine = store.take_over(lease, "there:2:2", lease.expires_at)
    store.append(mine, [(1, run_became("RUNNING"))], lease.expires_at)
    journal = ledger.open(lease, lost.append)
    journal.record(started("load"))
    ledger.close_journal(journal)
    assert [type(error) for error in lost] == [LeaseLost]
    assert store.last_seq(lease.run_id) == 1
    ledger.close()


def test_a_shared_store_is_waited_for_as_long_as_the_lease(run) -> None:
    """Then another machine may have the run, so nothing may go on here."""
    away, lost = Refusing(StoreAway("The store does not answer.")), []
    away.is_shared = True
    ledger = Ledger(away, lease_seconds=0.5)
    journal = ledger.open(run[1], lost.append)
    journal.record(started("load"))
    ledger.close_journal(journal)
    assert [type(error) for error in lost] == [StoreAway]
    ledger.close()


def test_a_file_that_is_locked_for_long_is_waited_for(tmp_path, caplog) -> None:
    """Longer than a single asking waits: the run goes on when the file is free again."""
    store = SqliteStore(tmp_path / "orch.db", patience=0.01)
    _, lease = open_run(store)
    ledger, lost = Ledger(store), []
    journal = ledger.open(lease, lost.append)
    with closing(sqlite3.connect(tmp_path / "orch.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.record(started("load"))
        while "This is waited for" not in caplog.text:
            pass
        other.execute("COMMIT")
    ledger.close_journal(journal)
    assert lost == [] and store.last_seq(lease.run_id) == 1
    assert "is locked" in caplog.text and "is back" in caplog.text
    ledger.close()
    store.close()


def test_what_comes_after_the_end_of_a_journal_does_not_pile_up(ledger, run) -> None:
    """A thread that outlives its task may go on talking."""
    journal = ledger.open(run[1], lambda error: None)
    ledger.close_journal(journal)
    journal.record(line())
    assert not journal.queue


def test_a_closed_ledger_opens_no_journal(store, run) -> None:
    """It says so instead of keeping silent about what is recorded."""
    ledger = Ledger(store)
    ledger.open(run[1], lambda error: None)
    ledger.close()
    with pytest.raises(StoreError, match="closed"):
        ledger.open(run[1], lambda error: None)


def test_stopping_a_task_that_prints_does_not_hold_up_the_ledger(run) -> None:
    """A stop may hit a task at any line, also while it hands a line over; the writer must not notice."""
    willing = Refusing(None)
    willing.append = lambda lease, events, expires_at: None
    ledger = Ledger(willing, interval=0.0)
    journal = ledger.open(run[1], lambda error: None)
    journal.queue = deque(maxlen=10)
    runner = ThreadRunner(1)
    event = line()

    def talk(task, attempt):
        while True:
            journal.record(event)
            ledger._is_asleep = True  # the narrow moment in which the writer wants to be woken

    for _ in range(80):
        over = threading.Event()
        call = Call("load", 1, lambda call: True, talk, lambda call, details, error, over=over: over.set())
        runner.start(call)
        while call.place is None:
            pass
        call.stop_reason = "cancel"
        runner.stop(call)
        assert over.wait(PATIENCE)
    runner.close()
    flush = threading.Thread(target=ledger.flush, daemon=True)
    flush.start()
    flush.join(PATIENCE)
    assert not flush.is_alive()


def test_a_line_that_comes_after_the_last_word_does_not_spoil_the_end(store, run) -> None:
    """A thread that outlives its task may write while the run is given back: the line is dropped, the end stands."""
    ledger, lost = Ledger(store), []
    journal = ledger.open(run[1], lost.append)
    append = store.append

    def append_and_hear(*arguments, **options):
        append(*arguments, **options)
        journal.record(started("straggler"))

    store.append = append_and_hear
    journal.record(started("load"))
    ledger.close_journal(journal)
    assert lost == [] and journal.error is None and store.owned_runs() == []
    ledger.close()
