"""Processes that can execute a notebook before it is known which run it will be: while that is made out, or for long.

In: an :class:`Environment`, which says what kernel such a process starts.  Out: a :class:`Spare`, whose kernel boots
while it loads what an execution takes itself, and which is told its run by one line.  :class:`Spares` keeps some in
store for a worker, as long as something is likely to need them and there is memory.  Each serves one run only, and
ends, with its kernel, when whoever started it dies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from orch_notebook.promotion.notebooks import peek
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store

__all__ = ["Environment", "Spare", "Spares", "due_soon", "environment_of", "environment_of_run"]

#: Seconds that a spare process is kept unused, and before a due time that one is started.
KEEP = 900.0

#: Seconds after a launch during which no other process is started: the run that begins wants the processor.
CALM = 1.0

#: Seconds between looks for what will be due.
LOOK_EVERY = 10.0

#: Of the memory, the part that has to be available for spare processes to be kept.
MEMORY_LEFT = 0.1

#: What a notebook with tasks loads first, a tenth of a second's work.
EXTENSION = "orch_notebook.jupyter.magics"


@dataclass(frozen=True, slots=True)
class Environment:
    """What a process that executes a notebook has to have ready.

    Parameters
    ----------
    kernel : str
        The name of the kernel; empty for none.
    preload : tuple of str
        Modules that the kernel imports at once.
    variables : mapping
        Environment variables it has from its start, for those that come too late with the run.
    """

    kernel: str
    preload: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)

    def serves(self, other: Environment) -> bool:
        """Whether what is ready for this has all that another needs: more modules do no harm."""
        return self.kernel == other.kernel and not self.lacks(other)

    def lacks(self, other: Environment) -> int:
        """Return how many modules of another are not imported here."""
        return len(set(other.preload) - set(self.preload))


def environment_of(notebook: str | Path, kernel: str | None = None, preload: Sequence[str] = ()) -> Environment:
    """Return what executing a notebook takes, in its own kernel or in another, with modules that it shall find."""
    try:
        found = _environment(Path(notebook), Path(notebook).stat().st_mtime_ns, kernel)
    except OSError:  # whoever executes it will say so
        return Environment("")
    return replace(found, preload=(*found.preload, *preload))


def environment_of_run(store: Store, run_id: str) -> Environment:
    """Return what executing a run takes."""
    plan = store.plan(run_id)
    return Environment("") if plan is None else environment_of(plan.snapshot, plan.kernel, plan.preload)


@lru_cache(maxsize=256)
def _environment(path: Path, changed_at: int, kernel: str | None) -> Environment:
    named, uses_tasks = peek(path)
    return Environment(kernel or named, (EXTENSION,) if uses_tasks else ())


class Spare:
    """A process that loads what an execution takes, and starts a kernel, before it is told its run.

    Parameters
    ----------
    settings : Settings
        Those of the run that it will execute.
    environment : Environment
        The kernel it starts.
    output : int, optional
        Where it writes before it is told where to.

    Raises
    ------
    OSError
        There can be no further process.
    """

    def __init__(self, settings: Settings, environment: Environment, output: int = subprocess.DEVNULL) -> None:
        self.environment = environment
        self.started_at = time.monotonic()
        variables = {**os.environ, **settings.environment, **environment.variables, "PYTHONUNBUFFERED": "1"}
        variables.pop("JPY_PARENT_PID", None)  # else a kernel would watch the worker's parent instead of its own
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orch_notebook.promotion.start", environment.kernel, *environment.preload],
            stdin=subprocess.PIPE,  # stays open as long as this worker lives
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
        )

    @property
    def is_alive(self) -> bool:
        """Whether it can still be told."""
        return self.process.poll() is None

    def tell(self, lease: Lease, log_path: Path) -> bool:
        """Have it execute a claimed run and write to a log; False if it did not live to be told."""
        line = json.dumps([lease.run_id, lease.owner, str(lease.token), str(log_path)]) + "\n"
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            return False
        return True

    def ask_to_end(self) -> None:
        """Let it end its kernel, and then itself."""
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        self.process.terminate()

    def close(self, seconds: float = 2.0) -> None:
        """End it and its kernel."""
        self.ask_to_end()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


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
        self._used: dict[Environment, float] = {}
        self._looked_at = float("-inf")
        self._launched_at = float("-inf")

    def __len__(self) -> int:
        return len(self._spares)

    def start(self, environment: Environment) -> None:
        """Start one now; if there can be none, whoever launches a process next will say why."""
        preload = (*environment.preload, *self._preload)
        with suppress(OSError):
            self._spares.append(Spare(self._settings, replace(environment, preload=preload)))

    def take(self, environment: Environment) -> Spare | None:
        """Return one with the kernel of an environment, that with most of its modules; None if there is none."""
        self._launched_at = time.monotonic()
        self._used[environment] = self._launched_at
        found = [spare for spare in self._spares if spare.environment.kernel == environment.kernel]
        for spare in sorted(found, key=lambda each: _distance(each.environment, environment)):
            self._spares.remove(spare)
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
                self._spares.remove(spare)
                self._ending.append(spare)
                spare.ask_to_end()
        if now - self._looked_at >= LOOK_EVERY and now - self._launched_at >= CALM and not is_memory_short():
            wanted = self._first_wanted(now)
            if wanted is None:
                self._looked_at = now
            else:
                self.start(wanted)

    def _first_wanted(self, now: float) -> Environment | None:
        """Return what the first of the next runs needs for which none is ready."""
        ready = [spare.environment for spare in self._spares]
        everything = self._wanted(now)
        if len(ready) >= len(everything):  # what nobody wants any more is ended when it is old
            return None
        for wanted in everything:
            serving = [each for each in ready if each.serves(wanted)]
            if not serving:
                return wanted
            ready.remove(min(serving, key=lambda each: _distance(each, wanted)))
        return None

    def _wanted(self, now: float) -> list[Environment]:
        """Return all that should be ready: what deployments ask for, and then as many as this keeps for the others."""
        self._used = {each: at for each, at in self._used.items() if now - at <= KEEP}
        asked: list[Environment] = []
        others: list[Environment] = []
        for environment, count in self._upcoming():
            asked += [environment] * count
            others += [] if count else [environment]
        recent = sorted(self._used, key=lambda each: -self._used[each])
        return asked + [*others, *recent * self.count][: self.count]

    def close(self) -> None:
        """End those that nobody took."""
        for spare in self._spares:
            spare.ask_to_end()
        for spare in (*self._spares, *self._ending):
            spare.close()
        self._spares.clear()


def _distance(ready: Environment, wanted: Environment) -> tuple[int, int]:
    """Return how far what is ready is from what is wanted: modules that lack, then such as nobody asked for."""
    return ready.lacks(wanted), wanted.lacks(ready)


def due_soon(store: Store, now: datetime) -> Iterator[tuple[Environment, int]]:
    """Yield what the runs need that are due within the time that a spare is kept, the first first, with its `warm`."""
    until = now + timedelta(seconds=KEEP)
    found = [
        (schedule.next_at, deployment.plan)
        for deployment in store.deployments()
        for schedule in deployment.schedules
        if schedule.next_at is not None and not deployment.is_paused
    ]
    for at, plan in sorted(found, key=lambda each: each[0]):
        if at > until:
            return
        yield environment_of(plan.snapshot, plan.kernel, plan.preload), plan.warm


def is_memory_short() -> bool:
    """Whether the machine has little memory left; False where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
        return sizes["MemAvailable"] < MEMORY_LEFT * sizes["MemTotal"]
    except (OSError, ValueError, KeyError):
        return False
