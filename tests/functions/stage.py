"""A flow whose body and tasks do what a test says, when it says so: on real threads, a real store, the real engine.

In: steps for the body, fates for the tasks, and what befalls the process.  Out: what has been performed so far, and
what the store says.  Time stands still until it is told to pass, so nothing here depends on how busy the machine is.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

from orch_notebook import flow, pause_flow_run, suspend_flow_run, task, unmapped
from orch_notebook.errors import StoreUnavailable
from orch_notebook.functions.futures import Future
from orch_notebook.functions.outcomes import Outcome
from orch_notebook.functions.resuming import resume_flow_run
from orch_notebook.model.events import LogWritten
from orch_notebook.promotion.upkeep import cancel
from orch_notebook.runtime import home as homes
from orch_notebook.runtime.context import flow_scope
from orch_notebook.runtime.home import Home
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.recovery import recover
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store.opening import open_store
from orch_notebook.testing import START

#: Seconds after which a task that may not take long has taken too long, and that failed ones wait for.
TIMEOUT, DELAY = 50, 10
#: Seconds that a question may stay open: longer than any story.
NEVER = 10**9

FLOW = "story"

#: How often it is looked whether something has come about that must; some twenty seconds.
PATIENCE = int(os.environ.get("STAGE_PATIENCE", "10000"))


@dataclass(frozen=True)
class Step:
    """One line of the flow's body.

    Attributes
    ----------
    kind : str
        ``submit``, ``map``, ``call``, ``subflow``; ``ask`` for the result of a call; ``pause``, ``suspend``.
    calls : tuple of int
        The calls that it makes, or asks; or the number of the pause.
    number : int
        What the call is given: two calls of one number are the same call.
    inputs : tuple of int
        The submitted calls whose futures it is given.
    """

    kind: str
    calls: tuple[int, ...]
    number: int = 0
    inputs: tuple[int, ...] = ()
    retries: int = 0
    delay: float = 0
    timeout: float | None = None
    when: str = "all_success"


class HeldClock:
    """A clock that stands still until it is told to move; who waits looks again and again whether it has."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def wait(self, wake: threading.Event, timeout: float | None) -> bool:
        return wake.wait(0.004)


class Mortal:
    """A store that a process loses its hold of at once, as by `kill -9`."""

    def __init__(self, store: Any) -> None:
        self.store, self.is_dead = store, False

    def __getattr__(self, name: str) -> Any:
        if self.is_dead:
            raise StoreUnavailable("This process is dead.")
        return getattr(self.store, name)


def value_of(number: int, inputs: tuple[Any, ...]) -> Any:
    """Return what a call gives: a number, a list, or a text too long to travel in an event."""
    weight = 1 + number + sum(weigh(value) for value in inputs) % 1000
    return [weight, [weight], "x" * (5000 + weight)][number % 3]


def weigh(value: Any) -> int:
    match value:
        case int():
            return value
        case list():
            return value[0]
        case str():
            return len(value)
    return 7  # an exception


def take_from(queue: SimpleQueue[str]) -> str:
    """Wait for a word, in Python, where a stop can be raised."""
    # In a function of its own: a stop that hits the end of a loop's round may pass a `finally` around it by.
    while True:
        try:
            return queue.get(timeout=0.002)
        except Empty:
            pass


