"""The worker: turns due times into runs, claims what is due, and executes each run in a process group of its own.

Several workers may share a store.  Who gets a run is one statement in the store; a worker that dies is noticed by the
others through its leases, its runs end CRASHED, and their retry rule speaks.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic

from orch_notebook.errors import StoreError
from orch_notebook.model.states import StateType
from orch_notebook.promotion.crashed import tell_crashed
from orch_notebook.promotion.due import materialise
from orch_notebook.promotion.following import follow_ends, watch_runs
from orch_notebook.promotion.housekeeping import Keeper
from orch_notebook.promotion.launching import Launch, Launcher, launch_process
from orch_notebook.promotion.messages import Messenger
from orch_notebook.promotion.monitoring import Tally
from orch_notebook.promotion.spares import Spares, due_soon
from orch_notebook.promotion.upkeep import make_way, name_late, settle, sweep
from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.recovery import PATIENCE
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store

__all__ = ["Worker"]

logger = logging.getLogger("orch_notebook.worker")

#: Seconds between looks at the store when nothing is due: for runs others made, and owners that died.
LOOK_EVERY = 1.0
BEAT_EVERY = 3.0
#: Seconds between looks for runs that are late, or that take longer than somebody wants to be told.
WATCH_EVERY = 3.0


class Worker:
    """Executes due runs, up to `slots` at once.

    Parameters
    ----------
    store : Store
        Shared with every other worker.
    settings : Settings
        Lease, lateness, folders.
    slots : int
        Runs executed at once.
    queues : sequence of str, optional
        The queues it serves; by default all.
    name : str, optional
        Shown to people; by default the machine's name and the process id.
    clock : Clock, optional
        The time.
    launcher : callable, optional
        How a run is executed; by default a process of its own.
    warm : int
        How many kernels are kept started for runs to come.
    preload : sequence of str
        Modules that those have imported.
    grace : float, optional
        Seconds that runs may go on once the worker drains; then they are handed back, and begin again elsewhere.  By
        default they may finish.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        slots: int = 2,
        queues: Sequence[str] | None = None,
        name: str | None = None,
        clock: Clock | None = None,
        launcher: Launcher | None = None,
        owner: str | None = None,
        warm: int = 0,
        preload: Sequence[str] = (),
        grace: float | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.owner = owner or this_owner()
        self._store = store
        self._settings = settings
        self._slots = max(1, slots)
        self._queues = queues
        self._clock = clock or SystemClock()
        self._spares = Spares(settings, warm, preload, lambda: due_soon(store, self._clock.now()))
        self._launcher = launcher or launch_process(settings, store, self._spares)
        self._launches: dict[str, Launch] = {}
        self._stalled: dict[str, tuple[datetime, datetime]] = {}
        self._starting: dict[str, datetime] = {}
        #: Runs that this worker asked for and may have got, though the store did not say so.
        self._asked: set[str] = set()
        self._looked_at: float | None = None
        self._still_until = float("-inf")
        # A lease is renewed three times before it ends.
        self._beat_every = min(BEAT_EVERY, settings.lease / 3)
        self._wake = threading.Event()
        self._is_draining = False
        self._grace = grace
        self._drained_at: datetime | None = None
        self._returned: set[str] = set()
        self.tally = Tally(self._slots)
        self._beat_at: datetime | None = None
        self._watched_at: datetime | None = None
        self._messenger = Messenger(store, self._clock)
        self._keeper = Keeper(store, settings, self._clock)

    @property
    def performing(self) -> int:
        """How many runs are being executed."""
        return len(self._launches)

    def drain(self) -> None:
        """Claim nothing more; `run` returns when what is being executed has ended.  Safe in a signal handler."""
        self._is_draining = True
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more and end what is being executed."""
        self.drain()
        for launch in list(self._launches.values()):
            launch.stop()

    def run(self, *, until_idle: bool = False) -> None:
        """Work until drained, or until there is nothing left to do.

        Parameters
        ----------
        until_idle : bool
            Return once no run is being executed and none waits; due times still ahead are not waited for.
        """
        try:
            while True:
                wait = self.step()
                if self._is_draining and not self._launches:
                    return
                if until_idle and self._is_idle():
                    return
                self._clock.wait(self._wake, wait)
                self._wake.clear()
        finally:
            self._spares.close()
            self._messenger.close()
            self._keeper.wait()
            with suppress(StoreError):
                self._store.remove_worker(self.owner)

    def _is_idle(self) -> bool:
        try:
            is_working = bool(self._launches) or self._messenger.is_busy
            return not is_working and self._store.next_due_at(self._queues) is None
        except StoreError:
            return False

    def step(self) -> float:
        """Do everything there is to do now, and return in how many seconds to look again."""
        try:
            began_at = monotonic()
            self._note_standing(began_at)
            wait = self._step()
            self._looked_at = began_at
            self.tally.looked()
            return wait
        except StoreError as error:
            self.tally.failed(error)
            # A store that is locked or full for a while must not end the worker: it looks again.
            logger.error("%s", error)
            return LOOK_EVERY

    def _note_standing(self, now: float) -> None:
        """Note whether nothing was looked at for so long that others may have been kept from renewing, too."""
        if self._looked_at is not None and now - self._looked_at > max(2 * LOOK_EVERY, self._settings.lease / 2):
            self._still_until = now + PATIENCE + 2 * LOOK_EVERY

    def _step(self) -> float:
        now = self._clock.now()
        reach("tick.begun")
        if self._beat_at is None or (now - self._beat_at).total_seconds() >= self._beat_every:
            self._beat_at = now
            self._store.beat(self.owner, self.name, self._slots, now)
            self._keep_leases(now)
        reach("tick.beaten")
        for launch in [launch for launch in self._launches.values() if launch.ended.is_set()]:
            self._finish(launch)
        stood_still = monotonic() < self._still_until
        mine = self._launches.keys() | self._asked
        for run_id in sweep(self._store, self.owner, now, mine, self._stalled, stood_still=stood_still):
            logger.warning("Run %s was lost by its owner and has been ended as CRASHED.", run_id)
            tell_crashed(self._store, self._settings, self._store.run(run_id))
        reach("tick.swept")
        next_at = materialise(self._store, now, self._settings.late)
        make_way(self._store, self.owner, now)
        name_late(self._store, self._settings, now)
        follow_ends(self._store, now)
        reach("tick.followed")
        if self._watched_at is None or (now - self._watched_at).total_seconds() >= WATCH_EVERY:
            self._watched_at = now
            watch_runs(self._store, now)
        told_at = self._messenger.look(now)
        self._keeper.look(now)
        if not self._is_draining:
            self._claim(now)
            self._spares.tend()
        elif self._grace is not None:
            self._hand_back(now, self._grace)
        reach("tick.done")
        next_due_at = self._store.next_due_at(self._queues)
        moments = [moment for moment in (next_at, next_due_at, told_at) if moment is not None and moment > now]
        ahead = (min(moments) - self._clock.now()).total_seconds() if moments else LOOK_EVERY
        return max(0.0, min(ahead, LOOK_EVERY))

    def _hand_back(self, now: datetime, grace: float) -> None:
        """End what has not finished within the grace; each such run begins again elsewhere, which costs it no retry."""
        self._drained_at = self._drained_at or now
        if (now - self._drained_at).total_seconds() < grace:
            return
        for run_id, launch in self._launches.items():
            if run_id not in self._returned:
                logger.warning("Run %s has not finished within %g s and is handed back.", run_id, grace)
                self._returned.add(run_id)
                launch.stop()

    def _keep_leases(self, now: datetime) -> None:
        """Renew the leases of runs whose processes have yet to begin, and give up those that others have taken."""
        held = {(lease.run_id, lease.token) for lease in self._store.owned_runs()}
        for run_id, launch in self._launches.items():
            if (run_id, launch.lease.token) not in held and not launch.ended.is_set():
                logger.error("Run %s was taken over while this worker stood still; it is ended here.", run_id)
                launch.end()
        for run_id, until in list(self._starting.items()):
            run = self._store.run(run_id)
            is_starting = run is not None and run.state.type is StateType.PENDING and now < until
            if is_starting and run_id in self._launches:
                self._store.renew(self._launches[run_id].lease, now + timedelta(seconds=self._settings.lease))
            else:
                del self._starting[run_id]

    def _claim(self, now: datetime) -> None:
        for got in self._got():
            self._launch(got, now)
        free = self._slots - len(self._launches)
        if free <= 0:
            return
        # A few more than there is room for: another worker may be quicker with some.
        for run_id in self._store.due_runs(now, free + 4, self._queues):
            if len(self._launches) >= self._slots:
                return
            reach("claim.begun")
            self._asked.add(run_id)
            expires_at = now + timedelta(seconds=self._settings.lease)
            lease = self._store.claim_run(run_id, self.owner, self.name, expires_at)
            if lease is None:
                self._asked.discard(run_id)
                continue
            reach("claim.done")
            self._launch(lease, now)

    def _got(self) -> list[Lease]:
        """Return what this worker was given when the store went away before it could say so, or be asked more."""
        if not self._asked:
            return []
        owned = [lease for lease in self._store.owned_runs() if lease.owner == self.owner]
        found = [lease for lease in owned if lease.run_id in self._asked - self._launches.keys()]
        self._asked = {lease.run_id for lease in found}
        return found

    def _launch(self, lease: Lease, now: datetime) -> None:
        """Have a run executed that this worker was given."""
        run_id = lease.run_id
        try:
            launch = self._launcher(lease, self._wake.set)
        except OSError as error:  # no memory, no room on the disk, too many processes
            logger.error("Run %s could not be started: %s", run_id, error)
            settle(self._store, lease, f"could not be started ({error.strerror or error})", now)
        else:
            self._launches[run_id] = launch
            reach("launch.done")
            self._starting[run_id] = now + timedelta(seconds=launch.starting)
            logger.info("Run %s begins.", run_id)
            self._note_start(run_id, now)
        self._asked.discard(run_id)

    def _note_start(self, run_id: str, now: datetime) -> None:
        run = self._store.run(run_id)
        if run is not None and run.due_at is not None:
            self.tally.started(max(0.0, (now - run.due_at).total_seconds()))

    def _finish(self, launch: Launch) -> None:
        is_returned = launch.lease.run_id in self._returned
        run = settle(self._store, launch.lease, launch.said, self._clock.now(), is_returned=is_returned)
        del self._launches[launch.lease.run_id]
        if run is None:
            logger.warning("Run %s belongs to another worker now; nothing of it is written here.", launch.lease.run_id)
        else:
            self.tally.ended[run.state.name] += 1
            tell_crashed(self._store, self._settings, run)
            logger.info("Run %s (%s): %s. %s", run.run_id, run.flow, run.state.name, run.state.message)
