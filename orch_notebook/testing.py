"""Doubles and builders for tests, ours and users': a clock, a runner, a store, graphs and events.

Nothing here sleeps or reads the time, so a run with a night of retries takes milliseconds and always goes the same way.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event as Wake
from typing import Any

from orch_notebook.model.events import Event, RunStateChanged, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.machine import RunMachine
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.runtime.calls import Call, TaskStopped
from orch_notebook.runtime.clock import ManualClock, new_run_id
from orch_notebook.runtime.engine import Engine
from orch_notebook.runtime.ledger import Ledger
from orch_notebook.runtime.store import Lease, Store
from orch_notebook.runtime.store.sqlite import SqliteStore

__all__ = [
    "START",
    "ManualClock",
    "RecordedEvents",
    "StepRunner",
    "cancelled",
    "completed",
    "crashed",
    "failed",
    "make_graph",
    "open_run",
    "perform_flow",
    "run_became",
    "started",
    "task_became",
    "temporary_store",
]

#: The instant at which manual clocks stand at first, and of every event made here unless another is given.
START = datetime(2026, 1, 1, tzinfo=UTC)

#: Where Linux keeps files in memory; the folder made there has a name of its own and its owner's rights alone.
MEMORY = "/dev/shm"  # noqa: S108


def make_graph(wiring: str, *tasks: Task) -> Graph:
    """Build a graph from a line of text.

    Parameters
    ----------
    wiring : str
        Chains, each on a line of its own or behind a ``;``.  ``a >> b`` makes `b` need `a`; ``a ~> b`` only makes it
        wait (a write after a read, which spreads no failure); ``a, b >> c`` joins and ``a >> b, c`` fans out.
    *tasks : Task
        Those that are more than a name.

    Examples
    --------
    >>> graph = make_graph("load >> clean, count >> plot; notes", Task("plot", timeout=5.0))
    >>> [task.name for task in graph.tasks]
    ['load', 'clean', 'count', 'plot', 'notes']
    >>> graph.predecessors["plot"], graph.by_name["plot"].timeout
    (('clean', 'count'), 5.0)
    """
    known = {task.name: task for task in tasks}
    named: dict[str, Task] = {}
    edges: list[Edge] = []
    for chain in re.split(r"[;\n]", wiring):
        before: list[str] = []
        rule = ""
        for part in re.split(r"(>>|~>)", chain):
            if part in (">>", "~>"):
                rule = "read-after-write" if part == ">>" else "write-after-read"
                continue
            stage = [name.strip() for name in part.split(",") if name.strip()]
            for name in stage:
                named.setdefault(name, known.get(name) or Task(name))
            edges += [Edge(first, then, rule) for then in stage for first in before]
            before = stage
    named |= {name: task for name, task in known.items() if name not in named}
    return Graph(tuple(named.values()), tuple(edges))


def task_became(
    task: str,
    type: StateType | str,
    attempt: int = 1,
    *,
    name: str = "",
    at: datetime = START,
    message: str = "",
    **details: Any,
) -> TaskStateChanged:
    """Return the event of a task entering a state; what else is named goes into its details.

    Examples
    --------
    >>> task_became("load", "FAILED", 2, name="TimedOut", retriable=False).details
    {'retriable': False}
    """
    return TaskStateChanged(at, task, attempt, State(StateType(type), name, message), details or None)


def started(task: str, attempt: int = 1) -> TaskStateChanged:
    """Return the event of an attempt that begins."""
    return task_became(task, StateType.RUNNING, attempt)


def completed(task: str, attempt: int = 1) -> TaskStateChanged:
    """Return the event of an attempt that ends well."""
    return task_became(task, StateType.COMPLETED, attempt)


def failed(task: str, attempt: int = 1, **details: Any) -> TaskStateChanged:
    """Return the event of an attempt that fails."""
    return task_became(task, StateType.FAILED, attempt, **details)


def crashed(task: str, attempt: int = 1) -> TaskStateChanged:
    """Return the event of an attempt whose process died."""
    return task_became(task, StateType.CRASHED, attempt)


def cancelled(task: str, attempt: int = 0) -> TaskStateChanged:
    """Return the event of a task that is cancelled."""
    return task_became(task, StateType.CANCELLED, attempt)


def run_became(type: StateType | str, name: str = "", *, at: datetime = START) -> RunStateChanged:
    """Return the event of the run itself entering a state."""
    return RunStateChanged(at, State(StateType(type), name))


class RecordedEvents:
    """A subscriber that keeps what it is told.

    Examples
    --------
    >>> recorded = RecordedEvents()
    >>> recorded("r1", [(1, started("load")), (2, completed("load"))])
    >>> recorded.states_of("load")
    ['Running', 'Completed']
    """

    def __init__(self) -> None:
        self.numbered: list[tuple[str, int, Event]] = []

    def __call__(self, run_id: str, batch: Sequence[tuple[int, Event]]) -> None:
        """Take a stored batch."""
        self.numbered += [(run_id, seq, event) for seq, event in batch]

    @property
    def events(self) -> list[Event]:
        """All events, in the order in which they were told."""
        return [event for _, _, event in self.numbered]

    def states_of(self, task: str) -> list[str]:
        """Return the names of the states a task went through."""
        return [e.state.name for e in self.events if isinstance(e, TaskStateChanged) and e.task == task]


class StepRunner:
    """Performs calls one at a time, in the thread that waits on its `clock`: no threads, always the same order.

    Parameters
    ----------
    pick : callable, optional
        ``pick(n)`` says which of `n` waiting calls comes next, counted from 0; by default the oldest.

    Attributes
    ----------
    clock : ManualClock
        Give it to the engine.  Its time moves only when there is nothing left to perform.

    Notes
    -----
    A call that is told to stop while it is performed ends with ``TaskStopped`` when its work returns.
    """

    name = ""

    def __init__(self, pick: Callable[[int], int] = lambda n: 0) -> None:
        self.clock = _SteppedClock(self)
        self._pick = pick
        self._waiting: deque[Call] = deque()
        self._stopped: set[Call] = set()
        self._performed: Call | None = None

    def start(self, call: Call) -> None:
        """Perform `call` when its turn comes."""
        self._waiting.append(call)

    def follows(self, call: Call, after: Call) -> bool:
        """Go straight on: there is one place."""
        return True

    def stop(self, call: Call) -> bool:
        """Let `call` end with ``TaskStopped`` if it is being performed now."""
        if call is not self._performed:
            return False
        self._stopped.add(call)
        return True

    def close(self) -> None:
        """Do nothing: there is no place to end."""

    def step(self) -> bool:
        """Perform one call, and those it leads straight on to; False if none waits."""
        if not self._waiting:
            return False
        position = self._pick(len(self._waiting))
        call: Call | None = self._waiting[position]
        del self._waiting[position]
        while call is not None and (call.has_begun or call.begin(call)):
            call = self._perform(call)
        return True

    def _perform(self, call: Call) -> Call | None:
        details: Mapping[str, Any] | None = None
        error: BaseException | None = None
        self._performed = call
        try:
            details = call.perform(call.task, call.attempt)
            if call in self._stopped:
                raise TaskStopped
        except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its outcome
            error = raised
        self._performed = None
        self._stopped.discard(call)
        return call.end(call, details, error)


class _SteppedClock(ManualClock):
    """Waiting performs a call if there is one, and moves the time if there is none."""

    def __init__(self, runner: StepRunner) -> None:
        super().__init__(START)
        self._runner = runner

    def wait(self, wake: Wake, timeout: float | None) -> bool:
        if wake.is_set() or self._runner.step():
            return wake.is_set()
        if timeout is None:
            raise AssertionError("The run waits for something that can never happen.")
        self.advance(timeout)
        return wake.is_set()


@contextmanager
def temporary_store() -> Iterator[Store]:
    """Open a real store in a folder that is removed afterwards; in memory where the system has a place there.

    Examples
    --------
    >>> with temporary_store() as store:
    ...     store.runs()
    []
    """
    # Every commit waits for the disk, which on a busy machine is most of a test's time.
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="orch-", dir=place) as folder:
        store = SqliteStore(Path(folder) / "orch.db")
        try:
            yield store
        finally:
            store.close()


def open_run(
    store: Store, graph: Graph | None = None, *, now: datetime = START, owner: str = "here:1:1", flow: str = "demo"
) -> tuple[FlowRun, Lease]:
    """Create a run that `owner` may write, and return it with its lease.

    Examples
    --------
    >>> with temporary_store() as store:
    ...     run, lease = open_run(store, make_graph("load >> clean"))
    ...     store.run(run.run_id).state.name
    'Pending'
    """
    run = FlowRun(new_run_id(now), flow, State(StateType.PENDING), now, graph=graph or Graph())
    expires_at = now + timedelta(seconds=9)
    store.create_run(run, owner=owner, lease_expires_at=expires_at)
    return run, Lease(run.run_id, owner, 1, expires_at)


def perform_flow(
    graph: Graph, perform: Callable[[str, int], Mapping[str, Any] | None], *, pick: Callable[[int], int] = lambda n: 0
) -> RecordedEvents:
    """Run a graph to its end through machine, engine, ledger and a real store, one task at a time.

    Parameters
    ----------
    graph : Graph
        What to run.
    perform : callable
        ``perform(task, attempt)`` does the work.
    pick : callable
        Which of several waiting calls comes next (see :class:`StepRunner`).

    Examples
    --------
    >>> def perform(task, attempt):
    ...     if task == "clean":
    ...         raise ValueError("no rows")
    >>> recorded = perform_flow(make_graph("load >> clean >> plot"), perform)
    >>> recorded.states_of("plot"), recorded.events[-1].state.message
    (['UpstreamFailed'], "1 of 3 tasks failed: 'clean'.")
    """
    recorded = RecordedEvents()
    runner = StepRunner(pick)
    with temporary_store() as store:
        ledger = Ledger(store, clock=runner.clock)
        ledger.subscribe(recorded)
        _, lease = open_run(store, graph)
        Engine(RunMachine(graph), perform, runner, ledger, lease, runner.clock).run()
        ledger.close()
    return recorded