class Stage:
    """One process after the other, in which a flow is performed."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.program: list[Step] = []
        self.fates: defaultdict[int, deque[str]] = defaultdict(deque)
        self.performed: Counter[int] = Counter()
        self.gates: dict[int, SimpleQueue[str]] = {}
        self.words: SimpleQueue[str] = SimpleQueue()
        self.position = 0
        self.rounds = 0
        self.seen: dict[int, Future | Outcome] = {}
        self.run_id = ""
        self.engine: Any = None
        self.ended: list[Any] = []
        self.thread: threading.Thread | None = None
        self.boot()
        stage = self

        def work(number: int, *inputs: Any) -> Any:
            return stage.perform(number, inputs)

        self.work = work
        self.flow = flow(name=FLOW, retries=1, retry_delay_seconds=DELAY)(lambda: stage.play())

    # the process

    def boot(self) -> None:
        """Begin as a process that has just been started."""
        settings = Settings.from_environment()
        self.home = Home(settings, self.clock)
        self.mortal = Mortal(open_store(settings))
        self.home._store = self.mortal
        homes._homes[os.getpid(), settings.home] = self.home

    @property
    def store(self) -> Any:
        """The store, as others see it."""
        return self.mortal.store

    def die(self) -> None:
        """Lose the process, and have another one look after what it has left."""
        self.home.ledger.flush()
        self.mortal.is_dead = True
        for journal in tuple(self.home.ledger._journals):
            journal.record(
                LogWritten(self.clock.now(), "", 1, 20, "From this the ledger learns that the store is gone.")
            )
        self.until(
            lambda: self.has_ended and not self.gates and not self.home.closing,
            lambda: "A thread of the dead lives on.",
        )
        self.home.ledger.close()
        self.home.pools.close()
        self.store.close()
        self.boot()
        self.clock.advance(3 * self.home.settings.lease)
        recover(self.store, this_owner(), self.clock.now(), performing=())

    def close(self) -> None:
        """End the last process."""
        if not self.has_ended:
            self.cancel()
            self.until(lambda: self.has_ended, lambda: "The flow does not end.")
        homes.close_homes()

    # the thread that performs the flow

    @property
    def has_ended(self) -> bool:
        """Whether no flow is being performed, and its thread is gone."""
        return self.thread is None or not self.thread.is_alive()

    def start(self, begin: Callable[[], Any]) -> None:
        """Perform a flow run."""
        self.position, self.rounds = -1, 0
        self.ended.clear()
        self.words = SimpleQueue()

        def perform() -> None:
            try:
                self.ended.append(begin())
            except BaseException as error:
                self.ended.append(error)

        self.thread = threading.Thread(target=perform, daemon=True)
        self.thread.start()

    def begin(self) -> None:
        """Call the flow."""
        self.program.clear()
        self.start(lambda: self.flow(return_state=True))

    def retry(self) -> None:
        """Perform the run again that did not end well."""
        run_id = self.run_id
        self.start(lambda: self.flow.retry(run_id, return_state=True))

    def answer(self, value: int) -> None:
        """Let the run go on that waits for somebody."""
        run_id = self.run_id
        if self.store.run(run_id).state.name == "Suspended":
            self.start(lambda: self.flow.resume(run_id, value, return_state=True))
        else:
            resume_flow_run(run_id, value)

    def cancel(self) -> None:
        """Ask for the run's end, as every face does."""
        cancel(self.store, self.store.run(self.run_id), this_owner(), self.clock.now())

    @property
    def waits_for_its_time(self) -> bool:
        """Whether something is to happen when time has passed."""
        return bool(self.engine._timers)

    def until(self, is_so: Callable[[], bool], what: Callable[[], str]) -> None:
        """Wait for what must come."""
        pause, patience = threading.Event(), PATIENCE
        while not is_so():
            patience -= 1
            assert patience, what()
            pause.wait(0.002)

    # the flow's body

    def play(self) -> None:
        """Take every step of the program, then what comes; until a word ends it."""
        scope = flow_scope.get()
        self.run_id, self.engine = scope.run_id, scope.performance.engine
        self.rounds += 1
        self.seen = {}
        position = 0
        while True:
            self.position = position
            if position < len(self.program):
                self.take(self.program[position])
                position += 1
                continue
            word = take_from(self.words)
            if word == "raise":
                raise ValueError("The body fails.")
            if word == "return":
                return

    def take(self, step: Step) -> None:
        """Do what one line of the body says."""
        match step.kind:
            case "ask":
                future = self.seen[step.calls[0]]
                future.result(raise_on_failure=False)
            case "pause":
                assert pause_flow_run(wait_for_input=int, key=f"p{step.number}", timeout=NEVER) == step.number
            case "suspend":
                assert suspend_flow_run(wait_for_input=int, key=f"p{step.number}", timeout=NEVER) == step.number
            case "subflow":
                [call] = step.calls
                inner = flow(name="inner")(lambda number: task(self.work, name=f"t{number}")(number))
                self.seen[call] = inner(step.number, return_state=True)
            case _:
                options = {"retries": step.retries, "retry_delay_seconds": step.delay, "timeout_seconds": step.timeout}
                work = task(self.work, name=f"t{step.number}", when=step.when, **options)
                inputs = [self.seen[call] for call in step.inputs]
                if step.kind == "submit":
                    self.seen[step.calls[0]] = work.submit(step.number, *inputs)
                elif step.kind == "call":
                    self.seen[step.calls[0]] = work(step.number, *inputs, return_state=True)
                else:
                    numbers = [step.number + place for place in range(len(step.calls))]
                    found = work.map(numbers, *[unmapped(future) for future in inputs])
                    self.seen |= dict(zip(step.calls, found, strict=True))

    # its tasks

    def perform(self, number: int, inputs: tuple[Any, ...]) -> Any:
        """Do as the fates say: return, fail, or wait at the gate for what comes."""
        self.performed[number] += 1
        fate = self.fates[number].popleft() if self.fates[number] else "returns"
        if fate == "waits":
            gate = self.gates[number] = SimpleQueue()
            try:
                fate = take_from(gate)
            finally:
                self.gates.pop(number, None)
        if fate == "fails":
            raise ValueError(f"{number} fails.")
        return value_of(number, inputs)
