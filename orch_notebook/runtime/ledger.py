"""The one door by which facts enter the store: stored first, then told.

``Journal.record(event)`` returns at once.  One writer thread gathers what all runs of the process recorded in the last
ten milliseconds, stores it in one transaction per run, and only then tells the subscribers, so nobody is shown what
is not yet stored.  ``flush()`` returns when everything recorded before it is stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from queue import Empty, SimpleQueue

from orch_notebook.errors import HistoryConflict, LeaseLost, StoreError
from orch_notebook.model.events import Event
from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.crashpoints import part_of, reach
from orch_notebook.runtime.store import Lease, Store
from orch_notebook.runtime.store.enduring import GONE, endure

__all__ = ["Journal", "Ledger", "Subscriber"]

logger = logging.getLogger("orch_notebook")

#: Told after each stored batch of one run: its id, and the events with their numbers.
Subscriber = Callable[[str, Sequence[tuple[int, Event]]], object]

#: Events in one transaction: it stays short enough for other processes to get their turn.
BATCH = 20_000


#: Seconds in which a store has to let us in; whether there is time for more is looked at after that.
SHORTLY = 1.0


class _Signal:
    """A wake-up for the writer, given by one call into C.

    Tasks give it, and a task can be stopped at any line of Python: a stop inside ``threading.Event.set`` leaves the
    lock of the event held for ever, and the whole process could record nothing more.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._queue.put(None)

    def wait(self, timeout: float | None) -> None:
        try:
            self._queue.get(timeout=timeout)
        except Empty:
            pass

    def clear(self) -> None:
        for _ in range(self._queue.qsize()):
            self._queue.get()  # only the writer takes, so this never waits


class Journal:
    """The pen of one run's owner.

    Parameters
    ----------
    ledger : Ledger
        Where events go.
    lease : Lease
        The right to write this run.
    seq : int
        The last number used so far.
    lost : callable
        Called once, with the error, when this process may or can no longer write the run.
    """

    __slots__ = ("error", "is_closing", "is_released", "lease", "lost", "queue", "renewed_at", "seq", "wake")

    def __init__(self, ledger: Ledger, lease: Lease, seq: int, lost: Callable[[StoreError], object]) -> None:
        self.lease = lease
        self.seq = seq
        self.lost = lost
        self.renewed_at = time.monotonic()
        self.error: StoreError | None = None
        self.is_closing = False
        self.is_released = False
        # A deque, because a list swapped between threads loses events.
        self.queue: deque[Event] = deque()
        self.wake = ledger.wake

    def record(self, event: Event) -> None:
        """Hand over a fact; it is stored within some ten milliseconds, in the order of the calls."""
        self.queue.append(event)
        self.wake()


