"""The process that executes one claimed run; :mod:`orch_notebook.promotion.start` starts it.

It is told the run, its owner, the token of the claim, and where to write its log, by a line on its standard input.

A worker starts it in a process group of its own and keeps its standard input open: when the worker dies the input
ends, and this process ends its kernel and itself.  It alone writes the run's history, under the token the worker got;
once another process has taken the run over, its writes are refused and it stops.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orch_notebook.errors import FlowRunFailed, LeaseLost, OrchError, StoreError
from orch_notebook.model.deployments import Plan
from orch_notebook.model.events import Event, LogWritten, RunCreated, RunStateChanged, TaskStateChanged
from orch_notebook.model.graph import Edge, Graph
from orch_notebook.model.headers import split_task_cell
from orch_notebook.model.runs import FlowRun
from orch_notebook.model.states import State, StateType
from orch_notebook.model.tasks import Task
from orch_notebook.promotion.execution import Execution, Stop, execute
from orch_notebook.promotion.kernels import Kernel
from orch_notebook.promotion.mending import mend_notebook
from orch_notebook.promotion.modules import perform_flow
from orch_notebook.promotion.notebooks import code_cells, has_tasks, read_notebook
from orch_notebook.promotion.upkeep import sweep
from orch_notebook.runtime.attempts import forget_attempts
from orch_notebook.runtime.clock import Clock, SystemClock
from orch_notebook.runtime.crashpoints import reach
from orch_notebook.runtime.ledger import Journal, Ledger
from orch_notebook.runtime.owners import this_owner
from orch_notebook.runtime.settings import Settings
from orch_notebook.runtime.store import Lease, Store
from orch_notebook.runtime.store.enduring import GONE, endure
from orch_notebook.runtime.store.opening import clock_of, open_store
from orch_notebook.runtime.vault import learn_secrets

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["main", "perform_run"]

logger = logging.getLogger("orch_notebook")

#: The state in which each kind of ending leaves a run.
ENDINGS: Mapping[str, tuple[StateType, str]] = {
    "completed": (StateType.COMPLETED, "Completed"),
    "failed": (StateType.FAILED, "Failed"),
    "timed out": (StateType.FAILED, "TimedOut"),
    "crashed": (StateType.CRASHED, "Crashed"),
}

#: The state in which a cell is left that did not end by itself, by the name of the error shown in it.
CELL_ENDINGS: Mapping[str, tuple[StateType, str]] = {
    "KernelDied": (StateType.CRASHED, "Crashed"),
    "TimedOut": (StateType.FAILED, "TimedOut"),
    "Stopped": (StateType.CANCELLED, "Cancelled"),
}

CANCELLED = "cancelled by request"
WORKER_GONE = "its worker is gone"
LINE_LIMIT = 10_000


class RunRecord:
    """Writes down how the execution of a notebook goes; a :class:`~orch_notebook.promotion.execution.Progress`.

    Parameters
    ----------
    journal : Journal
        Where it is written.
    clock : Clock
        The time.
    tasks : mapping
        For a notebook without tasks, the name of the task that each code cell counts as; else empty.
    quiet : collection of int
        Cells whose output is not recorded here: those of tasks, which record their own.
    cells : int
        Cells of the notebook, to say how far it is.
    limit : int
        Characters of output kept per cell.
    began : callable
        Called when the first cell starts; the executed notebook has been written once by then.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        tasks: Mapping[int, str],
        quiet: Collection[int],
        cells: int,
        limit: int,
        began: Callable[[], object] = lambda: None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._tasks = tasks
        self._quiet = quiet
        self._cells = cells
        self._limit = limit
        self._began: Callable[[], object] | None = began
        self._open: set[str] = set()
        #: The tasks that have begun.
        self.seen: set[str] = set()
        self._partial: dict[tuple[int, str], str] = {}
        self._started_at: datetime = clock.now()
        self._kept = 0

    def cell_started(self, index: int, cell_id: str) -> None:
        """Note that a cell runs."""
        self._started_at = self._clock.now()
        self._kept = 0
        if self._began is not None:
            self._began()
            self._began = None
        reach("execute.cell")
        if task := self._tasks.get(index):
            self._open.add(task)
            self.seen.add(task)
            self._journal.record(TaskStateChanged(self._started_at, task, 1, State(StateType.RUNNING)))

    def cell_ended(self, index: int, cell_id: str, error: Mapping[str, Any] | None) -> None:
        """Note how a cell ended."""
        reach("execute.cell_ended")
        for (cell, stream), rest in list(self._partial.items()):
            if cell == index and self._partial.pop((cell, stream)):
                self._line(index, stream, rest)
        now = self._clock.now()
        seconds = (now - self._started_at).total_seconds()
        task = self._tasks.get(index)
        if task is None:
            how = f"raised {error['ename']}: {error['evalue']}"[:500] if error else "done"
            level = logging.ERROR if error else logging.INFO
            self._say(level, f"Cell {index + 1} of {self._cells} {how} ({seconds:.1f} s)")
            # Failed tasks bring their own tracebacks; the engine's frames above them help nobody.
            if error and error["ename"] != FlowRunFailed.__name__:
                for line in strip_colours("\n".join(error["traceback"])).splitlines():
                    self._say(level, line[:LINE_LIMIT])
            return
        self._open.discard(task)
        if error is None:
            self._journal.record(TaskStateChanged(now, task, 1, State(StateType.COMPLETED)))
            return
        line = f"{error['ename']}: {error['evalue']}"[:2000]
        details = {"error": line, "traceback": [strip_colours(text) for text in error["traceback"]]}
        kind, name = CELL_ENDINGS.get(error["ename"], ENDINGS["failed"])
        state = State(kind, name, line.splitlines()[0][:300])
        self._journal.record(TaskStateChanged(now, task, 1, state, details))

    def output(self, index: int, message: Mapping[str, Any]) -> None:
        """Note the lines a cell wrote."""
        if index in self._quiet:
            return
        text = str(message["text"])
        self._kept += len(text)
        if self._kept > self._limit:
            if self._kept - len(text) <= self._limit:
                self._say(
                    logging.WARNING,
                    f"Cell {index + 1} wrote more than {self._limit:,} characters; no more are kept here.",
                )
            return
        key = index, str(message["name"])
        *lines, self._partial[key] = (self._partial.get(key, "") + text).split("\n")
        for line in lines:
            self._line(index, key[1], line)

    def _line(self, index: int, stream: str, line: str) -> None:
        line = line.rstrip("\r").rpartition("\r")[2]
        if line.strip():
            level = logging.WARNING if stream == "stderr" else logging.INFO
            task = self._tasks.get(index, "")
            self._journal.record(LogWritten(self._clock.now(), task, 1 if task else 0, level, line[:LINE_LIMIT]))

    def _say(self, level: int, text: str) -> None:
        self._journal.record(LogWritten(self._clock.now(), "", 0, level, text))

    def unfinished(self, state: State) -> list[Event]:
        """Return the events that end the cells which were running."""
        now = self._clock.now()
        return [TaskStateChanged(now, task, 1, state) for task in self._open]


