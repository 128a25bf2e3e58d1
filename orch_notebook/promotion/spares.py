"""Spare processes for executions: kept in store for a worker, as long as something is likely to need them.

In: what the next runs will need.  Out: processes of :mod:`orch_notebook.promotion.booting`, ready as far as there is
memory.  Each serves one run only, and ends, with its kernel, when whoever started it dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from orch_notebook.promotion.booting import Environment, Spare, environment_of
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Store

__all__ = ["Spares", "due_soon", "environment_of_run"]

#: Seconds that a spare process is kept unused, and before a due time that one is started.
KEEP = 900.0

#: Seconds after a launch during which no other process is started: the run that begins wants the processor.
CALM = 1.0

#: Seconds between looks for what will be due.
LOOK_EVERY = 10.0

#: The same where a worker keeps none of its own: reading a thousand deployments takes 40 ms of a processor.
LOOK_SELDOM = 60.0

#: Of the memory, the part that has to be available for spare processes to be kept.
MEMORY_LEFT = 0.1


def environment_of_run(store: Store, run_id: str) -> Environment:
    """Return what executing a run takes."""
    plan = store.plan(run_id)
    return Environment("") if plan is None else environment_of(plan.snapshot, plan.kernel, plan.preload)


class Spares:
    """Spare processes, each for an environment.

    Parameters
    ----------
    settings : Settings
        Those of the runs that they will execute.
    count : int
        How many :meth:`tend` keeps, beside those that deployments ask for.
    preload : sequence of str
        Modules that kernels import in any case.
    upcoming : callable, optional
        What the next runs will need, the first first, and how many of it their deployment asks for; by default what
        the last ones needed.
    """

    def __init__(
        self,
        settings: Settings,
        count: int = 0,
        preload: Sequence[str] = (),
        upcoming: Callable[[], Iterator[tuple[Environment, int]]] = lambda: iter(()),
    ) -> None:
        self.count = count
        self._settings = settings
        self._preload = tuple(preload)
        self._upcoming = upcoming
        self._spares: list[Spare] = []
        self._ending: list[Spare] = []
        #: What those were started for that a deployment asks for; its runs alone take them.
        self._kept_for: dict[int, Environment] = {}
        self._used: dict[Environment, float] = {}
        self._looked_at = float("-inf")
        self._launched_at = float("-inf")

    def __len__(self) -> int:
        return len(self._spares)

    def start(self, environment: Environment, *, is_kept: bool = False) -> None:
        """Start one now, for any run or only for such as need the same; whoever launches next says why none can be."""
        preload = (*environment.preload, *self._preload)
        with suppress(OSError):
            spare = Spare(self._settings.environment, replace(environment, preload=preload))
            self._spares.append(spare)
            if is_kept:
                self._kept_for[id(spare)] = environment

    def adopt(self, spare: Spare) -> None:
        """Take in one that somebody else has started, for the settings of this process."""
        self._spares.append(spare)

    def take(self, environment: Environment) -> Spare | None:
        """Return one with the kernel of an environment, that with most of its modules; None if there is none."""
        self._launched_at = time.monotonic()
        self._used[environment] = self._launched_at
        found = [
            spare
            for spare in self._spares
            if spare.environment.kernel == environment.kernel
            and self._kept_for.get(id(spare), environment) == environment
        ]
        # Its own first, so that what is there for everybody stays there.
        found.sort(key=lambda each: (id(each) not in self._kept_for, *_distance(each.environment, environment)))
        for spare in found:
            if id(spare) in self._kept_for:  # there may be a next run that wants one
                self._looked_at = float("-inf")
            self._remove(spare)
            if spare.is_alive:
                return spare
            spare.close()
        return None

    def tend(self) -> None:
        """Keep as many as there should be: end what is old or too much, and start what lacks, one at a time."""
        now = time.monotonic()
        self._ending = [spare for spare in self._ending if spare.is_alive]
        for spare in tuple(self._spares):
            if not spare.is_alive or now - spare.started_at > KEEP or is_memory_short():
                self._remove(spare)
                self._ending.append(spare)
                spare.ask_to_end()
        every = LOOK_EVERY if self.count else LOOK_SELDOM
        if now - self._looked_at >= every and now - self._launched_at >= CALM and not is_memory_short():
            wanted = self._first_wanted(now)
            if wanted is None:
                self._looked_at = now
            else:
                self.start(wanted[0], is_kept=wanted[1])

    def _remove(self, spare: Spare) -> None:
        self._spares.remove(spare)
        self._kept_for.pop(id(spare), None)

    def _first_wanted(self, now: float) -> tuple[Environment, bool] | None:
        """Return what the first of the next runs needs for which none is ready, and whether it is kept for it."""
        kept = list(self._kept_for.values())
        ready = [spare.environment for spare in self._spares if id(spare) not in self._kept_for]
        asked, others = self._wanted(now)
        for wanted in asked:
            if wanted not in kept:
                return wanted, True
            kept.remove(wanted)
        if len(ready) >= len(others):  # what nobody wants any more is ended when it is old
            return None
        for wanted in others:
            serving = [each for each in ready if each.serves(wanted)]
            if not serving:
                return wanted, False
            ready.remove(min(serving, key=lambda each: _distance(each, wanted)))
        return None

    def _wanted(self, now: float) -> tuple[list[Environment], list[Environment]]:
        """Return all that should be ready: what deployments ask for, and as many as this keeps for the others."""
        self._used = {each: at for each, at in self._used.items() if now - at <= KEEP}
        asked: list[Environment] = []
        others: list[Environment] = []
        for environment, count in self._upcoming():
            asked += [environment] * count
            others += [] if count else [environment]
        recent = sorted(self._used, key=lambda each: -self._used[each])
        return asked, [*others, *recent * self.count][: self.count]

    def close(self) -> None:
        """End those that nobody took."""
        for spare in self._spares:
            spare.ask_to_end()
        for spare in (*self._spares, *self._ending):
            spare.close()
        self._spares.clear()
        self._kept_for.clear()


def _distance(ready: Environment, wanted: Environment) -> tuple[int, int]:
    """Return how far what is ready is from what is wanted: modules that lack, then such as nobody asked for."""
    return ready.lacks(wanted), wanted.lacks(ready)


def due_soon(store: Store, now: datetime) -> Iterator[tuple[Environment, int]]:
    """Yield what the runs need that are due within the time that a spare is kept, the first first, with its `warm`."""
    until = now + timedelta(seconds=KEEP)
    found = [
        (schedule.next_at, deployment.name, deployment.plan)
        for deployment in store.deployments()
        for schedule in deployment.schedules
        if schedule.next_at is not None and not deployment.is_paused
    ]
    asking: set[str] = set()
    for at, name, plan in sorted(found, key=lambda each: each[0]):
        if at > until:
            return
        if name not in asking:  # what a deployment asks for it asks for once, however many schedules it has
            yield environment_of(plan.snapshot, plan.kernel, plan.preload), plan.warm
        if plan.warm:
            asking.add(name)


def is_memory_short() -> bool:
    """Whether the machine has little memory left; False where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
        return sizes["MemAvailable"] < MEMORY_LEFT * sizes["MemTotal"]
    except (OSError, ValueError, KeyError):
        return False