class Ledger:
    """Stores what journals record, in groups, and tells subscribers.

    Parameters
    ----------
    store : Store
        Where facts rest.
    clock : Clock
        Decides how long a lease lasts.
    lease_seconds : float
        How long a lease lasts without renewal; it is renewed three times as often.
    interval : float
        Seconds over which facts are gathered into one transaction.
    """

    def __init__(
        self, store: Store, *, clock: Clock | None = None, lease_seconds: float = 9.0, interval: float = 0.01
    ) -> None:
        self.store = store
        self.clock = clock or SystemClock()
        self.lease_seconds = lease_seconds
        self._interval = interval
        self._journals: list[Journal] = []
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._stored = threading.Condition(self._lock)
        self._signal = _Signal()
        self._is_asleep = False
        self._is_urgent = False
        self._is_closing = False
        self._rounds = 0
        self._stored_at = 0.0
        self._thread: threading.Thread | None = None

    # Called for every event of every task: a flag is looked at before the costlier Event is touched.
    def wake(self) -> None:
        """Let the writer know that there is something to store."""
        if self._is_asleep:
            self._signal.set()

    def open(self, lease: Lease, lost: Callable[[StoreError], object], seq: int = 0) -> Journal:
        """Begin or take up the journal of a run this process owns."""
        journal = Journal(self, lease, seq, lost)
        with self._lock:
            if self._is_closing:
                raise StoreError("The ledger is closed.")
            self._journals.append(journal)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="orch-ledger", daemon=True)
                self._thread.start()
        self.wake()  # the writer may be asleep without a date: now it has leases to renew
        return journal

    def close_journal(self, journal: Journal, *, release: bool = True) -> None:
        """End a journal: everything is stored, and the lease is given back, if possible in the same transaction."""
        journal.is_closing = release
        self.flush()
        with self._lock:
            if journal in self._journals:
                self._journals.remove(journal)
        # What a thread that outlived its task still says goes nowhere, and must not pile up.
        journal.queue = deque(maxlen=0)
        if release and journal.error is None and not journal.is_released:
            self.store.release(journal.lease)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have `subscriber` told of every stored batch, on the writer's thread; returns the way to end that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def flush(self) -> None:
        """Return when everything recorded before this call is stored and told, or cannot be stored."""
        with self._stored:
            if self._thread is None or self._thread is threading.current_thread():
                return
            # The round now under way may have passed our events already; the one after it has not.
            target = self._rounds + 2
            self._is_urgent = True
            self._signal.set()
            while self._rounds < target and self._thread is not None and self._thread.is_alive():
                self._stored.wait(1.0)
                self._is_urgent = True
                self._signal.set()

    def close(self) -> None:
        """Store what is left and end the writer."""
        self.flush()
        with self._lock:
            self._is_closing = True
            thread = self._thread
        self._is_asleep = True
        self._signal.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)

    def _write(self) -> None:
        try:
            renewed_at = self.clock.now()
            while not self._is_closing:
                self._await_work()
                now = self.clock.now()
                renew = (now - renewed_at).total_seconds() >= self.lease_seconds / 3
                if renew:
                    renewed_at = now
                with self._lock:
                    self._is_urgent = False
                    journals = tuple(self._journals)
                for journal in journals:
                    self._store(journal, renew)
                self._stored_at = time.monotonic()
                with self._stored:
                    self._rounds += 1
                    self._stored.notify_all()
        except BaseException as error:
            # Nothing can be stored any more: who waits for it must not take silence for success.
            for journal in tuple(self._journals):
                self._fail(journal, StoreError(f"The ledger's writer ended: {error!r}"))
            raise

    def _await_work(self) -> None:
        self._signal.clear()
        self._is_asleep = True
        if not self._is_urgent and not any(journal.queue for journal in self._journals):
            # Asleep until somebody records, or until the leases of live runs want renewal.
            self._signal.wait(self.lease_seconds / 3 if self._journals else None)
        self._is_asleep = False
        gather = self._stored_at + self._interval - time.monotonic()
        if gather > 0 and not self._is_urgent and any(journal.queue for journal in self._journals):
            # Gathers a group; a flush cuts it short.  After a quiet while nothing is gathered: what begins a task is
            # stored at once, so that a task that kills its process is known to have begun.
            self._signal.clear()
            self._signal.wait(gather)

    def _store(self, journal: Journal, renew: bool) -> None:
        # All that is there now, however much it is: who flushes was promised that.
        left = len(journal.queue)
        while left or renew:
            size = min(left, BATCH)
            next_event = journal.queue.popleft
            batch = [(seq, next_event()) for seq in range(journal.seq + 1, journal.seq + size + 1)]
            left -= size
            # What comes after the last word (a thread that outlived its task) has nowhere to go, and spoils nothing.
            if journal.error is None and not journal.is_released:
                self._store_batch(journal, batch)
            renew = False

    def _store_batch(self, journal: Journal, batch: list[tuple[int, Event]]) -> None:
        try:
            self._endure(journal, batch)
        except StoreError as error:
            self._fail(journal, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the writer must live on for the other runs
            self._fail(journal, StoreError(f"The store refused what run {journal.lease.run_id} recorded: {error}"))
            return
        if batch:
            self._tell(journal.lease.run_id, batch)

    def _endure(self, journal: Journal, batch: list[tuple[int, Event]]) -> None:
        """Store a batch, or renew the lease; while the store is away, for as long as the lease may be held.

        When the store is back the token decides, as ever, who may write.
        """
        is_last = bool(batch) and journal.is_closing and not journal.queue
        is_again = False

        def ask() -> None:
            nonlocal is_again
            asked_at = time.monotonic()
            with self.store.within(SHORTLY):
                if not (is_again and batch and self.store.has_stored(journal.lease, batch[-1][0])):
                    is_again = True
                    self._ask(journal, batch, is_last)
            journal.renewed_at = asked_at

        def until(away_at: float) -> float:
            return journal.renewed_at + self.lease_seconds if self.store.is_shared else away_at + GONE

        endure(ask, until)
        if batch:
            journal.seq = batch[-1][0]
            journal.is_released = is_last

    def _ask(self, journal: Journal, batch: list[tuple[int, Event]], is_last: bool) -> None:
        expires_at = self.clock.now() + timedelta(seconds=self.lease_seconds)
        if batch:
            reach(f"record.begun.{part_of(batch)}")
            self.store.append(journal.lease, batch, expires_at, release=is_last)
            reach(f"record.done.{part_of(batch)}")
        elif not self.store.renew(journal.lease, expires_at):
            raise LeaseLost(f"Run {journal.lease.run_id} is owned by another process now.")

    def _fail(self, journal: Journal, error: StoreError) -> None:
        if journal.error is None:
            journal.error = error
        if not isinstance(error, LeaseLost | HistoryConflict):
            logger.error("Run %s stops: %s", journal.lease.run_id, error)
        try:
            journal.lost(error)
        except Exception:
            logger.exception("Stopping run %s failed.", journal.lease.run_id)

    def _tell(self, run_id: str, batch: Sequence[tuple[int, Event]]) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(run_id, batch)
            except BaseException:  # not even sys.exit in a subscriber may end the writer
                logger.exception("A subscriber failed and is told nothing more: %r", subscriber)
                with self._lock:
                    if subscriber in self._subscribers:
                        self._subscribers.remove(subscriber)