def strip_colours(text: str) -> str:
    """Return a text without the codes that colour it in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def graph_of_cells(notebook: NotebookNode) -> Graph:
    """Return a notebook without tasks as one: a task for each code cell, each waiting for the one before."""
    if has_tasks(notebook):
        return Graph()
    tasks = [
        Task(f"cell-{index}", cell_index=index, cell_id=cell.id)
        for index, cell in code_cells(notebook)
        if cell.source.strip()
    ]
    edges = [Edge(before.name, after.name, "barrier") for before, after in pairwise(tasks)]
    return Graph(tuple(tasks), tuple(edges))


def perform_run(
    store: Store,
    settings: Settings,
    lease: Lease,
    *,
    clock: Clock | None = None,
    stop: Stop | None = None,
    ahead: Kernel | None = None,
) -> State:
    """Execute a claimed run and record all of it; return its final state.

    Parameters
    ----------
    store : Store
        Where the run is.
    settings : Settings
        Where the executed notebook goes.
    lease : Lease
        The claim; it is kept until the caller releases it.
    clock : Clock, optional
        The time.
    stop : Stop, optional
        Through which the caller may end the execution.
    ahead : Kernel, optional
        One that has been started for it already.

    Raises
    ------
    LeaseLost
        Another process has taken the run over.
    """
    clock, stop = clock or SystemClock(), stop or Stop()
    reach("execute.begun")
    run, plan = endure(partial(_take_up, store, settings, lease, clock), lambda away_at: away_at + GONE)
    if plan.entrypoint:
        return perform_flow(run, plan, lease, stop)
    ledger = Ledger(store, clock=clock, lease_seconds=settings.lease)

    def lost(error: StoreError) -> None:
        logger.error("Run %s is given up, and its kernel ended: %s", run.run_id, error)
        # Somebody else may execute it already, so nothing may still be at work here.
        stop.request(str(error), grace=0.0)

    journal = ledger.open(lease, lost, store.last_seq(run.run_id))
    ended = threading.Event()
    requests = threading.Thread(target=_heed_requests, args=(store, run.run_id, clock, stop, ended), daemon=True)
    requests.start()
    try:
        state = _execute(store, settings, run, plan, journal, clock, stop, ahead)
    finally:
        ended.set()
        requests.join(timeout=5.0)
        ledger.close_journal(journal, release=False)
        ledger.close()
    if journal.error is not None:
        raise journal.error
    reach("execute.recorded")
    _tidy_up(store, settings, run, state, clock)
    reach("execute.done")
    return state


def _take_up(store: Store, settings: Settings, lease: Lease, clock: Clock) -> tuple[FlowRun, Plan]:
    """Renew the lease of a run and return it, with how it is executed."""
    if not store.renew(lease, clock.now() + timedelta(seconds=settings.lease)):
        raise LeaseLost(f"Run {lease.run_id} is owned by another process now.", run_id=lease.run_id)
    run, plan = store.run(lease.run_id), store.plan(lease.run_id)
    if run is None or plan is None:
        raise OrchError(f"Run {lease.run_id} has no notebook to execute.")
    return run, plan


def _tidy_up(store: Store, settings: Settings, run: FlowRun, state: State, clock: Clock) -> None:
    """End what the kernel left unfinished before anybody looks; what its run leaves for the next is not needed now."""
    try:
        sweep(store, this_owner(), clock.now())
        if state.type is StateType.COMPLETED:
            forget_attempts(store, settings, run)
        elif (found := store.run(run.run_id)) is not None:
            mend_notebook(store, found, clock.now())
    except StoreError as error:  # the end is stored, and workers sweep every second
        logger.warning("Not all was tidied up after run %s: %s", run.run_id, error)


def _heed_requests(store: Store, run_id: str, clock: Clock, stop: Stop, ended: threading.Event) -> None:
    while not ended.wait(0.5):
        try:
            if "cancel" in store.take_requests(run_id, clock.now()):
                stop.request(CANCELLED)
        except StoreError as error:
            logger.warning("Could not look for requests: %s", error)


def _execute(
    store: Store,
    settings: Settings,
    run: FlowRun,
    plan: Plan,
    journal: Journal,
    clock: Clock,
    stop: Stop,
    ahead: Kernel | None,
) -> State:
    output = settings.folder("runs", run.run_id) / Path(plan.notebook).name
    learn_secrets(store, settings)
    try:
        notebook = read_notebook(plan.snapshot)
        graph = graph_of_cells(notebook)
    except OrchError as error:
        state = State(StateType.FAILED, "Failed", str(error))
        journal.record(RunCreated(run.created_at, run.flow, Graph(), run.parameters))
        journal.record(RunStateChanged(clock.now(), State(StateType.RUNNING)))
        journal.record(RunStateChanged(clock.now(), state))
        return state
    journal.record(RunCreated(run.created_at, run.flow, graph, run.parameters))
    journal.record(RunStateChanged(clock.now(), State(StateType.RUNNING)))
    reach("execute.ready")
    by_index = {task.cell_index: task.name for task in graph.tasks if task.cell_index is not None}
    task_cells = {index for index, cell in code_cells(notebook) if split_task_cell(str(cell.source)) is not None}

    def note_notebook() -> None:
        # Noted early, so that a run whose process is killed shows how far it came, and again at the end, should the
        # store have been away.
        with suppress(StoreError):
            store.set_executed_notebook(journal.lease, str(output))

    record = RunRecord(journal, clock, by_index, task_cells, len(notebook.cells), settings.log_limit, note_notebook)
    try:
        ended = execute(
            plan.snapshot,
            output=output,
            parameters=run.parameters,
            cwd=plan.folder,
            progress=record,
            kernel=plan.kernel,
            timeout=plan.timeout,
            memory=plan.memory or settings.memory,
            env={
                **plan.env,
                **settings.environment,
                "ORCH_RUN_ID": run.run_id,
                "ORCH_NOTEBOOK": plan.notebook,
            },
            metadata={"run_id": run.run_id, "deployment": run.deployment, "attempt": run.attempt},
            stop=stop,
            ahead=ahead,
        )
        state = _state_of(ended, stop)
        note_notebook()
    except OrchError as error:
        state = State(StateType.FAILED, "Failed", str(error))
    reach("execute.over")
    for event in _end_cells(graph, record, state, clock):
        journal.record(event)
    journal.record(RunStateChanged(clock.now(), state))
    return state


def _state_of(ended: Execution, stop: Stop) -> State:
    if ended.ok:
        return State(StateType.COMPLETED)
    where = "" if ended.cell_index is None else f"Cell {ended.cell_index + 1}: "
    what = f"{ended.ename}: {ended.evalue}" if ended.ename and ended.kind == "failed" else ended.evalue
    if ended.ename == FlowRunFailed.__name__:
        # The tasks say what went wrong and where; the cell that ran them (often one we added) says nothing more.
        where, what = "", re.sub(r"^Flow .*? ended \w+\. ", "", ended.evalue)
    message = (where + (what.splitlines()[0] if what else ended.kind))[:500]
    if ended.kind == "stopped":
        if stop.reason == CANCELLED:
            return State(StateType.CANCELLED, "Cancelled", "Cancelled by request.")
        return State(StateType.CRASHED, "Crashed", message)
    kind, name = ENDINGS[ended.kind]
    return State(kind, name, message)


def _end_cells(graph: Graph, record: RunRecord, state: State, clock: Clock) -> list[Event]:
    """Return the events that end every cell of a plain notebook that has not ended."""
    if not graph.tasks or state.type is StateType.COMPLETED:
        return []
    never_ran = State(StateType.CANCELLED, "UpstreamFailed", f"The run ended before it: {state.name}.")
    unseen = [task.name for task in graph.tasks if task.name not in record.seen]
    return [*record.unfinished(state), *(TaskStateChanged(clock.now(), name, 0, never_ran) for name in unseen)]


def _end_with_worker(stop: Stop) -> None:
    """Wait for the end of standard input, which is the end of the worker; then end the kernel, and this process."""
    # Read past Python's buffer: a thread that waits in there holds its lock, for which the interpreter, when it ends,
    # waits a second and then aborts.
    while os.read(0, 4096):
        pass
    # Another worker ends the run and repeats it within seconds: nothing of this execution may still be at work then.
    stop.request(WORKER_GONE, grace=0.0)
    time.sleep(8.0)  # whatever still hangs then ends with the process
    os._exit(70)


def _told() -> list[str]:
    """Wait to be told which run to execute; nothing if whoever started this process has no use for it."""
    line = b""
    while not line.endswith(b"\n"):
        if not (more := os.read(0, 4096)):
            return []
        line += more
    *arguments, log_path = map(str, json.loads(line))
    log = os.open(log_path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    return arguments


def main(kernel: Kernel | None) -> int:
    """Execute the run that a worker claimed; return 0 when it completed, 1 when it did not, 75 when it was lost.

    Parameters
    ----------
    kernel : Kernel, optional
        One that has been started for it already.
    """
    try:
        return _perform_told(kernel)
    finally:
        if kernel is not None:
            kernel.close()


def _perform_told(kernel: Kernel | None) -> int:
    if not (arguments := _told()):
        if kernel is not None:
            kernel.kill()
        return 0
    run_id, owner, token = arguments
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings, stop = Settings.from_environment(), Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.request("the worker was stopped"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_worker, args=(stop,), daemon=True).start()
    store = open_store(settings)
    clock = clock_of(store)
    lease = Lease(run_id, owner, int(token), clock.now() + timedelta(seconds=settings.lease))
    try:
        state = perform_run(store, settings, lease, clock=clock, stop=stop, ahead=kernel)
        return 0 if state.type is StateType.COMPLETED else 1
    except StoreError as error:
        logger.error("Run %s is given up: %s", run_id, error)
        return 75
    finally:
        store.close()
